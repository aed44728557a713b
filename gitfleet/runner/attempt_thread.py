"""The thread of one attempt: run it and record its end, also after an error or a crash."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Collection
from typing import Final

from gitfleet.attempt import checkpoint, finish, mailbox
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.claim_tasks import claimed_task_of
from gitfleet.attempt.cleanup import drop_scratch
from gitfleet.attempt.context import AttemptContext, ClaimedTask, Project, task_branch
from gitfleet.attempt.do_work import do_work, resume_work
from gitfleet.attempt.start_point import StartPoint
from gitfleet.attempt.workspace import drop_check
from gitfleet.board.backend import TxnStatus
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.git.commits import trailers
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.landing.validate import validate
from gitfleet.model.board import Board
from gitfleet.model.change import Move
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Landed
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.outcome import CoderRun, Evidence, decide
from gitfleet.plan.transitions import event_files, on_end, on_landing
from gitfleet.process.kill import GRACE
from gitfleet.run_dir import RunDir

_STARTING: Final = 10.0  # seconds
_LOOK_AGAIN: Final = 0.05
_FAR = 10_000  # commits of the target searched for an interrupted landing


def run_attempt(
    ctx: AttemptContext, begin: StartPoint | Checkpoint, blocked: BlockedLandings
) -> None:
    """Run the attempt, or with a Checkpoint continue one that an earlier run of the runner started.

    Never raises: an error of ours ends the attempt as `interrupted`, and is logged.
    """
    ctx.run_dir.outbox.mkdir(parents=True, exist_ok=True)
    ctx.run_dir.inbox.mkdir(exist_ok=True)
    if isinstance(begin, StartPoint):  # a continued attempt got its messages when it was claimed
        mailbox.deliver(ctx.project, ctx.claimed.board, ctx.task, ctx.run_dir)
    try:
        match ctx.claimed.claim.role, begin:
            case Role.VALIDATE, Checkpoint():
                validate(ctx, blocked, begin)
            case Role.VALIDATE, _:
                validate(ctx, blocked)
            case _, Checkpoint():
                resume_work(ctx, begin)
            case _, StartPoint():
                do_work(ctx, begin)
    except FleetError as error:
        _give_up(ctx, error.what)
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk may be the cause
            ctx.run_dir.error.write_text(traceback.format_exc())
        _give_up(ctx, f"gitfleet failed: {type(error).__name__}: {error}")


def _give_up(ctx: AttemptContext, reason: str) -> None:
    ctx.project.report.action(Action.ERROR, task=ctx.task, reason=reason)
    # The next attempt may start as soon as this one has ended: none of its processes may run then.
    _end_all(ctx.project, ctx.run_dir, ctx.nonce)
    question = ""
    used = ctx.live.tokens  # a budget counts them, no matter how the attempt ends
    run = CoderRun(stop=ctx.cancel.stopped, fault=reason, tokens=used)
    with contextlib.suppress(FleetError):  # the board cannot be read now: then it asked nothing
        question = mailbox.waits_for_answer(ctx)
    end = decide(Evidence(role=ctx.claimed.claim.role, run=run, question=question))
    attempt = finish.attempt_of(ctx, outcome=end.outcome, reason=end.reason, run=run)
    finish.write(ctx, attempt)


def _end_all(project: Project, run_dir: RunDir, nonce: str) -> None:
    """End every process of an attempt: by what its run directory tells, and by its marker."""
    run = project.executor.attach(run_dir)
    try:
        project.executor.end(run, nonce, grace=GRACE)
    finally:
        if run is not None:
            run.close()
    drop_scratch(nonce)


# -- after a crash


def survivors(project: Project, busy: Collection[str] = ()) -> list[tuple[ClaimedTask, Checkpoint]]:
    """A dead runner's attempts in this clone whose coder was started: live, or ended meanwhile.

    `busy`: nonces of attempts that were resumed already.
    """
    board = project.store.board()
    held = project.clone.pending_claims()
    found = []
    for nonce, (task, claim) in _claims(board).items():
        if nonce not in held or nonce in busy:
            continue
        if claim.role is Role.VALIDATE and _landed_commit(project, task, claim):
            continue  # no work is left to validate
        known = _begun(project, project.clone.run_dir(task, claim.attempt, nonce), nonce)
        if known is not None:
            found.append((_claimed_then(project, board, task, claim, known), known))
    return found


def _claimed_then(
    project: Project, board: Board, task: str, claim: Claim, known: Checkpoint
) -> ClaimedTask:
    """The task as it was claimed: the task and its coder may have changed since."""
    if known.board and project.objects.exists(known.board):
        then = project.store.board_at(known.board)
        if event_files.claimed_by(then, task, claim.nonce) is not None:
            board = then
    claimed = claimed_task_of(project, board, task)
    assert claimed is not None, "its claim is on the board"
    return claimed


def _claims(board: Board) -> dict[str, tuple[str, Claim]]:
    return {
        entry.claim.nonce: (entry.id, entry.claim)
        for entry in board.entries.values()
        if entry.claim is not None
    }


def end_dead_attempts(project: Project, busy: Collection[str] = ()) -> None:
    """End the attempts that a dead runner of this clone left.

    Only our own claims, and none of `busy`, the nonces of resumed attempts.
    """
    claims = _claims(project.store.board())
    for nonce, held in project.clone.pending_claims().items():
        if nonce in busy:
            continue
        _end_all(project, project.clone.run_dir(held.task, held.attempt, nonce), nonce)
        if nonce in claims:
            task, claim = claims[nonce]
            if not _settle_one(project, task, claim):
                continue
        elif project.store.backend.remote is not None:
            continue  # its push may still arrive: the loop knows when it is too late for that
        project.clone.drop_pending(nonce)


def _begun(project: Project, run_dir: RunDir, nonce: str) -> Checkpoint | None:
    """The checkpoint of an attempt whose coder was started; None if none was."""
    known = checkpoint.load_checkpoint(run_dir)
    if known is None:
        return None
    deadline = time.monotonic() + _STARTING
    while (run := project.executor.attach(run_dir)) is None:
        # The runner died while a supervisor was starting: its record appears any moment.
        if time.monotonic() >= deadline or not project.executor.find_left(nonce):
            return None
        time.sleep(_LOOK_AGAIN)
    run.close()
    return known


def end_orphan_claim(project: Project, task: str, nonce: str) -> None:
    """End one of this runner's claims that has no attempt.

    Its thread died, or the board was rewound to where the claim still existed. Raises FleetError
    while the board cannot be written: then the caller tries again.
    """
    entry = project.store.board().get(task)
    if entry is None or entry.claim is None or entry.claim.nonce != nonce:
        return
    project.executor.end(None, nonce, grace=GRACE)
    drop_scratch(nonce)
    if _settle_one(project, task, entry.claim):
        project.clone.drop_pending(nonce)


def _settle_one(project: Project, task: str, claim: Claim) -> bool:
    """Write the end of a claim without an attempt. False if it is unknown whether it arrived."""
    if claim.role is Role.VALIDATE and (commit := _landed_commit(project, task, claim)):
        return _complete(project, task, claim, commit)
    run_dir = project.clone.run_dir(task, claim.attempt, claim.nonce)
    question = mailbox.last_question(project, task, claim, run_dir)
    if question is None:
        return False
    run = CoderRun(fault="its runner died")
    end = decide(Evidence(role=claim.role, run=run, question=question))
    attempt = Attempt.of(claim, end.outcome, end.reason, project.store.now())
    if claim.role is Role.WORK:
        attempt = finish.with_head(project, task, attempt)
    # Other machines continue the work at that head: it must be on the remote.
    branch = f"refs/heads/{task_branch(task)}"
    work = claim.role is Role.WORK and attempt.head is not None
    publish = (Move(branch, None, attempt.head),) if work else ()
    result = project.store.transact(
        lambda board, now: on_end.end_attempt(
            board, task=task, attempt=attempt, role=claim.role, publish=publish
        )
    )
    if result.status is TxnStatus.UNKNOWN:
        return False
    project.report.action(Action.RECOVERED, task=task, role=claim.role, outcome=attempt.outcome)
    if claim.role is Role.VALIDATE:
        drop_check(project, task)
    return True


def _landed_commit(project: Project, task: str, claim: Claim) -> str | None:
    """The merge of exactly this claim in the target, if the runner died between the two refs.

    It counts only if it is on the first-parent line, carries the claim's nonce, and its second
    parent is the submitted head.
    """
    entry = project.store.board().get(task)
    if entry is None or entry.task is None:
        return None
    at = project.tip_of(_target(project, task))
    for _ in range(_FAR):
        if at is None or at == claim.base:
            return None
        commit = project.objects.commit(at)
        if trailers(commit.message).get("Gitfleet-Nonce") == claim.nonce:
            return at if commit.parents[1:] == (claim.head,) else None
        at = commit.parents[0] if commit.parents else None
    return None


def _target(project: Project, task: str) -> str:
    board = project.store.board()
    entry = board.get(task)
    own = entry.task.base if entry and entry.task else None
    return own or board.settings.target or project.default_target


def _complete(project: Project, task: str, claim: Claim, commit: str) -> bool:
    reason = "landed; its runner died just then"
    attempt = Attempt.of(claim, Outcome.ACCEPTED, reason, project.store.now())
    landed = Landed(
        runner=project.runner,
        nonce=claim.nonce,
        at=project.store.now(),
        target=_target(project, task),
        merge=commit,
        head=claim.head,
    )
    result = project.store.transact(
        lambda board, now: on_landing.land(
            board, now, task=task, attempt=attempt, landed=landed, move=None, forced=True
        )
    )
    if result.status is TxnStatus.UNKNOWN:
        return False
    project.report.action(Action.RECOVERED, task=task, role=claim.role, outcome="landed")
    drop_check(project, task)
    finish.drop_workspaces(project, task)
    return True
