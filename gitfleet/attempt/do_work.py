"""An attempt at work or at a plan: a workspace, a coder, and what it really did."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pathspec
from msgspec import Struct
from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt import (
    checkpoint,
    coder_run,
    coder_session,
    finish,
    mailbox,
    prompt,
    workspace,
)
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.cleanup import drop_scratch
from gitfleet.attempt.coder_run import CoderEnd
from gitfleet.attempt.context import AttemptContext, task_branch
from gitfleet.attempt.environment import committer_of, environment, identity, scratch
from gitfleet.attempt.start_point import StartPoint
from gitfleet.coders.base import Failure
from gitfleet.git import merge, refs, tamper, worktree
from gitfleet.git.command import git
from gitfleet.model.durations import counted
from gitfleet.model.states import Outcome, Role
from gitfleet.model.task import Task
from gitfleet.plan import questions
from gitfleet.plan.transitions import event_files


class WorkFacts(Struct, frozen=True, kw_only=True):
    """What a work attempt changed: seen in the repository, not told by the coder."""

    head: str
    commits: int
    paths: tuple[str, ...]


def do_work(ctx: AttemptContext, start_point: StartPoint) -> None:
    """Make one attempt at work or at a plan, and write how it ended."""
    order, project = ctx.claimed, ctx.project
    ctx.live.doing = "making the workspace"
    path = workspace.prepare(project, order, start_point)
    failpoints.point("workspace-made")
    with scratch(ctx.nonce) as tmp:
        env = environment(project, order, ctx.run_dir, tmp)
        why = workspace.fill(ctx, path, env)
        if why:
            stopped = ctx.cancel.stopped
            outcome = stopped.outcome if stopped else Outcome.FAILED
            attempt = finish.attempt_of(ctx, outcome=outcome, reason=why)
            finish.write(ctx, attempt)
            return
        coder_session.bring_over(ctx)
        told = coder_session.resume_prompt(project, order, start_point) or prompt.of_work(
            project, order, start_point
        )
        before = checkpoint.snapshot(ctx)
        checkpoint.save(ctx, before)
        ended = coder_run.run_coder(ctx, workspace=path, prompt=told, env=env)
        coder_run.collect(ctx)
    _conclude(ctx, path, ended, before)


def resume_work(ctx: AttemptContext, before: Checkpoint) -> None:
    """Bring an attempt to its end that another life of this runner began."""
    path = ctx.project.clone.workspace(ctx.task)
    tmp = Path(tempfile.gettempdir())  # its own one is where it was; nothing is started here
    env = environment(ctx.project, ctx.claimed, ctx.run_dir, tmp)
    ended = coder_run.attach_to_coder(ctx, workspace=path, env=env)
    coder_run.collect(ctx)
    drop_scratch(ctx.nonce)
    _conclude(ctx, path, ended, before)


def _conclude(ctx: AttemptContext, path: Path, ended: CoderEnd, before: Checkpoint) -> None:
    """Look at what really happened, and write how the attempt ended."""
    order = ctx.claimed
    if ended.failure is Failure.NO_SESSION:
        # It has done nothing wrong, and nothing at all: the next one begins afresh.
        ended = replace(ended, outcome=Outcome.INTERRUPTED, session="")
    mailbox.drain(ctx)
    parked = mailbox.waits_for_answer(ctx)
    tampered = tampering(ctx, before)
    facts = None
    if order.claim.role is Role.WORK:
        ended = _commit_rest(ctx, path, ended, parked)
        facts = inspect(ctx)
    failpoints.point("work-committed")
    outcome, reason = _judge(ctx, ended, facts, tampered, path)
    if parked and questions.overrules(outcome):
        if outcome is Outcome.CONTEXT_FULL:
            ended = replace(ended, session="")  # nothing more would go into it
        outcome, reason = Outcome.ASKED, parked
    _write(ctx, ended, facts, outcome, reason)
    if outcome is Outcome.CANCELLED or order.claim.role is Role.PLAN:
        finish.remove_workspace(ctx, path)


def tampering(ctx: AttemptContext, before: Checkpoint) -> tuple[str, ...]:
    """What the attempt changed of the repository that is not its own."""
    repo = ctx.project.repo
    changed = tamper.differences(before.print, tamper.fingerprint(repo))
    own = {f"refs/heads/{task_branch(ctx.task)}"}
    # A branch that the attempt made itself harms nobody: its work is missed on its own one.
    moved = tamper.moved_by(repo, committer_of(ctx.claimed), own)
    moved = tuple(ref for ref in moved if ref in before.branches)
    return (*changed, *(f"it moved {ref}" for ref in moved))


def _commit_rest(ctx: AttemptContext, path: Path, ended: CoderEnd, parked: str) -> CoderEnd:
    """Commit what a coder that ended well left uncommitted, unless it left a conflict unsolved.

    Also what one left that waits for an answer: any machine may go on with it.
    """
    workspace.unlock(path)
    if ended.outcome is not None and not parked:
        return ended
    unsolved = [
        name
        for name in git("diff", "--name-only", "-z", "--diff-filter=U", cwd=path).fields
        if _has_markers(path / name)
    ]
    if unsolved:
        reason = f"it left conflict markers in {', '.join(unsolved[:5])}"
        return replace(ended, outcome=Outcome.FAILED, reason=reason)
    task = ctx.claimed.entry.task
    assert task is not None
    sign = ctx.claimed.board.settings.sign
    title = f"{task.title} (unfinished: {parked})" if parked else task.title
    worktree.commit_all(path, title, identity(ctx.claimed), sign=sign)
    return ended


def _has_markers(path: Path) -> bool:
    try:
        return b"\n<<<<<<< " in b"\n" + path.read_bytes()
    except OSError:
        return False


def inspect(ctx: AttemptContext) -> WorkFacts | None:
    """What is on the task's branch now; None if there is no such branch."""
    repo = ctx.project.repo
    head = refs.read(repo, f"refs/heads/{task_branch(ctx.task)}")
    if head is None:
        return None
    base = ctx.claimed.claim.base
    count = git("rev-list", "--count", f"{base}..{head}", cwd=repo.here).out
    return WorkFacts(head=head, commits=int(count), paths=merge.changed_paths(repo, base, head))


