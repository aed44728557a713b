"""The mutants of `python -m tests.mutants`: what changes, what stays, and where."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.operators import mutants_of


def _changed(body: str) -> set[str]:
    source = f"def f(a, b):\n    {body}\n".encode()
    made = [mutant.apply(source).decode() for mutant in mutants_of("one.py", source)]
    for text in made:
        ast.parse(text)
    return {text.split("\n", 1)[1].strip() for text in made}


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ("c = a < b", {"c = (a <= b)"}),
        ("c = a and not b", {"c = (a or not b)", "c = a", "c = (not b)", "c = a and b"}),
        ("c = a + 1", {"c = (a - 1)", "c = a + 2"}),
        ("return a", {"return None"}),
        ("return True", {"return False"}),
        ("g(a)", {"pass"}),
        ("a.x = b", {"pass"}),
        ("a += b", {"pass", "a -= b"}),
        ("raise a", {"pass"}),
        ("c = a if b else g", {"c = a if (not b) else g"}),
        ("c = [x for x in a if x]", {"c = [x for x in a if True]"}),
        ("c = min(a, b)", {"c = max(a, b)"}),
        ('c: Literal[1] = "text"', set()),
        ("assert a > b", set()),
        ('c = f"{a + b}"', set()),
    ],
)
def test_one_place_of_a_function_changes(body: str, changed: set[str]) -> None:
    """Each change compiles; text, annotations and assertions stay as they are."""
    assert _changed(body) == changed


def test_a_mutant_knows_the_function_whose_code_it_changes() -> None:
    """The outermost one; a default or a constant takes effect when the module is imported."""
    source = (
        b"LIMIT = 1\nclass A:\n    def f(self, n=2):\n        def g():\n            return n < 3\n"
    )
    found = {mutant.was: mutant.function for mutant in mutants_of("one.py", source)}
    assert found["1"] == found["2"] == ()
    assert found["3"] == ("A", "f")


def test_an_edit_elsewhere_keeps_a_sample() -> None:
    """Survivors can be looked for again after tests or lines were added."""
    source = b"def f(a):\n    return a < 1\n"
    before = {mutant.rank(1) for mutant in mutants_of("one.py", source)}
    after = {mutant.rank(1) for mutant in mutants_of("one.py", b"# more\nX = Y\n" + source)}
    assert before == after
    assert before.isdisjoint({mutant.rank(2) for mutant in mutants_of("one.py", source)})
