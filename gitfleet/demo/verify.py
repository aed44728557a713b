"""Whether everything became what the demo says: asked of the board and of the target's tree.

Run as `python -m gitfleet.demo.verify PROJECT` in the demo's own environment: it prints a line for
each difference from the expected result, and its exit status is 1 if there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gitfleet.board.store import Store
from gitfleet.demo import tasks
from gitfleet.demo.tasks import Promise
from gitfleet.git import refs
from gitfleet.git.repo import find
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.states import Kind, Role, Status
from gitfleet.plan.status import status_of


def problems(project: Path) -> list[str]:
    """The differences from the expected result, one sentence each."""
    store = Store(find(project))
    board = store.board()
    found = [f"fleet.yaml: {problem}" for problem in board.settings_problems]
    for promise in tasks.PROMISES:
        found += [f"{promise.task}: {what}" for what in _broken(store, board, promise)]
    unknown = set(board.entries) - {promise.task for promise in tasks.PROMISES}
    found += [f"{task}: this task was not expected" for task in sorted(unknown)]
    return [*found, *_of_target(store)]


def _broken(store: Store, board: Board, promise: Promise) -> Iterator[str]:
    entry = board.get(promise.task)
    if entry is None:
        yield "it is not on the board"
        return
    where = status_of(board, promise.task, store.now())
    if where.status is not Status.DONE:
        yield f"it is {where.status}, not done: {where.reason}"
        return
    outcomes = [str(attempt.outcome) for attempt in entry.attempts()]
    if not _in_order(promise.outcomes, outcomes):
        yield f"its attempts ended {', '.join(outcomes)}, not {', '.join(promise.outcomes)}"
    yield from _end(entry, promise)
    yield from _times(store, board, entry, promise)


def _in_order(wanted: tuple[str, ...], outcomes: list[str]) -> bool:
    left = iter(outcomes)
    return all(outcome in left for outcome in wanted)


def _end(entry: Entry, promise: Promise) -> Iterator[str]:
    closed = entry.last(Kind.CLOSED)
    by = closed.content.by if closed and isinstance(closed.content, Closed) else None
    if promise.closed_by and by != promise.closed_by:
        yield f"it was not closed by {promise.closed_by}"
    if not promise.closed_by and len(_landings(entry)) != 1:
        yield f"it landed {len(_landings(entry))} times"


def _times(store: Store, board: Board, entry: Entry, promise: Promise) -> Iterator[str]:
    first = entry.attempts(Role.WORK)[0]
    for other in promise.after:
        theirs = board.get(other)
        for landed in _landings(theirs) if theirs else []:
            if not first.base or not store.objects.is_ancestor(landed.merge, first.base):
                yield f"it started without the work of {other}"
    for other in promise.alongside:
        theirs = board.get(other)
        ran = theirs.attempts(Role.WORK) if theirs else []
        if not any(_overlap(first, second) for second in ran):
            yield f"it did not run at the same time as {other}"


def _overlap(one: Attempt, other: Attempt) -> bool:
    return one.started <= other.ended and other.started <= one.ended


def _landings(entry: Entry) -> list[Landed]:
    return [event.content for event in entry.events if isinstance(event.content, Landed)]


def _of_target(store: Store) -> Iterator[str]:
    tip = refs.read(store.repo, "refs/heads/main")
    assert tip is not None
    tree = store.objects.tree_of(tip)

    def lines(path: str) -> list[str]:
        entry = store.objects.find(tree, path)
        return store.objects.blob(entry.oid).decode().splitlines() if entry else []

    for path, line in tasks.LINES:
        if line not in lines(path):
            yield f"{path} on main does not contain the line {line.strip()!r}"
    for path, line in tasks.ABSENT:
        if line in lines(path):
            yield f"{path} on main still contains the line {line.strip()!r}"


def main() -> int:
    """Print the problems of the project named on the command line; return the exit status."""
    found = problems(Path(sys.argv[1]))
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
