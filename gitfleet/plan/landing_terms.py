"""Whether work may land as it was claimed and proved: pure.

Work is proved for terms: the task's text and the settings. It lands only under these, and only on
the commit of the target that it was proved on.
"""

from __future__ import annotations

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.states import Role
from gitfleet.plan.coder_choice import choices
from gitfleet.plan.transitions.event_files import claimed_by
from gitfleet.plan.transitions.on_landing import LandingBlocker, landing_blocker


class ClaimGone(Struct, frozen=True):
    """The claim is gone from the board: nothing of its attempt counts any more."""

    reason: str = "its claim is gone"


class TermsChanged(Struct, frozen=True):
    """What was claimed is not what is wanted any more: the task or the settings changed."""

    what: str

    @property
    def reason(self) -> str:
        """A sentence for the board."""
        return f"{self.what} changed while it was proved; it is proved again"


class TargetMoved(Struct, frozen=True):
    """The target is not where the work was proved: another tree would land."""


Refusal = ClaimGone | LandingBlocker | TermsChanged | TargetMoved


class Terms(Struct, frozen=True):
    """What the work is proved for: the task's text and the settings, on one board."""

    board: Board
    entry: Entry

    @property
    def commands(self) -> tuple[str, ...]:
        """The checks the work must pass: those of all tasks, then the task's own, each once."""
        own = self.entry.task.checks if self.entry.task else ()
        return tuple(dict.fromkeys((*self.board.settings.checks, *own)))

    def difference(self, board: Board) -> TermsChanged | None:
        """What is no longer so on `board`, which has the task; None if the terms still hold."""
        if board.entries[self.entry.id].blob != self.entry.blob:
            return TermsChanged("the task")
        if board.settings != self.board.settings:
            return TermsChanged("the settings")
        return None


def blocker_on(board: Board, task: str, nonce: str) -> ClaimGone | LandingBlocker | None:
    """Why the attempt with this nonce must not land; None if no person or runner is in the way."""
    entry = claimed_by(board, task, nonce)
    return ClaimGone() if entry is None else landing_blocker(entry)


def current_terms(
    board: Board, claimed: Terms, claim: Claim
) -> Terms | TermsChanged | ClaimGone | LandingBlocker:
    """The terms on `board`, unless they are not the ones the work was `claimed` under.

    Set-up, time limits and validator are those of the claim. What passes under them must not count
    for settings that say something else.
    """
    task = claimed.entry.id
    if (blocker := blocker_on(board, task, claim.nonce)) is not None:
        return blocker
    if (changed := claimed.difference(board)) is not None:
        return changed
    entry = board.entries[task]
    if not _names_validator(board, entry, claim):
        # They changed between the choice of the validator and the commit that claimed the task.
        return TermsChanged("the settings")
    return Terms(board, entry)


def _names_validator(board: Board, entry: Entry, claim: Claim) -> bool:
    """Whether the settings name the claim's validator; or none, where the claim has none."""
    named = {choice.coder for choice in choices(board, entry, Role.VALIDATE)} or {""}
    return claim.coder in named


def landing_refusal(
    board: Board, terms: Terms, nonce: str, *, before: str, tip: str | None
) -> Refusal | None:
    """Why work proved for `terms` on the commit `before` must not land on `board`, now that the
    target is at `tip`; None if it may."""
    return (
        blocker_on(board, terms.entry.id, nonce)
        or terms.difference(board)
        or (TargetMoved() if tip != before else None)
    )
