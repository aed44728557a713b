"""`gitfleet hooks install`: the hooks that keep people's commits and pushes right."""

from __future__ import annotations

import click

from gitfleet.cli.session import open_session
from gitfleet.work import hooks


@click.group("hooks")
def command() -> None:
    """Install or remove gitfleet's git hooks. Your own are chained, never overwritten."""


@command.command("install")
def install() -> None:
    """Install the hooks of this clone; doing it twice is harmless."""
    session = open_session()
    for line in hooks.install(session.clone, session.store):
        click.echo(line)


@command.command("remove")
def remove() -> None:
    """Remove the hooks of this clone and put back what was there before."""
    session = open_session()
    told = list(hooks.remove(session.clone))
    click.echo("\n".join(told) if told else "No hook of gitfleet's is installed.")
