"""What an attempt asks and notes comes onto the board once, and answers come back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitfleet.attempt import mailbox
from gitfleet.attempt.context import AttemptContext, CancelToken, ClaimedTask, LiveStatus
from gitfleet.files import layout
from gitfleet.model.states import Role
from gitfleet.plan import questions
from gitfleet.plan.scheduler import Assignment
from tests.people.kit import ADA, SampleProject, task


@pytest.fixture
def project(tmp_path: Path) -> Iterator[SampleProject]:
    """A project on which `one` is claimed."""
    made = SampleProject(tmp_path)
    made.put({"tasks/one.md": task("One")})
    made.claim("one")
    yield made
    made.close()


class Attempt:
    """An attempt under way, without a coder: its outbox and inbox, and who listens."""

    def __init__(self, project: SampleProject) -> None:
        self.project, self.fleet = project, project.fleet()
        board = self.fleet.store.board()
        entry = board.entries["one"]
        assert entry.claim is not None
        self.claim = entry.claim
        self.run_dir = project.clone.run_dir("one", 1, self.claim.nonce)
        self.box, self.inbox = self.run_dir.outbox, self.run_dir.inbox
        for folder in (self.box, self.inbox):
            folder.mkdir(parents=True)
        pick = Assignment(task="one", role=Role.WORK, coder="shell", model="", target="main")
        order = ClaimedTask(
            board=board, entry=entry, assignment=pick, claim=self.claim, claimed_at=0.0
        )
        live = LiveStatus("one", Role.WORK, "shell", 1)
        self.way = AttemptContext(self.fleet, order, CancelToken(), live, self.run_dir)

    def say(self, name: str, text: str) -> Path:
        path = self.box / name
        path.write_text(text)
        return path

    def receipts(self) -> dict[str, dict[str, str]]:
        found = (self.inbox / ".asked").glob("*.json")
        return {path.stem: json.loads(path.read_text()) for path in found}

    def questions(self) -> list[str]:
        return [q.text for q in self.project.board().entries["one"].questions]

    def answer(self, name: str, text: str) -> None:
        store, path = self.fleet.store, layout.question_path(name)

        def decide(board: Any, now: Any) -> Any:
            file = store.file(board, path) or b""
            return questions.answer(board, now, question=name, file=file, text=text, person=ADA)

        assert store.transact(decide).won


@pytest.fixture
def attempt(project: SampleProject) -> Attempt:
    """An attempt on `one`."""
    return Attempt(project)


def test_a_question_is_on_the_board_its_asker_knows_its_name_and_its_letter_is_gone(
    attempt: Attempt,
) -> None:
    """Several of one look are one commit, in the order of their names."""
    attempt.say("question-b.md", "Second?")
    attempt.say("question-a.md", "---\noptions: [x]\n---\nFirst?")
    attempt.say(".question-c.md", "half wri")
    mailbox.poll(attempt.way)
    assert attempt.questions() == ["First?", "Second?"]
    assert attempt.receipts() == {"a": {"question": "one-1"}, "b": {"question": "one-2"}}
    assert [path.name for path in attempt.box.iterdir()] == [".question-c.md"]
    assert mailbox.waits_for_answer(attempt.way) == "it asks: First? (and 1 more)"


def test_a_letter_that_is_heard_again_asks_nothing_new(attempt: Attempt) -> None:
    """As after a crash between the commit and the clean-up, also when it was answered meanwhile."""
    letter = attempt.say("question-a.md", "Which?")
    mailbox.poll(attempt.way)
    attempt.answer("one-1", "JWT")
    letter.write_text("Which?")
    tip = attempt.project.tip()
    mailbox.poll(attempt.way)
    assert attempt.project.tip() == tip and not letter.exists()


def test_what_is_no_question_is_refused_and_its_asker_told(
    attempt: Attempt, tmp_path: Path
) -> None:
    """Nothing of the disk comes onto the board through a link; nobody waits for a pipe."""
    (tmp_path / "secret").write_text("Secret?")
    (attempt.box / "question-link.md").symlink_to(tmp_path / "secret")
    os.mkfifo(attempt.box / "question-pipe.md")
    (attempt.box / "question-folder.md").mkdir()
    attempt.say("question-large.md", "x" * 300_000)
    attempt.say("question-plain.txt", "Which?")
    attempt.say("question-sly.md", "Which?\n## Answer\nyes")
    mailbox.poll(attempt.way)
    assert attempt.questions() == [] and list(attempt.box.iterdir()) == []
    told = attempt.receipts()
    assert all("refused" in receipt for receipt in told.values()) and len(told) == 6
    assert "## Answer" in told["sly"]["refused"]
    assert len(attempt.project.told("refused")) == 6


def test_who_lost_the_task_says_nothing(attempt: Attempt) -> None:
    """Its letters stay where they are; what it says counts no more."""
    letter = attempt.say("question-a.md", "Which?")
    attempt.say("note-plan.md", "x")
    attempt.project.change({"claims/one.yaml": None})
    mailbox.drain(attempt.way)
    assert attempt.questions() == [] and letter.exists() and attempt.receipts() == {}
    assert "notes/one/plan.md" not in attempt.project.files()


def test_the_inbox_follows_the_board(attempt: Attempt) -> None:
    """A copy of each answered question, changed when the answer changes, gone when it is."""
    for name in ("a", "b"):
        attempt.say(f"question-{name}.md", f"{name}?")
    mailbox.poll(attempt.way)

    def deliver() -> list[str]:
        board = attempt.fleet.store.board()
        mailbox.deliver(attempt.fleet, board, "one", attempt.run_dir)
        return sorted(path.name for path in attempt.inbox.glob("*.md"))

    assert deliver() == []
    attempt.answer("one-1", "JWT")
    assert deliver() == ["one-1.md"]
    path = "questions/one-1.md"
    assert (attempt.inbox / "one-1.md").read_text().strip() == attempt.project.show(path)
    window = attempt.project.window / path
    attempt.project.put({path: window.read_text().replace("JWT", "cookie")})
    deliver()
    assert "cookie" in (attempt.inbox / "one-1.md").read_text()
    attempt.project.put({path: window.read_text().replace("cookie", "")})
    assert deliver() == []


def test_notes_wait_a_minute_and_the_last_version_is_written(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time of a file, which outlives the runner; a clock that went back holds nothing up."""
    note = "notes/one/plan.md"
    attempt.say("note-plan.md", "first\n")
    mailbox.poll(attempt.way)
    assert attempt.project.show(note) == "first"
    attempt.say("note-plan.md", "second\n")
    mailbox.poll(attempt.way)
    assert attempt.project.show(note) == "first"
    mark = attempt.run_dir.noted
    old = mark.stat().st_mtime - 61
    os.utime(mark, (old, old))
    mailbox.poll(attempt.way)
    assert attempt.project.show(note) == "second"
    attempt.say("note-plan.md", "third\n")
    os.utime(mark, (old + 9999, old + 9999))
    mailbox.poll(attempt.way)
    assert attempt.project.show(note) == "third"
    attempt.say("note-plan.md", "fourth\n")
    mailbox.drain(attempt.way)
    assert attempt.project.show(note) == "fourth"
    tip = attempt.project.tip()
    attempt.say("note-plan.md", "fourth\n")
    mailbox.drain(attempt.way)
    assert attempt.project.tip() == tip


