"""Prove submitted work on the very tree that would land, and land it.

Merge on paper; check in a worktree of the merged tree; ask a validator, if one is configured; then
move the target and close the task in one transaction. If the target moved meanwhile, all over.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.agent import outbox
from gitfleet.attempt import checkpoint, coder_run, finish, mailbox, prompt, workspace
from gitfleet.attempt.checkpoint import Checkpoint, Validation
from gitfleet.attempt.cleanup import drop_scratch
from gitfleet.attempt.context import AttemptContext, BlockedLanding
from gitfleet.attempt.do_work import outside, tampering
from gitfleet.attempt.environment import environment, scratch
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.git import merge
from gitfleet.landing import checks
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Move
from gitfleet.model.durations import seconds
from gitfleet.model.event import Attempt, Check, Landed
from gitfleet.model.states import Outcome
from gitfleet.model.task import Task
from gitfleet.model.verdict import Fix, Verdict
from gitfleet.plan.outcome import AttemptEnd, CoderRun, Evidence, decide
from gitfleet.plan.task_history import submission_of, verdict_of
from gitfleet.plan.transitions import event_files, on_landing, on_rejection

_SETUP: Final = "workspace.setup"
_ROUNDS: Final = 20  # how often a target may move under a validation before it gives way


class _Moved(Exception):
    """The target moved: prove it again."""


class _Changed(Exception):
    """The task or the settings changed: what was claimed is not what is wanted any more."""


class Review(Struct, frozen=True, kw_only=True):
    """What a validator said of the work, and how it ended."""

    run: CoderRun
    end: AttemptEnd
    verdict: Verdict | None


class Proof(Struct, frozen=True, kw_only=True):
    """What is to land: made on one tip of the target, for one text of the task."""

    entry: Entry
    board: Board
    tip: str
    head: str
    tree: str
    merge: str


def validate(ctx: AttemptContext, before: Checkpoint | None = None) -> None:
    """Make one attempt at proving and landing, and write how it ended.

    `before`: another life of this runner had asked the validator already; it is gone on with.
    """
    if on_landing.is_plan(ctx.claimed.entry):
        _validate_plan(ctx, before)
        return
    try:
        for _ in range(_ROUNDS):
            try:
                if _prove(ctx, before):
                    return
            except _Moved:
                # Another tree would land: what was said of the old one does not hold for it.
                before = None
                checkpoint.drop(ctx.run_dir)
                outbox.forget_verdict(ctx.run_dir.outbox)
                ctx.project.report.action(
                    Action.REVALIDATING, task=ctx.task, reason="the target moved"
                )
        _settle(ctx, Outcome.INTERRUPTED, f"{ctx.claimed.assignment.target} moved {_ROUNDS} times")
    except _Changed:
        reason = "the task or the settings changed while it was proved; it is proved again"
        _settle(ctx, Outcome.INTERRUPTED, reason)
    except checks.Stopped:
        stopped = ctx.cancel.stopped
        assert stopped is not None
        _settle(ctx, stopped.outcome, stopped.reason)
    finally:
        workspace.drop_check(ctx.project, ctx.task)


def _prove(ctx: AttemptContext, before: Checkpoint | None) -> bool:
    """Prove what would land now, and land it. True: the attempt has ended."""
    review: Review | None = None
    if before is not None and before.proving is not None:
        proof = _taken_up(ctx, before.proving)
        ran = before.proving.checks
        review = _judge(ctx, proof, ran, before)
    else:
        merged = _merge(ctx)
        if merged is None:
            return True
        proof = merged
        failing, ran = _check(ctx, proof)
        if failing:
            return True
        if _needs_judge(ctx, proof):
            review = _judge(ctx, proof, ran)
    if not _refused(ctx, review, ran):
        failpoints.point("checks-passed")
        _land(ctx, proof, ran, review)
    return True


def _taken_up(ctx: AttemptContext, proving: Validation) -> Proof:
    """What was being proved when the runner died. Whether it still holds is seen at landing."""
    board = ctx.project.store.board_at(proving.board)
    entry = board.get(ctx.task)
    assert entry is not None, "it was claimed there"
    return Proof(
        entry=entry,
        board=board,
        tip=proving.tip,
        head=proving.head,
        tree=proving.tree,
        merge=proving.merge,
    )


def _settle(
    ctx: AttemptContext, outcome: Outcome, reason: str, checks_: tuple[Check, ...] = ()
) -> None:
    finish.write(ctx, finish.attempt_of(ctx, outcome=outcome, reason=reason, checks=checks_))


# -- merging


def _merge(ctx: AttemptContext) -> Proof | None:
    """Merge the work into the target's tip on paper; None if the attempt has ended with that."""
    project = ctx.project
    board = project.store.board()
    entry = event_files.claimed_by(board, ctx.task, ctx.nonce)
    if entry is None or on_landing.landing_blocker(entry):
        _give_way(ctx, entry)
        return None
    head = ctx.claimed.claim.head
    assert head is not None
    tip = project.tip_of(ctx.claimed.assignment.target)
    if tip is None:
        raise FleetError(f"the branch {ctx.claimed.assignment.target} is gone")
    ctx.live.doing = "merging"
    if project.objects.is_ancestor(head, tip):
        _landed_by_hand(ctx, tip, head)
        return None
    merged = merge.merge_trees(project.repo, tip, head)
    if merged.tree is None:
        files = ", ".join(merged.conflicts[:5])
        reason = f"it conflicts with {ctx.claimed.assignment.target} in {files}"
        attempt = finish.attempt_of(
            ctx, outcome=Outcome.CONFLICT, reason=reason, base=tip, findings=merged.conflicts
        )
        finish.write(ctx, attempt)
        return None
    if merged.tree == project.objects.tree_of(tip):
        _landed_by_hand(ctx, tip, head)
        return None
    commit = _merge_commit(ctx, entry, merged.tree, tip, head)
    failpoints.point("merge-made")
    return Proof(entry=entry, board=board, tip=tip, head=head, tree=merged.tree, merge=commit)


