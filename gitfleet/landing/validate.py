"""Prove submitted work on the exact tree that would land, and land it: the sequence of steps.

Make a candidate by a trial merge, check its tree, ask the validator if one is configured, then move
target and board in one transaction. If the target moved meanwhile, start again.
"""

from __future__ import annotations

from typing import Final

from gitfleet import failpoints
from gitfleet.attempt import workspace
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.context import AttemptContext
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.landing import land, validator
from gitfleet.landing.accept_plan import validate_plan
from gitfleet.landing.blocked import BlockedBy, BlockedLandings
from gitfleet.landing.candidate import Candidate, restore
from gitfleet.landing.land import Undecided
from gitfleet.landing.proof import NoLanding, Proved, end_without_landing, give_way
from gitfleet.landing.prove import prove
from gitfleet.landing.trial_merge import AlreadyIn, Conflicting, merge_on_trial
from gitfleet.landing.validator import Acceptance
from gitfleet.model.event import Landed
from gitfleet.model.states import Outcome
from gitfleet.plan.landing_terms import ClaimGone, TargetMoved, Terms, TermsChanged, current_terms
from gitfleet.plan.transitions.on_landing import OnHold, Withdrawn, is_plan

_ROUNDS: Final = 20  # moves of the target before the attempt gives up its turn

# The end of one attempt. Only NoLanding is still to be written on the board.
_End = Landed | NoLanding | ClaimGone | Undecided


def validate(
    ctx: AttemptContext, blocked: BlockedLandings, known: Checkpoint | None = None
) -> None:
    """Make one attempt at proving and landing, and write its end.

    `known`: an earlier process of this runner started the validator; attach to it.
    """
    if is_plan(ctx.claimed.entry):
        validate_plan(ctx, known)
        return
    try:
        end = _rounds(ctx, blocked, known)
        if isinstance(end, NoLanding):
            end_without_landing(ctx, end)
    finally:
        workspace.drop_check(ctx.project, ctx.task)


def _rounds(ctx: AttemptContext, blocked: BlockedLandings, known: Checkpoint | None) -> _End:
    """Try again for as long as the target moves meanwhile."""
    for _ in range(_ROUNDS):
        end = _round(ctx, blocked, known)
        if not isinstance(end, TargetMoved):
            return end
        known = None
        validator.forget(ctx)
        ctx.project.report.action(Action.REVALIDATING, task=ctx.task, reason="the target moved")
    reason = f"{ctx.claimed.assignment.target} moved {_ROUNDS} times"
    return NoLanding(outcome=Outcome.INTERRUPTED, reason=reason)


def _round(
    ctx: AttemptContext, blocked: BlockedLandings, known: Checkpoint | None
) -> _End | TargetMoved:
    """Make a candidate on the target's tip, prove it, have it reviewed, land it."""
    if known is not None and known.proving is not None:
        candidate, proof = restore(ctx, known.proving), Proved(known.proving.checks)
        reviewed = validator.attach(ctx, known, proof.checks)
    else:
        made = _candidate(ctx)
        if not isinstance(made, Candidate):
            return made
        checked = prove(ctx, made)
        if not isinstance(checked, Proved):
            return checked
        candidate, proof = made, checked
        reviewed = validator.review(ctx, candidate, proof.checks)
    if not isinstance(reviewed, Acceptance):
        return reviewed
    failpoints.point("checks-passed")
    return _land(ctx, blocked, candidate, proof, reviewed)


def _candidate(ctx: AttemptContext) -> Candidate | _End:
    """The claimed work merged into the target's tip, or the end of the attempt."""
    claimed = Terms(ctx.claimed.board, ctx.claimed.entry)
    terms = current_terms(ctx.project.store.board(), claimed, ctx.claimed.claim)
    if not isinstance(terms, Terms):
        return give_way(terms)
    target = ctx.claimed.assignment.target
    tip = ctx.project.tip_of(target)
    if tip is None:
        raise FleetError(f"the branch {target} is gone")
    match merge_on_trial(ctx, terms, tip):
        case Candidate() as candidate:
            return candidate
        case Conflicting(files=files):
            return NoLanding(
                outcome=Outcome.CONFLICT,
                reason=f"it conflicts with {target} in {', '.join(files[:5])}",
                base=tip,
                findings=files,
            )
        case AlreadyIn() as already:
            match land.record_manual_merge(ctx, already):
                case OnHold() | Withdrawn() as blocker:
                    return give_way(blocker)
                case end:
                    return end


def _land(
    ctx: AttemptContext,
    blocked: BlockedLandings,
    candidate: Candidate,
    proof: Proved,
    accepted: Acceptance,
) -> _End | TargetMoved:
    """Land proved and accepted work. It stays accepted if it cannot land now."""
    match land.land(ctx, candidate, proof, accepted):
        case Landed() as landed:
            blocked.drop(ctx.task)
            return landed
        case BlockedBy() as by:
            blocked.add(ctx.task, by)
            return NoLanding(
                outcome=Outcome.ACCEPTED,
                reason=by.reason,
                checks=proof.checks,
                review=accepted.review,
            )
        case OnHold() | Withdrawn() | TermsChanged() as refusal:
            return give_way(refusal, accepted.review)
        case TargetMoved() | ClaimGone() | Undecided() as end:
            return end
