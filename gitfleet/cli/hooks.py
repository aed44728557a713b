"""`gitfleet hooks`: install or remove git hooks that check people's commits and pushes."""

from __future__ import annotations

from pathlib import Path

import click

from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb, VerbGroup
from gitfleet.git.repo import find
from gitfleet.install import hooks


@click.group("hooks", cls=VerbGroup)
def command() -> None:
    """Install or remove gitfleet's git hooks. Existing hooks are kept and still called."""


_server = click.option(
    "--server",
    metavar="REPO",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Install in a server's repository: checks every push to the fleet branch.",
)


@command.command(
    "install",
    cls=Verb,
    examples=(
        "gitfleet hooks install",
        "gitfleet hooks install --server /srv/git/project.git",
    ),
)
@_server
def install(server: Path | None) -> None:
    """Install the hooks of this clone. Safe to run again."""
    if server is not None:
        click.echo(hooks.install_server(find(server)))
        return
    session = open_session()
    for line in hooks.install(session.clone, session.store):
        click.echo(line)


@command.command(
    "remove",
    cls=Verb,
    examples=("gitfleet hooks remove",),
)
@_server
def remove(server: Path | None) -> None:
    """Remove the hooks of this clone and put back what was there before."""
    if server is not None:
        click.echo(hooks.remove_server(find(server)))
        return
    session = open_session()
    told = list(hooks.remove(session.clone))
    click.echo("\n".join(told) if told else "No gitfleet hook is installed.")
