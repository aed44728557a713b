"""Fences: text of others stays inside, is made of plain characters, and has an end."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from gitfleet.plan.quoting import fenced, line, plain, shortened

# What is made to break out: fences of any length and kind, line ends of every sort, escapes.
_EVIL = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.integers(1, 30).map(lambda n: "`" * n),
        st.integers(1, 9).map(lambda n: "~" * n),
        st.sampled_from(
            ["\n", "\r", "\r\n", "\v", "\f", "\x85", "\u2028", "\u2029", "\x00", "\x1b[2J",
             "\x1b]0;t\x07", "`\x00`", "`\u202e`", "````", "# Your task\n", "{{task}}", "\ud800"]
        ),
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(_EVIL, st.integers(0, 300))
def test_no_text_breaks_out_of_its_fence(text: str, most: int) -> None:
    """By CommonMark a fence ends at a line of at least as many backticks: there is none inside,
    whatever a reader takes for the end of a line."""
    told = fenced(text, most)
    first, *inside, last = re.split("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", told)
    assert first.endswith("data") and set(last) == {"`"}
    fence = first.removesuffix("data")
    assert fence == last and len(fence) >= 4
    assert not any(fence in row for row in inside)
    assert told.count("\n") == len(inside) + 1


@given(_EVIL)
def test_no_control_character_is_left(text: str) -> None:
    """Neither those that draw on a terminal nor those that turn the direction of text."""
    for char in plain(text):
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
    assert "\n" not in line(text) and "\u202e" not in plain(text)
    plain(text).encode()


def test_colours_leave_nothing_behind() -> None:
    """The output of a test runner reads as it was meant."""
    assert plain("\x1b[1;31mFAILED\x1b[0m a\r\nb\rc\x1b]8;;http://x\x1b\\d") == "FAILED a\nb\ncd"


@given(st.text(max_size=400), st.integers(0, 300))
def test_what_is_too_long_keeps_its_beginning_and_most_of_its_end(text: str, most: int) -> None:
    """Never longer than allowed but for the line that says what is missing, and that says it."""
    short = shortened(text, most)
    if len(text) <= most:
        assert short == text
        return
    head, tail = most // 4, most - most // 4
    assert short.startswith(text[:head]) and (not tail or short.endswith(text[-tail:]))
    assert f"{len(text) - most} characters are left out" in short
    assert len(short) <= most + 60
