"""Move the target and the board in one transaction if nothing changed since the proof."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from gitfleet.attempt import finish
from gitfleet.attempt.context import AttemptContext
from gitfleet.board.backend import TxnStatus
from gitfleet.board.transaction import Transaction
from gitfleet.event_log import Action
from gitfleet.landing.blocked import BlockedBy
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.proof import Proved, attempt_of
from gitfleet.landing.trial_merge import AlreadyIn
from gitfleet.landing.validator import Acceptance
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move
from gitfleet.model.event import Attempt, Check, Landed
from gitfleet.model.states import Outcome
from gitfleet.plan.landing_terms import (
    ClaimGone,
    Refusal,
    TargetMoved,
    blocker_on,
    landing_refusal,
)
from gitfleet.plan.transitions import on_landing
from gitfleet.plan.transitions.on_landing import LandingBlocker


class Undecided(Struct, frozen=True):
    """The runner stops before it knows whether the push arrived. Its next start finds out."""


class _LandingDecision:
    """Decides on the newest board whether a candidate lands, and remembers why it did not."""

    def __init__(
        self, ctx: AttemptContext, candidate: Candidate, attempt: Attempt, landed: Landed
    ) -> None:
        self._ctx, self._candidate = ctx, candidate
        self._attempt, self._landed = attempt, landed
        self.move = Move(f"refs/heads/{landed.target}", candidate.before, candidate.commit)
        self.refusal: Refusal | None = None

    def decide(self, board: Board, now: datetime) -> Change | None:
        """The change that lands it; None if it must not land, and `refusal` says why."""
        before, tip = self._candidate.before, self._ctx.project.tip_of(self._landed.target)
        self.refusal = landing_refusal(
            board, self._candidate.terms, self._ctx.nonce, before=before, tip=tip
        )
        if self.refusal is not None:
            return None
        return on_landing.land(
            board,
            now,
            task=self._ctx.task,
            attempt=self._attempt,
            landed=self._landed,
            move=self.move,
        )


def land(
    ctx: AttemptContext, candidate: Candidate, proof: Proved, accepted: Acceptance
) -> Landed | Refusal | BlockedBy | Undecided:
    """Land a candidate that passed its checks and was accepted."""
    ctx.live.doing = "landing"
    reason = accepted.reason or _passed(proof.checks)
    attempt = attempt_of(ctx, Outcome.ACCEPTED, reason, proof.checks, accepted.review)
    landed = _landed_event(ctx, candidate.commit, candidate.head)
    landing = _LandingDecision(ctx, candidate, attempt, landed)
    result = finish.finish(ctx, attempt, landing.decide)
    if result.won:
        return _after(ctx, landed)
    if result.status is TxnStatus.UNKNOWN:
        return Undecided()
    if result.why:
        return BlockedBy(result.why, landing.move)
    return landing.refusal or TargetMoved()


def _passed(checks: tuple[Check, ...]) -> str:
    if not checks:
        return "there are no checks: merged untested"
    return "1 check passed" if len(checks) == 1 else f"{len(checks)} checks passed"


def record_manual_merge(
    ctx: AttemptContext, already: AlreadyIn
) -> Landed | ClaimGone | LandingBlocker | Undecided:
    """Record that a person merged the work: nothing moves."""
    reason = f"it is already in {ctx.claimed.assignment.target}"
    attempt = attempt_of(ctx, Outcome.ACCEPTED, reason, base=already.tip)
    landed = _landed_event(ctx, already.tip, already.head)
    result = finish.finish(
        ctx,
        attempt,
        lambda board, now: on_landing.land(
            board, now, task=ctx.task, attempt=attempt, landed=landed, move=None
        ),
    )
    return _after(ctx, landed) if result.won else not_written(ctx, result)


def not_written(ctx: AttemptContext, result: Transaction) -> ClaimGone | LandingBlocker | Undecided:
    """Why the board did not take the end of an attempt that needs its claim and no blocker."""
    return blocker_on(result.board, ctx.task, ctx.nonce) or Undecided()


def _landed_event(ctx: AttemptContext, commit: str, head: str) -> Landed:
    return Landed(
        runner=ctx.claimed.claim.runner,
        nonce=ctx.nonce,
        at=ctx.project.store.now(),
        target=ctx.claimed.assignment.target,
        merge=commit,
        head=head,
    )


def _after(ctx: AttemptContext, landed: Landed) -> Landed:
    ctx.project.report.action(
        Action.LANDED, task=ctx.task, target=landed.target, merge=landed.merge[:10]
    )
    finish.drop_workspaces(ctx.project, ctx.task)
    return landed
