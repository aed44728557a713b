"""`gitfleet prompts`: show the prompts in force on this board."""

from __future__ import annotations

from typing import Final

import click

from gitfleet.attempt import prompt
from gitfleet.cli.support import format
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb, VerbGroup
from gitfleet.event_log import harmless
from gitfleet.files import layout
from gitfleet.files.templates import VARIABLES
from gitfleet.model.board import Board
from gitfleet.model.states import Role

_ROLE: Final = click.argument("role", type=click.Choice([role.value for role in Role]))


@click.group("prompts", cls=VerbGroup)
def command() -> None:
    """Show the prompts of this board. Its own prompt for a role is the file prompts/ROLE.md."""


@command.command(
    "show",
    cls=Verb,
    examples=(
        "gitfleet prompts show work",
        "gitfleet prompts show validate --default > .fleet/prompts/validate.md",
    ),
)
@_ROLE
@click.option("--default", "shipped", is_flag=True, help="The prompt that comes with gitfleet.")
def show(role: str, shipped: bool) -> None:
    """Print the current prompt of ROLE, for example into .fleet/prompts/ROLE.md."""
    if shipped:
        click.echo(prompt.shipped_text(Role(role)), nl=False)
        return
    session = open_session()
    board = session.store.board()
    path = layout.prompt_path(role)
    own = session.store.file(board, path) if role in board.prompts else None
    _warn(board, path)
    text = prompt.shipped_text(Role(role)) if own is None else own.decode("utf-8", "replace")
    click.echo(harmless(text) if format.on_terminal() else text, nl=False)


def _warn(board: Board, path: str) -> None:
    for problem in board.damage.get(path, ())[:1]:
        click.echo(f"gitfleet: {format.line(str(problem))}", err=True)


@command.command(
    "variables",
    cls=Verb,
    examples=("gitfleet prompts variables work",),
)
@_ROLE
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def variables(role: str, as_json: bool) -> None:
    """List the variables of a prompt of ROLE."""
    known = VARIABLES[Role(role)]
    if as_json:
        format.out_json(dict(known))
        return
    for row in format.columns([[f"{{{{{name}}}}}", what] for name, what in known.items()], None):
        click.echo("".join(row))
