"""`gitfleet retry`: retry failed or cancelled tasks."""

from __future__ import annotations

import click

from gitfleet.cli.support.decide import say, stands
from gitfleet.cli.support.verb import ANY_TASK, Verb
from gitfleet.model.states import Kind


@click.command(
    "retry",
    cls=Verb,
    examples=(
        "gitfleet retry fix-login",
        'gitfleet retry fix-login user-table --reason "the mirror is up again"',
    ),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…", type=ANY_TASK)
@click.option("--reason", default="", help="Reason, in one sentence.")
def command(ids: tuple[str, ...], reason: str) -> None:
    """Retry tasks: undoes cancelled, failed and done, counts from zero, cancels open repairs."""
    say("retry", Kind.RETRY, ids, reason, stands)
