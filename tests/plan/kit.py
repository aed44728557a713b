"""Boards written as tests write them: a few words a task, files as the codec writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gitfleet.files import boards, codec, layout
from gitfleet.files.boards import File
from gitfleet.model.board import Board
from gitfleet.model.change import Person
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Closed, Content, Decision, Event, Landed
from gitfleet.model.question import Question
from gitfleet.model.states import Kind, Outcome, Role
from gitfleet.model.task import Task
from gitfleet.plan.status import TaskStatus, status_of

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
ANN = Person("Ann", "ann@example.org")
OID = "a" * 40
FLEET = b"format: 2\ntarget: main\nroles:\n  work: {coder: shell}\n"


def oid(data: bytes) -> str:
    """A stand-in for git's object id: the same for the same bytes."""
    return hashlib.sha1(data).hexdigest()


def files_of(tree: Mapping[str, bytes]) -> dict[str, File]:
    return {path: File(oid(data), data) for path, data in tree.items()}


def read(tree: Mapping[str, bytes]) -> Board:
    return boards.read(files_of(tree))


def text(title: str = "Do it", **keys: Any) -> bytes:
    return codec.write_task(Task(title=title, body="Well.\n", **keys))


def nonce(number: int) -> str:
    return f"{number:032x}"


def attempt(outcome: Outcome | str, number: int = 1, **more: Any) -> Attempt:
    """An attempt that ended at `more["ended"]`, an hour ago if nothing is said."""
    values: dict[str, Any] = {
        "runner": "box",
        "nonce": nonce(number),
        "attempt": number,
        "coder": "shell",
        "outcome": Outcome(outcome),
        "reason": f"it was {outcome}",
        "started": NOW - timedelta(hours=2),
        "ended": NOW - timedelta(hours=1),
    }
    return Attempt(**(values | more))


def said(reason: str = "") -> Decision:
    return Decision(at=NOW, by="Ann", reason=reason)


def content(kind: Kind, word: str, number: int, **more: Any) -> Content:
    """The content of an event: `word` is an attempt's outcome, or what somebody said."""
    match kind:
        case Kind.LANDED:
            return Landed(runner="box", nonce=nonce(1), at=NOW, target="main", merge=OID)
        case Kind.CLOSED:
            return Closed(runner="box", at=NOW, reason=word or "fixed")
        case Kind.WORK | Kind.VALIDATE | Kind.PLAN:
            return attempt(word, number, **more)
    return said(word)


def logged(task: str, *happened: str, **more: Any) -> dict[str, bytes]:
    """The log of a task: "work failed", "retry", "validate rejected app-fix-1"."""
    tree: dict[str, bytes] = {}
    for number, line in enumerate(happened, 1):
        name, word, fixer = (*line.split(), "", "")[:3]
        extra = {**more, "fixed_by": fixer} if fixer else more
        kind = Kind(name)
        event = Event(task, number, kind, f"{number:04x}", content(kind, word, number, **extra))
        tree[layout.event_path(task, event.name)] = codec.write(event.content)
    return tree


def claimed(
    task: str, role: Role = Role.WORK, runner: str = "box", **more: Any
) -> dict[str, bytes]:
    values: dict[str, Any] = {
        "runner": runner,
        "nonce": nonce(99),
        "role": role,
        "attempt": 1,
        "coder": "shell",
        "task_blob": OID,
        "base": OID,
        "at": NOW,
    }
    return {layout.claim_path(task): codec.write(Claim(**(values | more)))}


def asked(name: str, answer: str = "") -> dict[str, bytes]:
    task = name.rpartition("-")[0]
    question = Question(task=task, asked=NOW, text="Which of the two?", answer=answer)
    return {layout.question_path(name): codec.write_question(question)}


def tasks(*ids: str, **keys: Any) -> dict[str, bytes]:
    return {layout.task_path(task): text(task.capitalize(), **keys) for task in ids}


def board(*parts: Mapping[str, bytes], fleet: bytes = FLEET) -> Board:
    tree: dict[str, bytes] = {layout.SETTINGS: fleet}
    for part in parts:
        tree.update(part)
    return read(tree)


def stands(found: Board, task: str, now: datetime = NOW) -> TaskStatus:
    return status_of(found, task, now)
