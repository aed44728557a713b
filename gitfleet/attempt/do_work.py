"""An attempt at work or a plan: run a coder, commit what it left uncommitted, inspect it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pathspec
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
from gitfleet.attempt.context import AttemptContext, task_branch
from gitfleet.attempt.environment import committer_of, environment, identity, scratch
from gitfleet.attempt.start_point import StartPoint
from gitfleet.git import merge, refs, tamper, worktree
from gitfleet.git.command import git
from gitfleet.model.states import Outcome, Role
from gitfleet.model.task import Task
from gitfleet.plan.outcome import AttemptEnd, CoderRun, Evidence, WorkFacts, decide, ended_well
from gitfleet.plan.transitions import event_files
from gitfleet.plan.transitions.add_tasks import Addition


def do_work(ctx: AttemptContext, start_point: StartPoint) -> None:
    """Make one attempt at work or at a plan, and write how it ended."""
    claimed, project = ctx.claimed, ctx.project
    ctx.live.doing = "preparing the workspace"
    path = workspace.prepare(project, claimed, start_point)
    failpoints.point("workspace-made")
    with scratch(ctx.nonce) as tmp:
        env = environment(project, claimed, ctx.run_dir, tmp)
        why = workspace.fill(ctx, path, env)
        if why:
            run = CoderRun(stop=ctx.cancel.stopped)
            end = decide(Evidence(role=claimed.claim.role, run=run, set_up=why))
            finish.write(ctx, finish.attempt_of(ctx, outcome=end.outcome, reason=end.reason))
            return
        coder_session.bring_over(ctx)
        told = coder_session.resume_prompt(project, claimed, start_point) or prompt.of_work(
            project, claimed, start_point
        )
        before = checkpoint.snapshot(ctx)
        checkpoint.save(ctx, before)
        ended = coder_run.run_coder(ctx, workspace=path, prompt=told, env=env)
        coder_run.collect(ctx)
    _conclude(ctx, path, ended, before)


def resume_work(ctx: AttemptContext, before: Checkpoint) -> None:
    """Finish an attempt that an earlier run of this runner started."""
    path = ctx.project.clone.workspace(ctx.task)
    tmp = Path(tempfile.gettempdir())  # the coder's TMPDIR is unchanged; nothing is started here
    env = environment(ctx.project, ctx.claimed, ctx.run_dir, tmp)
    ended = coder_run.attach_to_coder(ctx, workspace=path, env=env)
    coder_run.collect(ctx)
    drop_scratch(ctx.nonce)
    _conclude(ctx, path, ended, before)


def _conclude(ctx: AttemptContext, path: Path, run: CoderRun, before: Checkpoint) -> None:
    """Check the actual result, and write how the attempt ended."""
    role = ctx.claimed.claim.role
    mailbox.drain(ctx)
    question = mailbox.waits_for_answer(ctx)
    evidence = Evidence(
        role=role,
        run=run,
        tampered=tampering(ctx, before),
        question=question,
        branch=task_branch(ctx.task),
    )
    if role is Role.WORK:
        evidence = _with_work(ctx, path, evidence)
    failpoints.point("work-committed")
    filed = [one.addition for one in coder_run.read_filed_tasks(ctx)]
    evidence = replace(evidence, filed=len(filed))
    end = decide(evidence)
    # For work, `filed` holds only tasks that could not reach the board while the remote was away.
    wanted = filed if end.outcome is Outcome.SUBMITTED or role is Role.WORK else []
    _write(ctx, evidence, end, wanted)
    if end.outcome is Outcome.CANCELLED or role is Role.PLAN:
        finish.remove_workspace(ctx, path)


def tampering(ctx: AttemptContext, before: Checkpoint) -> tuple[str, ...]:
    """The attempt's changes to the repository outside its own branch."""
    repo = ctx.project.repo
    changed = tamper.differences(before.print, tamper.fingerprint(repo))
    own = {f"refs/heads/{task_branch(ctx.task)}"}
    # A new branch of the attempt does no harm: its work is missed on the task's own branch.
    moved = tamper.moved_by(repo, committer_of(ctx.claimed), own)
    moved = tuple(ref for ref in moved if ref in before.branches)
    return (*changed, *(f"it moved {ref}" for ref in moved))


def _with_work(ctx: AttemptContext, path: Path, evidence: Evidence) -> Evidence:
    """The evidence together with the content of the task's branch.

    Uncommitted files are committed first if the coder ended well, or if it waits for an answer, so
    that any machine may continue.
    """
    workspace.unlock(path)
    well = ended_well(evidence)
    if well or evidence.question:
        unsolved = _unsolved(path)
        if not unsolved:
            _commit_rest(ctx, path, evidence.question)
        evidence = replace(evidence, unsolved=unsolved)
    facts = inspect(ctx)
    if well and facts is not None and not facts.paths:
        facts = replace(facts, left_on=_left_on(ctx, path))
    return replace(evidence, work=facts)


def _unsolved(path: Path) -> tuple[str, ...]:
    """The files of an unfinished merge that still have conflict markers."""
    found = git("diff", "--name-only", "-z", "--diff-filter=U", cwd=path).fields
    return tuple(name for name in found if _has_markers(path / name))


def _commit_rest(ctx: AttemptContext, path: Path, question: str) -> None:
    """Commit the files that a coder left uncommitted."""
    task = ctx.claimed.entry.task
    assert task is not None
    sign = ctx.claimed.board.settings.sign
    title = f"{task.title} (unfinished: {question})" if question else task.title
    worktree.commit_all(path, title, identity(ctx.claimed), sign=sign)


def _has_markers(path: Path) -> bool:
    try:
        return b"\n<<<<<<< " in b"\n" + path.read_bytes()
    except OSError:
        return False


def inspect(ctx: AttemptContext) -> WorkFacts | None:
    """The present content of the task's branch; None if there is no such branch."""
    repo, task = ctx.project.repo, ctx.claimed.entry.task
    head = refs.read(repo, f"refs/heads/{task_branch(ctx.task)}")
    if head is None:
        return None
    base = ctx.claimed.claim.base
    count = git("rev-list", "--count", f"{base}..{head}", cwd=repo.here).out
    paths = merge.changed_paths(repo, base, head)
    return WorkFacts(
        head=head,
        commits=int(count),
        paths=paths,
        outside=tuple(outside(task, paths)) if task else (),
        on_base=ctx.project.objects.is_ancestor(base, head),
    )


def outside(task: Task, paths: tuple[str, ...]) -> list[str]:
    """The paths that a task's `paths` does not allow."""
    if not task.paths:
        return []
    allowed = pathspec.GitIgnoreSpec.from_lines(task.paths)
    return [path for path in paths if not allowed.match_file(path)]


def _left_on(ctx: AttemptContext, path: Path) -> str:
    """The workspace's branch or commit, if it is not on the task's branch."""
    branch, _ = worktree.head(path)
    if branch == f"refs/heads/{task_branch(ctx.task)}":
        return ""
    return branch.removeprefix("refs/heads/") if branch else "a detached HEAD"


def _write(
    ctx: AttemptContext, evidence: Evidence, end: AttemptEnd, additions: list[Addition]
) -> None:
    facts = evidence.work
    attempt = finish.attempt_of(
        ctx,
        outcome=end.outcome,
        reason=end.reason,
        run=evidence.run,
        until=end.until,
        session=end.session,
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
