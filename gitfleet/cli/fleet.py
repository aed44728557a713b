"""A clone with everything that work on it needs, for verbs that do such work."""

from __future__ import annotations

import os
from collections.abc import Callable

from gitfleet.cli.session import Session, machine
from gitfleet.errors import FleetError
from gitfleet.git import refs
from gitfleet.git.remote import address
from gitfleet.git.repo import Repo
from gitfleet.model.masking import Mask, secrets_of
from gitfleet.notices.base import urls
from gitfleet.report import Report
from gitfleet.shared import Shared
from gitfleet.store import Store
from gitfleet.work.fleet import Fleet


def remote_of(repo: Repo, store: Store) -> str | None:
    """The remote the board lives on; None where it lives in this clone.

    What fleet.yaml says, else `origin` if a board was ever seen there.
    """
    wanted = store.board().settings.remote
    if wanted == "none":
        return None
    if wanted is not None:
        if address(repo, wanted) is None:
            raise FleetError(
                f"fleet.yaml says that the board is on {wanted}, and there is no such remote",
                remedy=f"git remote add {wanted} URL, or set `remote: none`.",
            )
        return wanted
    seen = refs.read(repo, f"refs/remotes/origin/{store.branch}")
    return "origin" if seen is not None and address(repo, "origin") else None


def store_of(
    repo: Repo,
    store: Store,
    *,
    runner: str | None = None,
    tell: Callable[..., None] | None = None,
) -> Store:
    """The store through which a board is written: of this clone, or on its remote."""
    name = remote_of(repo, store)
    if name is None:
        return Store(repo, branch=store.branch, runner=runner)
    who = Store(repo, branch=store.branch, runner=runner)
    shared = Shared(repo, store.branch, name, who.signature, tell)
    return Store(repo, branch=store.branch, runner=runner, swap=shared)


def fleet_of(session: Session, report: Report | None = None) -> Fleet:
    """The fleet of an opened clone; its store writes in the name of the clone's runner."""
    own = machine()
    name = session.clone.runner_name(own.name)
    told = report or Report(lambda _line: None)
    mask = Mask([*secrets_of(os.environ), *urls(own)])
    told.mask = mask.text
    store = store_of(session.repo, session.store, runner=name, tell=told.action)
    store.mask = mask
    return Fleet(
        repo=session.repo,
        clone=session.clone,
        store=store,
        report=told,
        runner=name,
        default_target=session.default_target(),
        machine=own,
    )
