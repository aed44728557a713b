"""An attempt at work or at a plan: a workspace, a coder, and what it really did."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pathspec
from msgspec import Struct
from msgspec.structs import replace

from gitfleet import faults
from gitfleet.coders.base import Failure
from gitfleet.git import guard, merge, refs, worktree
from gitfleet.git.command import git
from gitfleet.model.durations import counted
from gitfleet.model.states import Outcome, Role
from gitfleet.model.task import Task
from gitfleet.plan import asking, settle
from gitfleet.work import coding, endings, hearing, prompt, record, resuming, workspace
from gitfleet.work.beginning import Beginning
from gitfleet.work.coding import Ended
from gitfleet.work.environment import committer_of, environment, identity, scratch
from gitfleet.work.fleet import Underway, task_branch
from gitfleet.work.record import Record
from gitfleet.work.sweep import drop_scratch


class Facts(Struct, frozen=True, kw_only=True):
    """What a work attempt changed: seen in the repository, not told by the coder."""

    head: str
    commits: int
    paths: tuple[str, ...]


def implement(way: Underway, begin: Beginning) -> None:
    """Make one attempt at work or at a plan, and write how it ended."""
    order, fleet = way.order, way.fleet
    way.live.doing = "making the workspace"
    path = workspace.prepare(fleet, order, begin)
    faults.point("workspace-made")
    with scratch(way.nonce) as tmp:
        env = environment(fleet, order, way.run_dir, tmp)
        why = workspace.fill(way, path, env)
        if why:
            stopped = way.control.stopped
            outcome = stopped.outcome if stopped else Outcome.FAILED
            attempt = endings.attempt_of(way, outcome=outcome, reason=why)
            endings.write(way, attempt)
            return
        resuming.bring_over(way)
        told = resuming.go_on_prompt(fleet, order, begin) or prompt.of_work(fleet, order, begin)
        before = record.look(way)
        record.keep(way, before)
        ended = coding.run(way, workspace=path, prompt=told, env=env)
        coding.collect(way)
    _conclude(way, path, ended, before)


def go_on(way: Underway, before: Record) -> None:
    """Bring an attempt to its end that another life of this runner began."""
    path = way.fleet.clone.workspace(way.task)
    tmp = Path(tempfile.gettempdir())  # its own one is where it was; nothing is started here
    env = environment(way.fleet, way.order, way.run_dir, tmp)
    ended = coding.go_on(way, workspace=path, env=env)
    coding.collect(way)
    drop_scratch(way.nonce)
    _conclude(way, path, ended, before)


def _conclude(way: Underway, path: Path, ended: Ended, before: Record) -> None:
    """Look at what really happened, and write how the attempt ended."""
    order = way.order
    if ended.failure is Failure.NO_SESSION:
        # It has done nothing wrong, and nothing at all: the next one begins afresh.
        ended = replace(ended, outcome=Outcome.INTERRUPTED, session="")
    hearing.last_words(way)
    parked = hearing.parked(way)
    tampered = tampering(way, before)
    facts = None
    if order.claim.role is Role.WORK:
        ended = _commit_rest(way, path, ended, parked)
        facts = inspect(way)
    faults.point("work-committed")
    outcome, reason = _judge(way, ended, facts, tampered, path)
    if parked and asking.overrules(outcome):
        if outcome is Outcome.CONTEXT_FULL:
            ended = replace(ended, session="")  # nothing more would go into it
        outcome, reason = Outcome.ASKED, parked
    _write(way, ended, facts, outcome, reason)
    if outcome is Outcome.CANCELLED or order.claim.role is Role.PLAN:
        endings.clear_away(way, path)


def tampering(way: Underway, before: Record) -> tuple[str, ...]:
    """What the attempt changed of the repository that is not its own."""
    repo = way.fleet.repo
    changed = guard.differences(before.print, guard.fingerprint(repo))
    own = {f"refs/heads/{task_branch(way.task)}"}
    # A branch that the attempt made itself harms nobody: its work is missed on its own one.
    moved = guard.moved_by(repo, committer_of(way.order), own)
    moved = tuple(ref for ref in moved if ref in before.branches)
    return (*changed, *(f"it moved {ref}" for ref in moved))


def _commit_rest(way: Underway, path: Path, ended: Ended, parked: str) -> Ended:
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
    task = way.order.entry.task
    assert task is not None
    sign = way.order.board.settings.sign
    title = f"{task.title} (unfinished: {parked})" if parked else task.title
    worktree.commit_all(path, title, identity(way.order), sign=sign)
    return ended


def _has_markers(path: Path) -> bool:
    try:
        return b"\n<<<<<<< " in b"\n" + path.read_bytes()
    except OSError:
        return False


def inspect(way: Underway) -> Facts | None:
    """What is on the task's branch now; None if there is no such branch."""
    repo = way.fleet.repo
    head = refs.read(repo, f"refs/heads/{task_branch(way.task)}")
    if head is None:
        return None
    base = way.order.claim.base
    count = git("rev-list", "--count", f"{base}..{head}", cwd=repo.here).out
    return Facts(head=head, commits=int(count), paths=merge.changed_paths(repo, base, head))


