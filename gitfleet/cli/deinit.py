"""`gitfleet deinit`: remove gitfleet from this clone; the branch stays."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from gitfleet.attempt.context import TASK_BRANCH
from gitfleet.attempt.workspace import CHECK
from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import CliSession, for_people, plain
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.git import follow_branch, refs, worktree
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.repo import Repo, find
from gitfleet.install import hooks, setup_clone
from gitfleet.runner.attempt_thread import end_dead_attempts

_SHOWN = 10  # names in a list before it is cut


@click.command(
    "deinit",
    cls=Verb,
    examples=(
        "gitfleet deinit",
        "gitfleet deinit --force --branches",
    ),
)
@click.option(
    "--force", is_flag=True, help="Proceed despite uncommitted edits in .fleet/; back them up."
)
@click.option("--branches", is_flag=True, help="Also delete task branches and refs/gitfleet/.")
def command(force: bool, branches: bool) -> None:
    """Remove gitfleet from this clone: .fleet/, worktrees, settings, state. The branch stays."""
    repo = find(Path.cwd())
    for_people("deinit", repo)
    # The removed folder may be the current one; git cannot start in a deleted directory.
    os.chdir(repo.common)
    clone = Clone(repo)
    store = Store(repo)
    there = clone.folder.exists()
    with clone.only_runner():
        window = _window(repo, store, force)
        _settle(CliSession(repo, clone, store))
        saved = list(_workspaces(repo, clone))
        if window is not None:
            saved += setup_clone.take_out(repo, window, "board")
            click.echo(f"Removed {window}.")
        for ref in saved:
            click.echo(f"Saved work that no branch contains: {ref}")
        done = [*hooks.remove(clone), *setup_clone.restore_clone(repo)]
        for line in done:
            click.echo(plain(line))
        _refs(repo, branches, saved)
        shutil.rmtree(clone.folder)
    if there:
        click.echo(f"Removed {clone.folder}.")
    if store.tip() is not None:
        click.echo(f"The board is kept: branch {store.branch}.")
    elif not there and not done:
        click.echo("gitfleet was not set up in this clone.")


def _window(repo: Repo, store: Store, force: bool) -> Path | None:
    """The worktree that shows the board; FleetError if it holds uncommitted edits."""
    path = setup_clone.window_of(repo)
    if path is None or worktree.registered(repo, path) is None:
        return None
    if not path.exists():
        return path
    # Files that only lag behind the board are not edits.
    follow_branch.catch_up(repo, path, store.ref)
    edits = setup_clone.uncommitted(path)
    if edits and not force:
        shown = ", ".join(edits[:_SHOWN]) + (" …" if len(edits) > _SHOWN else "")
        raise FleetError(
            f"there are uncommitted edits in {path}: {plain(shown)}",
            remedy="Commit them, or use --force, which saves them under"
            " refs/gitfleet/salvage/board/.",
        )
    return path


def _settle(session: CliSession) -> None:
    """Settle the attempts of a dead runner: end its processes and its claims, with an event."""
    if session.store.tip() is not None and session.clone.pending_claims():
        end_dead_attempts(fleet_of(session, EventLog(click.echo)))


def _workspaces(repo: Repo, clone: Clone) -> Iterator[str]:
    """Remove the worktrees of attempts; return the salvage refs with their unsaved work."""
    for path in setup_clone.workspaces(repo, clone):
        if path.name.endswith(CHECK):
            worktree.remove(repo, path)  # no attempt works in one
        else:
            yield from setup_clone.take_out(repo, path, path.name)
        click.echo(f"Removed the workspace {path}.")
    if not clone.workspaces.is_dir():
        return
    left = sorted(clone.workspaces.iterdir())
    if left:
        names = ", ".join(path.name for path in left[:_SHOWN])
        click.echo(f"Kept in {clone.workspaces} because they are not worktrees: {plain(names)}")
        return
    clone.workspaces.rmdir()
    with contextlib.suppress(OSError):  # the folder still holds worktrees of another clone
        clone.workspaces.parent.rmdir()


def _refs(repo: Repo, delete: bool, saved: list[str]) -> None:
    """List the remaining refs of the work, or delete them. Those saved just now always stay."""
    found = {**refs.names(repo, f"refs/heads/{TASK_BRANCH}"), **refs.names(repo, "refs/gitfleet/")}
    kept = []
    for ref, oid in sorted(found.items()):
        if not delete or ref in saved or checkouts_of(repo, ref):
            kept.append(ref)
        elif refs.swap(repo, ref, oid, None, message="deinit"):
            click.echo(f"Deleted {ref} (it was {oid[:10]}).")
    if kept:
        click.echo(f"Kept {len(kept)} refs of work:")
        for ref in kept:
            click.echo(f"  {ref}")
        if not delete:
            click.echo("  (`gitfleet deinit --branches` deletes them)")
