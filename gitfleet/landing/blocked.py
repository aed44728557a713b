"""Accepted tasks that cannot land now, each with the reason and when to try again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gitfleet.attempt.context import Project
from gitfleet.event_log import Action
from gitfleet.git import follow_branch
from gitfleet.git.checkouts import checkouts_of
from gitfleet.model.change import Move

_ASK_AGAIN: Final = 300.0  # seconds until a server that refused is asked again


class BlockedBy(Struct, frozen=True):
    """Why proved work cannot land: a checkout or a server refuses the target's move."""

    reason: str
    move: Move


class BlockedLandings:
    """The accepted tasks of one clone that cannot land now. Any thread may use it."""

    def __init__(self, project: Project, clock: Callable[[], float] = time.monotonic) -> None:
        self._project, self._clock = project, clock
        self._lock = threading.Lock()
        self._blocked: dict[str, tuple[BlockedBy, float]] = {}  # with the time, by the clock

    def add(self, task: str, blocked: BlockedBy) -> None:
        """Do not try this task again until the obstacle may be gone."""
        with self._lock:
            self._blocked[task] = blocked, self._clock()
        self._project.report.once(
            f"blocked {task}", Action.BLOCKED, task=task, reason=blocked.reason
        )

    def drop(self, task: str) -> None:
        """The task landed, so it is no longer blocked."""
        with self._lock:
            known = self._blocked.pop(task, None)
        if known is not None:
            self._project.report.settled(f"blocked {task}")

    def reasons(self) -> dict[str, str]:
        """The reason of each blocked task. Tasks that are worth another try are dropped first."""
        with self._lock:
            known = dict(self._blocked)
        for task, entry in known.items():
            if self._may_try(*entry):
                self._drop_unless_newer(task, entry)
        with self._lock:
            return {task: blocked.reason for task, (blocked, _) in self._blocked.items()}

    def _drop_unless_newer(self, task: str, entry: tuple[BlockedBy, float]) -> None:
        with self._lock:
            if self._blocked.get(task) != entry:
                return
            del self._blocked[task]
        self._project.report.settled(f"blocked {task}")

    def _may_try(self, blocked: BlockedBy, since: float) -> bool:
        """Whether the target has moved, the checkout is free, or the server is due to be asked."""
        move = blocked.move
        if self._project.tip_of(move.ref.removeprefix("refs/heads/")) != move.old:
            return True
        if self._project.store.backend.remote is not None:
            return self._clock() - since >= _ASK_AGAIN
        return self._could_follow(move)

    def _could_follow(self, move: Move) -> bool:
        repo = self._project.repo
        assert move.old is not None and move.new is not None
        return not any(
            follow_branch.refusal(repo, path, move.ref, move.old, move.new)
            for path in checkouts_of(repo, move.ref)
        )
