"""A transaction on the board: a decision, asked again after each lost race, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from gitfleet.board.backend import TxnStatus
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Decide


class Transaction(Struct, frozen=True, kw_only=True):
    """The result, the board that it holds for, and the change as it was made."""

    status: TxnStatus
    board: Board
    change: Change | None = None
    why: str = ""  # what was in the way

    @property
    def won(self) -> bool:
        """Whether the change is on the board."""
        return self.status is TxnStatus.WON


class BoardRepairer(Protocol):
    """Finds the repair that a board needs before anyone reads it or decides on it."""

    def due(self, tip: str) -> Change | None:
        """The repair that this commit needs; None if it needs none."""

    def done(self, change: Change) -> None:
        """Record that the repair is on the board."""


class Request:
    """One caller's decision and its result."""

    def __init__(self, decide: Decide) -> None:
        self.decide = decide
        self.change: Change | None = None
        self.result: Transaction | None = None
        self.error: BaseException | None = None

    @property
    def settled(self) -> bool:
        return self.result is not None or self.error is not None

    @property
    def change_alone(self) -> bool:
        return self.change is not None and self.change.alone

    def outcome(self) -> Transaction:
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


def merged(changes: Sequence[Change]) -> Change:
    """Several changes as one commit."""
    files: dict[str, bytes | None] = {}
    relocated: dict[str, str] = {}
    for change in changes:
        files.update(change.files)
        relocated.update(change.relocated)
    return Change(
        subject=f"{changes[0].subject} (and {len(changes) - 1} more)",
        body="\n".join(change.subject for change in changes),
        files=files,
        relocated=relocated,
        tasks=tuple(task for change in changes for task in change.tasks),
        publish=tuple(move for change in changes for move in change.publish),
    )
