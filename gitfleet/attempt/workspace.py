"""The worktrees of attempts: create, set up, save, remove.

They are outside the repository, in the user's state directory (`Clone.workspace` computes the
path). Nothing is removed before it is saved: uncommitted or unmerged work goes to
refs/gitfleet/salvage/ first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gitfleet import failpoints
from gitfleet.attempt import check_commands
from gitfleet.attempt.context import AttemptContext, ClaimedTask, Project, task_branch
from gitfleet.attempt.start_point import StartMode, StartPoint
from gitfleet.board.clone_state import read_json, write_json
from gitfleet.errors import FleetError, GitError
from gitfleet.event_log import Action
from gitfleet.execution.base import LaunchSpec
from gitfleet.git import merge, refs, salvage, worktree
from gitfleet.model.config import WorkspaceSettings
from gitfleet.model.durations import seconds
from gitfleet.process.kill import HELPER_GRACE
from gitfleet.process.tail import end_of
from gitfleet.run_dir import SETUP

CHECK: Final = ".check"  # suffix of a task's worktree for checking, after its id


def prepare(project: Project, claimed: ClaimedTask, start_point: StartPoint) -> Path:
    """The workspace of an attempt at work, on its task's branch, with the content that
    `start_point` sets.

    FleetError if that fails.
    """
    path = project.clone.workspace(claimed.task)
    if start_point.how is StartMode.GO_ON and _usable(path, claimed.task, start_point.tip):
        unlock(path)
    else:
        _start_over(project, claimed, path, start_point)
    if start_point.how is StartMode.MERGE and start_point.tip is not None:
        merge.conflict_into(path, start_point.tip)
    return path


def unlock(path: Path) -> None:
    """Drop the locks of git commands that were killed with their attempt.

    No process of an ended attempt lives, so the locks' holders are gone.
    """
    folder = worktree.git_dir(path)
    for name in ("index.lock", "HEAD.lock"):
        (folder / name).unlink(missing_ok=True)


def _usable(path: Path, task: str, tip: str | None) -> bool:
    """Whether the last attempt's workspace exists, on its own branch.

    Not if another machine has continued since.
    """
    if not (path / ".git").exists():
        return False
    try:
        return worktree.head(path) == (f"refs/heads/{task_branch(task)}", tip)
    except GitError:
        return False


def _start_over(
    project: Project, claimed: ClaimedTask, path: Path, start_point: StartPoint
) -> None:
    start = (
        start_point.tip
        if start_point.how is StartMode.GO_ON and start_point.tip
        else start_point.base
    )
    discard(project, claimed.task, path)
    branch = f"refs/heads/{task_branch(claimed.task)}"
    old = refs.read(project.repo, branch)
    if old is not None and old != start:
        save_tip(project, claimed.task, old)
        if not refs.swap(project.repo, branch, old, start, message="a fresh start"):
            raise FleetError(f"{branch} moved while its workspace was made")
    project.workspaces.add(path, branch=task_branch(claimed.task), base=start)


def check_out(project: Project, task: str, commit: str) -> Path:
    """A worktree for checking, detached at `commit`, as fresh as a clone."""
    path = project.clone.check_workspace(task)
    project.workspaces.remove(path)
    project.workspaces.add(path, branch=None, base=commit)
    return path


def drop_check(project: Project, task: str) -> None:
    """Remove the worktree for checking; it contains no work."""
    project.workspaces.remove(project.clone.check_workspace(task))


# -- set-up


def fill(ctx: AttemptContext, path: Path, env: Mapping[str, str]) -> str:
    """Copy, link and set up the needs of a fresh worktree; empty, or why it failed.

    Done once per worktree and settings, so that a second attempt does not wait for it again.
    """
    settings = ctx.claimed.board.settings.workspace
    stamp = _stamp(path)
    wanted = hashlib.sha256(repr(settings).encode()).hexdigest()
    if read_json(stamp).get("filled") == wanted:
        return ""
    source = ctx.project.repo.main_top()
    for name in settings.copy:
        _bring(source, path, name, link=False)
    for name in settings.link:
        _bring(source, path, name, link=True)
    why = _set_up(ctx, settings, path, env)
    if not why:
        write_json(stamp, {"filled": wanted})
    return why


def _stamp(path: Path) -> Path:
    return worktree.git_dir(path) / "gitfleet-filled.json"


def _bring(source: Path | None, path: Path, name: str, *, link: bool) -> None:
    """Copy or link one file or folder of the user's checkout; a missing one is skipped."""
    if source is None:
        return
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or ".git" in relative.parts:
        raise FleetError(
            f"workspace.copy and .link take paths inside the project, not {name!r}",
            where="fleet.yaml",
        )
    origin, goal = source / relative, path / relative
    if not origin.exists() or goal.exists() or goal.is_symlink():
        return
    if not goal.parent.resolve().is_relative_to(path.resolve()):
        raise FleetError(f"{name} leads out of the workspace", where="fleet.yaml")
    goal.parent.mkdir(parents=True, exist_ok=True)
    if link:
        goal.symlink_to(origin.resolve())
    elif origin.is_dir():
        shutil.copytree(origin, goal, symlinks=True)
    else:
        shutil.copy2(origin, goal)


