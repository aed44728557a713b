"""`gitfleet help`: the shipped documentation, page by page."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import click

from gitfleet import assets
from gitfleet.cli.support import format
from gitfleet.cli.support.verb import PAGE, Verb
from gitfleet.errors import FleetError


@click.command(
    "help",
    cls=Verb,
    examples=(
        "gitfleet help            # list the pages",
        "gitfleet help coders",
        "gitfleet help board | grep -n depends_on",
        "gitfleet help run        # the same as gitfleet run --help",
    ),
)
@click.argument("page", required=False, type=PAGE)
@click.pass_context
def command(ctx: click.Context, page: str | None) -> None:
    """Show a page of the documentation, or the help of a command; without PAGE, list the pages.

    On a terminal a page is shown in git's pager, elsewhere as the Markdown that it is.
    """
    known = pages()
    if page is None:
        _list(known)
    elif page in known:
        _show(known[page])
    else:
        _of_verb(ctx, page, known)


def pages() -> Mapping[str, Path]:
    """Every page by its name."""
    return {path.stem: path for path in sorted(assets.folder("docs").glob("*.md"))}


def _list(known: Mapping[str, Path]) -> None:
    cells = [[name, _title(path)] for name, path in known.items()]
    for row in format.columns(cells, format.room(), keep=0):
        click.echo("  " + "".join(row))
    click.echo("\n`gitfleet help PAGE` shows a page, `gitfleet help COMMAND` a command.")


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# ").strip()


def _show(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not format.on_terminal():
        click.echo(text, nl=False)
        return
    from gitfleet.cli.support import pager  # noqa: PLC0415 - rich is for terminals only

    pager.show_markdown(text)


def _of_verb(ctx: click.Context, name: str, known: Mapping[str, Path]) -> None:
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    verbs = group.list_commands(ctx)
    found = group.get_command(ctx, name) if name in verbs else None
    if found is None:
        near = difflib.get_close_matches(name[:100], [*known, *verbs], n=3)
        raise FleetError(
            f"there is no page {name!r} and no such command",
            remedy=f"did you mean {' or '.join(near)}?"
            if near
            else "`gitfleet help` lists the pages, `gitfleet --help` the commands.",
        )
    with click.Context(found, info_name=name, parent=ctx.find_root()) as inner:
        click.echo(found.get_help(inner))
