"""`gitfleet cancel`: cancel tasks."""

from __future__ import annotations

import click

from gitfleet.cli.support.decide import ending, say
from gitfleet.cli.support.session import CliSession
from gitfleet.cli.support.verb import TASK, Verb
from gitfleet.model.states import Kind


@click.command(
    "cancel",
    cls=Verb,
    examples=('gitfleet cancel fix-login --reason "solved upstream"',),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…", type=TASK)
@click.option("--reason", default="", help="Reason, in one sentence.")
def command(ids: tuple[str, ...], reason: str) -> None:
    """Cancel tasks. A running attempt ends at once; its work is saved."""
    say("cancel", Kind.CANCEL, ids, reason, _tell)


def _tell(session: CliSession, task: str) -> str:
    if how := ending(session, task):
        return f"{task} is cancelled; {how}"
    return f"{task} is cancelled (`gitfleet retry {task}` undoes that)"
