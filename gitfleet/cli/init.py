"""`gitfleet init`: make the board of this repository, or adopt the one its remote has."""

from __future__ import annotations

from pathlib import Path

import click

from gitfleet.errors import FleetError
from gitfleet.git import refs, worktree
from gitfleet.git.command import git
from gitfleet.git.repo import Repo, default_target, find, head_branch, identity, set_config
from gitfleet.model.change import Person
from gitfleet.model.ids import slug
from gitfleet.store import Store, branch_of
from gitfleet.work import setup

WINDOW = ".fleet"


@click.command("init")
@click.option("--target", help="The branch finished work lands on.")
@click.option("--branch", help="Another name than `fleet` for the board's branch.")
@click.option("--check", "checks", multiple=True, help="A check that every change must pass.")
def command(target: str | None, branch: str | None, checks: tuple[str, ...]) -> None:
    """Make the board of this repository and show it in .fleet/. Doing it twice is harmless."""
    repo = find(Path.cwd())
    person = _person(repo)
    name = _branch(repo, branch)
    store = Store(repo, branch=name)
    if store.tip() is None and not _adopt(repo, store):
        chosen = _target(repo, target)
        proposed = checks or setup.proposed_checks(repo, chosen)
        store.create(setup.first_files(chosen, proposed), person)
    if name != branch_of(repo):
        set_config(repo, "gitfleet.branch", name)
    setup.prepare_clone(repo)
    window = _show(repo, store)
    _tell(store, window)


def _person(repo: Repo) -> Person:
    who = identity(repo)
    if who is None:
        raise FleetError(
            "git does not know who you are",
            remedy="git config --global user.name NAME; git config --global user.email MAIL",
        )
    return Person(*who)


def _branch(repo: Repo, wanted: str | None) -> str:
    """The branch for the board; FleetError if something else of the user's is in its way."""
    name = wanted or branch_of(repo)
    if git("check-ref-format", f"refs/heads/{name}", cwd=repo.here, check=False).code != 0:
        raise FleetError(f"{name!r} cannot be a branch")
    tip = refs.read(repo, f"refs/heads/{name}")
    if tip is not None and not setup.is_board(repo, tip):
        raise FleetError(
            f"the branch {name} exists and is not a board",
            remedy="Choose another name: gitfleet init --branch fleet-board",
        )
    for other in refs.names(repo, "refs/heads/"):
        short = other.removeprefix("refs/heads/")
        if name.startswith(f"{short}/") or short.startswith(f"{name}/") or short == "gitfleet":
            raise FleetError(
                f"the branch {short} is in the way: git cannot keep it beside"
                f" {'gitfleet/task/…' if short == 'gitfleet' else name}",
                remedy=f"Rename it (git branch -m {short} {slug(short)}-old), or choose another"
                " name with --branch.",
            )
    return name


def _adopt(repo: Repo, store: Store) -> bool:
    """Take the board that the remote has, if it has one."""
    theirs = refs.read(repo, f"refs/remotes/origin/{store.branch}")
    if theirs is None or not setup.is_board(repo, theirs):
        return False
    refs.swap(repo, store.ref, None, theirs, message="adopted from origin")
    click.echo(f"Adopted the board of origin ({store.branch}).")
    return True


def _target(repo: Repo, wanted: str | None) -> str:
    if not refs.names(repo, "refs/heads/"):
        raise FleetError("there is no commit yet", remedy="Make the first commit, then init.")
    chosen = wanted or default_target(repo)
    if chosen is None:
        what = "HEAD is detached" if head_branch(repo) is None else "the branch has no commit yet"
        raise FleetError(what, remedy="Say where work is to land: gitfleet init --target BRANCH")
    if refs.read(repo, f"refs/heads/{chosen}") is None:
        raise FleetError(
            f"there is no branch {chosen} here",
            remedy=f"Make it (git branch {chosen} …), or name another with --target.",
        )
    return chosen


def _show(repo: Repo, store: Store) -> Path | None:
    """The board as a worktree, `.fleet/` in the main worktree; a bare repository has none."""
    if repo.main is None:
        return None
    path = repo.main / WINDOW
    known = worktree.registered(repo, path)
    if known is None or not path.exists():
        if path.exists() and any(path.iterdir()):
            raise FleetError(f"{path} is in the way", remedy="Move it elsewhere, then init again.")
        if known:
            git("worktree", "prune", cwd=repo.here)
        git(*worktree.NO_HOOKS, "worktree", "add", "-q", str(path), store.branch, cwd=repo.here)
    return path


def _tell(store: Store, window: Path | None) -> None:
    settings = store.board().settings
    shown = f", shown in {WINDOW}/" if window else ""
    click.echo(f"The board is the branch {store.branch}{shown}.")
    click.echo(f"Work lands on {settings.target}.")
    if settings.checks:
        click.echo("Every change must pass: " + "; ".join(settings.checks))
    else:
        click.echo(
            "There are no checks yet, so work would land UNPROVED: add some to fleet.yaml"
            " under `checks:`."
        )
    if settings.roles.work.coder is None:
        click.echo("No coder is set: name one in fleet.yaml under roles.work.coder, or in a task.")
    click.echo('\nNext:\n  gitfleet add "A first task" --coder shell < body.md\n  gitfleet run')
