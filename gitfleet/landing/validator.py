"""Ask the configured validator about a candidate, or attach to the one that is already running.

A verdict counts only from a validator that ended well, changed nothing of the repository and waits
for no answer. Silence accepts nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from msgspec import Struct, convert, to_builtins

from gitfleet.agent import outbox
from gitfleet.attempt import checkpoint, coder_run, mailbox, prompt, workspace
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.cleanup import drop_scratch
from gitfleet.attempt.coder_run import CoderEnd
from gitfleet.attempt.context import AttemptContext
from gitfleet.attempt.do_work import tampering
from gitfleet.attempt.environment import environment, outbox_of, scratch
from gitfleet.errors import FleetError
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.proof import NoLanding
from gitfleet.model.board import Entry
from gitfleet.model.event import Check
from gitfleet.model.states import Outcome
from gitfleet.model.verdict import Ruling, Verdict
from gitfleet.plan import questions
from gitfleet.plan.status import verdict_of


class Acceptance(Struct, frozen=True):
    """The work may land: a validator said so, now or before, or none is configured."""

    reason: str = ""  # the validator's
    run: CoderEnd | None = None  # None: none was asked now


def judge(
    ctx: AttemptContext, candidate: Candidate, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """What the validator says of a candidate; an acceptance where none needs to be asked."""
    if not _is_asked(ctx, candidate.terms.entry):
        return Acceptance()
    return ask(ctx, candidate, checks)


def _is_asked(ctx: AttemptContext, entry: Entry) -> bool:
    """Whether a validator is configured, and none has accepted this very work before.

    An acceptance stands for the task's text that it was given for. Checks alone accept work too,
    where no validator is configured; that is no validator's word.
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
    """Run the validator in a worktree of the candidate; what it says."""
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
    return _said(ctx, run, known, checks)


def attach(
    ctx: AttemptContext, known: Checkpoint, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """What the validator says that another life of this runner asked."""
    ctx.live.doing = "judging"
    path = ctx.project.clone.check_workspace(ctx.task)
    env = environment(ctx.project, ctx.claimed, ctx.run_dir, Path(tempfile.gettempdir()))
    run = coder_run.attach_to_coder(ctx, workspace=path, env=env)
    drop_scratch(ctx.nonce)
    return _said(ctx, run, known, checks)


def forget(ctx: AttemptContext) -> None:
    """Drop what was said of a candidate that does not land: it does not hold for the next one."""
    checkpoint.drop(ctx.run_dir)
    outbox.forget_verdict(outbox_of(ctx.run_dir))


def _said(
    ctx: AttemptContext, run: CoderEnd, known: Checkpoint, checks: tuple[Check, ...]
) -> Acceptance | NoLanding:
    """What a validator's run comes to."""
    mailbox.drain(ctx)
    parked = mailbox.waits_for_answer(ctx)
    if changed := tampering(ctx, known):
        return NoLanding(
            outcome=Outcome.TAMPERED, reason="; ".join(changed), checks=checks, run=run
        )
    if parked and (run.outcome is None or questions.overrules(run.outcome)):
        return NoLanding(outcome=Outcome.ASKED, reason=parked, checks=checks, run=run)
    if run.outcome is not None:
        return NoLanding(outcome=run.outcome, reason=run.reason, checks=checks, run=run)
    verdict, why = outbox.verdict(outbox_of(ctx.run_dir))
    if verdict is None:
        reason = f"the validator ended, and {why}"
        return NoLanding(outcome=Outcome.FAILED, reason=reason, checks=checks, run=run)
    # Masked before anything of it is cut: half a secret is one, too.
    return _ruling(convert(ctx.project.mask.data(to_builtins(verdict)), Verdict), run, checks)


def _ruling(verdict: Verdict, run: CoderEnd, checks: tuple[Check, ...]) -> Acceptance | NoLanding:
    match verdict.verdict:
        case Ruling.ACCEPTED:
            return Acceptance(verdict.reason, run)
        case Ruling.REJECTED:
            return NoLanding(
                outcome=Outcome.REJECTED,
                reason=verdict.reason or next(iter(verdict.findings), "it was rejected"),
                findings=verdict.findings,
                fix=verdict.fix,
                checks=checks,
                run=run,
            )