def _set_up(
    ctx: AttemptContext, settings: WorkspaceSettings, path: Path, env: Mapping[str, str]
) -> str:
    limit = seconds(ctx.claimed.board.settings.checks_timeout)
    marker, run_dir, executor = ctx.nonce, ctx.run_dir, ctx.project.executor
    for number, command in enumerate(settings.setup, 1):
        files = run_dir.command(SETUP, number)
        spec = LaunchSpec(
            ("sh", "-c", command), path, env, marker, limits=check_commands.limits(limit)
        )
        running = executor.start(files, spec)
        try:
            ended = running.wait(limit, ctx.cancel.wake)
        finally:
            executor.end(running, marker, grace=HELPER_GRACE)
            running.wait(HELPER_GRACE)
            running.close()
        if ended is None and ctx.cancel.stopped is not None:
            return "it was stopped while its workspace was set up"
        ended = check_commands.outcome_of(command, ended)
        if ended is None:
            return f"workspace.setup took longer than {limit:g}s: {command}"
        if ended.code != 0:
            tail = end_of(files.stderr, 2000).strip()
            last = tail.splitlines()[-1] if tail else f"exit status {ended.code}"
            return f"workspace.setup failed: {command}: {last}"
    return ""


# -- saving and removing


def save_tip(project: Project, task: str, commit: str) -> None:
    """Save a commit that is in no branch but the task's own."""
    others = [project.store.ref, *_targets(project)]
    if salvage.unreachable(project.repo, commit, others):
        ref = salvage.keep(project.repo, commit, f"{salvage.PREFIX}{task}/work")
        project.report.action(Action.SALVAGED, task=task, commit=commit[:10], ref=ref)


def _targets(project: Project) -> list[str]:
    target = project.store.board().settings.target or project.default_target
    return [f"refs/heads/{target}"]


def discard(project: Project, task: str, path: Path) -> None:
    """Remove a workspace after saving everything uncommitted in it."""
    with project.workspaces.exclusive():
        _save_and_remove(project, task, path)


def _save_and_remove(project: Project, task: str, path: Path) -> None:
    known = worktree.registered(project.repo, path)
    if known is None or not (path / ".git").exists():
        if path.exists():
            os.rename(path, _aside(path))  # noqa: PTH104 - not a worktree of ours: kept
        project.workspaces.remove(path)
        return
    ref = f"{salvage.PREFIX}{task}/uncommitted"
    saved = salvage.save(project.repo, path, ref=ref, message=f"Uncommitted work on {task}")
    if saved is not None:
        project.report.action(Action.SALVAGED, task=task, commit=saved.commit[:10], ref=saved.ref)
    branch, tip = worktree.head(path)
    if branch is None:
        save_tip(project, task, tip)
    failpoints.point("salvaged")
    project.workspaces.remove(path)


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}.kept")).exists():
        number += 1
    return aside