def _give_way(ctx: AttemptContext, entry: Entry | None) -> None:
    why = on_landing.landing_blocker(entry) if entry is not None else "its claim is gone"
    held = entry is not None and entry.task is not None and "hold" in why
    outcome = Outcome.INTERRUPTED if held else Outcome.CANCELLED
    _settle(ctx, outcome, why)


def _merge_commit(ctx: AttemptContext, entry: Entry, tree: str, tip: str, head: str) -> str:
    order, store = ctx.claimed, ctx.project.store
    submitted = submission_of(entry)
    done = submitted.attempt if submitted else None
    lines = [
        f"Merge {entry.id}: {entry.title}",
        "",
        f"Gitfleet-Task: {entry.id}",
        f"Gitfleet-Attempt: {done.attempt if done else order.claim.attempt}",
        f"Gitfleet-Coder: {done.coder if done and done.coder else '-'}",
        f"Gitfleet-Model: {done.model if done and done.model else '-'}",
        f"Gitfleet-Nonce: {ctx.nonce}",
    ]
    return store.write_merge(tree, [tip, head], "\n".join(lines) + "\n", order.board.settings.sign)


def _landed_by_hand(ctx: AttemptContext, tip: str, head: str) -> None:
    """Merging would change nothing: somebody did it already."""
    reason = f"it is in {ctx.claimed.assignment.target} already"
    attempt = finish.attempt_of(ctx, outcome=Outcome.ACCEPTED, reason=reason, base=tip)
    landed = _landed(ctx, tip, head)
    result = finish.finish(
        ctx,
        attempt,
        lambda board, now: on_landing.land(
            board, now, task=ctx.task, attempt=attempt, landed=landed, move=None
        ),
    )
    if result.won:
        _after_landing(ctx, landed)
    elif event_files.claimed_by(result.board, ctx.task, ctx.nonce):
        _give_way(ctx, result.board.get(ctx.task))


def _landed(ctx: AttemptContext, commit: str, head: str) -> Landed:
    return Landed(
        runner=ctx.claimed.claim.runner,
        nonce=ctx.nonce,
        at=ctx.project.store.now(),
        target=ctx.claimed.assignment.target,
        merge=commit,
        head=head,
    )


