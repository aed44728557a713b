"""What most verbs begin with: the repository, its store, who is asking."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from gitfleet.clone import Clone, config_home
from gitfleet.errors import FleetError
from gitfleet.files import codec
from gitfleet.git.repo import Repo, default_target, find, identity
from gitfleet.model.change import Change, Decide, Person
from gitfleet.model.config import Machine
from gitfleet.store import Result, Store


class Session(NamedTuple):
    """An opened clone."""

    repo: Repo
    clone: Clone
    store: Store

    @property
    def person(self) -> Person:
        """Who is asking, as git knows them; FleetError if git does not."""
        who = identity(self.repo)
        if who is None:
            raise FleetError(
                "git does not know who you are",
                remedy="git config --global user.name NAME; git config --global user.email MAIL",
            )
        return Person(*who)

    def change(self, decide: Decide) -> Change:
        """Make a person's change; FleetError if there was nothing to change."""
        result: Result = self.store.transact(decide)
        if not result.won or result.change is None:
            raise FleetError(result.why or "nothing had to be changed")
        return result.change

    def default_target(self) -> str:
        """The branch work lands on where the settings name none."""
        return default_target(self.repo) or "main"


def open_session(start: Path | None = None) -> Session:
    """The clone that one stands in; FleetError if there is none or it has no board."""
    repo = find(start or Path.cwd())
    session = Session(repo, Clone(repo), Store(repo))
    if session.store.tip() is None:
        raise FleetError(
            f"there is no board in this repository (no branch {session.store.branch})",
            remedy="`gitfleet init` makes one.",
        )
    return session


def suffix() -> str:
    """Four random hex digits, for the name of an event or an id."""
    return secrets.token_hex(2)


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
