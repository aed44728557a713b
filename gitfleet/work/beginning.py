"""Where an attempt begins: at the target, where the last attempt stopped, or at rejected work."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitfleet.coders import registry
from gitfleet.errors import FleetError
from gitfleet.git import refs
from gitfleet.model.board import Board, Entry
from gitfleet.model.states import REJECTIONS, Kind, Outcome, Role
from gitfleet.plan.pick import Pick
from gitfleet.plan.standing import submission_of, verdict_of
from gitfleet.work.fleet import Fleet, task_branch


class How(StrEnum):
    """What the workspace holds at the beginning."""

    CLEAN = "clean"  # the base, nothing else
    GO_ON = "go-on"  # what the last attempt left
    MERGE = "merge"  # the base, with the conflicting work merged in and markers left


class Beginning(Struct, frozen=True):
    """A base, and what lies on top of it."""

    base: str
    how: How
    tip: str | None = None  # GO_ON: where the branch is; MERGE: what is merged in


def beginning_of(fleet: Fleet, board: Board, entry: Entry, pick: Pick) -> Beginning:
    """Where the next attempt on a task begins; FleetError if its target does not exist."""
    target = fleet.tip_of(pick.target)
    if target is None:
        raise FleetError(
            f"{entry.id} is to land on {pick.target}, and there is no such branch",
            remedy="Make the branch, or change `base` in the task or `target` in fleet.yaml.",
        )
    if pick.role is Role.VALIDATE:
        return Beginning(target, How.CLEAN)
    return _of_work(fleet, board, entry, pick, target)


def _of_work(fleet: Fleet, board: Board, entry: Entry, pick: Pick, target: str) -> Beginning:
    coder = registry.find(pick.coder, board.settings.coders)
    fresh = coder is None or coder.fresh
    last = entry.last(Kind.WORK, Kind.PLAN)
    verdict = verdict_of(entry)
    done = verdict.attempt if verdict else None
    if done is not None and done.outcome is Outcome.CONFLICT:
        submitted = submission_of(entry)
        head = submitted.attempt.head if submitted and submitted.attempt else None
        if fresh or head is None:
            return Beginning(target, How.CLEAN)
        return Beginning(target, How.MERGE, head)
    if last is None or last.attempt is None or fresh:
        return Beginning(_rejected_head(board, entry) or target, How.CLEAN)
    base = last.attempt.base
    tip = refs.read(fleet.repo, f"refs/heads/{task_branch(entry.id)}") or last.attempt.head
    if base is None or tip is None or not fleet.objects.exists(tip):
        return Beginning(_rejected_head(board, entry) or target, How.CLEAN)
    return Beginning(base, How.GO_ON, tip)


def _rejected_head(board: Board, entry: Entry) -> str | None:
    """The work that a fix task repairs."""
    fixed = board.get(entry.task.fixes) if entry.task and entry.task.fixes else None
    for event in reversed(fixed.events if fixed else ()):
        attempt = event.attempt
        if attempt and attempt.outcome in REJECTIONS and attempt.fixed_by == entry.id:
            return attempt.head
    return None
