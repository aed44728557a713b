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

from gitfleet import faults
from gitfleet.errors import FleetError
from gitfleet.git import merge
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Move
from gitfleet.model.durations import seconds
from gitfleet.model.event import Attempt, Check, Landed
from gitfleet.model.states import Outcome
from gitfleet.model.task import Task
from gitfleet.model.verdict import Fix, Ruling, Verdict
from gitfleet.plan import asking, settle
from gitfleet.plan.standing import submission_of, verdict_of
from gitfleet.work import checks, coding, endings, hearing, outbox, prompt, record, workspace
from gitfleet.work.coding import Ended
from gitfleet.work.environment import environment, outbox_of, scratch
from gitfleet.work.fleet import Blocked, Underway
from gitfleet.work.implement import outside, tampering
from gitfleet.work.record import Proving, Record
from gitfleet.work.sweep import drop_scratch

_SETUP: Final = "workspace.setup"
_ROUNDS: Final = 20  # how often a target may move under a validation before it gives way


class _Moved(Exception):
    """The target moved: prove it again."""


class _Changed(Exception):
    """The task or the settings changed: what was claimed is not what is wanted any more."""


class Proof(Struct, frozen=True, kw_only=True):
    """What is to land: made on one tip of the target, for one text of the task."""

    entry: Entry
    board: Board
    tip: str
    head: str
    tree: str
    merge: str


def validate(way: Underway, before: Record | None = None) -> None:
    """Make one attempt at proving and landing, and write how it ended.

    `before`: another life of this runner had asked the validator already; it is gone on with.
    """
    if settle.is_plan(way.order.entry):
        _validate_plan(way, before)
        return
    try:
        for _ in range(_ROUNDS):
            try:
                if _prove(way, before):
                    return
            except _Moved:
                # Another tree would land: what was said of the old one does not hold for it.
                before = None
                record.drop(way.run_dir)
                outbox.forget_verdict(outbox_of(way.run_dir))
                way.fleet.report.action("again", task=way.task, reason="the target moved")
        _settle(way, Outcome.INTERRUPTED, f"{way.order.pick.target} moved {_ROUNDS} times")
    except _Changed:
        reason = "the task or the settings changed while it was proved; it is proved again"
        _settle(way, Outcome.INTERRUPTED, reason)
    except checks.Stopped:
        stopped = way.control.stopped
        assert stopped is not None
        _settle(way, stopped.outcome, stopped.reason)
    finally:
        workspace.drop_check(way.fleet, way.task)


def _prove(way: Underway, before: Record | None) -> bool:
    """Prove what would land now, and land it. True: the attempt has ended."""
    ended: Ended | None = None
    verdict: Verdict | None = None
    if before is not None and before.proving is not None:
        proof = _taken_up(way, before.proving)
        ran = before.proving.checks
        ended, verdict = _judge(way, proof, ran, before)
    else:
        merged = _merge(way)
        if merged is None:
            return True
        proof = merged
        failing, ran = _check(way, proof)
        if failing:
            return True
        if _needs_judge(way, proof):
            ended, verdict = _judge(way, proof, ran)
    if not _refused(way, ended, verdict, ran, proof):
        faults.point("checks-passed")
        _land(way, proof, ran, ended, verdict)
    return True


def _taken_up(way: Underway, proving: Proving) -> Proof:
    """What was being proved when the runner died. Whether it still holds is seen at landing."""
    board = way.fleet.store.board_at(proving.board)
    entry = board.get(way.task)
    assert entry is not None, "it was claimed there"
    return Proof(
        entry=entry,
        board=board,
        tip=proving.tip,
        head=proving.head,
        tree=proving.tree,
        merge=proving.merge,
    )


def _settle(way: Underway, outcome: Outcome, reason: str, checks_: tuple[Check, ...] = ()) -> None:
    endings.write(way, endings.attempt_of(way, outcome=outcome, reason=reason, checks=checks_))


# -- merging


def _merge(way: Underway) -> Proof | None:
    """Merge the work into the target's tip on paper; None if the attempt has ended with that."""
    fleet = way.fleet
    board = fleet.store.board()
    entry = settle.holds(board, way.task, way.nonce)
    if entry is None or settle.obstacle(entry):
        _give_way(way, entry)
        return None
    head = way.order.claim.head
    assert head is not None
    tip = fleet.tip_of(way.order.pick.target)
    if tip is None:
        raise FleetError(f"the branch {way.order.pick.target} is gone")
    way.live.doing = "merging"
    if fleet.objects.is_ancestor(head, tip):
        _landed_by_hand(way, tip, head)
        return None
    merged = merge.merge_trees(fleet.repo, tip, head)
    if merged.tree is None:
        files = ", ".join(merged.conflicts[:5])
        reason = f"it conflicts with {way.order.pick.target} in {files}"
        attempt = endings.attempt_of(
            way, outcome=Outcome.CONFLICT, reason=reason, base=tip, findings=merged.conflicts
        )
        endings.write(way, attempt)
        return None
    if merged.tree == fleet.objects.tree_of(tip):
        _landed_by_hand(way, tip, head)
        return None
    commit = _merge_commit(way, entry, merged.tree, tip, head)
    faults.point("merge-made")
    return Proof(entry=entry, board=board, tip=tip, head=head, tree=merged.tree, merge=commit)


