"""`gitfleet runners`: list the runners of this board and their attempts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from gitfleet.cli.support import format, runners_view
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.cli.support.write import remote_of


@click.command(
    "runners",
    cls=Verb,
    examples=("gitfleet runners",),
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(as_json: bool) -> None:
    """Show all known runners and their attempts, as of their last heartbeats."""
    session = open_session()
    name = remote_of(session.repo, session.store)
    if name is not None:
        runners_view.look(session.repo, name)
    found = runners_view.known(session)
    if as_json:
        format.out_json(found)
        return
    for one in found:
        _show(one)
    if not found:
        click.echo("No runners are known here; `gitfleet run` starts one.")


def _show(one: Mapping[str, Any]) -> None:
    about = [
        f"on {one['host']}" if one["host"] else "",
        "in this clone" if one["here"] else "",
        f"gitfleet {one['version']}" if one["version"] else "",
        f"{len(one['attempts'])} of {one['capacity'] if one['capacity'] is not None else '?'}",
        f"labels {', '.join(one['labels'])}" if one["labels"] else "",
        f"last heard {_moment(one['at'])} by its clock" if one["at"] else "",
    ]
    rest = format.line("; ".join(part for part in about if part))
    click.echo(f"{format.style(format.line(one['name']), bold=True)}  {rest}")
    cells = [
        ["  " + format.line(at["task"]), format.line(at["role"]), format.line(_said(at))]
        for at in one["attempts"]
    ]
    for row in format.columns(cells, format.room(), keep=0):
        click.echo("".join(row))
    for service in one["failing"]:
        click.echo(f"  {format.line(runners_view.failure(service))}")
    for rest in one["cooldowns"].values():
        click.echo(f"  {format.line(rest)}")


def _moment(at: str) -> str:
    """A time in the format of all verbs; text that is not a time stays as the runner wrote it."""
    try:
        return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return at


def _said(attempt: Mapping[str, Any]) -> str:
    """The current activity of an attempt, in a few words."""
    words = [
        attempt["coder"] or "checks",
        runners_view.doing(attempt),
        runners_view.span(attempt["elapsed"], "for"),
        runners_view.span(attempt["silence"], "silent for"),
        f"{attempt['tokens']} tokens" if attempt["tokens"] else "",
    ]
    return ", ".join(word for word in words if word)
