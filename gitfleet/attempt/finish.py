"""End an attempt: write its event, remove its claim and its workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt.context import AttemptContext, Project, task_branch
from gitfleet.attempt.workspace import discard
from gitfleet.board.backend import TxnStatus
from gitfleet.board.transaction import Transaction
from gitfleet.event_log import Action
from gitfleet.git import refs
from gitfleet.git.remote import RemoteRejected, Unreachable
from gitfleet.model.change import Decide, Move
from gitfleet.model.event import Attempt, Check
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.outcome import CoderRun
from gitfleet.plan.transitions import event_files, on_end, on_landing
from gitfleet.plan.transitions.add_tasks import Addition


def attempt_of(
    ctx: AttemptContext, *, outcome: Outcome, reason: str, run: CoderRun | None = None, **facts: Any
) -> Attempt:
    """The content of the event: from the claim and the coder's run, plus the facts."""
    ended = ctx.project.store.now()
    attempt = Attempt.of(ctx.claimed.claim, outcome, ctx.project.mask.text(reason), ended)
    known = {**(_of_run(run) if run else {}), **facts}
    return replace(attempt, **{key: _masked(ctx, fact) for key, fact in known.items()})


def _of_run(run: CoderRun) -> dict[str, Any]:
    return {
        "exit_code": run.exit.code if run.exit else None,
        "signal": run.exit.signal if run.exit else None,
        "tokens": run.tokens,
        "usd": run.usd,
        "tool_calls": run.tool_calls,
    }


def _masked(ctx: AttemptContext, fact: Any) -> Any:
    """A fact without secrets; checks contain foreign text, too."""
    if isinstance(fact, tuple):
        return tuple(_masked(ctx, item) for item in fact)
    if isinstance(fact, Check):
        text = ctx.project.mask.text
        return replace(fact, command=text(fact.command), tail=text(fact.tail))
    return ctx.project.mask.text(fact) if isinstance(fact, str) else fact


def write(ctx: AttemptContext, attempt: Attempt, additions: Sequence[Addition] = ()) -> bool:
    """End the attempt with this event. False if its claim is gone: then it does not count."""
    role = ctx.claimed.claim.role
    work = role is Role.WORK and attempt.head is not None
    branch = f"refs/heads/{task_branch(ctx.task)}"
    return finish(
        ctx,
        attempt,
        lambda board, now: on_end.end_attempt(
            board,
            task=ctx.task,
            attempt=attempt,
            role=role,
            additions=additions,
            publish=(Move(branch, None, attempt.head),) if work else (),
        ),
    ).won


def finish(ctx: AttemptContext, attempt: Attempt, decide: Decide) -> Transaction:
    """Make the change that ends the attempt, and log the result."""
    result = transact_until_known(ctx, decide)
    if result is None:
        return Transaction(
            status=TxnStatus.UNKNOWN, board=ctx.project.store.board(), why="unreachable"
        )
    if result.won or on_end.has_ended(result.board, ctx.task, attempt):
        failpoints.point("work-settled")
        ctx.project.clone.drop_pending(ctx.nonce)
        log_end(ctx, attempt)
        return replace(result, status=TxnStatus.WON)
    if not result.why and event_files.claimed_by(result.board, ctx.task, ctx.nonce) is None:
        ctx.project.clone.drop_pending(ctx.nonce)
        ctx.project.report.action(
            Action.FENCED, task=ctx.task, role=ctx.claimed.claim.role, outcome=attempt.outcome
        )
    return result


def transact_until_known(ctx: AttemptContext, decide: Decide) -> Transaction | None:
    """Transact until the result is known, however long the remote is away.

    None if the runner must end before that: then its next start settles the claim, which is still
    recorded.
    """
    pause = 0.5
    while True:
        try:
            result = ctx.project.store.transact(decide)
            if result.status is not TxnStatus.UNKNOWN:
                return result
        except (Unreachable, RemoteRejected) as error:
            ctx.project.report.once(
                f"offline {ctx.nonce}", Action.WAITING_FOR_REMOTE, task=ctx.task, reason=error.what
            )
        if ctx.project.giving_up.wait(pause):
            return None
        pause = min(30.0, pause * 2)


def log_end(ctx: AttemptContext, attempt: Attempt) -> None:
    """Log how the attempt ended."""
    ctx.project.report.action(
        Action.ENDED,
        task=ctx.task,
        role=ctx.claimed.claim.role,
        attempt=attempt.attempt,
        outcome=attempt.outcome,
        reason=attempt.reason,
        coder=attempt.coder,
    )


def with_head(project: Project, task: str, attempt: Attempt) -> Attempt:
    """The event with the tip of the task's branch, so that the next attempt finds the work."""
    head = refs.read(project.repo, f"refs/heads/{task_branch(task)}")
    return replace(attempt, head=head) if head else attempt


def drop_workspaces(project: Project, task: str) -> None:
    """Remove the workspaces of a landed task and of those that it repairs; all is saved first."""
    board = project.store.board()
    entry = board.get(task)
    for done in [task, *(above.id for above in on_landing.chain(board, entry))] if entry else []:
        path = project.clone.workspace(done)
        if path.exists():
            discard(project, done, path)


def remove_workspace(ctx: AttemptContext, path: Path) -> None:
    """Remove a workspace that no attempt will continue, saving its content."""
    discard(ctx.project, ctx.task, path)
