"""Where the board lives, and how a person's change gets there: in this clone, or on its remote."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from gitfleet.board.backend import TxnStatus
from gitfleet.board.edit_conflicts import ReportEdits
from gitfleet.board.fairness import ClaimThrottle
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.board.transaction import Transaction
from gitfleet.errors import FleetError
from gitfleet.git import refs
from gitfleet.git.remote import Unreachable, address, patience
from gitfleet.git.repo import Repo
from gitfleet.model.change import Decide

_PATIENCE: Final = 20.0  # the longest a person waits for a server
_HURRY: Final = 0.5  # the longest a person waits before the next try after a lost race


def remote_of(repo: Repo, store: Store) -> str | None:
    """The remote of the board; None if the board is in this clone only.

    The remote of fleet.yaml, else `origin` if it was ever seen with a board.
    """
    wanted = store.board().settings.remote
    if wanted == "none":
        return None
    if wanted is not None:
        if address(repo, wanted) is None:
            raise FleetError(
                f"fleet.yaml says that the board is on {wanted}, but there is no such remote",
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
    report_edits: ReportEdits,
    tell: Callable[..., None] | None = None,
) -> Store:
    """The store that writes the board, in this clone or on its remote."""
    name = remote_of(repo, store)
    if name is None:
        return Store(repo, branch=store.branch, runner=runner)
    who = Store(repo, branch=store.branch, runner=runner)
    shared = RemoteBackend(repo, store.branch, name, who.signature, report_edits, tell)
    return Store(repo, branch=store.branch, runner=runner, swap=shared)


def write(
    repo: Repo, store: Store, decide: Decide, report_edits: ReportEdits
) -> tuple[Transaction, str]:
    """Make a person's change where the board lives; return it, and why it waits here.

    The reason is a sentence; it is empty if the change arrived. If the remote does not answer, the
    change is made in this clone, with the same bytes. It goes up with the next change; if its own
    push arrived after all, nothing is duplicated.
    """
    name = remote_of(repo, store)
    if name is None:
        return store.transact(decide), ""
    moment = store.now()

    def now() -> datetime:
        return moment

    here = Store(repo, branch=store.branch, now=now)
    limit, pace = min(_PATIENCE, patience()), ClaimThrottle(most_patient=_HURRY)
    swap = RemoteBackend(
        repo, store.branch, name, here.signature, report_edits, patience=limit, pace=pace
    )
    try:
        result = Store(repo, branch=store.branch, now=now, swap=swap).transact(decide)
        why = result.why
    except Unreachable as error:
        why = error.what
    else:
        if result.status is not TxnStatus.UNKNOWN:
            return result, ""
    return here.transact(decide), (
        f"saved in this clone, but not yet on {name} ({why}): the next change made here pushes it"
    )
