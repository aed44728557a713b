"""Ask the configured validator about a candidate, or attach to one that is already running.

Work is accepted only by a verdict, and only if the validator succeeded, did not tamper with the
repository and does not wait for an answer (`plan.outcome`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from msgspec import Struct, convert, to_builtins

from gitfleet.agent import outbox
from gitfleet.attempt import checkpoint, coder_run, mailbox, prompt, workspace
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.cleanup import drop_scratch
from gitfleet.attempt.context import AttemptContext
from gitfleet.attempt.do_work import tampering
from gitfleet.attempt.environment import environment, scratch
from gitfleet.errors import FleetError
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.proof import NoLanding, Review
from gitfleet.model.board import Entry
from gitfleet.model.event import Check
from gitfleet.model.states import Outcome
from gitfleet.model.verdict import Verdict
from gitfleet.plan.outcome import CoderRun, Evidence, decide
from gitfleet.plan.task_history import verdict_of


class Acceptance(Struct, frozen=True):
    """The work may land: a validator accepted it, now or before, or none is configured."""

    reason: str = ""  # as the validator gave it
    review: Review | None = None  # None: none was asked now


def review(
    ctx: AttemptContext, candidate: Candidate, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """The validator's decision on a candidate. Accepted if no validator needs to be asked."""
    if not _is_asked(ctx, candidate.terms.entry):
        return Acceptance()
    return ask(ctx, candidate, checks)


def _is_asked(ctx: AttemptContext, entry: Entry) -> bool:
    """Whether a validator is configured, and none has accepted this work before.

    An acceptance is for one text of the task. Without a validator, checks alone accept work; such
    an acceptance does not replace a validator's.
    """
    if not ctx.claimed.claim.coder:
        return False
    verdict = verdict_of(entry)
    done = verdict.attempt if verdict else None
    if done is None or done.outcome is not Outcome.ACCEPTED:
        return True
    return not done.coder or done.task_blob != entry.blob


def ask(
    ctx: AttemptContext, candidate: Candidate, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """Run the validator in a worktree of the candidate."""
    ctx.live.doing = "judging"
    entry, before = candidate.terms.entry, candidate.before
    path = workspace.check_out(ctx.project, ctx.task, candidate.commit)
    told = prompt.of_validation(ctx.project, ctx.claimed, entry, before, checks)
    with scratch(ctx.nonce) as tmp:
        env = environment(ctx.project, ctx.claimed, ctx.run_dir, tmp)
        env["GITFLEET_BASE"] = before
        why = workspace.fill(ctx, path, env)
        if why:
            raise FleetError(why)
        known = checkpoint.snapshot(ctx, candidate.record(checks))
        checkpoint.save(ctx, known)
        run = coder_run.run_coder(ctx, workspace=path, prompt=told, env=env)
    return _decision(ctx, run, known, checks)


def attach(
    ctx: AttemptContext, known: Checkpoint, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """Attach to the validator that an earlier process of this runner started."""
    ctx.live.doing = "judging"
    path = ctx.project.clone.check_workspace(ctx.task)
    env = environment(ctx.project, ctx.claimed, ctx.run_dir, Path(tempfile.gettempdir()))
    run = coder_run.attach_to_coder(ctx, workspace=path, env=env)
    drop_scratch(ctx.nonce)
    return _decision(ctx, run, known, checks)


def forget(ctx: AttemptContext) -> None:
    """Drop the verdict on a candidate that did not land: it does not hold for the next one."""
    checkpoint.drop(ctx.run_dir)
    outbox.forget_verdict(ctx.run_dir.outbox)


def _decision(
    ctx: AttemptContext, run: CoderRun, known: Checkpoint, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """The decision that follows from a validator's run."""
    mailbox.drain(ctx)
    question = mailbox.waits_for_answer(ctx)
    changed = tampering(ctx, known)
    verdict, why = outbox.verdict(ctx.run_dir.outbox)
    if verdict is not None:  # masked before anything of it is cut: half a secret is one, too
        verdict = convert(ctx.project.mask.data(to_builtins(verdict)), Verdict)
    end = decide(
        Evidence(
            role=ctx.claimed.claim.role,
            run=run,
            tampered=changed,
            question=question,
            verdict=verdict,
            no_verdict=why,
        )
    )
    review = Review(run, end)
    if verdict is not None and end.outcome is Outcome.ACCEPTED:
        return Acceptance(verdict.reason, review)
    rejected = verdict if end.outcome is Outcome.REJECTED else None
    return NoLanding(
        outcome=end.outcome,
        reason=end.reason,
        checks=checks,
        findings=rejected.findings if rejected else (),
        fix=rejected.fix if rejected else None,
        review=review,
    )
