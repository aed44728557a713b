"""Answers go into a question's file, and nothing else of it changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.errors import FleetError
from gitfleet.files import answers, codec
from gitfleet.model.question import Question

PATH = "questions/one-1.md"
OPEN = (
    b"---\ntask: one  # mine\nasked: 2026-11-20T15:00:00Z\nx-mine: 0777\n---\n## Question\nWhich?\n"
)


def answer_of(data: bytes) -> str:
    found, problems = codec.read_question(data, PATH)
    assert found is not None, problems
    return found.answer


def test_the_first_answer_leaves_every_byte_above_it() -> None:
    """Comments, unknown keys, the order: a person's file is not written anew."""
    made = answers.answered(OPEN, "The first,\nof course\n")
    assert made == OPEN + b"\n## Answer\nThe first,\nof course\n"
    assert answer_of(made) == "The first,\nof course"


def test_the_heading_with_its_hint_is_no_answer_and_makes_room_for_one() -> None:
    """So a merge without text leaves the question open, and the hint goes with the answer."""
    empty = answers.with_heading(OPEN)
    assert answers.with_heading(empty) == empty
    assert answer_of(empty) == ""
    made = answers.answered(empty, "yes")
    assert made == OPEN + b"\n## Answer\nyes\n"


def test_a_persons_comment_below_the_heading_stays() -> None:
    """Only our own hint is taken away."""
    made = answers.answered(OPEN + b"\n## Answer\n<!-- Bob is asked -->\n", "yes")
    assert b"<!-- Bob is asked -->" in made and answer_of(made) == "yes"


@pytest.mark.parametrize("end", [b"", b"\n\n\n", b"\r\n"])
def test_however_the_file_ends(end: bytes) -> None:
    """No end of line, several, or those of Windows."""
    assert answer_of(answers.answered(OPEN.rstrip() + end, "yes")) == "yes"


def test_a_comment_without_an_end_hides_nothing() -> None:
    """Not what stands under it later; where a person wrote one by hand, they are told."""
    made = answers.answered(OPEN, "a <!-- b")
    assert answer_of(answers.remarked(made, "c", "Bob")) == "a <! -- b"
    by_hand = OPEN + b"\n## Answer\na <!-- b\n"
    with pytest.raises(FleetError, match="unclosed comment"):
        answers.remarked(by_hand, "c", "Bob")
    assert answers.united(by_hand, answers.answered(OPEN, "c"), PATH, "Bob") is None


@given(first=st.text(min_size=1).filter(str.strip), second=st.text(), by=st.text())
def test_a_later_answer_never_changes_the_first(first: str, second: str, by: str) -> None:
    """Whatever stands in it: it ends no comment, and begins no answer."""
    made = answers.answered(OPEN, first.encode("utf-8", "replace").decode())
    before = answer_of(made)
    clean = second.encode("utf-8", "replace").decode()
    after = answers.remarked(made, clean, by.encode("utf-8", "replace").decode())
    assert answer_of(after) == before


def test_two_versions_become_one_with_the_first_answer_first() -> None:
    """Answers that two people gave without each other; made again, it is still the same."""
    here, theirs = answers.answered(OPEN, "JWT"), answers.answered(OPEN, "cookie")
    both = answers.united(here, theirs, PATH, "Bob")
    assert both is not None and both.late
    assert answer_of(both.data) == "JWT" and b"<!-- Bob answered later:\ncookie\n-->" in both.data
    assert answers.united(both.data, theirs, PATH, "Bob") is None
    assert answers.united(answers.with_heading(OPEN), theirs, PATH, "Bob") == (theirs, False)
    assert answers.united(here, OPEN, PATH, "Bob") is None
    assert answers.united(here, here, PATH, "Bob") is None
    assert answers.united(here, b"\xff", PATH, "Bob") is None


def test_an_answer_that_nobody_could_read_is_refused() -> None:
    """A file over the limit is damaged, and the question with it."""
    with pytest.raises(FleetError, match="256 KiB"):
        answers.answered(OPEN, "x" * 300_000)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "question is empty"),
        (b"---\noptions: [a]\n---\n## Question\n", "question is empty"),
        (b"Which?\n  ## Answer  \nyes\n", "## Answer"),
        (b"---\noption: [a]\n---\nWhich?\n", "option"),
        (b"---\noptions: a\n---\nWhich?\n", "list"),
        (b'---\noptions: ["a\\nb"]\n---\nWhich?\n', "options"),
        (b"---\ntask: other\n---\nWhich?\n", "task"),
        (b"\xff", "UTF-8"),
        (b"x" * 20_001, "longer"),
    ],
)
def test_what_is_no_question_is_refused_with_the_reason(data: bytes, word: str) -> None:
    """From an outbox nothing is guessed."""
    found, problems = codec.read_asked(data, "question-x.md")
    assert found is None and word in str(problems[0])


@pytest.mark.parametrize(
    ("data", "text", "options"),
    [
        (b"Which?", "Which?", ()),
        (b"## Question\nWhich?\n\nReally.\n", "Which?\n\nReally.", ()),
        (b"---\noptions: [no, '1:2']\n---\nWhich?\r\n", "Which?", ("no", "1:2")),
    ],
)
def test_a_question_from_an_outbox(data: bytes, text: str, options: tuple[str, ...]) -> None:
    """With front matter or without, with the heading or without."""
    found, _ = codec.read_asked(data, "question-x.md")
    assert found is not None and (found.text, found.options) == (text, options)


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace"))))
def test_what_is_taken_for_a_question_stands_on_the_board_as_it_was_asked(data: bytes) -> None:
    """Whatever the bytes are, they are refused or read; and what is read can be written, is open,
    and is read again as the same."""
    asked, problems = codec.read_asked(data, "question-x.md")
    assert (asked is None) == bool(problems)
    if asked is None:
        return
    when = datetime(2026, 11, 20, 15, tzinfo=UTC)
    made = Question(task="one", asked=when, options=asked.options, name="one-1", text=asked.text)
    assert codec.read_question(codec.write_question(made), PATH) == (made, ())


@given(text=st.text().map(lambda text: text.encode("utf-8", "replace").decode()))
def test_an_answer_is_read_as_it_was_given(text: str) -> None:
    """Whatever a person says, below the heading it is the answer, and never another question."""
    said = codec.split_answer(f"## Answer\n{text}")[1]
    if not said:
        return
    found, _ = codec.read_question(answers.answered(OPEN, text), PATH)
    assert found is not None and not found.open and found.text == "Which?"
