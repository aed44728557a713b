"""Find and remove what is old and no longer needed: workspaces, outputs, salvage, branches.

Nothing unsaved is removed: a workspace with uncommitted or unmerged work is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from gitfleet.attempt.context import TASK_BRANCH, Project, task_branch
from gitfleet.errors import FleetError, GitError
from gitfleet.git import refs, salvage, worktree
from gitfleet.model.board import Board
from gitfleet.model.states import FINISHED
from gitfleet.plan.status import status_of


class LitterKind(StrEnum):
    """The kinds of leftovers."""

    WORKSPACE = "workspace"
    OUTPUT = "output"
    SALVAGE = "salvage"
    BRANCH = "branch"


class Litter(Struct, frozen=True, kw_only=True):
    """One leftover that could be removed."""

    what: LitterKind
    name: str  # a path or a ref
    task: str
    size: int = 0  # bytes on disk, as far as known
    age: timedelta
    refused: str = ""  # why it stays


def find(project: Project, board: Board, older: timedelta) -> Iterator[Litter]:
    """Everything older than `older` that no attempt will continue."""
    now = datetime.now(UTC)
    for one in (*_workspaces(project, board, now), *_outputs(project, board, now)):
        if one.age >= older:
            yield one
    for one in (*_salvage(project, now), *_branches(project, board, now)):
        if one.age >= older:
            yield one


def _over(board: Board, task: str) -> bool:
    """Whether no attempt will continue a task."""
    now = datetime.now(UTC)
    entry = board.get(task)
    return entry is None or status_of(board, task, now).status in FINISHED


def _workspaces(project: Project, board: Board, now: datetime) -> Iterator[Litter]:
    folder = project.clone.workspaces
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        task = path.name.partition(".")[0]
        entry = board.get(task)
        if entry is not None and entry.claim is not None:
            continue
        refused = "" if _over(board, task) else f"{task} is not finished"
        yield Litter(
            what=LitterKind.WORKSPACE,
            name=str(path),
            task=task,
            size=size_of(path),
            age=_age(path, now),
            refused=refused or _unsaved(project, path, task),
        )


def _unsaved(project: Project, path: Path, task: str) -> str:
    if not (path / ".git").exists():
        return "it is not a gitfleet worktree; check it and remove it yourself"
    if path == project.clone.check_workspace(task):
        return ""  # it is made from branches; no attempt works in it
    try:
        if worktree.is_dirty(path):
            return "it has uncommitted changes"
        branch, tip = worktree.head(path)
    except FleetError as error:
        return f"it cannot be read: {error.what}"
    safe = [project.store.ref, f"refs/heads/{project.default_target}"]
    target = project.store.board().settings.target
    safe += [f"refs/heads/{target}"] if target else []
    safe += list(refs.names(project.repo, f"{salvage.PREFIX}{task}/"))
    if branch is None and salvage.unreachable(project.repo, tip, safe):
        return "its commits are on no branch"
    return ""


def _outputs(project: Project, board: Board, now: datetime) -> Iterator[Litter]:
    for path in sorted(project.clone.runs.glob("*/*")):
        entry = board.get(path.parent.name)
        if entry is not None and entry.claim is not None:
            continue
        yield Litter(
            what=LitterKind.OUTPUT,
            name=str(path),
            task=path.parent.name,
            size=size_of(path),
            age=_age(path, now),
        )


def _salvage(project: Project, now: datetime) -> Iterator[Litter]:
    for ref, oid in refs.names(project.repo, salvage.PREFIX).items():
        task = ref.removeprefix(salvage.PREFIX).partition("/")[0]
        yield Litter(
            what=LitterKind.SALVAGE, name=ref, task=task, age=_ref_age(project, ref, oid, now)
        )


def _branches(project: Project, board: Board, now: datetime) -> Iterator[Litter]:
    target = board.settings.target or project.default_target
    tip = refs.read(project.repo, f"refs/heads/{target}")
    for ref, oid in refs.names(project.repo, f"refs/heads/{TASK_BRANCH}").items():
        task = ref.removeprefix(f"refs/heads/{TASK_BRANCH}")
        merged = tip is not None and project.objects.is_ancestor(oid, tip)
        if merged and _over(board, task):
            age = _ref_age(project, ref, oid, now)
            held = "a worktree has it checked out" if _held(project, task) else ""
            yield Litter(what=LitterKind.BRANCH, name=ref, task=task, age=age, refused=held)


def _age(path: Path, now: datetime) -> timedelta:
    """The time since the last write to the folder, or to the index of its worktree."""
    times = [path.stat().st_mtime]
    with contextlib.suppress(OSError, GitError):
        if (path / ".git").exists():
            times.append((worktree.git_dir(path) / "index").stat().st_mtime)
    return now - datetime.fromtimestamp(max(times), UTC)


def _ref_age(project: Project, ref: str, oid: str, now: datetime) -> timedelta:
    """The time since the ref was created: it may point to a commit that is much older."""
    moved = refs.moved_at(project.repo, ref)
    when = project.objects.commit(oid).committer.when if moved is None else moved
    return now - datetime.fromtimestamp(when, UTC)


def size_of(path: Path) -> int:
    """Bytes on disk below a path; files that disappear meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def remove(project: Project, one: Litter) -> None:
    """Remove one leftover that is not refused; FleetError if that is impossible by now."""
    assert not one.refused
    _refuse_what_lives(project, one)
    match one.what:
        case LitterKind.WORKSPACE:
            project.workspaces.remove(Path(one.name))
        case LitterKind.OUTPUT:
            shutil.rmtree(one.name)
        case LitterKind.SALVAGE | LitterKind.BRANCH:
            tip = refs.read(project.repo, one.name)
            if tip is not None:
                refs.swap(project.repo, one.name, tip, None, message="gc")


def _refuse_what_lives(project: Project, one: Litter) -> None:
    """Refuse if a runner took up the task after `find`."""
    board = project.store.board()
    entry = board.get(one.task)
    claimed = entry is not None and entry.claim is not None
    if one.what is LitterKind.WORKSPACE:
        again = claimed or not _over(board, one.task)
        unsaved = "" if again else _unsaved(project, Path(one.name), one.task)
        if unsaved:
            raise FleetError(unsaved)
    else:
        again = claimed and one.what is not LitterKind.SALVAGE
    if again:
        raise FleetError(f"{one.task} is being worked on again")


def _held(project: Project, task: str) -> bool:
    wanted = f"refs/heads/{task_branch(task)}"
    return any(tree.branch == wanted for tree in worktree.listing(project.repo))
