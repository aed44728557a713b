"""How long a task waits after a failed or interrupted attempt, or while the target is red."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import takewhile
from typing import Final

from gitfleet.model.board import Board, Entry
from gitfleet.model.durations import later
from gitfleet.model.event import Attempt
from gitfleet.model.states import (
    COUNTS,
    RESTS,
    Counter,
    Outcome,
)
from gitfleet.plan.cooldown import pause
from gitfleet.plan.task_history import (
    WORK_KINDS,
    count,
)

_LONGEST_RED_PAUSE: Final = 3600.0
_SHORTEST_RED_PAUSE: Final = 10.0


def proof_pause(board: Board, entry: Entry) -> tuple[datetime | None, str, str | None]:
    """Until when validation waits, why, and the red target if that is the cause."""
    trailing: list[Attempt] = []
    for event in reversed(entry.current):
        if event.kind in WORK_KINDS:
            break
        if event.attempt is not None:
            trailing.append(event.attempt)
    if not trailing:
        return None, "", None
    last = trailing[0]
    same = sum(1 for attempt in trailing if attempt.outcome is last.outcome)
    if last.outcome is Outcome.TARGET_RED:
        # At least this long, even with short pauses: it also ends for a target that did not move.
        wait = max(_SHORTEST_RED_PAUSE, pause(board, same, _LONGEST_RED_PAUSE))
        until = later(last.ended, wait)
        return until, f"the target fails its own checks: {last.reason}", last.base
    why = f"its validation ended {last.outcome}: {last.reason}"
    if COUNTS.get(last.outcome) is Counter.ATTEMPTS:
        return later(last.ended, pause(board, count(trailing, Counter.ATTEMPTS))), why, None
    if (
        COUNTS.get(last.outcome) is Counter.INTERRUPTIONS
        and (often := interruptions_in_a_row(trailing)) > 1
    ):
        return later(last.ended, pause(board, often - 1)), why, None
    return (None, why, None) if last.outcome in RESTS else (None, "", None)


def interruptions_in_a_row(newest_first: Iterable[Attempt]) -> int:
    """How many attempts in a row were interrupted.

    The first is resumed at once. A lasting cause (a full disk, a lock) would otherwise use up all
    of them within a second.
    """
    return sum(1 for _ in takewhile(_interrupted, newest_first))


def _interrupted(attempt: Attempt) -> bool:
    return COUNTS.get(attempt.outcome) is Counter.INTERRUPTIONS