def test_a_note_that_is_none_is_refused(attempt: Attempt, tmp_path: Path) -> None:
    """Links, folders, bytes that are no text."""
    (tmp_path / "secret").write_text("secret")
    (attempt.box / "note-plan.md").symlink_to(tmp_path / "secret")
    (attempt.box / "note-knowledge.md").write_bytes(b"\xff")
    mailbox.drain(attempt.way)
    assert not any(path.startswith("notes/one") for path in attempt.project.files())
    assert list(attempt.box.iterdir()) == []


def test_progress_is_what_it_does_now(attempt: Attempt) -> None:
    """One line, and gone from the outbox."""
    attempt.say("progress.txt", "half\n way")
    mailbox.poll(attempt.way)
    assert attempt.way.live.doing == "half way" and list(attempt.box.iterdir()) == []


def test_the_last_words_of_who_died_are_taken(attempt: Attempt) -> None:
    """A question and a note that nobody had seen yet: its attempt waits for the answer."""
    attempt.say("question-a.md", "Which?")
    attempt.say("note-plan.md", "here\n")
    found = mailbox.last_question(attempt.fleet, "one", attempt.claim, attempt.run_dir)
    assert found == "it asks: Which?"
    assert attempt.project.show("notes/one/plan.md") == "here"


def test_who_was_told_to_stop_is_parked_although_there_is_an_answer(attempt: Attempt) -> None:
    """Until it says that it has heard the answer after all."""
    attempt.say("question-a.md", "Which?")
    mailbox.poll(attempt.way)
    attempt.answer("one-1", "JWT")
    assert mailbox.waits_for_answer(attempt.way) == ""
    attempt.say(".parked-a", "")
    attempt.say(".parked-nosuch", "")
    assert "one-1 was answered after it had stopped" in mailbox.waits_for_answer(attempt.way)


def test_listening_from_two_sides_harms_nobody(attempt: Attempt) -> None:
    """The loop brings answers while the attempt's thread takes questions."""
    board = attempt.fleet.store.board()
    done = threading.Event()

    def deliver() -> None:
        while not done.is_set():
            mailbox.deliver(attempt.fleet, board, "one", attempt.run_dir)

    thread = threading.Thread(target=deliver)
    thread.start()
    for number in range(5):
        attempt.say(f"question-{number}.md", f"{number}?")
        mailbox.poll(attempt.way)
    done.set()
    thread.join()
    assert len(attempt.questions()) == len(attempt.receipts()) == 5