# -- checking


def _commands(proof: Proof) -> tuple[str, ...]:
    own = proof.entry.task.checks if proof.entry.task else ()
    return tuple(dict.fromkeys((*proof.board.settings.checks, *own)))


def _check(ctx: AttemptContext, proof: Proof) -> tuple[bool, tuple[Check, ...]]:
    """Scope and checks on the merged tree. True: something failed, and the attempt has ended."""
    task = proof.entry.task
    assert task is not None
    wrong = _scope(ctx, proof, task)
    if wrong:
        findings = tuple(f"{path} is outside of `paths`" for path in wrong[:50])
        _reject(ctx, Outcome.REJECTED, f"it changes {len(wrong)} files it may not", findings)
        return True, ()
    commands = _commands(proof)
    ran = _run(ctx, proof.merge, commands, "check")
    failing = [check.command for check in ran if check.exit_code != 0]
    if not failing:
        ctx.project.report.settled(f"red {ctx.claimed.assignment.target}")
        return False, ran
    red = _red(ctx, proof, failing)
    blamed = [command for command in failing if command not in red]
    shared = {*proof.board.settings.checks, _SETUP}
    if red and not shared & set(blamed):
        # A task's own check may fail only because of what is broken already.
        _target_is_red(ctx, proof, failing, ran)
        return True, ran
    shown = tuple(check for check in ran if check.command in blamed or check.exit_code == 0)
    reason = f"{len(blamed)} of {len(commands)} checks failed: {'; '.join(blamed)}"
    _reject(ctx, Outcome.CHECKS_FAILED, reason, (), shown)
    return True, ran


def _red(ctx: AttemptContext, proof: Proof, failing: list[str]) -> set[str]:
    """Which of the failing checks fail on the target as it is: nobody is blamed for those.

    Only those that all tasks share. A task's own check is there to fail until its work is done.
    """
    shared = {*proof.board.settings.checks, _SETUP}
    tried = [command for command in failing if command in shared]
    return {c.command for c in _run(ctx, proof.tip, tried, "target") if c.exit_code != 0}


def _scope(ctx: AttemptContext, proof: Proof, task: Task) -> list[str]:
    paths = merge.changed_paths(ctx.project.repo, proof.tip, proof.tree)
    return outside(task, paths)


def _run(
    ctx: AttemptContext, commit: str, commands: tuple[str, ...] | list[str], name: str
) -> tuple[Check, ...]:
    """Run commands in a fresh worktree of a commit. A set-up that fails is a failed check, too."""
    if not commands:
        return ()
    path = workspace.check_out(ctx.project, ctx.task, commit)
    with scratch(ctx.nonce) as tmp:
        env = environment(ctx.project, ctx.claimed, ctx.run_dir, tmp)
        why = workspace.fill(ctx, path, env)
        if why and ctx.cancel.stopped is not None:
            raise checks.Stopped
        if why:
            return (Check(command=_SETUP, exit_code=1, tail=why),)
        limit = seconds(ctx.claimed.board.settings.checks_timeout)
        real = [command for command in commands if command != _SETUP]
        return checks.run(ctx, real, path, env, limit=limit, name=name)


def _target_is_red(
    ctx: AttemptContext, proof: Proof, failing: list[str], ran: tuple[Check, ...]
) -> None:
    target = ctx.claimed.assignment.target
    reason = f"{target} itself fails {'; '.join(failing)}; it waits until that is repaired"
    ctx.project.report.once(
        f"red {target}",
        Action.TARGET_RED,
        target=target,
        commit=proof.tip[:10],
        checks="; ".join(failing),
    )
    attempt = finish.attempt_of(
        ctx, outcome=Outcome.TARGET_RED, reason=reason, base=proof.tip, checks=ran
    )
    finish.write(ctx, attempt)


# -- judging


