"""Find what is old and of no use any more, and remove it: workspaces, outputs, salvage, branches.

Nothing is removed that was not saved: a workspace with uncommitted or unmerged work is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.git import refs, salvage, worktree
from gitfleet.model.board import Board
from gitfleet.model.states import FINISHED
from gitfleet.plan.standing import standing
from gitfleet.work.fleet import TASK_BRANCH, Fleet, task_branch


class What(StrEnum):
    """The kinds of things that pile up."""

    WORKSPACE = "workspace"
    OUTPUT = "output"
    SALVAGE = "salvage"
    BRANCH = "branch"


class Litter(Struct, frozen=True, kw_only=True):
    """One thing that could go."""

    what: What
    name: str  # a path or a ref
    task: str
    size: int = 0  # bytes on disk, as far as it is known
    age: timedelta
    refused: str = ""  # why it stays


def find(fleet: Fleet, board: Board, older: timedelta) -> Iterator[Litter]:
    """Everything that is older than `older` and that nobody goes on with."""
    now = datetime.now(UTC)
    for one in (*_workspaces(fleet, board, now), *_outputs(fleet, board, now)):
        if one.age >= older:
            yield one
    for one in (*_salvage(fleet, now), *_branches(fleet, board, now)):
        if one.age >= older:
            yield one


def _over(board: Board, task: str) -> bool:
    """Whether nobody will go on with a task."""
    now = datetime.now(UTC)
    entry = board.get(task)
    return entry is None or standing(board, task, now).status in FINISHED


def _workspaces(fleet: Fleet, board: Board, now: datetime) -> Iterator[Litter]:
    folder = fleet.clone.workspaces
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        task = path.name.partition(".")[0]
        entry = board.get(task)
        if entry is not None and entry.claim is not None:
            continue
        refused = "" if _over(board, task) else f"{task} is not finished"
        yield Litter(
            what=What.WORKSPACE,
            name=str(path),
            task=task,
            size=size_of(path),
            age=_age(path, now),
            refused=refused or _unsaved(fleet, path, task),
        )


def _unsaved(fleet: Fleet, path: Path, task: str) -> str:
    if not (path / ".git").exists():
        return "it is no worktree of ours; look into it and remove it yourself"
    try:
        if worktree.is_dirty(path):
            return "something in it is uncommitted"
        branch, tip = worktree.head(path)
    except FleetError as error:
        return f"it cannot be looked into: {error.what}"
    safe = [fleet.store.ref, f"refs/heads/{fleet.default_target}"]
    target = fleet.store.board().settings.target
    safe += [f"refs/heads/{target}"] if target else []
    safe += list(refs.names(fleet.repo, f"{salvage.PREFIX}{task}/"))
    if branch is None and salvage.unreachable(fleet.repo, tip, safe):
        return "its commits are in no branch"
    return ""


def _outputs(fleet: Fleet, board: Board, now: datetime) -> Iterator[Litter]:
    for path in sorted(fleet.clone.runs.glob("*/*")):
        entry = board.get(path.parent.name)
        if entry is not None and entry.claim is not None:
            continue
        yield Litter(
            what=What.OUTPUT,
            name=str(path),
            task=path.parent.name,
            size=size_of(path),
            age=_age(path, now),
        )


def _salvage(fleet: Fleet, now: datetime) -> Iterator[Litter]:
    for ref, oid in refs.names(fleet.repo, salvage.PREFIX).items():
        made = datetime.fromtimestamp(fleet.objects.commit(oid).committer.when, UTC)
        task = ref.removeprefix(salvage.PREFIX).partition("/")[0]
        yield Litter(what=What.SALVAGE, name=ref, task=task, age=now - made)


def _branches(fleet: Fleet, board: Board, now: datetime) -> Iterator[Litter]:
    target = board.settings.target or fleet.default_target
    tip = refs.read(fleet.repo, f"refs/heads/{target}")
    for ref, oid in refs.names(fleet.repo, f"refs/heads/{TASK_BRANCH}").items():
        task = ref.removeprefix(f"refs/heads/{TASK_BRANCH}")
        merged = tip is not None and fleet.objects.is_ancestor(oid, tip)
        if merged and _over(board, task):
            made = datetime.fromtimestamp(fleet.objects.commit(oid).committer.when, UTC)
            yield Litter(what=What.BRANCH, name=ref, task=task, age=now - made)


def _age(path: Path, now: datetime) -> timedelta:
    return now - datetime.fromtimestamp(path.stat().st_mtime, UTC)


def size_of(path: Path) -> int:
    """Bytes on disk below a path; what vanishes meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def remove(fleet: Fleet, one: Litter) -> None:
    """Remove one thing that is not refused; FleetError if it cannot go."""
    assert not one.refused
    match one.what:
        case What.WORKSPACE:
            with fleet.worktrees:
                worktree.remove(fleet.repo, Path(one.name))
        case What.OUTPUT:
            shutil.rmtree(one.name)
        case What.SALVAGE | What.BRANCH:
            if one.what is What.BRANCH and _held(fleet, one.task):
                return
            refs.swap(fleet.repo, one.name, refs.read(fleet.repo, one.name), None, message="gc")


def _held(fleet: Fleet, task: str) -> bool:
    wanted = f"refs/heads/{task_branch(task)}"
    return any(tree.branch == wanted for tree in worktree.listing(fleet.repo))
