"""Land accepted work and close the chain of tasks that it repairs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from gitfleet.files import layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Move
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.states import Kind
from gitfleet.model.task import TaskRole
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.task_history import put_on_hold, submission_of
from gitfleet.plan.transitions.event_files import claimed_by, event_file, new_event


def is_plan(entry: Entry) -> bool:
    """Whether the task's result is more tasks.

    The submission decides: a person may have changed the file since, and submitted code must not be
    taken for a plan.
    """
    submitted = submission_of(entry)
    if submitted is not None:
        return submitted.kind is Kind.PLAN
    return entry.task is not None and entry.task.role is TaskRole.PLAN


class OnHold(Struct, frozen=True):
    """A person put the task on hold: its work lands after `unhold`."""

    reason: str = "the task was put on hold meanwhile"


class Withdrawn(Struct, frozen=True):
    """The work is no longer wanted, or its task cannot be read."""

    reason: str


LandingBlocker = OnHold | Withdrawn


def landing_blocker(entry: Entry) -> LandingBlocker | None:
    """Why an accepted task must not land now; None if it may."""
    if cancelled(entry):
        return Withdrawn("the task was cancelled meanwhile")
    if done(entry):
        return Withdrawn("the task was closed meanwhile")
    if entry.task is None:
        return Withdrawn("its file is no longer valid")
    if entry.task.hold or put_on_hold(entry) is not None:
        return OnHold()
    return None


def land(
    board: Board,
    now: datetime,
    *,
    task: str,
    attempt: Attempt,
    landed: Landed,
    move: Move | None,
    forced: bool = False,
) -> Change | None:
    """Accept and land: verdict, `landed`, the whole chain closed, the target moved.

    `forced`: the target has already moved (its runner died at that moment), so it is a fact.
    """
    entry = claimed_by(board, task, attempt.nonce)
    if entry is None or (landing_blocker(entry) and not forced):
        return None
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([event_file(new_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    files.update([event_file(new_event(entry, Kind.LANDED, attempt.nonce[:4], landed, after=1))])
    files.update(close_chain(board, now, entry, landed.runner, attempt.nonce[:4]))
    return Change(
        subject=f"{task}: landed on {landed.target}",
        files=files,
        tasks=(task,),
        moves=(move,) if move else (),
    )


def chain(board: Board, entry: Entry) -> Iterator[Entry]:
    """The tasks that `entry` repairs, directly or indirectly, nearest first."""
    seen = {entry.id}
    fixed = entry.task.fixes if entry.task else None
    while fixed is not None and fixed not in seen and (above := board.get(fixed)) is not None:
        seen.add(fixed)
        yield above
        fixed = above.task.fixes if above.task else None


def close_chain(
    board: Board, now: datetime, entry: Entry, runner: str, suffix: str
) -> Iterator[tuple[str, bytes]]:
    for above in chain(board, entry):
        if not (done(above) or cancelled(above)):
            closed = Closed(runner=runner, at=now, reason=f"fixed by {entry.id}", by=entry.id)
            yield event_file(new_event(above, Kind.CLOSED, suffix, closed))


def accept_plan(board: Board, now: datetime, *, task: str, attempt: Attempt) -> Change | None:
    """Accept a plan: there is nothing to merge, and its tasks are already on the board."""
    entry = claimed_by(board, task, attempt.nonce)
    if entry is None or landing_blocker(entry):
        return None
    closed = Closed(runner=attempt.runner, at=now, reason="the plan is accepted")
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([event_file(new_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    files.update([event_file(new_event(entry, Kind.CLOSED, attempt.nonce[:4], closed, after=1))])
    files.update(close_chain(board, now, entry, attempt.runner, attempt.nonce[:4]))
    return Change(subject=f"{task}: plan accepted", files=files, tasks=(task,))