def _needs_judge(ctx: AttemptContext, proof: Proof) -> bool:
    """Whether a validator is configured, and has not accepted this very work before."""
    if not ctx.claimed.claim.coder:
        return False
    verdict = verdict_of(proof.entry)
    done = verdict.attempt if verdict else None
    return not (done is not None and done.outcome is Outcome.ACCEPTED and done.head == proof.head)


def _judge(
    ctx: AttemptContext, proof: Proof, ran: tuple[Check, ...], before: Checkpoint | None = None
) -> Review:
    """Ask the validator, in a worktree of what would land; or hear out the one that was asked."""
    ctx.live.doing = "judging"
    if before is not None:
        path = ctx.project.clone.check_workspace(ctx.task)
        env = environment(ctx.project, ctx.claimed, ctx.run_dir, Path(tempfile.gettempdir()))
        run = coder_run.attach_to_coder(ctx, workspace=path, env=env)
        drop_scratch(ctx.nonce)
    else:
        run, before = _ask(ctx, proof, ran)
    mailbox.drain(ctx)
    question = mailbox.waits_for_answer(ctx)
    changed = tampering(ctx, before)
    verdict, why = outbox.verdict(ctx.run_dir.outbox)
    if verdict is not None:  # masked before anything of it is cut
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
    return Review(run=run, end=end, verdict=verdict)


def _ask(ctx: AttemptContext, proof: Proof, ran: tuple[Check, ...]) -> tuple[CoderRun, Checkpoint]:
    path = workspace.check_out(ctx.project, ctx.task, proof.merge)
    told = prompt.of_validation(ctx.project, ctx.claimed, proof.entry, proof.tip, ran)
    with scratch(ctx.nonce) as tmp:
        env = {
            **environment(ctx.project, ctx.claimed, ctx.run_dir, tmp),
            "GITFLEET_BASE": proof.tip,
        }
        why = workspace.fill(ctx, path, env)
        if why:
            raise FleetError(why)
        proving = Validation(
            board=proof.board.commit,
            tip=proof.tip,
            head=proof.head,
            tree=proof.tree,
            merge=proof.merge,
            checks=ran,
        )
        before = checkpoint.snapshot(ctx, proving)
        checkpoint.save(ctx, before)
        return coder_run.run_coder(ctx, workspace=path, prompt=told, env=env), before


def _refused(ctx: AttemptContext, review: Review | None, ran: tuple[Check, ...]) -> bool:
    """Whether the validator kept the work from landing; then the attempt has ended."""
    if review is None or review.end.outcome is Outcome.ACCEPTED:
        return False
    end, verdict = review.end, review.verdict
    if end.outcome is Outcome.REJECTED and verdict is not None:
        _reject(ctx, end.outcome, end.reason, verdict.findings, ran, verdict.fix, review)
    else:
        finish.write(ctx, _attempt(ctx, review, end.outcome, end.reason, ran))
    return True


def _attempt(
    ctx: AttemptContext,
    review: Review | None,
    outcome: Outcome,
    reason: str,
    ran: tuple[Check, ...],
) -> Attempt:
    if review is None:
        return finish.attempt_of(ctx, outcome=outcome, reason=reason, checks=ran)
    end = review.end
    return finish.attempt_of(
        ctx,
        outcome=outcome,
        reason=reason,
        run=review.run,
        until=end.until,
        session=end.session,
        checks=ran,
    )


def _reject(
    ctx: AttemptContext,
    outcome: Outcome,
    reason: str,
    findings: tuple[str, ...],
    ran: tuple[Check, ...] = (),
    fix: Fix | None = None,
    review: Review | None = None,
) -> None:
    mask = ctx.project.mask.text
    told = tuple(mask(finding) for finding in findings)
    attempt = replace(_attempt(ctx, review, outcome, reason, ran), findings=told)
    proposed = _proposed(mask, fix) if fix else None
    result = finish.finish(
        ctx,
        attempt,
        lambda board, _now: on_rejection.reject(
            board, task=ctx.task, attempt=attempt, fix=proposed
        ),
    )
    failpoints.point("rejected")
    entry = result.board.get(ctx.task)
    verdict = verdict_of(entry) if entry else None
    if result.won and verdict is not None and verdict.attempt is not None:
        fixer = verdict.attempt.fixed_by
        ctx.project.report.action(Action.REJECTED, task=ctx.task, fixed_by=fixer, reason=reason)


