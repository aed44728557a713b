"""`gitfleet gc`: show and remove what is old and no longer needed."""

from __future__ import annotations

import sys
from datetime import timedelta

import click

from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.git.command import git
from gitfleet.install import gc
from gitfleet.install.gc import Litter
from gitfleet.model.durations import seconds, spoken


def _duration(_ctx: click.Context, _parameter: click.Parameter, text: str) -> timedelta:
    try:
        return timedelta(seconds=seconds(text))
    except ValueError:
        raise click.BadParameter("write it like 90s, 45m, 2h or 14d") from None


@click.command(
    "gc",
    cls=Verb,
    examples=(
        "gitfleet gc --dry-run",
        "gitfleet gc --older-than 30d --yes",
    ),
)
@click.option(
    "--older-than", "older", default="14d", callback=_duration, help="Minimum age (default: 14d)."
)
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
def command(older: timedelta, yes: bool, dry_run: bool) -> None:
    """Remove old worktrees, transcripts, salvage refs and merged task branches.

    Unsaved work is never removed.
    """
    session = open_session()
    fleet = fleet_of(session)
    found = list(gc.find(fleet, session.store.board(), older))
    going = [one for one in found if not one.refused]
    for one in found:
        click.echo(_line(one))
    if not going:
        click.echo("Nothing to remove.")
        return
    size = sum(one.size for one in going)
    click.echo(f"{len(going)} items, {_bytes(size)}.")
    if dry_run or not (yes or _agreed()):
        return
    for one in going:
        try:
            gc.remove(fleet, one)
        except (FleetError, OSError) as error:
            click.echo(f"kept: {one.name}: {error}", err=True)
    # Never --prune=now: it removes objects that another process is about to use.
    git("-c", "gc.autoDetach=false", "gc", "--auto", "-q", cwd=fleet.repo.here, timeout=1800)
    click.echo("Removed.")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise FleetError(
            "not a terminal, so there is no prompt",
            remedy="Pass --yes to remove, or --dry-run to look.",
        )
    return click.confirm("Remove them?")


def _line(one: Litter) -> str:
    age = spoken(one.age.total_seconds())
    size = f", {_bytes(one.size)}" if one.size else ""
    stays = f": kept, {one.refused}" if one.refused else ""
    return f"{one.what} {one.name} ({age} old{size}){stays}"


def _bytes(size: int) -> str:
    number = float(size)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