def _give_way(way: Underway, entry: Entry | None) -> None:
    why = settle.obstacle(entry) if entry is not None else "its claim is gone"
    held = entry is not None and entry.task is not None and "hold" in why
    outcome = Outcome.INTERRUPTED if held else Outcome.CANCELLED
    _settle(way, outcome, why)


def _merge_commit(way: Underway, entry: Entry, tree: str, tip: str, head: str) -> str:
    order, store = way.order, way.fleet.store
    submitted = submission_of(entry)
    done = submitted.attempt if submitted else None
    lines = [
        f"Merge {entry.id}: {entry.title}",
        "",
        f"Gitfleet-Task: {entry.id}",
        f"Gitfleet-Attempt: {done.attempt if done else order.claim.attempt}",
        f"Gitfleet-Coder: {done.coder if done and done.coder else '-'}",
        f"Gitfleet-Model: {done.model if done and done.model else '-'}",
        f"Gitfleet-Nonce: {way.nonce}",
    ]
    return store.write_merge(tree, [tip, head], "\n".join(lines) + "\n", order.board.settings.sign)


def _landed_by_hand(way: Underway, tip: str, head: str) -> None:
    """Merging would change nothing: somebody did it already."""
    reason = f"it is in {way.order.pick.target} already"
    attempt = endings.attempt_of(way, outcome=Outcome.ACCEPTED, reason=reason, base=tip)
    landed = _landed(way, tip, head)
    result = endings.finish(
        way,
        attempt,
        lambda board, now: settle.land(
            board, now, task=way.task, attempt=attempt, landed=landed, move=None
        ),
    )
    if result.won:
        _after_landing(way, landed)
    elif settle.holds(result.board, way.task, way.nonce):
        _give_way(way, result.board.get(way.task))


def _landed(way: Underway, commit: str, head: str) -> Landed:
    return Landed(
        runner=way.order.claim.runner,
        nonce=way.nonce,
        at=way.fleet.store.now(),
        target=way.order.pick.target,
        merge=commit,
        head=head,
    )


# -- checking


def _commands(proof: Proof) -> tuple[str, ...]:
    own = proof.entry.task.checks if proof.entry.task else ()
    return tuple(dict.fromkeys((*proof.board.settings.checks, *own)))


def _check(way: Underway, proof: Proof) -> tuple[bool, tuple[Check, ...]]:
    """Scope and checks on the merged tree. True: something failed, and the attempt has ended."""
    task = proof.entry.task
    assert task is not None
    wrong = _scope(way, proof, task)
    if wrong:
        findings = tuple(f"{path} is outside of `paths`" for path in wrong[:50])
        _reject(way, Outcome.REJECTED, f"it changes {len(wrong)} files it may not", findings)
        return True, ()
    commands = _commands(proof)
    ran = _run(way, proof.merge, commands, "check")
    failing = [check.command for check in ran if check.exit_code != 0]
    if not failing:
        way.fleet.report.settled(f"red {way.order.pick.target}")
        return False, ran
    red = _red(way, proof, failing)
    blamed = [command for command in failing if command not in red]
    shared = {*proof.board.settings.checks, _SETUP}
    if red and not shared & set(blamed):
        # A task's own check may fail only because of what is broken already.
        _target_is_red(way, proof, failing, ran)
        return True, ran
    shown = tuple(check for check in ran if check.command in blamed or check.exit_code == 0)
    reason = f"{len(blamed)} of {len(commands)} checks failed: {'; '.join(blamed)}"
    _reject(way, Outcome.CHECKS_FAILED, reason, (), shown)
    return True, ran


def _red(way: Underway, proof: Proof, failing: list[str]) -> set[str]:
    """Which of the failing checks fail on the target as it is: nobody is blamed for those.

    Only those that all tasks share. A task's own check is there to fail until its work is done.
    """
    shared = {*proof.board.settings.checks, _SETUP}
    tried = [command for command in failing if command in shared]
    return {c.command for c in _run(way, proof.tip, tried, "target") if c.exit_code != 0}


def _scope(way: Underway, proof: Proof, task: Task) -> list[str]:
    paths = merge.changed_paths(way.fleet.repo, proof.tip, proof.tree)
    return outside(task, paths)


