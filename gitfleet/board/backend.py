"""How a change reaches the board: a swap of the clone's own ref (here), or a push to the remote.

A backend names the commit to decide on (`refresh`) and moves the board together with the other refs
of a change (`commit`). Everything above is the same for both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from gitfleet import failpoints
from gitfleet.board.remote_handle import RemoteHandle
from gitfleet.errors import FleetError, GitError
from gitfleet.git import follow_branch, refs
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo
from gitfleet.model.change import Change, Move


class TxnStatus(StrEnum):
    """The result of a transaction, in one word."""

    WON = "won"  # the change is on the board
    LOST = "lost"  # nothing is left to change, or something is in the way
    UNKNOWN = "unknown"  # it may be on the board or arrive later: keep the nonce


class TxnResult(Struct, frozen=True):
    """The result of one swap, except when another writer was simply faster."""

    status: TxnStatus
    why: str = ""


class Backend(Protocol):
    """One way to move the board."""

    @property
    def remote(self) -> RemoteHandle | None:
        """The board's remote; None if the board exists in this clone only."""

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Allow one writer at a time, for throughput and fairness."""

    def refresh(self) -> str:
        """Return the commit to decide on."""

    def commit(self, old: str, new: str, change: Change) -> TxnResult | None:
        """Move the board from `old` to `new` together with the change's other refs.

        None: refresh and decide again.
        """

    def cached_head(self) -> str | None:
        """The newest board known without network access; None if there is none."""

    def tip_of(self, branch: str) -> str | None:
        """The tip of a branch that work lands on."""

    def fetch_commit(self, oid: str, branch: str) -> bool:
        """Whether a commit on a task's branch is in this clone; fetches it if necessary."""

    def backoff(self, losses: int) -> float:
        """The longest wait in seconds after this many losses in a row."""


class LocalBackend:
    """The board of one clone: its own ref is the truth."""

    remote = None

    def __init__(self, repo: Repo, ref: str) -> None:
        self.repo, self.ref = repo, ref

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the clone's lock."""
        with refs.mutex(self.repo):
            yield

    def refresh(self) -> str:
        """The tip of the branch."""
        tip = refs.read(self.repo, self.ref)
        if tip is None:
            raise no_board(self.ref)
        return tip

    def cached_head(self) -> str | None:
        """The tip of the branch."""
        return refs.read(self.repo, self.ref)

    def fetch_commit(self, oid: str, branch: str) -> bool:
        """False: a local board has no remote to fetch from."""
        return Objects(self.repo).exists(oid)

    def tip_of(self, branch: str) -> str | None:
        """The tip of a local branch."""
        return refs.read(self.repo, f"refs/heads/{branch}")

    def backoff(self, losses: int) -> float:
        """Short: the other writers are on this machine."""
        return float(min(0.25, 0.002 * 1.3 ** min(losses, 40)))

    def commit(self, old: str, new: str, change: Change) -> TxnResult | None:
        """One ref transaction.

        Checkouts of the moved branches are locked before it and updated after it.
        """
        try:
            return self._commit(old, new, change)
        except GitError:
            if Objects(self.repo).exists(new):
                raise
            return None  # `git prune` removed it before a ref held it; the caller writes it again

    def _commit(self, old: str, new: str, change: Change) -> TxnResult | None:
        with ExitStack() as stack:
            held, why = lock_checkouts(stack, self.repo, change.moves, Move(self.ref, old, new))
            if why:
                return TxnResult(TxnStatus.LOST, why)
            if not self._swap(old, new, change):
                return None
            if change.moves:
                failpoints.point("landed-refs-moved")
            for one in held:
                one.follow()  # a checkout that cannot follow now catches up later
        if change.moves:
            failpoints.point("landed-synced")
        return TxnResult(TxnStatus.WON)

    def _swap(self, old: str, new: str, change: Change) -> bool:
        if not change.moves:
            return refs.swap(self.repo, self.ref, old, new, message=change.subject)
        # The target first: after a crash between the two renames the runner completes the event.
        moves = [refs.RefMove(move.ref, move.old, move.new) for move in change.moves]
        moves.append(refs.RefMove(self.ref, old, new))
        return refs.swap_all(self.repo, moves, message=change.subject)


def no_board(ref: str) -> FleetError:
    """The error for a repository without a board."""
    return FleetError(
        f"there is no board in this repository (no branch {ref.removeprefix('refs/heads/')})",
        remedy="`gitfleet init` creates one, or uses the remote's.",
    )


def lock_checkouts(
    stack: ExitStack, repo: Repo, moves: tuple[Move, ...], board: Move | None
) -> tuple[list[follow_branch.LockedCheckout], str]:
    """Lock every checkout whose branch is about to move, so that its files can move too.

    A busy window on the board stays behind and catches up later. A person's checkout of another
    branch that cannot follow forbids the move: the reason is returned.
    """
    taken: list[follow_branch.LockedCheckout] = []
    for move in moves:
        if move.old is None or move.new is None:
            continue
        for path in checkouts_of(repo, move.ref):
            held = follow_branch.prepare(repo, path, move.ref, move.old, move.new)
            if isinstance(held, follow_branch.CannotFollow):
                return [], held.reason
            taken.append(stack.enter_context(held))
    if board is None:
        return taken, ""
    assert board.old is not None and board.new is not None
    for path in checkouts_of(repo, board.ref):
        window = follow_branch.prepare(repo, path, board.ref, board.old, board.new)
        if isinstance(window, follow_branch.LockedCheckout):
            taken.append(stack.enter_context(window))
    return taken, ""
