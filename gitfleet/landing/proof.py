"""The result of proving a candidate, and the end of an attempt that lands nothing."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt import finish
from gitfleet.attempt.context import AttemptContext
from gitfleet.event_log import Action
from gitfleet.model.event import Attempt, Check
from gitfleet.model.secrets import Mask
from gitfleet.model.states import REJECTIONS, Outcome
from gitfleet.model.task import Task
from gitfleet.model.verdict import Fix
from gitfleet.plan.landing_terms import ClaimGone, TermsChanged
from gitfleet.plan.outcome import AttemptEnd, CoderRun
from gitfleet.plan.task_history import verdict_of
from gitfleet.plan.transitions import on_rejection
from gitfleet.plan.transitions.on_landing import LandingBlocker, OnHold, Withdrawn


class Proved(Struct, frozen=True):
    """The candidate's tree passed these checks."""

    checks: tuple[Check, ...] = ()


class Review(Struct, frozen=True):
    """A validator's run, and the end that follows from it."""

    run: CoderRun
    end: AttemptEnd


class NoLanding(Struct, frozen=True, kw_only=True):
    """The end of an attempt that lands nothing: its outcome, the reason and the findings."""

    outcome: Outcome
    reason: str
    base: str | None = None  # the target's tip, where the outcome speaks of it
    checks: tuple[Check, ...] = ()
    findings: tuple[str, ...] = ()
    fix: Fix | None = None  # the repair that a validator proposes
    review: Review | None = None  # if a validator was asked


def give_way(
    refusal: ClaimGone | LandingBlocker | TermsChanged, review: Review | None = None
) -> NoLanding:
    """The end of an attempt whose work is not wanted, or not under the terms of its claim.

    The validator's usage counts. Its session is not resumed: it knows only the old terms.
    """
    match refusal:
        case OnHold(reason=reason) | TermsChanged(reason=reason):
            outcome = Outcome.INTERRUPTED
        case Withdrawn(reason=reason) | ClaimGone(reason=reason):
            outcome = Outcome.CANCELLED
    if review is not None:
        review = replace(review, end=replace(review.end, session=""))
    return NoLanding(outcome=outcome, reason=reason, review=review)


def attempt_of(
    ctx: AttemptContext,
    outcome: Outcome,
    reason: str,
    checks: tuple[Check, ...] = (),
    review: Review | None = None,
    **facts: Any,
) -> Attempt:
    """The attempt's event: its outcome, its checks and the validator's usage."""
    if review is not None:
        facts |= {"run": review.run, "until": review.end.until, "session": review.end.session}
    return finish.attempt_of(ctx, outcome=outcome, reason=reason, checks=checks, **facts)


def end_without_landing(ctx: AttemptContext, end: NoLanding) -> None:
    """Write the attempt's end. A rejection also creates the fix task."""
    facts = {"base": end.base} if end.base is not None else {}
    attempt = attempt_of(
        ctx, end.outcome, end.reason, end.checks, end.review, findings=end.findings, **facts
    )
    if end.outcome in REJECTIONS:
        _reject(ctx, attempt, _repair(ctx.project.mask, end.fix) if end.fix else None)
    else:
        finish.write(ctx, attempt)


def _reject(ctx: AttemptContext, attempt: Attempt, fix: Task | None) -> None:
    result = finish.finish(
        ctx,
        attempt,
        lambda board, _now: on_rejection.reject(board, task=ctx.task, attempt=attempt, fix=fix),
    )
    failpoints.point("rejected")
    entry = result.board.get(ctx.task)
    verdict = verdict_of(entry) if entry else None
    if result.won and verdict is not None and verdict.attempt is not None:
        fix_task = verdict.attempt.fixed_by
        ctx.project.report.action(
            Action.REJECTED, task=ctx.task, fixed_by=fix_task, reason=attempt.reason
        )


def _repair(mask: Mask, fix: Fix) -> Task:
    """The proposed repair as a task, without secrets."""
    return Task(
        title=mask.text(fix.title), body=mask.text(fix.body), coder=fix.coder, model=fix.model
    )
