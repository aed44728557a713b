"""Shared parts of the verbs with which a person decides on tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import click

from gitfleet.cli.support.session import CliSession, for_people, open_session, plain, suffix
from gitfleet.errors import FleetError
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change
from gitfleet.model.states import Kind
from gitfleet.plan.status import status_of
from gitfleet.plan.transitions import by_person

Make = Callable[[CliSession, str], Change]
Tell = Callable[[CliSession, str], str]


def each(verb: str, ids: Sequence[str], make: Make, tell: Tell) -> None:
    """Decide on each task, one commit each, and print the results.

    An error on one task does not stop the others; it is shown at the end, and the command fails.
    """
    session = open_session()
    for_people(verb, session.repo)
    failed: list[FleetError] = []
    wanted = list(dict.fromkeys(ids))
    for task in wanted:
        try:
            make(session, task)
        except FleetError as error:
            failed.append(error)
        else:
            click.echo(plain(tell(session, task)))
    if len(wanted) == 1 and failed:
        raise failed[0]
    for one in failed:
        click.echo(f"gitfleet: {one}", err=True)
    if failed:
        raise FleetError(f"{len(failed)} of {len(wanted)} tasks unchanged")


def say(verb: str, kind: Kind, ids: Sequence[str], reason: str, tell: Tell) -> None:
    """Write a person's event of this kind on each task."""
    text = _one_line(reason)

    def make(session: CliSession, task: str) -> Change:
        person, mark = session.person, suffix()

        def decide(board: Board, now: datetime) -> Change:
            return by_person.decide(
                board, now, task=task, kind=kind, person=person, reason=text, suffix=mark
            )

        return session.change(decide)

    each(verb, ids, make, tell)


def _one_line(reason: str) -> str:
    """The reason in one line, for a list and for a commit's subject."""
    text = " ".join(reason.split())
    if not text.isprintable():
        raise FleetError("the reason has characters that cannot be shown", remedy="Retype it.")
    return text


def entry_of(session: CliSession, task: str) -> Entry | None:
    """The task on the current board."""
    return session.store.board().get(task)


def under_way(session: CliSession, task: str) -> bool:
    """Whether an attempt on the task is running."""
    entry = entry_of(session, task)
    return entry is not None and entry.claim is not None


def ending(session: CliSession, task: str) -> str:
    """The runner that ends the running attempt of a cancelled task; empty if none runs."""
    entry = entry_of(session, task)
    if entry is None or entry.claim is None:
        return ""
    does = "ends the running attempt and saves its work"
    if entry.claim.nonce in session.clone.pending_claims() and session.clone.running_pid() is None:
        return f"no runner is running here: the next `gitfleet run` {does}"
    return f"its runner {does}"


def stands(session: CliSession, task: str) -> str:
    """The task's current status, as a sentence."""
    board = session.store.board()
    where = status_of(board, task, session.store.now())
    return f"{task} is {where.status}: {where.reason}"
