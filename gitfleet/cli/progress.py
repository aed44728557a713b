"""`gitfleet progress`: inside an attempt, tell what is being done just now."""

from __future__ import annotations

import click

from gitfleet.agent import client


@click.command("progress")
@click.argument("text")
def command(text: str) -> None:
    """Show TEXT, a line, where people look at running attempts. It is stored nowhere."""
    client.progress(text)
