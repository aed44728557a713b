"""Decide whether work may land as it was claimed and proved. Pure.

Work is proved for terms: the task's text and the settings. It lands only if they still hold, and
only on the commit of the target that it was proved on.
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
    """The claim is no longer on the board: its attempt must not write."""

    reason: str = "its claim is gone"


class TermsChanged(Struct, frozen=True):
    """The task or the settings changed since the claim or the proof."""

    what: str

    @property
    def reason(self) -> str:
        """A sentence for the board."""
        return f"{self.what} changed during validation; it is validated again"


class TargetMoved(Struct, frozen=True):
    """The target is not at the commit of the proof: another tree would land."""


Refusal = ClaimGone | LandingBlocker | TermsChanged | TargetMoved


class Terms(Struct, frozen=True):
    """The task's text and the settings of one board, for which work is proved."""

    board: Board
    entry: Entry

    @property
    def commands(self) -> tuple[str, ...]:
        """The checks to pass: the shared ones, then the task's own, without duplicates."""
        own = self.entry.task.checks if self.entry.task else ()
        return tuple(dict.fromkeys((*self.board.settings.checks, *own)))

    def difference(self, board: Board) -> TermsChanged | None:
        """What changed on `board`, which has the task; None if the terms still hold."""
        if board.entries[self.entry.id].blob != self.entry.blob:
            return TermsChanged("the task")
        if board.settings != self.board.settings:
            return TermsChanged("the settings")
        return None


def blocker_on(board: Board, task: str, nonce: str) -> ClaimGone | LandingBlocker | None:
    """Why the attempt with this nonce must not land, whatever it proved; None if it may."""
    entry = claimed_by(board, task, nonce)
    return ClaimGone() if entry is None else landing_blocker(entry)


def current_terms(
    board: Board, claimed: Terms, claim: Claim
) -> Terms | TermsChanged | ClaimGone | LandingBlocker:
    """The terms on `board`, unless they changed since the work was `claimed`.

    The attempt runs with the set-up, time limits and validator of its claim. Checks that pass under
    these prove nothing for other settings.
    """
    task = claimed.entry.id
    if (blocker := blocker_on(board, task, claim.nonce)) is not None:
        return blocker
    if (changed := claimed.difference(board)) is not None:
        return changed
    entry = board.entries[task]
    if not _names_validator(board, entry, claim):
        # The settings changed between the choice of the validator and the claim's commit.
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
