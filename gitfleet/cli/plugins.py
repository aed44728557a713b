"""`gitfleet plugins`: list the installed plugins, and whether this machine may use them."""

from __future__ import annotations

import click

from gitfleet.cli.support import format
from gitfleet.cli.support.session import machine
from gitfleet.cli.support.verb import Verb
from gitfleet.doctor.probe_plugins import PluginState, PluginStatus, inventory

_COLOURS = {PluginState.WORKS: "green", PluginState.BROKEN: "red", PluginState.AMBIGUOUS: "red"}


@click.command(
    "plugins",
    cls=Verb,
    examples=(
        "gitfleet plugins",
        "gitfleet plugins --json",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(as_json: bool) -> None:
    """Show the installed plugins: coders, forges, notifiers and executors of other distributions.

    Only plugins that `plugins:` in this machine's config.yaml lists are imported.
    """
    found = inventory(machine().plugins)
    if as_json:
        format.out_json(found)
        return
    if not found:
        click.echo("No plugins are installed.")
        return
    for row, one in zip(format.columns([_cells(one) for one in found], None), found, strict=True):
        *words, state = row
        click.echo("".join(words) + format.style(state, fg=_COLOURS.get(one.state, "yellow")))
        for text in (one.reason, one.remedy):
            if text:
                click.echo(format.style(f"  {format.line(text)}", dim=True))


def _cells(one: PluginStatus) -> list[str]:
    about = f"{one.distribution} {one.version}".strip()
    return [
        format.line(one.name),
        one.kind or "-",
        format.line(about) or "-",
        "listed" if one.listed else "not listed",
        "not imported" if one.state is PluginState.NOT_LISTED else one.state,
    ]