def outside(task: Task, paths: tuple[str, ...]) -> list[str]:
    """Which paths a task's `paths` does not allow."""
    if not task.paths:
        return []
    allowed = pathspec.GitIgnoreSpec.from_lines(task.paths)
    return [path for path in paths if not allowed.match_file(path)]


def _judge(
    way: Underway, ended: Ended, facts: Facts | None, tampered: tuple[str, ...], path: Path
) -> tuple[Outcome, str]:
    """The outcome, from what was seen."""
    if tampered:
        return Outcome.TAMPERED, f"{'; '.join(tampered)} (if that was you, try it again)"
    if ended.outcome is not None:
        return ended.outcome, ended.reason
    if way.order.claim.role is Role.PLAN:
        return Outcome.SUBMITTED, "the plan is made"
    task = way.order.entry.task
    assert task is not None
    if facts is None:
        return Outcome.FAILED, f"its branch {task_branch(way.task)} is gone"
    if not way.fleet.objects.is_ancestor(way.order.claim.base, facts.head):
        return Outcome.FAILED, "its branch does not contain the commit it started from any more"
    if not facts.paths:
        if ended.denied:
            names = ", ".join(ended.denied)
            return Outcome.FAILED, f"it changed nothing: it may not use {names}"
        return Outcome.EMPTY, _why_empty(way, path)
    wrong = outside(task, facts.paths)
    if wrong:
        shown = ", ".join(wrong[:5]) + (" …" if len(wrong) > 5 else "")
        return Outcome.OUT_OF_SCOPE, f"it changed {shown}, and may touch only what `paths` says"
    return Outcome.SUBMITTED, (
        f"{counted(facts.commits, 'commit')}, {counted(len(facts.paths), 'file')} changed"
    )


def _why_empty(way: Underway, path: Path) -> str:
    branch, _ = worktree.head(path)
    if branch != f"refs/heads/{task_branch(way.task)}":
        name = branch.removeprefix("refs/heads/") if branch else "a detached HEAD"
        return f"it changed nothing on {task_branch(way.task)}; it left the workspace on {name}"
    return "it ended well and changed nothing"


def _write(way: Underway, ended: Ended, facts: Facts | None, outcome: Outcome, reason: str) -> None:
    plan = way.order.claim.role is Role.PLAN
    # Of work only what did not get onto the board before, while the remote was away.
    wanted = outcome is Outcome.SUBMITTED or not plan
    additions = [letter.addition for letter in coding.read_letters(way)] if wanted else []
    if plan and wanted:
        if not additions:
            outcome, reason = Outcome.EMPTY, "it ended well and planned no task"
        else:
            reason = f"{counted(len(additions), 'task')} planned"
    attempt = endings.attempt_of(
        way,
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
    won = endings.write(way, attempt, additions)
    if (
        not won
        and facts is not None
        and settle.holds(way.fleet.store.board(), way.task, way.nonce) is None
    ):
        workspace.save_tip(way.fleet, way.task, facts.head)
