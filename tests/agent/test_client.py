"""What an attempt's programs say, and what they hear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitfleet.agent import client
from gitfleet.errors import FleetError


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of an attempt; its inbox lies beside it."""
    for name in ("outbox", "inbox"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"GITFLEET_{name.upper()}", str(tmp_path / name))
    return tmp_path / "outbox"


def told(box: Path, asked: client.SentQuestion, **what: str) -> None:
    """What the runner says of a letter."""
    folder = box.parent / "inbox" / ".asked"
    folder.mkdir(exist_ok=True)
    (folder / f"{asked.key}.json").write_text(json.dumps(what))


def answered(box: Path, name: str, below: str) -> None:
    text = f"---\ntask: one\n---\n## Question\nWhich?\n\n## Answer\n{below}\n"
    (box.parent / "inbox" / f"{name}.md").write_text(text)


def test_questions_lie_in_the_order_in_which_they_were_asked(box: Path) -> None:
    """By their names, so that they are numbered so; whole, and nothing else."""
    for number in range(12):
        client.ask(f"Number {number}?")
    names = sorted(path.name for path in box.iterdir())
    assert len(names) == 12 and all(name.startswith("question-") for name in names)
    texts = [(box / name).read_text() for name in names]
    assert texts == [f"## Question\nNumber {n}?\n" for n in range(12)]


def test_what_is_known_of_a_question_grows(box: Path) -> None:
    """First nothing, then its name, then the answer without anybody's comments."""
    asked = client.ask("Which?", ["a: b", 'c "d"'])
    assert client.reply(asked) == client.Reply()
    told(box, asked, question="one-1")
    assert client.reply(asked) == client.Reply("one-1")
    answered(box, "one-1", "JWT,\nsigned\n<!-- Bob answered later:\nno\n-->")
    assert client.reply(asked) == client.Reply("one-1", "JWT,\nsigned")
    assert client.wait(asked, 0).answer == "JWT,\nsigned"


def test_a_refusal_ends_the_waiting(box: Path) -> None:
    """Nobody waits for the answer to what was not asked."""
    asked = client.ask("Which?")
    told(box, asked, refused="no")
    assert client.wait(asked, 600).refused == "no"


@pytest.mark.parametrize("data", ["", "{", "[]", "7", '{"question": 7}'])
def test_a_broken_receipt_is_none(box: Path, data: str) -> None:
    """Whatever lies there."""
    asked = client.ask("Which?")
    told(box, asked)
    (box.parent / "inbox" / ".asked" / f"{asked.key}.json").write_text(data)
    assert client.reply(asked).answer == ""


def test_who_hears_the_answer_is_not_parked_any_more(box: Path) -> None:
    """However often it asked; other questions stay parked."""
    first, again, other = (client.ask(text) for text in ("Which?", "Which?", "What?"))
    for asked, name in ((first, "one-1"), (again, "one-1"), (other, "one-2")):
        told(box, asked, question=name)
        client.park(asked)
    client.heard(again, "one-1")
    assert [path.name for path in box.glob(".parked-*")] == [f".parked-{other.key}"]


@pytest.mark.parametrize(
    ("text", "options", "word"),
    [
        ("  ", (), "question is empty"),
        ("a\n ## Answer\nb", (), "## Answer"),
        ("a", ("",), "option"),
        ("a", ("b\nc",), "option"),
        ("a", ("b",) * 21, "option"),
        ("a" * 300_000, (), "256 KiB"),
        ("\ud800", (), "UTF-8"),
    ],
)
def test_what_cannot_be_asked_is_told_to_who_asks(
    box: Path, text: str, options: tuple[str, ...], word: str
) -> None:
    """While it can still be said otherwise; the outbox stays empty."""
    with pytest.raises(FleetError, match=word):
        client.ask(text, options)
    assert list(box.iterdir()) == []


def test_notes_and_progress_say_something(box: Path) -> None:
    """The last version takes the place of the one before; progress is a line."""
    client.note("plan", "first")
    client.note("plan", "second\n")
    client.progress("half\n way")
    assert (box / "note-plan.md").read_text() == "second\n"
    assert (box / "progress.txt").read_text() == "half way\n"
    for kind, text in (("plan", " "), ("other", "x")):
        with pytest.raises(FleetError):
            client.note(kind, text)
    with pytest.raises(FleetError):
        client.progress("\n")


def test_durations_are_read_as_everywhere() -> None:
    """And a plain number is seconds."""
    assert [client.seconds(text) for text in ("90s", "2m", "1h", "0")] == [90, 120, 3600, 0]
    for text in ("", "-1s", "1w", "1.5m"):
        with pytest.raises(FleetError, match="duration"):
            client.seconds(text)


def test_outside_of_an_attempt_there_is_nobody_to_speak_to() -> None:
    """A sentence that says so, and what people do instead."""
    with pytest.raises(FleetError, match="inside an attempt"):
        client.ask("Which?")


def test_an_attempt_that_is_over_hears_that(box: Path) -> None:
    """Its outbox is gone."""
    box.rmdir()
    with pytest.raises(FleetError, match="over"):
        client.progress("x")