def _proposed(mask: Callable[[str], str], fix: Fix) -> Task:
    title, body = mask(fix.title), mask(fix.body)
    return Task(title=title, body=body, coder=fix.coder, model=fix.model)


# -- landing


def _land(
    ctx: AttemptContext,
    proof: Proof,
    ran: tuple[Check, ...],
    review: Review | None,
) -> None:
    """Move the target and close the task, if everything is as it was when it was proved."""
    target = ctx.claimed.assignment.target
    ref = f"refs/heads/{target}"
    reason = _accepted(review) or _passed(ran)
    attempt = _attempt(ctx, review, Outcome.ACCEPTED, reason, ran)
    landed = _landed(ctx, proof.merge, proof.head)
    move = Move(ref, proof.tip, proof.merge)

    def decide(board: Board, now: datetime) -> Change | None:
        entry = event_files.claimed_by(board, ctx.task, ctx.nonce)
        if entry is None or on_landing.landing_blocker(entry):
            return None
        if entry.blob != proof.entry.blob or board.settings != proof.board.settings:
            raise _Changed
        if ctx.project.tip_of(target) != proof.tip:
            raise _Moved
        return on_landing.land(board, now, task=ctx.task, attempt=attempt, landed=landed, move=move)

    ctx.live.doing = "landing"
    result = finish.finish(ctx, attempt, decide)
    if result.won:
        ctx.project.blocked.pop(ctx.task, None)
        _after_landing(ctx, landed)
    elif result.why:
        _wait(
            ctx, attempt, BlockedLanding(result.why, ref, proof.tip, proof.merge, time.monotonic())
        )
    elif event_files.claimed_by(result.board, ctx.task, ctx.nonce):
        _give_way(ctx, result.board.get(ctx.task))


def _accepted(review: Review | None) -> str:
    """Why the validator accepted it, if it said so."""
    return review.verdict.reason if review and review.verdict else ""


def _passed(ran: tuple[Check, ...]) -> str:
    if not ran:
        return "there are no checks: it landed unproved"
    return "1 check passed" if len(ran) == 1 else f"{len(ran)} checks passed"


def _wait(ctx: AttemptContext, attempt: Attempt, blocked: BlockedLanding) -> None:
    """The work is proved and cannot land just now: it stays accepted, and the reason is told."""
    ctx.project.blocked[ctx.task] = blocked
    finish.write(ctx, replace(attempt, reason=blocked.reason))
    ctx.project.report.once(
        f"blocked {ctx.task}", Action.BLOCKED, task=ctx.task, reason=blocked.reason
    )


def _after_landing(ctx: AttemptContext, landed: Landed) -> None:
    ctx.project.report.action(
        Action.LANDED, task=ctx.task, target=landed.target, merge=landed.merge[:10]
    )
    finish.drop_workspaces(ctx.project, ctx.task)


# -- plans


def _validate_plan(ctx: AttemptContext, before: Checkpoint | None) -> None:
    """A plan has nothing to merge: its tasks are on the board. A validator may judge them."""
    review: Review | None = None
    if ctx.claimed.claim.coder:
        tip = ctx.claimed.claim.base
        proof = Proof(
            entry=ctx.claimed.entry, board=ctx.claimed.board, tip=tip, head=tip, tree="", merge=tip
        )
        try:
            review = _judge(ctx, proof, (), before)
        finally:
            workspace.drop_check(ctx.project, ctx.task)
        if _refused(ctx, review, ()):
            return
    reason = _accepted(review) or "its tasks are valid"
    attempt = _attempt(ctx, review, Outcome.ACCEPTED, reason, ())
    result = finish.finish(
        ctx,
        attempt,
        lambda board, now: on_landing.accept_plan(board, now, task=ctx.task, attempt=attempt),
    )
    if not result.won and event_files.claimed_by(result.board, ctx.task, ctx.nonce):
        _give_way(ctx, result.board.get(ctx.task))
