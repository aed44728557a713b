"""The invariants of a board (docs/protocol.md): checks each step from a parent to a child.

The check looks at what changed, not at who claims to have done it. Only removing tasks and editing
people's files depend on whether the commit says that a runner made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from gitfleet.files import layout
from gitfleet.files.layout import FileKind
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Closed, Event, Landed
from gitfleet.model.states import ATTEMPT_KINDS, Kind, Outcome, Role, Status
from gitfleet.plan.graph import done
from gitfleet.plan.status import status_of
from gitfleet.plan.transitions.on_landing import is_plan, landing_blocker


class CommitStep(Struct, frozen=True, kw_only=True):
    """One commit of the mainline: the board before and after, and the files that differ."""

    parent: Board
    child: Board
    changed: Mapping[str, tuple[str | None, str | None]]  # path -> object id before, after
    by_runner: bool  # the message has a Gitfleet-Runner trailer
    restores: Mapping[str, str | None] = {}  # files that a repair restores: path -> object id
    at: datetime


class Violation(Struct, frozen=True, order=True):
    """A violated invariant: its number in docs/protocol.md, the file, and a sentence."""

    rule: int
    path: str
    what: str


_CLAIMABLE: Final = frozenset({Status.READY, Status.DELAYED, Status.SUBMITTED, Status.ACCEPTED})


def check_step(step: CommitStep) -> list[Violation]:
    """Every invariant that this step violates; [] for a legal one."""
    found: list[Violation] = []
    for path, (before, after) in step.changed.items():
        if path in step.restores and step.restores[path] == after:
            continue
        there = layout.place(path)
        judge_one = _JUDGES.get(there.what)
        if judge_one is not None:
            found.extend(judge_one(step, path, there, before, after))
    return sorted(set(found))


_Oid = str | None


def _claim(
    step: CommitStep, path: str, there: layout.BoardPath, before: _Oid, after: _Oid
) -> Iterator[Violation]:
    task = there.task
    old = step.parent.get(task)
    claim = old.claim if old else None
    new = step.child.get(task)
    fresh = new.claim if new else None
    if after is not None and path in step.child.damage:
        yield Violation(7, path, f"the claim on {task} is not valid")
    elif before is not None and after is not None:
        if claim is not None and fresh is not None and claim.nonce != fresh.nonce:
            yield Violation(1, path, f"{task} was claimed over another claim")
        else:
            yield Violation(6, path, f"the claim on {task} was changed")
    elif after is not None:
        where = status_of(step.parent, task, step.at)
        role = fresh.role if fresh else None  # None: it is archived
        if where.status not in _CLAIMABLE or where.role is not role:
            yield Violation(1, path, f"{task} was claimed for {role} while it was {where.status}")
    elif claim is None:
        return  # an invalid file was no claim
    elif not _ended(step, task, claim.nonce):
        yield Violation(2, path, f"the claim on {task} was removed without its attempt's event")


def _new_events(step: CommitStep, task: str) -> list[Event]:
    entry = step.child.get(task)
    events = entry.events if entry else ()
    return [e for e in events if _is_new(step, layout.event_path(task, e.name))]


def _is_new(step: CommitStep, path: str) -> bool:
    """Whether an event appears at `path` where none was, or none that could be read."""
    if path not in step.changed:
        return False
    return step.changed[path][0] is None or path in step.parent.damage


def _ended(step: CommitStep, task: str, nonce: str) -> bool:
    return any(e.attempt is not None and e.attempt.nonce == nonce for e in _new_events(step, task))


def _event(
    step: CommitStep, path: str, there: layout.BoardPath, before: _Oid, after: _Oid
) -> Iterator[Violation]:
    if before is not None and not _is_new(step, path):
        if after is not None:
            yield Violation(3, path, "an event was changed")
        elif not _moved(step, path, before):
            yield Violation(3, path, "an event was removed")
        return
    if after is None:
        return  # an invalid file was no event; a person may remove it
    entry = step.child.get(there.task)
    event = next((e for e in entry.events if e.name == there.name), None) if entry else None
    if event is None:
        # A late event of an archived task belongs to no entry; only people's events may be late.
        if path in step.child.damage:
            yield Violation(7, path, "an event that is not valid")
        elif layout.of_runner(path):
            yield Violation(6, path, f"an event of {there.task}, which is not on the board")
        return
    old = step.parent.get(there.task)
    if event.kind in ATTEMPT_KINDS:
        yield from _attempt(step, path, event, old, entry)
    elif isinstance(event.content, Landed):
        yield from _landed(step, path, event, event.content, old)
    elif isinstance(event.content, Closed):
        yield from _closed(step, path, event, event.content, old)


def _attempt(
    step: CommitStep, path: str, event: Event, old: Entry | None, new: Entry | None
) -> Iterator[Violation]:
    attempt = event.attempt
    assert attempt is not None
    claim = old.claim if old else None
    if claim is None or claim.nonce != attempt.nonce:
        yield Violation(2, path, f"{event.task} has an attempt's event without the claim it ends")
    elif event.role is not claim.role:
        yield Violation(2, path, f"the claim was for {claim.role}, the event is of {event.kind}")
    elif new is not None and new.claim is not None and new.claim.nonce == attempt.nonce:
        yield Violation(2, path, "the attempt's event was written but its claim remains")
    elif any(
        e.name != event.name and e.attempt is not None and e.attempt.nonce == attempt.nonce
        for e in _new_events(step, event.task)
    ):
        yield Violation(2, path, "one attempt ended with two events")


def _landed(
    step: CommitStep, path: str, event: Event, content: Landed, old: Entry | None
) -> Iterator[Violation]:
    claim = old.claim if old else None
    if claim is None or claim.nonce != content.nonce or claim.role is not Role.VALIDATE:
        yield Violation(4, path, f"{event.task} landed without a claim to validate it")
    elif not any(_accepts(e, content.nonce) for e in _new_events(step, event.task)):
        yield Violation(4, path, f"{event.task} landed without having been accepted")


def _accepts(event: Event, nonce: str) -> bool:
    attempt = event.attempt
    return attempt is not None and attempt.nonce == nonce and attempt.outcome is Outcome.ACCEPTED


def _closed(
    step: CommitStep, path: str, event: Event, content: Closed, old: Entry | None
) -> Iterator[Violation]:
    claim = old.claim if old else None
    if (
        old is not None
        and claim is not None
        and is_plan(old)
        and not landing_blocker(old)
        and any(_accepts(e, claim.nonce) for e in _new_events(step, event.task))
    ):
        return  # an accepted plan
    if old is not None and old.last(Kind.CLOSE) is not None:
        return  # a person closed it
    fix_task = step.child.get(content.by or "")
    if fix_task is not None and done(fix_task) and _repairs(step.child, fix_task, event.task):
        return
    yield Violation(6, path, f"{event.task} was closed although nothing has finished it")


def _repairs(board: Board, fix_task: Entry, task: str) -> bool:
    seen: set[str] = set()
    entry: Entry | None = fix_task
    while entry is not None and entry.task is not None and entry.id not in seen:
        seen.add(entry.id)
        if entry.task.fixes == task:
            return True
        entry = board.get(entry.task.fixes or "")
    return False


def _moved(step: CommitStep, path: str, oid: str) -> bool:
    """Whether a file moved to its place in `done/`, byte for byte."""
    folder = step.child.archived.get(layout.place(path).task)
    if folder is None:
        return False
    change = step.changed.get(layout.archived_path(path, folder))
    return change is not None and change[1] == oid


def _task(
    step: CommitStep, path: str, there: layout.BoardPath, before: _Oid, after: _Oid
) -> Iterator[Violation]:
    if before is None or not step.by_runner:
        return
    if after is not None:
        yield Violation(6, path, "a runner changed a person's file")
    elif not _moved(step, path, before):
        yield Violation(5, path, f"a runner removed {there.task} from the board")
    elif status_of(step.parent, there.task, step.at).status is not Status.DONE:
        yield Violation(6, path, f"{there.task} was archived before it was done")


def _archived(
    step: CommitStep, path: str, there: layout.BoardPath, before: _Oid, after: _Oid
) -> Iterator[Violation]:
    if before is not None:
        what = "removed" if after is None else "changed"
        rule = 3 if there.name.startswith("log/") else 6
        yield Violation(rule, path, f"a file of a finished task was {what}")
        return
    origin = step.changed.get(layout.restored_path(there.task, there.name))
    if origin is None or origin[0] != after or origin[1] is not None:
        yield Violation(6, path, "a file in done/ that is not from the finished task")


def _settings(
    step: CommitStep, path: str, there: layout.BoardPath, before: _Oid, after: _Oid
) -> Iterator[Violation]:
    if step.by_runner and before is not None:
        yield Violation(6, path, "a runner changed the settings")


_JUDGES: Final = {
    FileKind.CLAIM: _claim,
    FileKind.EVENT: _event,
    FileKind.TASK: _task,
    FileKind.ARCHIVED: _archived,
    FileKind.SETTINGS: _settings,
}


def merges_to_see(step: CommitStep) -> Sequence[tuple[str, Landed]]:
    """The landings that this step claims, for the caller to find in the target: (path, event)."""
    found: list[tuple[str, Landed]] = []
    for task in {layout.place(path).task for path in step.changed}:
        for event in _new_events(step, task):
            if isinstance(event.content, Landed):
                found.append((layout.event_path(task, event.name), event.content))
    return found
