"""Prove a candidate: compare its changes with the task's `paths`, and run its checks.

A shared check that also fails on the target alone is not the candidate's fault: the target is red,
and the work waits. A shared check that only the candidate breaks is a rejection, even if another
check is red on the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gitfleet.attempt.context import AttemptContext
from gitfleet.attempt.do_work import outside
from gitfleet.event_log import Action
from gitfleet.git import merge
from gitfleet.landing import checks
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.proof import NoLanding, Proved
from gitfleet.model.event import Check
from gitfleet.model.states import Outcome
from gitfleet.plan.outcome import StopRequest
from gitfleet.run_dir import CHECK, TARGET

_MOST_PATHS: Final = 50  # named where a change leaves its scope


def prove(ctx: AttemptContext, candidate: Candidate) -> Proved | NoLanding:
    """Check the scope of the candidate's changes, and run its checks on its tree."""
    strays = _out_of_scope(ctx, candidate)
    if strays:
        return NoLanding(
            outcome=Outcome.REJECTED,
            reason=f"it changes {len(strays)} files that it must not",
            findings=tuple(f"{path} is outside `paths`" for path in strays[:_MOST_PATHS]),
        )
    commands = candidate.terms.commands
    ran = checks.run_on(ctx, candidate.commit, commands, CHECK) if commands else ()
    if isinstance(ran, StopRequest):
        return NoLanding(outcome=ran.outcome, reason=ran.reason)
    failing = [check.command for check in ran if check.exit_code != 0]
    if not failing:
        ctx.project.report.settled(f"red {ctx.claimed.assignment.target}")
        return Proved(ran)
    shared = {*candidate.terms.board.settings.checks, checks.SETUP}
    red = _red_on_target(ctx, candidate, [one for one in failing if one in shared])
    if isinstance(red, StopRequest):
        return NoLanding(outcome=red.outcome, reason=red.reason)
    blamed = [command for command in failing if command not in red]
    if red and shared.isdisjoint(blamed):
        # A task's own check may fail only because the target is red.
        return _target_red(ctx, candidate, failing, ran)
    return NoLanding(
        outcome=Outcome.CHECKS_FAILED,
        reason=f"{len(blamed)} of {len(commands)} checks failed: {'; '.join(blamed)}",
        checks=tuple(check for check in ran if check.command in blamed or check.exit_code == 0),
    )


def _out_of_scope(ctx: AttemptContext, candidate: Candidate) -> list[str]:
    """The changed files that the task's `paths` do not allow."""
    task = candidate.terms.entry.task
    assert task is not None, "a task that does not validate lands nothing"
    paths = merge.changed_paths(ctx.project.repo, candidate.before, candidate.tree)
    return outside(task, paths)


def _red_on_target(
    ctx: AttemptContext, candidate: Candidate, shared: Sequence[str]
) -> frozenset[str] | StopRequest:
    """Which of these shared checks also fail on the target without the candidate.

    A task's own checks are not tried there: they fail until the work is done.
    """
    if not shared:
        return frozenset()
    commands = [command for command in shared if command != checks.SETUP]
    ran = checks.run_on(ctx, candidate.before, commands, TARGET)
    if isinstance(ran, StopRequest):
        return ran
    return frozenset(check.command for check in ran if check.exit_code != 0)


def _target_red(
    ctx: AttemptContext, candidate: Candidate, failing: Iterable[str], ran: tuple[Check, ...]
) -> NoLanding:
    target, names = ctx.claimed.assignment.target, "; ".join(failing)
    ctx.project.report.once(
        f"red {target}",
        Action.TARGET_RED,
        target=target,
        commit=candidate.before[:10],
        checks=names,
    )
    return NoLanding(
        outcome=Outcome.TARGET_RED,
        reason=f"{target} itself fails {names}; the task waits until that is fixed",
        base=candidate.before,
        checks=ran,
    )
