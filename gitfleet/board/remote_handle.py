"""The capabilities of a board that lives on a remote, beyond reading and moving the board."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from gitfleet.board.fairness import ClaimThrottle
from gitfleet.git.refs import RefMove
from gitfleet.git.remote import PushResult


class RemoteHandle(Protocol):
    """A board's remote. `Backend.remote` is one, or None if the board exists in this clone only.

    A method that reads from the remote raises Unreachable if it does not answer; a push returns an
    unknown result instead.
    """

    name: str  # as git knows the remote
    track: str  # where this clone tracks its branches: `refs/remotes/<name>/`
    pace: ClaimThrottle

    # -- any refs

    def address(self) -> str | None:
        """The remote's URL; None if git no longer has one."""

    def push_refs(self, moves: Sequence[RefMove]) -> PushResult:
        """Move refs on the remote, all or none, each from its expected value."""

    def list_refs(self, pattern: str) -> dict[str, str]:
        """The remote's refs that match, with their commits."""

    def fetch_refs(self, specs: Sequence[str]) -> None:
        """Fetch refspecs."""

    # -- the board and the branches beside it

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Allow one push at a time from this clone."""

    def fetch(self, extra: Iterable[str] = ()) -> None:
        """Fetch the board, the targets, heartbeats, inbox branches, and the branches `extra`."""

    def follow(self) -> None:
        """Fast-forward the local board and targets to the remote's tips."""

    def tip(self) -> str | None:
        """The commit of the remote's board, as of the last fetch."""

    def inbox(self) -> dict[str, str]:
        """The inbox branches on the remote with their commits, as of the last fetch."""
