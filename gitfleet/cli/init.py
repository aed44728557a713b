"""`gitfleet init`: create the board of this repository, or use the one its remote has."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store, branch_of
from gitfleet.cli.support import init_coder
from gitfleet.cli.support.session import for_people, plain, target_here, who_asks
from gitfleet.cli.support.verb import CODER, Verb
from gitfleet.errors import FleetError
from gitfleet.event_log import harmless
from gitfleet.git import refs, worktree
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.command import git
from gitfleet.git.repo import Repo, find, head_branch, set_config
from gitfleet.install import hooks, setup_clone
from gitfleet.model.board import Board
from gitfleet.plan import upgrade

_REMOTE = "origin"
# Our branches are below these names; a user's branch with such a name blocks them.
_OURS = ("gitfleet", "gitfleet/task", "gitfleet/ask", "gitfleet/in")


@click.command(
    "init",
    cls=Verb,
    examples=(
        "gitfleet init",
        'gitfleet init --coder codex --check "make test"',
        "gitfleet init --target develop --branch fleet-board",
    ),
)
@click.option("--target", help="Branch that finished work lands on.")
@click.option("--branch", help="Name of the board's branch (default: fleet).")
@click.option("--check", "checks", multiple=True, help="Check for every change; repeatable.")
@click.option(
    "--coder",
    type=CODER,
    metavar="NAME",
    help="Coder for tasks that name none (default: one that is installed).",
)
def command(
    target: str | None, branch: str | None, checks: tuple[str, ...], coder: str | None
) -> None:
    """Create the board of this repository, or use the remote's, and show it in .fleet/.

    The board's settings name a coder that is installed here, preferably one that is logged in; on
    a terminal you choose among several. No coder is started for that. Safe to run again.
    """
    repo = find(Path.cwd())
    for_people("init", repo)
    person = who_asks(repo)
    name = _branch(repo, branch)
    store = Store(repo, branch=name)
    window = _place(repo, store)
    options = {"--target": target, "--check": checks, "--coder": coder}
    given = next((name for name, value in options.items() if value), "")
    if store.tip() is not None:
        _ignored(given, "the board already exists")
    elif _adopt(repo, store):
        _ignored(given, "the remote's board is used")
    else:
        chosen = _target(repo, target, name)
        proposed = setup_clone.Proposal(checks) if checks else setup_clone.propose(repo, chosen)
        coders = init_coder.choose(coder)
        files = setup_clone.first_files(chosen, proposed.checks, proposed.setup, coders)
        store.create(files, person)
    if name != branch_of(repo):
        set_config(repo, "gitfleet.branch", name)
    setup_clone.prepare_clone(repo)
    shown = _show(repo, store, window)
    _tell(repo, store, shown, hooks.install(Clone(repo), store) if shown else [])


def _ignored(option: str, why: str) -> None:
    if option:
        click.echo(f"{option} changes nothing: {why}. Edit fleet.yaml instead.")


# -- the name of the branch


def _branch(repo: Repo, wanted: str | None) -> str:
    """The branch for the board; FleetError if the user's branches or files are in its way."""
    current = branch_of(repo)
    name = wanted or current
    if git("check-ref-format", f"refs/heads/{name}", cwd=repo.here, check=False).code != 0:
        raise FleetError(f"{name!r} cannot be a branch", remedy="Choose a name like fleet-board.")
    if name in _OURS or name.startswith(tuple(f"{ours}/" for ours in _OURS[1:])):
        raise FleetError(
            f"{name} is a name for branches of tasks", remedy="Choose a name like fleet-board."
        )
    heads = refs.names(repo, "refs/heads/")
    here = heads.get(f"refs/heads/{current}")
    if name != current and here is not None and setup_clone.is_board(repo, here):
        raise FleetError(
            f"this clone already has a board, the branch {current}",
            remedy="`gitfleet deinit` removes it from this clone; then init with --branch.",
        )
    tip = heads.get(f"refs/heads/{name}")
    if tip is not None and not setup_clone.is_board(repo, tip):
        raise FleetError(
            f"the branch {name} exists and is not a board",
            remedy="Choose another name: gitfleet init --branch fleet-board",
        )
    _make_way(name, [ref.removeprefix("refs/heads/") for ref in heads])
    return name


def _make_way(name: str, branches: Sequence[str]) -> None:
    """Refuse a name that another branch blocks: git keeps no `a` beside `a/b`."""
    for other in branches:
        rename = f"git branch -m {shlex.quote(other)} {shlex.quote(other.replace('/', '-'))}-old"
        if other in _OURS:
            raise FleetError(
                f"the branch {plain(other)} is in the way: git keeps no gitfleet/task/… beside it",
                remedy=f"Rename it: {rename}",
            )
        if name.startswith(f"{other}/") or other.startswith(f"{name}/"):
            raise FleetError(
                f"the branch {plain(other)} is in the way: git keeps no {name} beside it",
                remedy=f"Rename it ({rename}), or choose another name:"
                " gitfleet init --branch fleet-board",
            )


# -- the board's origin


