"""How long the loop sleeps (at most the slow poll of 30 s), and whether the run may end."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.event_log import Action
from gitfleet.model.board import Board
from gitfleet.model.states import FINISHED, FOR_A_PERSON, Status
from gitfleet.model.task import Task
from gitfleet.plan.cooldown import cooldowns
from gitfleet.plan.status import TaskStatus, statuses
from gitfleet.presence.heartbeat_thread import HeartbeatThread, claims_of
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.options import Options

SLOW_POLL: Final = 30.0  # seconds; behind the watcher, in case it misses something
IDLE_DONE: Final = 0
IDLE_WAITS: Final = 4  # something waits for a person
_NAMED: Final = 5  # unfinished tasks that are named at the end


class Idle:
    """Says when the loop has to come round again, and whether it may end."""

    def __init__(
        self,
        project: Project,
        options: Options,
        offers: LocalCapacity,
        heart: HeartbeatThread | None,
    ) -> None:
        self._fleet, self._options, self._offers, self._heart = project, options, offers, heart

    def next_wakeup(
        self, board: Board, now: datetime, *, busy: bool, may_claim: bool
    ) -> float | None:
        """Seconds for which nothing is to do; None if all that can be done is done and that was
        asked. `busy`: attempts are under way."""
        due: list[float] = []
        rests = cooldowns(board, self._fleet.runner, now).values()
        due += [(rest.until - now).total_seconds() + 0.05 for rest in rests]
        if self._heart is not None and (left := self._heart.left()) > 0:
            due.append(left)  # others may take what we hold: it is ended just then
        if self._heart is not None and (turn := self._heart.remote.pace.left()) > 0:
            due.append(turn)
        waits = busy or bool(claims_of(board, self._fleet.runner))
        only = self._offers.only(board)
        known = statuses(board, now)
        for entry in board.entries.values():
            where = known[entry.id]
            if where.role is None or where.until is None or where.until <= now or where.rests:
                continue
            due.append((where.until - now).total_seconds() + 0.05)
            mine = only is None or entry.id in only
            waits = waits or (mine and entry.task is not None and _worth(entry.task, where, now))
        if self._options.until_idle or self._options.once:
            # What nothing may be claimed of now (a full disk, a newer format) is not waited for.
            chosen, passed = self._offers.picks(board, now) if may_claim else ([], [])
            waits = waits or any(one.until is not None for one in passed)
            away = self._heart is not None and bool(self._heart.offline)
            if not (waits or chosen or away):
                return None
            due += [1.0] if chosen else []
        return min([SLOW_POLL, *due])

    def exit_status(self) -> int:
        """What the run ends with; what it leaves is told."""
        if not (self._options.until_idle or self._options.once):
            return IDLE_DONE
        left = sorted(self._left_over(self._fleet.store.board()))
        if not left:
            return IDLE_DONE
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        remedy = "`gitfleet list` tells what each waits for"
        self._fleet.report.action(
            Action.UNFINISHED, tasks=f"{', '.join(left[:_NAMED])}{more}", remedy=remedy
        )
        return IDLE_WAITS

    def _left_over(self, board: Board) -> set[str]:
        """Tasks for whose sake it cannot be said that all that can be done is done."""
        now = self._fleet.store.now()
        only = self._offers.only(board)
        found = {
            task: where.status
            for task, where in statuses(board, now).items()
            if only is None or task in only
        }
        waiting = FOR_A_PERSON | {Status.SUBMITTED, Status.ACCEPTED}
        left = {task for task, status in found.items() if status in waiting}
        if self._options.once:  # the one task that was asked for is to be done
            left |= {task for task, status in found.items() if status not in FINISHED}
        chosen, passed = self._offers.picks(board, now)
        stuck = {one.task for one in passed if one.for_a_person}
        return left | {one.task for one in chosen} | stuck


def _worth(task: Task, where: TaskStatus, now: datetime) -> bool:
    """Whether --until-idle waits for a pause: for a back-off, but for nobody's `not_before`, and
    not for a target that only a person or another task can repair."""
    later = task.not_before is not None and task.not_before > now
    return where.red is None and not later
