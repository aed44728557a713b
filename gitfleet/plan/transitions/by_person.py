"""Changes that people ask for: add, retry, cancel, hold, close. Pure.

An impossible request is a FleetError that says what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import codec, edit_key, layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Person
from gitfleet.model.event import Closed, Decision
from gitfleet.model.ids import is_id, new_id
from gitfleet.model.states import CLAIMED, Kind, Status
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.status import status_of
from gitfleet.plan.task_history import put_on_hold
from gitfleet.plan.transitions.add_tasks import Addition
from gitfleet.plan.transitions.event_files import event_file, headline, new_event
from gitfleet.plan.transitions.on_landing import chain, close_chain


def add(board: Board, *, addition: Addition, suffixes: Sequence[str], person: Person) -> Change:
    """Add a person's task under the id it wants; FleetError if that is taken."""
    wanted = addition.id
    if not wanted:
        task, _ = codec.read_task(addition.text, layout.task_path("new"))
        title = task.title if task else "task"
        wanted = next(i for s in suffixes if not board.taken(i := new_id(title, s)))
    elif board.taken(wanted):
        raise FleetError(f"the id {wanted} is taken", remedy="choose another with --id")
    path = layout.task_path(wanted)
    task, problems = codec.read_task(addition.text, path)
    if task is None:
        raise FleetError(problems[0].what, where=problems[0].where, remedy=problems[0].remedy)
    return Change(
        subject=f"Add {wanted}: {headline(task.title)}",
        files={path: addition.text},
        tasks=(wanted,),
        author=person,
    )


def decide(
    board: Board, now: datetime, *, task: str, kind: Kind, person: Person, reason: str, suffix: str
) -> Change:
    """Record a person's decision on a task; FleetError if it is not possible now."""
    entry = _known(board, task)
    where = status_of(board, task, now)
    _refuse(entry, where.status, kind)
    said = Decision(at=now, by=str(person), reason=reason)
    files: dict[str, bytes | None] = dict([event_file(new_event(entry, kind, suffix, said))])
    if kind in _ENDS_REPAIR:
        files.update(_cancel_fixers(board, entry, kind, said, suffix))
    why = f": {headline(reason)}" if reason else ""
    return Change(
        subject=f"{kind.capitalize()} {task}{why}", files=files, tasks=(task,), author=person
    )


_ENDS_REPAIR: Final = {
    Kind.RETRY: "is retried",
    Kind.CANCEL: "is cancelled",
    Kind.CLOSE: "is closed by hand",
}


def _known(board: Board, task: str) -> Entry:
    entry = board.get(task)
    if entry is not None and is_id(task):
        return entry
    if entry is not None:
        path = layout.task_path(task)
        raise FleetError(f"{path!r} is not a valid task name", remedy="rename the file")
    if task in board.archived:
        raise FleetError(
            f"{task} is finished and archived in {board.archived[task]}/",
            remedy="create a new task with `gitfleet add`",
        )
    raise FleetError(f"there is no task {task!r}", remedy="`gitfleet list --all` shows all ids")


def _refuse(entry: Entry, status: Status, kind: Kind) -> None:
    # While an attempt runs, the status says so, whatever was decided meanwhile.
    if done(entry) or cancelled(entry):
        over = Status.DONE if done(entry) else Status.CANCELLED
        if kind in (Kind.CANCEL, Kind.CLOSE, Kind.HOLD):
            raise FleetError(f"{entry.id} is already {over}")
    if kind is Kind.RETRY and status in CLAIMED:
        if done(entry) or cancelled(entry):
            raise FleetError(
                f"an attempt on {entry.id} is still ending", remedy="retry when it has ended"
            )
        raise FleetError(
            f"{entry.id} is {status} now", remedy=f"`gitfleet cancel {entry.id}` first"
        )
    if kind is Kind.RETRY and entry.gone:
        raise FleetError(
            f"the file of {entry.id} was removed",
            remedy=f"put {layout.task_path(entry.id)} back, for example with git revert",
        )
    if kind is Kind.HOLD and _on_hold(entry):
        raise FleetError(f"{entry.id} is already on hold")
    if kind is Kind.UNHOLD and not _on_hold(entry):
        raise FleetError(f"{entry.id} is not on hold, it is {status}")


def _on_hold(entry: Entry) -> bool:
    return (entry.task is not None and entry.task.hold) or put_on_hold(entry) is not None


def _cancel_fixers(
    board: Board, entry: Entry, kind: Kind, said: Decision, suffix: str
) -> Iterator[tuple[str, bytes]]:
    """Cancel the open fix task of work that is no longer wanted: it would land that work."""
    for other in board.entries.values():
        below = other.task is not None and any(
            above.id == entry.id for above in chain(board, other)
        )
        if below and not (done(other) or cancelled(other)):
            why = replace(said, reason=f"{entry.id} {_ENDS_REPAIR[kind]}")
            yield event_file(new_event(other, Kind.CANCEL, suffix, why))


def unhold(
    board: Board, now: datetime, *, task: str, text: bytes, person: Person, suffix: str
) -> Change:
    """Take a task off hold: remove `hold: true` from its file, or write an `unhold`."""
    entry = _known(board, task)
    files: dict[str, bytes | None] = {}
    if entry.task is not None and entry.task.hold:
        files[layout.task_path(task)] = edit_key.set_key(text, "hold", None)
    if not files or put_on_hold(entry):
        said = decide(
            board, now, task=task, kind=Kind.UNHOLD, person=person, reason="", suffix=suffix
        )
        files.update(said.files)
    return Change(subject=f"Unhold {task}", files=files, tasks=(task,), author=person)


def close_by_hand(board: Board, now: datetime, *, runner: str, suffix: str) -> Change | None:
    """Write `closed` for a task that a person closed by hand, and for those that it repairs.

    A runner calls it. One task per change; None when nothing is due.
    """
    for entry in board.entries.values():
        if entry.claim is None and (said := entry.last(Kind.CLOSE)) is not None:
            if entry.last(Kind.CLOSED, Kind.LANDED) is not None:
                continue
            by = said.content.by if isinstance(said.content, Decision) else ""
            closed = Closed(runner=runner, at=now, reason=f"by hand: {by or 'a person'}")
            files = dict([event_file(new_event(entry, Kind.CLOSED, suffix, closed))])
            files.update(close_chain(board, now, entry, runner, suffix))
            return Change(subject=f"{entry.id}: closed", files=files, tasks=(entry.id,))
    return None
