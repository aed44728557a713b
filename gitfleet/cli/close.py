"""`gitfleet close`: mark tasks as done by hand."""

from __future__ import annotations

import click

from gitfleet.cli.support.decide import ending, say
from gitfleet.cli.support.session import CliSession
from gitfleet.cli.support.verb import TASK, Verb
from gitfleet.model.states import Kind


@click.command(
    "close",
    cls=Verb,
    examples=('gitfleet close fix-login --reason "merged by hand"',),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…", type=TASK)
@click.option("--reason", default="", help="Reason, in one sentence.")
def command(ids: tuple[str, ...], reason: str) -> None:
    """Mark tasks as done by hand. Tasks that depend on them can start; nothing is merged."""
    say("close", Kind.CLOSE, ids, reason, _tell)


def _tell(session: CliSession, task: str) -> str:
    if how := ending(session, task):
        return f"{task} is closed; {how}"
    return f"{task} is closed"
