"""The text of a question's pull request: it has what an answer needs, and a forge takes it."""

from __future__ import annotations

from gitfleet.model.question import Question
from gitfleet.plan.pull_request_texts import body
from tests.plan.kit import NOW, attempt, board, logged, tasks

GITHUB = 65_536  # characters that it takes


def asking(text: str = "Which?", options: tuple[str, ...] = ()) -> str:
    """The body for a question of a task with ten attempts."""
    found = board(tasks("one"), logged("one", *["work interrupted"] * 9, "work asked"))
    question = Question(task="one", asked=NOW, name="one-1", text=text, options=options)
    return body(found.entries["one"], question)


def test_options_are_numbered_as_an_answer_names_them() -> None:
    """Without options there is nothing to number."""
    assert "1. JWT\n2. cookie" in asking(options=("JWT", "cookie"))
    assert "number of an option" in asking(options=("JWT",))
    assert "option" not in asking()


def test_the_last_eight_attempts_are_listed() -> None:
    """A long history does not hide the question."""
    told = [line for line in asking().splitlines() if line.startswith("- attempt")]
    assert len(told) == 8
    assert "asked" in told[-1] and attempt("asked").reason in told[-1]


def test_a_text_that_no_forge_would_take_is_cut() -> None:
    """The question is asked all the same, and shows that there is more."""
    text = asking("long " * 20_000)
    assert len(text) < GITHUB and "\n> …" in text
    assert "gitfleet answer one-1" in text
