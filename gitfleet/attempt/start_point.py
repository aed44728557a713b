"""Where an attempt starts: at the target, at the last attempt's tip, or at rejected work."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitfleet.attempt.context import Project, task_branch
from gitfleet.coders import registry
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.git import refs
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.states import REJECTIONS, Kind, Outcome, Role
from gitfleet.plan.scheduler import Assignment
from gitfleet.plan.task_history import submission_of, verdict_of


class StartMode(StrEnum):
    """The content of the workspace at the start."""

    CLEAN = "clean"  # the base, nothing else
    GO_ON = "go-on"  # the work that the last attempt left
    MERGE = "merge"  # the base, with the conflicting work merged in and markers left


class StartPoint(Struct, frozen=True):
    """A base, and the work on top of it."""

    base: str
    how: StartMode
    tip: str | None = None  # GO_ON: the branch's tip; MERGE: the commit that is merged in


def start_point_of(
    project: Project, board: Board, entry: Entry, assignment: Assignment
) -> StartPoint:
    """The start point of the next attempt on a task; FleetError if its target does not exist."""
    target = project.tip_of(assignment.target)
    if target is None:
        raise FleetError(
            f"{entry.id} lands on {assignment.target}, but there is no such branch",
            remedy="Create the branch, or change `base` in the task or `target` in fleet.yaml.",
        )
    if assignment.role is Role.VALIDATE:
        return StartPoint(target, StartMode.CLEAN)
    return _of_work(project, board, entry, assignment, target)


def _built_upon(project: Project, board: Board, entry: Entry, branch: str, tip: str) -> str:
    """The target's tip, containing the task's dependencies.

    git moves one ref of a landing after the other, and a reader in between sees a board that is
    ahead of its target. So if a merge is missing, the target is read again. A dependency that a
    person removed from the target is reported: the board says that it is done.
    """
    missing = _missing(project, board, entry, branch, tip)
    if missing:
        for merge in missing.values():
            if not project.store.backend.fetch_commit(merge, branch):
                break  # it was searched a moment ago; another look finds no more
        # Any landing in this clone has finished by then.
        with project.store.backend.exclusive():
            tip = project.tip_of(branch) or tip
        missing = _missing(project, board, entry, branch, tip)
    key = f"built upon {entry.id}"
    if missing:
        project.report.once(
            key,
            Action.DEPENDENCY_MISSING,
            task=entry.id,
            missing=", ".join(f"{need} ({merge[:10]})" for need, merge in missing.items()),
            target=branch,
            remedy=f"it starts anyway; restore that work on {branch} if it was removed by mistake",
        )
    else:
        project.report.settled(key)
    return tip


def _missing(project: Project, board: Board, entry: Entry, branch: str, tip: str) -> dict[str, str]:
    """The dependencies, and the merges that brought them, that the tip lacks."""
    missing = {}
    for need in entry.task.depends_on if entry.task else ():
        content = _landing(board, need)
        if content is None or content.target != branch:
            continue
        there = project.objects.exists(content.merge) and project.objects.exists(tip)
        if not there or not project.objects.is_ancestor(content.merge, tip):
            missing[need] = content.merge
    return missing


def _landing(board: Board, task: str) -> Landed | None:
    """The landing of a task: its own, or that of the task that repaired it."""
    seen: set[str] = set()
    while task not in seen:
        seen.add(task)
        entry = board.entries.get(task)
        event = entry.last(Kind.LANDED, Kind.CLOSED) if entry else None
        content = event.content if event else None
        if isinstance(content, Landed):
            return content
        if not isinstance(content, Closed) or content.by is None:
            return None
        task = content.by
    return None


def _of_work(
    project: Project, board: Board, entry: Entry, assignment: Assignment, target: str
) -> StartPoint:
    coder = registry.find(assignment.coder, board.settings.coders, project.machine.plugins)
    fresh = coder is None or coder.fresh
    last = entry.last(Kind.WORK, Kind.PLAN)
    verdict = verdict_of(entry)
    done = verdict.attempt if verdict else None
    if done is not None and done.outcome is Outcome.CONFLICT:
        submitted = submission_of(entry)
        head = submitted.attempt.head if submitted and submitted.attempt else None
        target = _built_upon(project, board, entry, assignment.target, target)
        if fresh or head is None:
            return StartPoint(target, StartMode.CLEAN)
        return StartPoint(target, StartMode.MERGE, head)
    if last is None or last.attempt is None or fresh:
        return StartPoint(
            _first_base(project, board, entry, assignment.target, target), StartMode.CLEAN
        )
    base, tip = last.attempt.base, _left_at(project, entry.id, last.attempt)
    if base is None or tip is None:
        return StartPoint(
            _first_base(project, board, entry, assignment.target, target), StartMode.CLEAN
        )
    if not (project.objects.exists(base) and project.objects.is_ancestor(base, tip)):
        # Its runner died before the conflicting work was merged: that is still to do.
        target = _built_upon(project, board, entry, assignment.target, target)
        return StartPoint(target, StartMode.MERGE, tip)
    return StartPoint(base, StartMode.GO_ON, tip)


def _first_base(project: Project, board: Board, entry: Entry, branch: str, tip: str) -> str:
    """The base of a first attempt: the rejected work that it repairs, else the target."""
    rejected = _rejected_head(project, board, entry)
    return rejected or _built_upon(project, board, entry, branch, tip)


def _left_at(project: Project, task: str, last: Attempt) -> str | None:
    """The commit at which the last attempt left the work.

    In this clone the task's branch, with anything that was added to it; on another machine, the
    commit in its event.
    """
    here = refs.read(project.repo, f"refs/heads/{task_branch(task)}")
    if last.head is None or (last.runner == project.runner and here is not None):
        return here
    return last.head if project.store.backend.fetch_commit(last.head, task_branch(task)) else here


def _rejected_head(project: Project, board: Board, entry: Entry) -> str | None:
    """The work that a fix task repairs."""
    fixed = board.get(entry.task.fixes) if entry.task and entry.task.fixes else None
    for event in reversed(fixed.events if fixed else ()):
        attempt = event.attempt
        if attempt and attempt.outcome in REJECTIONS and attempt.fixed_by == entry.id:
            assert fixed is not None
            if attempt.head is None or not project.store.backend.fetch_commit(
                attempt.head, task_branch(fixed.id)
            ):
                raise FleetError(
                    f"the rejected work on {fixed.id} is not on any branch that can be fetched",
                    remedy=f"`gitfleet retry {fixed.id}` starts it from scratch.",
                )
            return attempt.head
    return None
