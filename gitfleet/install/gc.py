"""Find what is old and of no use any more, and remove it: workspaces, outputs, salvage, branches.

Nothing is removed that was not saved: a workspace with uncommitted or unmerged work is refused.
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

from gitfleet.attempt.context import TASK_BRANCH, Fleet, task_branch
from gitfleet.errors import FleetError, GitError
from gitfleet.git import refs, salvage, worktree
from gitfleet.model.board import Board
from gitfleet.model.states import FINISHED
from gitfleet.plan.status import standing


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
    if path == fleet.clone.check_workspace(task):
        return ""  # made of what is on branches; nobody works in it
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
        task = ref.removeprefix(salvage.PREFIX).partition("/")[0]
        yield Litter(what=What.SALVAGE, name=ref, task=task, age=_ref_age(fleet, ref, oid, now))


def _branches(fleet: Fleet, board: Board, now: datetime) -> Iterator[Litter]:
    target = board.settings.target or fleet.default_target
    tip = refs.read(fleet.repo, f"refs/heads/{target}")
    for ref, oid in refs.names(fleet.repo, f"refs/heads/{TASK_BRANCH}").items():
        task = ref.removeprefix(f"refs/heads/{TASK_BRANCH}")
        merged = tip is not None and fleet.objects.is_ancestor(oid, tip)
        if merged and _over(board, task):
            age = _ref_age(fleet, ref, oid, now)
            held = "a worktree has it checked out" if _held(fleet, task) else ""
            yield Litter(what=What.BRANCH, name=ref, task=task, age=age, refused=held)


def _age(path: Path, now: datetime) -> timedelta:
    """Since the folder, or the index of a worktree in it, was last written to."""
    times = [path.stat().st_mtime]
    with contextlib.suppress(OSError, GitError):
        if (path / ".git").exists():
            times.append((worktree.git_dir(path) / "index").stat().st_mtime)
    return now - datetime.fromtimestamp(max(times), UTC)


def _ref_age(fleet: Fleet, ref: str, oid: str, now: datetime) -> timedelta:
    """Since the ref was made: what was saved a moment ago may be a commit of last year."""
    moved = refs.moved_at(fleet.repo, ref)
    when = fleet.objects.commit(oid).committer.when if moved is None else moved
    return now - datetime.fromtimestamp(when, UTC)


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
    """Remove one thing that is not refused; FleetError if it cannot go (any more)."""
    assert not one.refused
    _refuse_what_lives(fleet, one)
    match one.what:
        case What.WORKSPACE:
            with fleet.worktrees:
                worktree.remove(fleet.repo, Path(one.name))
        case What.OUTPUT:
            shutil.rmtree(one.name)
        case What.SALVAGE | What.BRANCH:
            tip = refs.read(fleet.repo, one.name)
            if tip is not None:
                refs.swap(fleet.repo, one.name, tip, None, message="gc")


def _refuse_what_lives(fleet: Fleet, one: Litter) -> None:
    """Between looking and removing somebody may have taken the task up again."""
    board = fleet.store.board()
    entry = board.get(one.task)
    claimed = entry is not None and entry.claim is not None
    if one.what is What.WORKSPACE:
        again = claimed or not _over(board, one.task)
        unsaved = "" if again else _unsaved(fleet, Path(one.name), one.task)
        if unsaved:
            raise FleetError(unsaved)
    else:
        again = claimed and one.what is not What.SALVAGE
    if again:
        raise FleetError(f"{one.task} is worked on again")


def _held(fleet: Fleet, task: str) -> bool:
    wanted = f"refs/heads/{task_branch(task)}"
    return any(tree.branch == wanted for tree in worktree.listing(fleet.repo))
