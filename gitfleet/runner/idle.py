"""How long the loop sleeps (at most the slow poll of 30 s), and whether the run may end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from gitfleet.attempt.context import Project
from gitfleet.event_log import Action
from gitfleet.model.board import Board, Entry
from gitfleet.model.states import FINISHED, FOR_A_PERSON, Status
from gitfleet.plan.cooldown import cooldowns
from gitfleet.plan.scheduler import Skipped
from gitfleet.plan.status import TaskStatus, statuses
from gitfleet.presence.heartbeat_thread import HeartbeatThread, claims_of
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.options import Options

SLOW_POLL: Final = 30.0  # seconds; a fallback in case the watcher misses a change
IDLE_DONE: Final = 0
IDLE_WAITS: Final = 4  # a task waits for a person
_SOON: Final = 1.0  # seconds until the next try to claim a claimable task
_AFTER: Final = 0.05  # seconds added to a deadline, so that it has surely passed
_NAMED: Final = 5  # unfinished tasks that are named at the end


class Idle:
    """Decides when the loop must run again, and whether it may end."""

    def __init__(
        self,
        project: Project,
        options: Options,
        capacity: LocalCapacity,
        heartbeat: HeartbeatThread | None,
    ) -> None:
        self._fleet, self._options, self._capacity, self._heartbeat = (
            project,
            options,
            capacity,
            heartbeat,
        )

    def next_wakeup(
        self, board: Board, now: datetime, *, busy: bool, may_claim: bool
    ) -> float | None:
        """Seconds until the next round at the latest; None if the run may end.

        It may end if the options ask for that and no work is left. `busy`: attempts are running.
        """
        paused = list(_paused(board, now))
        seconds = self._seconds_until_due(board, now, paused)
        if not self._ends:
            return seconds
        # Tasks that cannot be claimed now (a full disk, a newer format) are not waited for.
        chosen, skipped = self._capacity.picks(board, now) if may_claim else ([], [])
        if chosen:
            return min(seconds, _SOON)
        waits = busy or self._is_waited_for(board, now, paused, skipped)
        return seconds if waits else None

    @property
    def _ends(self) -> bool:
        """Whether the run ends when no work is left."""
        return self._options.until_idle or self._options.once is not None

    def _seconds_until_due(self, board: Board, now: datetime, paused: list[_Paused]) -> float:
        """Seconds until time alone makes work due; the slow poll at the latest."""
        moments = [rest.until for rest in cooldowns(board, self._fleet.runner, now).values()]
        moments += [one.until for one in paused]
        due = [SLOW_POLL, *((at - now).total_seconds() + _AFTER for at in moments)]
        if self._heartbeat is not None:
            lease = self._heartbeat.left()  # then others may take our claims: their attempts end
            turn = self._heartbeat.remote.pace.left()
            due += [left for left in (lease, turn) if left > 0]
        return min(due)

    def _is_waited_for(
        self, board: Board, now: datetime, paused: list[_Paused], skipped: list[Skipped]
    ) -> bool:
        """Whether work will appear without a person.

        That is: a claim of ours that is still being settled, the end of a cooldown or of a
        back-off, or a remote that is away.
        """
        away = self._heartbeat is not None and bool(self._heartbeat.offline)
        if away or claims_of(board, self._fleet.runner):
            return True
        if any(one.until is not None for one in skipped):
            return True
        only = self._capacity.only(board)
        return any(one.is_worth(now) for one in paused if only is None or one.entry.id in only)

    def exit_status(self) -> int:
        """The exit status; unfinished tasks are logged."""
        if not self._ends:
            return IDLE_DONE
        left = sorted(self._left_over(self._fleet.store.board()))
        if not left:
            return IDLE_DONE
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        remedy = "`gitfleet list` shows what each waits for"
        self._fleet.report.action(
            Action.UNFINISHED, tasks=f"{', '.join(left[:_NAMED])}{more}", remedy=remedy
        )
        return IDLE_WAITS

    def _left_over(self, board: Board) -> set[str]:
        """The tasks that keep the run from being complete."""
        now = self._fleet.store.now()
        only = self._capacity.only(board)
        found = {
            task: where.status
            for task, where in statuses(board, now).items()
            if only is None or task in only
        }
        waiting = FOR_A_PERSON | {Status.SUBMITTED, Status.ACCEPTED}
        left = {task for task, status in found.items() if status in waiting}
        if self._options.once:  # the one requested task must be finished
            left |= {task for task, status in found.items() if status not in FINISHED}
        chosen, passed = self._capacity.picks(board, now)
        stuck = {one.task for one in passed if one.for_a_person}
        return left | {one.task for one in chosen} | stuck


class _Paused(NamedTuple):
    """A task that can be claimed later, when its pause ends."""

    entry: Entry
    status: TaskStatus
    until: datetime

    def is_worth(self, now: datetime) -> bool:
        """Whether --until-idle waits for this pause.

        It waits for a back-off, but not for a `not_before`, and not for a target that only a person
        or another task can repair.
        """
        task = self.entry.task
        later = task is not None and task.not_before is not None and task.not_before > now
        return task is not None and self.status.red is None and not later


def _paused(board: Board, now: datetime) -> Iterator[_Paused]:
    """Every task that time alone makes claimable; a coder's cooldown is counted elsewhere."""
    for task, status in statuses(board, now).items():
        until = status.until
        if status.role is not None and until is not None and until > now and not status.rests:
            yield _Paused(board.entries[task], status, until)
