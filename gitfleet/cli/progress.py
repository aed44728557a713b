"""`gitfleet progress`: inside an attempt, report current progress."""

from __future__ import annotations

import click

from gitfleet.agent import client
from gitfleet.cli.support.verb import Verb


@click.command(
    "progress",
    cls=Verb,
    examples=('gitfleet progress "tests pass, writing the docs"',),
)
@click.argument("text")
def command(text: str) -> None:
    """Show TEXT, one line, where people watch running attempts. Not stored."""
    client.progress(text)
