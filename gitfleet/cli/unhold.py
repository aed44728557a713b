"""`gitfleet unhold`: take tasks off hold."""

from __future__ import annotations

from datetime import datetime

import click

from gitfleet.cli.support.decide import each, stands
from gitfleet.cli.support.session import CliSession, suffix
from gitfleet.cli.support.verb import TASK, Verb
from gitfleet.files import layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.plan.transitions import by_person


@click.command(
    "unhold",
    cls=Verb,
    examples=("gitfleet unhold fix-login",),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…", type=TASK)
def command(ids: tuple[str, ...]) -> None:
    """Take tasks off hold. Removes `hold: true` from the task's file."""
    each("unhold", ids, _unhold, stands)


def _unhold(session: CliSession, task: str) -> Change:
    person, mark = session.person, suffix()

    def decide(board: Board, now: datetime) -> Change:
        entry = board.get(task)
        path = layout.task_path(task)
        text = session.store.file(board, path) if entry is not None else None
        return by_person.unhold(board, now, task=task, text=text or b"", person=person, suffix=mark)

    return session.change(decide)
