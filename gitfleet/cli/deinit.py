"""`gitfleet deinit`: take gitfleet out of this clone; the branch stays."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from gitfleet.cli.fleet import fleet_of
from gitfleet.cli.session import Session, for_people, plain
from gitfleet.clone import Clone
from gitfleet.errors import FleetError
from gitfleet.git import checkout, refs, worktree
from gitfleet.git.holders import holders
from gitfleet.git.repo import Repo, find
from gitfleet.report import Report
from gitfleet.store import Store
from gitfleet.work import hooks, setup
from gitfleet.work.fleet import TASK_BRANCH
from gitfleet.work.perform import settle_dead
from gitfleet.work.workspace import CHECK

_SHOWN = 10  # names in a list before it is cut


@click.command("deinit")
@click.option("--force", is_flag=True, help="Even with uncommitted edits in .fleet/: save them.")
@click.option("--branches", is_flag=True, help="Delete branches of tasks and refs/gitfleet/, too.")
def command(force: bool, branches: bool) -> None:
    """Take gitfleet out of this clone: window, workspaces, settings, state. The board stays."""
    repo = find(Path.cwd())
    for_people("deinit", repo)
    # What is removed may be where one stands; git cannot start in a directory that is gone.
    os.chdir(repo.common)
    clone = Clone(repo)
    store = Store(repo)
    there = clone.folder.exists()
    with clone.only_runner():
        window = _window(repo, store, force)
        _settle(Session(repo, clone, store))
        saved = list(_workspaces(repo, clone))
        if window is not None:
            saved += setup.take_out(repo, window, "board")
            click.echo(f"Removed {window}.")
        for ref in saved:
            click.echo(f"Saved what was in no commit of a branch: {ref}")
        done = [*hooks.remove(clone), *setup.restore_clone(repo)]
        for line in done:
            click.echo(plain(line))
        _refs(repo, branches, saved)
        shutil.rmtree(clone.folder)
    if there:
        click.echo(f"Removed {clone.folder}.")
    if store.tip() is not None:
        click.echo(f"The board stays: the branch {store.branch}.")
    elif not there and not done:
        click.echo("Nothing of gitfleet was in this clone.")


def _window(repo: Repo, store: Store, force: bool) -> Path | None:
    """The worktree that shows the board; FleetError if somebody's edits are in it."""
    path = setup.window_of(repo)
    if path is None or worktree.registered(repo, path) is None:
        return None
    if not path.exists():
        return path
    # Files that only lag behind the board are nobody's edits.
    checkout.catch_up(repo, path, store.ref)
    edits = setup.uncommitted(path)
    if edits and not force:
        shown = ", ".join(edits[:_SHOWN]) + (" …" if len(edits) > _SHOWN else "")
        raise FleetError(
            f"there are uncommitted edits in {path}: {plain(shown)}",
            remedy="Commit them, or let --force save them under refs/gitfleet/salvage/board/.",
        )
    return path


def _settle(session: Session) -> None:
    """What a runner that died left behind: its processes end, its claims go, with an event."""
    if session.store.tip() is not None and session.clone.held():
        settle_dead(fleet_of(session, Report(click.echo)))


def _workspaces(repo: Repo, clone: Clone) -> Iterator[str]:
    """Remove the worktrees of attempts; the refs under which something of them was saved."""
    for path in setup.workspaces(repo, clone):
        if path.name.endswith(CHECK):
            worktree.remove(repo, path)  # nobody works in one
        else:
            yield from setup.take_out(repo, path, path.name)
        click.echo(f"Removed the workspace {path}.")
    if not clone.workspaces.is_dir():
        return
    left = sorted(clone.workspaces.iterdir())
    if left:
        names = ", ".join(path.name for path in left[:_SHOWN])
        click.echo(f"Kept in {clone.workspaces}, since they are no worktrees: {plain(names)}")
        return
    clone.workspaces.rmdir()
    with contextlib.suppress(OSError):  # it holds those of another clone
        clone.workspaces.parent.rmdir()


def _refs(repo: Repo, delete: bool, saved: list[str]) -> None:
    """Name what is left of the work, or delete it. What was saved just now is always kept."""
    found = {**refs.names(repo, f"refs/heads/{TASK_BRANCH}"), **refs.names(repo, "refs/gitfleet/")}
    kept = []
    for ref, oid in sorted(found.items()):
        if not delete or ref in saved or holders(repo, ref):
            kept.append(ref)
        elif refs.swap(repo, ref, oid, None, message="deinit"):
            click.echo(f"Deleted {ref} (it was {oid[:10]}).")
    if kept:
        click.echo(f"{len(kept)} refs of work stay:")
        for ref in kept:
            click.echo(f"  {ref}")
        if not delete:
            click.echo("  (`gitfleet deinit --branches` deletes them)")
