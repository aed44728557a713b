"""`paths`: gitignore patterns, as people know them."""

from __future__ import annotations

import pytest

from gitfleet.attempt.do_work import outside
from gitfleet.model.task import Task


@pytest.mark.parametrize(
    ("allowed", "changed", "wrong"),
    [
        ((), ("a", "b/c"), []),
        (("docs/",), ("docs/a", "docs/b/c", "x/docs/a"), []),
        (("/docs/",), ("docs/a", "x/docs/a"), ["x/docs/a"]),
        (("*.py",), ("a.py", "b/c.py", "b/c.txt"), ["b/c.txt"]),
        (("src/**",), ("src/a/b", "srcs/a", "src"), ["srcs/a", "src"]),
        (("*", "!secret"), ("a", "secret", "b/secret"), ["secret", "b/secret"]),
        (("/a", "#b"), ("a", "#b", "b"), ["#b", "b"]),
        (("a b",), ("a b", "a"), ["a"]),
        (("\\#b",), ("#b",), []),
        (("ä/*",), ("ä/ö", "a/ö"), ["a/ö"]),
    ],
)
def test_a_change_may_touch_what_the_patterns_match(
    allowed: tuple[str, ...], changed: tuple[str, ...], wrong: list[str]
) -> None:
    """Nothing else; and everything where there are none."""
    assert outside(Task(title="x", paths=allowed), changed) == wrong