def _run(
    way: Underway, commit: str, commands: tuple[str, ...] | list[str], name: str
) -> tuple[Check, ...]:
    """Run commands in a fresh worktree of a commit. A set-up that fails is a failed check, too."""
    if not commands:
        return ()
    path = workspace.check_out(way.fleet, way.task, commit)
    with scratch(way.nonce) as tmp:
        env = environment(way.fleet, way.order, way.run_dir, tmp)
        why = workspace.fill(way, path, env)
        if why and way.control.stopped is not None:
            raise checks.Stopped
        if why:
            return (Check(command=_SETUP, exit_code=1, tail=why),)
        limit = seconds(way.order.board.settings.checks_timeout)
        real = [command for command in commands if command != _SETUP]
        return checks.run(way, real, path, env, limit=limit, name=name)


def _target_is_red(way: Underway, proof: Proof, failing: list[str], ran: tuple[Check, ...]) -> None:
    target = way.order.pick.target
    reason = f"{target} itself fails {'; '.join(failing)}; it waits until that is repaired"
    way.fleet.report.once(
        f"red {target}",
        "target-red",
        target=target,
        commit=proof.tip[:10],
        checks="; ".join(failing),
    )
    attempt = endings.attempt_of(
        way, outcome=Outcome.TARGET_RED, reason=reason, base=proof.tip, checks=ran
    )
    endings.write(way, attempt)


# -- judging


def _needs_judge(way: Underway, proof: Proof) -> bool:
    """Whether a validator is configured, and has not accepted this very work before."""
    if not way.order.claim.coder:
        return False
    verdict = verdict_of(proof.entry)
    done = verdict.attempt if verdict else None
    return not (done is not None and done.outcome is Outcome.ACCEPTED and done.head == proof.head)


def _judge(
    way: Underway, proof: Proof, ran: tuple[Check, ...], before: Record | None = None
) -> tuple[Ended, Verdict | None]:
    """Ask the validator, in a worktree of what would land; or hear out the one that was asked."""
    way.live.doing = "judging"
    if before is not None:
        path = way.fleet.clone.check_workspace(way.task)
        env = environment(way.fleet, way.order, way.run_dir, Path(tempfile.gettempdir()))
        ended = coding.go_on(way, workspace=path, env=env)
        drop_scratch(way.nonce)
    else:
        ended, before = _ask(way, proof, ran)
    hearing.last_words(way)
    parked = hearing.parked(way)
    changed = tampering(way, before)
    if changed:
        return Ended(outcome=Outcome.TAMPERED, reason="; ".join(changed)), None
    if parked and (ended.outcome is None or asking.overrules(ended.outcome)):
        return replace(ended, outcome=Outcome.ASKED, reason=parked), None
    if ended.outcome is not None:
        return ended, None
    verdict, why = outbox.verdict(outbox_of(way.run_dir))
    why = way.fleet.mask.text(why)
    if verdict is None:
        return Ended(outcome=Outcome.FAILED, reason=f"the validator ended, and {why}"), None
    plain = way.fleet.mask.data(to_builtins(verdict))  # before anything of it is cut
    return ended, convert(plain, Verdict)


def _ask(way: Underway, proof: Proof, ran: tuple[Check, ...]) -> tuple[Ended, Record]:
    path = workspace.check_out(way.fleet, way.task, proof.merge)
    told = prompt.of_validation(way.fleet, way.order, proof.entry, proof.tip, ran)
    with scratch(way.nonce) as tmp:
        env = {
            **environment(way.fleet, way.order, way.run_dir, tmp),
            "GITFLEET_BASE": proof.tip,
        }
        why = workspace.fill(way, path, env)
        if why:
            raise FleetError(why)
        proving = Proving(
            board=proof.board.commit,
            tip=proof.tip,
            head=proof.head,
            tree=proof.tree,
            merge=proof.merge,
            checks=ran,
        )
        before = record.look(way, proving)
        record.keep(way, before)
        return coding.run(way, workspace=path, prompt=told, env=env), before


def _refused(
    way: Underway,
    ended: Ended | None,
    verdict: Verdict | None,
    ran: tuple[Check, ...],
    proof: Proof,
) -> bool:
    """Whether the validator kept the work from landing; then the attempt has ended."""
    if ended is None:
        return False
    if verdict is None:
        attempt = _attempt(way, ended, ended.outcome or Outcome.FAILED, ended.reason, ran)
        endings.write(way, attempt)
        return True
    if verdict.verdict is Ruling.ACCEPTED:
        return False
    reason = verdict.reason or (verdict.findings[0] if verdict.findings else "it was rejected")
    _reject(way, Outcome.REJECTED, reason, verdict.findings, ran, verdict.fix, ended)
    return True