def outside(task: Task, paths: tuple[str, ...]) -> list[str]:
    """Which paths a task's `paths` does not allow."""
    if not task.paths:
        return []
    allowed = pathspec.GitIgnoreSpec.from_lines(task.paths)
    return [path for path in paths if not allowed.match_file(path)]


def _judge(
    ctx: AttemptContext,
    ended: CoderEnd,
    facts: WorkFacts | None,
    tampered: tuple[str, ...],
    path: Path,
) -> tuple[Outcome, str]:
    """The outcome, from what was seen."""
    if tampered:
        return Outcome.TAMPERED, f"{'; '.join(tampered)} (if that was you, try it again)"
    if ended.outcome is not None:
        return ended.outcome, ended.reason
    if ctx.claimed.claim.role is Role.PLAN:
        return Outcome.SUBMITTED, "the plan is made"
    task = ctx.claimed.entry.task
    assert task is not None
    if facts is None:
        return Outcome.FAILED, f"its branch {task_branch(ctx.task)} is gone"
    if not ctx.project.objects.is_ancestor(ctx.claimed.claim.base, facts.head):
        return Outcome.FAILED, "its branch does not contain the commit it started from any more"
    if not facts.paths:
        if ended.denied:
            names = ", ".join(ended.denied)
            return Outcome.FAILED, f"it changed nothing: it may not use {names}"
        return Outcome.EMPTY, _why_empty(ctx, path)
    wrong = outside(task, facts.paths)
    if wrong:
        shown = ", ".join(wrong[:5]) + (" …" if len(wrong) > 5 else "")
        return Outcome.OUT_OF_SCOPE, f"it changed {shown}, and may touch only what `paths` says"
    return Outcome.SUBMITTED, (
        f"{counted(facts.commits, 'commit')}, {counted(len(facts.paths), 'file')} changed"
    )


def _why_empty(ctx: AttemptContext, path: Path) -> str:
    branch, _ = worktree.head(path)
    if branch != f"refs/heads/{task_branch(ctx.task)}":
        name = branch.removeprefix("refs/heads/") if branch else "a detached HEAD"
        return f"it changed nothing on {task_branch(ctx.task)}; it left the workspace on {name}"
    return "it ended well and changed nothing"


def _write(
    ctx: AttemptContext, ended: CoderEnd, facts: WorkFacts | None, outcome: Outcome, reason: str
) -> None:
    plan = ctx.claimed.claim.role is Role.PLAN
    # Of work only what did not get onto the board before, while the remote was away.
    wanted = outcome is Outcome.SUBMITTED or not plan
    additions = [letter.addition for letter in coder_run.read_filed_tasks(ctx)] if wanted else []
    if plan and wanted:
        if not additions:
            outcome, reason = Outcome.EMPTY, "it ended well and planned no task"
        else:
            reason = f"{counted(len(additions), 'task')} planned"
    attempt = finish.attempt_of(
        ctx,
        outcome=outcome,
        reason=reason,
        exit_code=ended.exit_code,
        signal=ended.signal,
        session=ended.session,
        tokens=ended.tokens,
        usd=ended.usd,
        until=ended.until,
        tool_calls=ended.tool_calls,
        head=facts.head if facts else None,
        commits=facts.commits if facts else 0,
        files_changed=len(facts.paths) if facts else 0,
    )
    won = finish.write(ctx, attempt, additions)
    if (
        not won
        and facts is not None
        and event_files.claimed_by(ctx.project.store.board(), ctx.task, ctx.nonce) is None
    ):
        workspace.save_tip(ctx.project, ctx.task, facts.head)
