"""`gitfleet ask`: inside an attempt, ask a person; with --wait, wait for a quick answer."""

from __future__ import annotations

import sys

import click

from gitfleet.agent import client
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError

UNANSWERED = 5


@click.command(
    "ask",
    cls=Verb,
    examples=(
        'gitfleet ask "Which token?" --option JWT --option "session cookie"',
        'gitfleet ask "May I drop Python 3.10?" --wait 2m',
    ),
)
@click.argument("question", required=False)
@click.option("--option", "options", multiple=True, help="Answer to choose from; repeatable.")
@click.option("--wait", metavar="TIME", help="How long to wait for the answer: 90s, 2m.")
def command(question: str | None, options: tuple[str, ...], wait: str | None) -> int:
    """Ask a person QUESTION, or what standard input says.

    The answer is printed. Without one nothing is printed: the question is recorded, and you are to
    write down where you are and stop; with --wait the exit status is then 5. A question that was
    answered in an earlier attempt is answered at once.
    """
    limit = client.seconds(wait) if wait is not None else 0.0
    text = question if question is not None else sys.stdin.read()
    asked = client.ask(text, options)
    reply = client.wait(asked, limit)
    if reply.refused:
        raise FleetError(f"the question was rejected: {reply.refused}")
    if reply.answer:
        client.heard(asked, reply.name)
        click.echo(reply.answer)
        return 0
    client.park(asked)
    click.echo(client.stop_words(reply), err=True)
    return UNANSWERED if wait is not None else 0