def _attempt(
    way: Underway, ended: Ended | None, outcome: Outcome, reason: str, ran: tuple[Check, ...]
) -> Attempt:
    facts = (
        {
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "session": ended.session,
            "tokens": ended.tokens,
            "usd": ended.usd,
            "until": ended.until,
            "tool_calls": ended.tool_calls,
        }
        if ended
        else {}
    )
    return endings.attempt_of(way, outcome=outcome, reason=reason, checks=ran, **facts)


def _reject(
    way: Underway,
    outcome: Outcome,
    reason: str,
    findings: tuple[str, ...],
    ran: tuple[Check, ...] = (),
    fix: Fix | None = None,
    ended: Ended | None = None,
) -> None:
    mask = way.fleet.mask.text
    told = tuple(mask(finding) for finding in findings)
    attempt = replace(_attempt(way, ended, outcome, reason, ran), findings=told)
    proposed = _proposed(mask, fix) if fix else None
    result = endings.finish(
        way,
        attempt,
        lambda board, _now: settle.reject(board, task=way.task, attempt=attempt, fix=proposed),
    )
    faults.point("rejected")
    entry = result.board.get(way.task)
    verdict = verdict_of(entry) if entry else None
    if result.won and verdict is not None and verdict.attempt is not None:
        fixer = verdict.attempt.fixed_by
        way.fleet.report.action("rejected", task=way.task, fixed_by=fixer, reason=reason)


def _proposed(mask: Callable[[str], str], fix: Fix) -> Task:
    title, body = mask(fix.title), mask(fix.body)
    return Task(title=title, body=body, coder=fix.coder, model=fix.model)


# -- landing


def _land(
    way: Underway,
    proof: Proof,
    ran: tuple[Check, ...],
    ended: Ended | None,
    verdict: Verdict | None,
) -> None:
    """Move the target and close the task, if everything is as it was when it was proved."""
    target = way.order.pick.target
    ref = f"refs/heads/{target}"
    reason = (verdict.reason if verdict else "") or _passed(ran)
    attempt = _attempt(way, ended, Outcome.ACCEPTED, reason, ran)
    landed = _landed(way, proof.merge, proof.head)
    move = Move(ref, proof.tip, proof.merge)

    def decide(board: Board, now: datetime) -> Change | None:
        entry = settle.holds(board, way.task, way.nonce)
        if entry is None or settle.obstacle(entry):
            return None
        if entry.blob != proof.entry.blob or board.settings != proof.board.settings:
            raise _Changed
        if way.fleet.tip_of(target) != proof.tip:
            raise _Moved
        return settle.land(board, now, task=way.task, attempt=attempt, landed=landed, move=move)

    way.live.doing = "landing"
    result = endings.finish(way, attempt, decide)
    if result.won:
        way.fleet.blocked.pop(way.task, None)
        _after_landing(way, landed)
    elif result.why:
        _wait(way, attempt, Blocked(result.why, ref, proof.tip, proof.merge, time.monotonic()))
    elif settle.holds(result.board, way.task, way.nonce):
        _give_way(way, result.board.get(way.task))


def _passed(ran: tuple[Check, ...]) -> str:
    if not ran:
        return "there are no checks: it landed unproved"
    return "1 check passed" if len(ran) == 1 else f"{len(ran)} checks passed"


def _wait(way: Underway, attempt: Attempt, blocked: Blocked) -> None:
    """The work is proved and cannot land just now: it stays accepted, and the reason is told."""
    way.fleet.blocked[way.task] = blocked
    endings.write(way, replace(attempt, reason=blocked.reason))
    way.fleet.report.once(f"blocked {way.task}", "blocked", task=way.task, reason=blocked.reason)


def _after_landing(way: Underway, landed: Landed) -> None:
    way.fleet.report.action("landed", task=way.task, target=landed.target, merge=landed.merge[:10])
    endings.drop_workspaces(way.fleet, way.task)


# -- plans


def _validate_plan(way: Underway, before: Record | None) -> None:
    """A plan has nothing to merge: its tasks are on the board. A validator may judge them."""
    ended: Ended | None = None
    verdict: Verdict | None = None
    if way.order.claim.coder:
        tip = way.order.claim.base
        proof = Proof(
            entry=way.order.entry, board=way.order.board, tip=tip, head=tip, tree="", merge=tip
        )
        try:
            ended, verdict = _judge(way, proof, (), before)
        finally:
            workspace.drop_check(way.fleet, way.task)
        if _refused(way, ended, verdict, (), proof):
            return
    reason = (verdict.reason if verdict else "") or "its tasks are valid"
    attempt = _attempt(way, ended, Outcome.ACCEPTED, reason, ())
    result = endings.finish(
        way,
        attempt,
        lambda board, now: settle.accept_plan(board, now, task=way.task, attempt=attempt),
    )
    if not result.won and settle.holds(result.board, way.task, way.nonce):
        _give_way(way, result.board.get(way.task))