def _adopt(repo: Repo, store: Store) -> bool:
    """Take the remote's board, if it has one."""
    found = setup_clone.fetch_board(repo, _REMOTE, store.branch)
    if found.trouble:
        click.echo(
            f"{_REMOTE} cannot be reached, so a board there would not be seen:"
            f" {plain(found.trouble)}",
            err=True,
        )
    if found.tip is None:
        return False
    if not setup_clone.is_board(repo, found.tip):
        raise FleetError(
            f"the branch {store.branch} of {_REMOTE} exists and is not a board",
            remedy="Choose another name: gitfleet init --branch fleet-board",
        )
    if refs.swap(repo, store.ref, None, found.tip, message=f"adopted from {_REMOTE}"):
        # As `git switch` does for a branch that it creates from a remote's.
        set_config(repo, f"branch.{store.branch}.remote", _REMOTE)
        set_config(repo, f"branch.{store.branch}.merge", store.ref)
    click.echo(f"Adopted the board of {_REMOTE} ({store.branch}).")
    return True


def _target(repo: Repo, wanted: str | None, board: str) -> str:
    heads = refs.names(repo, "refs/heads/")
    if not heads:
        raise FleetError("there is no commit yet", remedy="Create the first commit, then init.")
    chosen = wanted or target_here(repo, board)
    if chosen is None:
        branch = head_branch(repo)
        what = "HEAD is detached" if branch is None else f"the branch {branch} has no commit yet"
        raise FleetError(
            what, remedy="Name the branch that work lands on: gitfleet init --target BRANCH"
        )
    if chosen == board:
        raise FleetError(
            f"{board} is the board's branch, and work cannot land there",
            remedy="Name another with --target.",
        )
    if f"refs/heads/{chosen}" not in heads:
        theirs = refs.read(repo, f"refs/remotes/{_REMOTE}/{chosen}")
        origin = f"{_REMOTE}/{chosen}" if theirs else "HEAD"
        made = shlex.join(["git", "branch", chosen, origin])
        raise FleetError(
            f"there is no branch {plain(chosen)} here",
            remedy=f"Create it ({made}), or name another with --target.",
        )
    return chosen


# -- the window


def _place(repo: Repo, store: Store) -> Path | None:
    """The path for the window; FleetError if it is occupied. None: no window."""
    path = setup_clone.window_of(repo)
    if path is None:
        return None
    known = worktree.registered(repo, path)
    if known is not None and path.exists():
        if known.branch not in (None, store.ref):
            raise FleetError(
                f"{path} is on {known.branch.removeprefix('refs/heads/')}, not on {store.branch}",
                remedy=f"git -C {shlex.quote(str(path))} switch {shlex.quote(store.branch)}",
            )
        return path
    elsewhere = [other for other in checkouts_of(repo, store.ref) if other != path]
    if elsewhere:
        return elsewhere[0]
    folder = path.is_dir() and not path.is_symlink()
    if os.path.lexists(path) and not (folder and not any(path.iterdir())):
        raise FleetError(f"{path} is in the way", remedy="Move it elsewhere, then init again.")
    return path


def _show(repo: Repo, store: Store, path: Path | None) -> Path | None:
    """Create the window unless it exists. Returns its path."""
    if path is None:
        return None
    known = worktree.registered(repo, path)
    if known is not None and not path.exists():
        # Only this one: a general `prune` would forget worktrees on a disk that is not mounted.
        git("worktree", "remove", "-f", "-f", str(known.path), cwd=repo.here)
        known = None
    if known is None:
        worktree.check_out(repo, path, str(path), store.branch)
    return path


# -- report


def _tell(repo: Repo, store: Store, window: Path | None, guarded: Sequence[str]) -> None:
    board = store.board()
    shown = ""
    if window is not None:
        home = window == setup_clone.window_of(repo)
        shown = f", shown in {setup_clone.WINDOW if home else window}/"
    click.echo(f"The board is the branch {store.branch}{shown}.")
    if window is None:
        click.echo(
            "A bare repository has no .fleet/; to edit the board's files:"
            f" git worktree add ../board {shlex.quote(store.branch)}"
        )
    for line in guarded:
        click.echo(plain(line))
    if changed := [*setup_clone.changed_settings(repo), *hooks.changed_settings(Clone(repo))]:
        click.echo("Git settings changed in this repository (`gitfleet deinit` restores them):")
        for setting in changed:
            click.echo(f"  {setting}")
    _tell_settings(repo, board)
    for line in init_coder.report(board.settings):
        click.echo(harmless(line))
    click.echo(f"\nNext:\n  {init_coder.first_task(board.settings)}\n  gitfleet run")


def _tell_settings(repo: Repo, board: Board) -> None:
    settings = board.settings
    for problem in board.settings_problems:
        click.echo(f"Its settings are broken: {plain(problem)}")
    if (old := upgrade.old_format(board)) is not None:
        click.echo(f"{old.what[0].upper()}{old.what[1:]}: {old.remedy}.")
    if settings.target is not None:
        missing = refs.read(repo, f"refs/heads/{settings.target}") is None
        note = f" (which is not here: git branch {settings.target} …)" if missing else ""
        click.echo(f"Work lands on {settings.target}{note}.")
    if settings.workspace.setup:
        click.echo("A fresh worktree is set up by: " + plain("; ".join(settings.workspace.setup)))
    if settings.checks:
        click.echo("Every change must pass: " + plain("; ".join(settings.checks)))
    else:
        click.echo("There are no checks yet, so work would be merged untested.")
        click.echo("  Add some to fleet.yaml under `checks:`.")
