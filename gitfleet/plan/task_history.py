"""Facts of a task's history: submissions, verdicts, holds, and how many attempts count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Attempt, Event
from gitfleet.model.states import (
    COUNTS,
    VERDICTS,
    Counter,
    Kind,
    Outcome,
)
from gitfleet.plan import budget

WORK_KINDS: Final = (Kind.WORK, Kind.PLAN)


def put_on_hold(entry: Entry) -> Event | None:
    """The event that put a task on hold, or None. `retry` does not end a hold."""
    switches = (e for e in reversed(entry.events) if e.kind in (Kind.HOLD, Kind.UNHOLD))
    last = next(switches, None)
    return last if last is not None and last.kind is Kind.HOLD else None


def limit_of(board: Board, entry: Entry) -> int:
    """How many failed attempts a task has before it waits for a person."""
    own = entry.task.max_attempts if entry.task else None
    return own or board.settings.max_attempts


def count(attempts: Iterable[Attempt], counter: Counter) -> int:
    """How many of the attempts count against `counter`."""
    return sum(1 for attempt in attempts if COUNTS.get(attempt.outcome) is counter)


def over_budget(entry: Entry) -> str:
    """Why no step that costs may start on a task; empty if budget is left."""
    allowed = entry.task.budget if entry.task else None
    return budget.used_up(allowed, budget.spent(entry)) if allowed else ""


def verdict_of(entry: Entry) -> Event | None:
    """The last verdict on the last submission, or None."""
    for event in reversed(entry.current):
        if event.kind in WORK_KINDS:
            return None
        if event.attempt is not None and event.attempt.outcome in VERDICTS:
            return event
    return None


def submission_of(entry: Entry) -> Event | None:
    """The last work or plan attempt, if it was submitted."""
    last = entry.last(*WORK_KINDS)
    if last is None or last.attempt is None or last.attempt.outcome is not Outcome.SUBMITTED:
        return None
    return last
