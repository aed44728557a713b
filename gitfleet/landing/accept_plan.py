"""Validate a plan. Its tasks are already on the board, so nothing is merged or checked."""

from __future__ import annotations

from gitfleet.attempt import finish, workspace
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.context import AttemptContext
from gitfleet.landing import validator
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.land import Undecided, not_written
from gitfleet.landing.proof import NoLanding, attempt_of, end_without_landing, give_way
from gitfleet.landing.validator import Acceptance
from gitfleet.model.states import Outcome
from gitfleet.plan.landing_terms import ClaimGone, Terms
from gitfleet.plan.transitions import on_landing


def validate_plan(ctx: AttemptContext, known: Checkpoint | None) -> None:
    """Ask the validator about a plan, if one is configured, and write the attempt's end."""
    match _reviewed(ctx, known):
        case NoLanding() as end:
            end_without_landing(ctx, end)
        case Acceptance() as accepted:
            _accept(ctx, accepted)


def _reviewed(ctx: AttemptContext, known: Checkpoint | None) -> Acceptance | NoLanding:
    if not ctx.claimed.claim.coder:
        return Acceptance()
    try:
        if known is not None:
            return validator.attach(ctx, known, ())
        return validator.ask(ctx, _unchanged(ctx), ())
    finally:
        workspace.drop_check(ctx.project, ctx.task)


def _unchanged(ctx: AttemptContext) -> Candidate:
    """A plan's candidate: the target as it was when the attempt was claimed."""
    base = ctx.claimed.claim.base
    return Candidate(
        terms=Terms(ctx.claimed.board, ctx.claimed.entry),
        before=base,
        head=base,
        tree=ctx.project.objects.tree_of(base),
        commit=base,
    )


def _accept(ctx: AttemptContext, accepted: Acceptance) -> None:
    reason = accepted.reason or "its tasks are valid"
    attempt = attempt_of(ctx, Outcome.ACCEPTED, reason, review=accepted.review)
    result = finish.finish(
        ctx,
        attempt,
        lambda board, now: on_landing.accept_plan(board, now, task=ctx.task, attempt=attempt),
    )
    if result.won:
        return
    match not_written(ctx, result):
        case ClaimGone() | Undecided():
            return
        case blocker:
            end_without_landing(ctx, give_way(blocker, accepted.review))
