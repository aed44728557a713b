"""What most verbs begin with: the repository, its store, who is asking."""

from __future__ import annotations

import functools
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click

from gitfleet.board.clone_state import Clone, config_home
from gitfleet.board.store import Store
from gitfleet.board.transaction import Transaction
from gitfleet.cli.support import edits, older_runners, write
from gitfleet.errors import FleetError
from gitfleet.event_log import harmless
from gitfleet.files import codec
from gitfleet.git.command import git
from gitfleet.git.repo import Repo, default_target, find, identity
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Decide, Person
from gitfleet.model.config import Machine
from gitfleet.plan import upgrade


class CliSession(NamedTuple):
    """An opened clone."""

    repo: Repo
    clone: Clone
    store: Store

    @property
    def person(self) -> Person:
        """The person who runs the command, from git's identity; FleetError if git has none."""
        return who_asks(self.repo)

    def change(self, decide: Decide) -> Change:
        """Make a person's change, on the remote if the board is shared.

        A change that cannot reach the remote now waits in this clone, and a message says so.
        FleetError if there was nothing to change, or the board has an old format with keys to
        rename.
        """
        self.raise_format()

        def decided(board: Board, now: datetime) -> Change | None:
            upgrade.refuse_old(board)
            return decide(board, now)

        result = self.transact(decided)
        if not result.won or result.change is None:
            raise FleetError(result.why or "there is nothing to change")
        return result.change

    def raise_format(self) -> None:
        """Bring an old board to the newest format if that changes nothing but its number."""
        board = self.store.board()
        if upgrade.number_only(board, lambda path: self.store.file(board, path)) is None:
            return
        older_runners.refuse(self.store, self.clone, board)

        def decide(board: Board, now: datetime) -> Change | None:
            found = upgrade.number_only(board, lambda path: self.store.file(board, path))
            return found.change(self.person) if found is not None else None

        result = self.transact(decide)
        if result.won and result.change is not None:
            click.echo(f"gitfleet: {result.change.subject}: no key had to be renamed", err=True)

    def transact(self, decide: Decide) -> Transaction:
        """The same for a board of any format, and for a change that may turn out to be empty."""
        with edits.shown() as report_edits:
            result, waits = write.write(self.repo, self.store, decide, report_edits)
        if waits:
            click.echo(f"gitfleet: {plain(waits)}", err=True)
        return result

    def default_target(self) -> str:
        """The target if the settings name none."""
        return target_here(self.repo, self.store.branch) or "main"


def open_session(start: Path | None = None) -> CliSession:
    """The clone around the current folder; FleetError if there is none or it has no board."""
    repo = find(start or Path.cwd())
    session = CliSession(repo, Clone(repo), Store(repo))
    if session.store.tip() is None:
        raise FleetError(
            f"there is no board in this repository (no branch {session.store.branch})",
            remedy="`gitfleet init` creates one, or uses the remote's.",
        )
    return session


def who_asks(repo: Repo) -> Person:
    """The person who runs the command, from git's identity; FleetError if git has none."""
    who = identity(repo)
    if who is None:
        raise FleetError(
            "git does not know who you are",
            remedy="git config --global user.name NAME; git config --global user.email MAIL",
        )
    if who[1].endswith("@gitfleet.invalid"):
        # This is an attempt's identity: an agent does not decide as a person.
        raise FleetError(
            "this git identity belongs to an attempt, and only people can do this",
            remedy="Run it outside the attempt.",
        )
    return Person(*who)


def target_here(repo: Repo, board: str) -> str | None:
    """The target that git suggests; None if it suggests none.

    In `.fleet/` the current branch is the board's own, and work never lands there: then the branch
    of the main worktree counts.
    """
    found = default_target(repo)
    if found != board:
        return found
    said = git("symbolic-ref", "-q", "--short", "HEAD", cwd=repo.here, check=False).out
    return said if said and said != board else None


def for_people(verb: str, repo: Repo) -> None:
    """Refuse a verb for people's decisions to an agent inside its attempt.

    The attempt's outbox is in the git directory of the repository that it works for; in any other
    repository the agent may use every verb.
    """
    box = os.environ.get("GITFLEET_OUTBOX")
    if box and Path(box).resolve().is_relative_to(repo.common):
        raise FleetError(
            f"`gitfleet {verb}` is for people, and this is an attempt",
            remedy="Attempts use `gitfleet ask`, `note`, `add` and `verdict`.",
        )


def plain(text: object) -> str:
    """Foreign text in one line, safe for a terminal."""
    return harmless(" ".join(str(text).split()))


def suffix() -> str:
    """Four random hex digits, for the name of an event or an id."""
    return secrets.token_hex(2)


@functools.cache
def listed_plugins() -> tuple[str, ...]:
    """The plugins that this machine lists; none if its settings cannot be read. Read once."""
    try:
        return machine().plugins
    except FleetError:
        return ()


def machine() -> Machine:
    """The machine's own settings; FleetError if they do not validate."""
    path = config_home() / "gitfleet" / "config.yaml"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Machine()
    except OSError as error:
        raise FleetError(f"cannot be read: {error.strerror}", where=str(path)) from error
    found, problems = codec.read_machine(data, str(path))
    if found is None:
        first = problems[0]
        raise FleetError(first.what, where=first.where, remedy=first.remedy)
    return found
