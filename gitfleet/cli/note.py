"""`gitfleet note`: inside an attempt, record a plan, or knowledge gained."""

from __future__ import annotations

import sys

import click

from gitfleet.agent import client
from gitfleet.cli.support.verb import Verb


@click.command(
    "note",
    cls=Verb,
    examples=(
        'gitfleet note plan "First the model, then the form."',
        "gitfleet note knowledge < notes.md",
    ),
)
@click.argument("kind", type=click.Choice(client.NOTES))
@click.argument("text", required=False)
def command(kind: str, text: str | None) -> None:
    """Write the note `plan` or `knowledge` of this task: TEXT, or standard input.

    It replaces the earlier note of that kind. The next attempt reads it, on any machine.
    """
    client.note(kind, text if text is not None else sys.stdin.read())
