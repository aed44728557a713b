"""Move finished tasks to done/, in batches. Pure.

`tasks/` is a flat folder, and every change to it rewrites the whole folder. So finished tasks leave
it, but rarely: a day after their last change at the earliest, and then many at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gitfleet.files import layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change
from gitfleet.plan.graph import done

QUIET: Final = timedelta(days=1)  # since a task's last change
_PATIENCE: Final = timedelta(hours=1)  # how long a small batch waits for more tasks
_MANY: Final = 50  # a batch of this size does not wait
_MOST: Final = 1000  # per batch


def batch(board: Board, now: datetime) -> Change | None:
    """The next batch; None if none is due. Late files of archived tasks go along."""
    due = [entry for entry in board.entries.values() if _due(entry, now)]
    waited = any(_due(entry, now - _PATIENCE) for entry in due)
    late = [e for e in board.hidden.values() if e.id in board.archived and not e.blob]
    if not (waited or len(due) >= _MANY or (late and due)):
        return None
    due = sorted(due, key=lambda entry: (entry.events[-1].at, entry.id))[:_MOST]
    relocated: dict[str, str] = {}
    for entry in due:
        folder = layout.archive_folder(entry.id, f"{entry.events[-1].at:%Y-%m}")
        relocated.update(_moves(entry, folder))
    for entry in late:
        relocated.update(_moves(entry, board.archived[entry.id]))
    return Change(
        subject=f"Archive {len(due)} finished tasks",
        files={},
        relocated=relocated,
        tasks=tuple(entry.id for entry in due),
    )


def _due(entry: Entry, now: datetime) -> bool:
    return (
        entry.claim is None
        and entry.task is not None
        and bool(entry.events)
        and done(entry)
        and now - entry.events[-1].at >= QUIET
    )


def _moves(entry: Entry, folder: str) -> dict[str, str]:
    """Every file of a task: from its path to its path in the archive."""
    paths = [layout.task_path(entry.id)] if entry.blob else []
    paths += [layout.event_path(entry.id, event.name) for event in entry.events]
    paths += [layout.question_path(question.name) for question in entry.questions]
    paths += entry.notes
    return {path: layout.archived_path(path, folder) for path in paths}
