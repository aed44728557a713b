"""`gitfleet hold`: put tasks on hold."""

from __future__ import annotations

import click

from gitfleet.cli.support.decide import say, under_way
from gitfleet.cli.support.session import CliSession
from gitfleet.cli.support.verb import TASK, Verb
from gitfleet.model.states import Kind


@click.command(
    "hold",
    cls=Verb,
    examples=('gitfleet hold fix-login --reason "wait for the release"',),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…", type=TASK)
@click.option("--reason", default="", help="Reason, in one sentence.")
def command(ids: tuple[str, ...], reason: str) -> None:
    """Put tasks on hold: they are not claimed, and nothing of them lands, until `unhold`."""
    say("hold", Kind.HOLD, ids, reason, _tell)


def _tell(session: CliSession, task: str) -> str:
    if under_way(session, task):
        return f"{task} is on hold: the running attempt continues, but nothing of it lands"
    return f"{task} is on hold"
