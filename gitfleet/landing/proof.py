"""What proving a candidate comes to, and how an attempt ends on the board that lands nothing."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt import finish
from gitfleet.attempt.coder_run import CoderEnd
from gitfleet.attempt.context import AttemptContext
from gitfleet.model.event import Attempt, Check
from gitfleet.model.secrets import Mask
from gitfleet.model.states import REJECTIONS, Outcome
from gitfleet.model.task import Task
from gitfleet.model.verdict import Fix
from gitfleet.plan.landing_terms import ClaimGone, TermsChanged
from gitfleet.plan.status import verdict_of
from gitfleet.plan.transitions import on_rejection
from gitfleet.plan.transitions.on_landing import LandingBlocker, OnHold, Withdrawn


class Proved(Struct, frozen=True):
    """The candidate's tree passed these checks."""

    checks: tuple[Check, ...] = ()


class NoLanding(Struct, frozen=True, kw_only=True):
    """The attempt ends, and nothing lands: its outcome, why, and what was seen on the way."""

    outcome: Outcome
    reason: str
    base: str | None = None  # the target's tip, where the outcome speaks of it
    checks: tuple[Check, ...] = ()
    findings: tuple[str, ...] = ()
    fix: Fix | None = None  # the repair that a validator proposes
    run: CoderEnd | None = None  # the validator's, if one was asked


def give_way(
    refusal: ClaimGone | LandingBlocker | TermsChanged, run: CoderEnd | None = None
) -> NoLanding:
    """How an attempt ends whose work is not wanted, or not as it was claimed.

    What its validator used counts. Its session is over: it knows what is wanted no more.
    """
    match refusal:
        case OnHold(reason=reason) | TermsChanged(reason=reason):
            outcome = Outcome.INTERRUPTED
        case Withdrawn(reason=reason) | ClaimGone(reason=reason):
            outcome = Outcome.CANCELLED
    run = replace(run, session="") if run is not None else None
    return NoLanding(outcome=outcome, reason=reason, run=run)


def attempt_of(
    ctx: AttemptContext,
    outcome: Outcome,
    reason: str,
    checks: tuple[Check, ...] = (),
    run: CoderEnd | None = None,
    **facts: Any,
) -> Attempt:
    """The attempt's event: its outcome, its checks, and what its validator used."""
    used: dict[str, Any] = (
        {
            "exit_code": run.exit_code,
            "signal": run.signal,
            "session": run.session,
            "tokens": run.tokens,
            "usd": run.usd,
            "until": run.until,
            "tool_calls": run.tool_calls,
        }
        if run is not None
        else {}
    )
    return finish.attempt_of(ctx, outcome=outcome, reason=reason, checks=checks, **used, **facts)


def end_without_landing(ctx: AttemptContext, end: NoLanding) -> None:
    """Write the attempt's end; a rejection also creates the task that repairs the work."""
    facts = {"base": end.base} if end.base is not None else {}
    attempt = attempt_of(
        ctx, end.outcome, end.reason, end.checks, end.run, findings=end.findings, **facts
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
        fixer = verdict.attempt.fixed_by
        ctx.project.report.action("rejected", task=ctx.task, fixed_by=fixer, reason=attempt.reason)


def _repair(mask: Mask, fix: Fix) -> Task:
    """The proposed repair as a task, without secrets."""
    return Task(
        title=mask.text(fix.title), body=mask.text(fix.body), coder=fix.coder, model=fix.model
    )
