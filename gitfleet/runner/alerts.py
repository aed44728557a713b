"""Log each problem that needs a person, once, until it is resolved."""

from __future__ import annotations

from datetime import datetime

from gitfleet.attempt.context import Project
from gitfleet.event_log import Action
from gitfleet.model.board import Board
from gitfleet.model.states import FOR_A_PERSON, Outcome
from gitfleet.plan.cooldown import cooldowns
from gitfleet.plan.status import statuses


class Alerts:
    """Tells what waits for a person, and which coders rest."""

    def __init__(self, project: Project) -> None:
        self._fleet = project
        self._resting: dict[str, tuple[Outcome, datetime]] = {}  # of which coder what was told

    def board(self, board: Board) -> None:
        """Every problem reaches a person once."""
        report = self._fleet.report
        report.each("settings", Action.BROKEN_SETTINGS, board.settings_problems)
        for path, problems in board.damage.items():
            report.once(f"damage {path}", Action.DAMAGED, reason=problems[0])
        known = statuses(board, self._fleet.store.now())
        for entry in board.entries.values():
            if entry.problems or entry.events:
                where = known[entry.id]
                if where.status in FOR_A_PERSON:
                    report.once(
                        f"person {entry.id}",
                        Action.NEEDS_ATTENTION,
                        task=entry.id,
                        status=where.status,
                        reason=where.reason,
                    )
                else:
                    report.settled(f"person {entry.id}")

    def coders(self, board: Board, now: datetime) -> None:
        """Which coders rest here: a limit each time, a refused key once until it works again."""
        for coder, rest in cooldowns(board, self._fleet.runner, now).items():
            what = (rest.outcome, rest.since if rest.refused else rest.until)
            if self._resting.get(coder) == what:
                continue
            self._resting[coder] = what
            if rest.refused:
                remedy = "mend it on this machine; `gitfleet doctor` looks at it"
                self._fleet.report.action(
                    Action.KEY_REFUSED, coder=coder, reason=rest.reason, remedy=remedy
                )
            else:
                self._fleet.report.action(
                    Action.COOLDOWN, coder=coder, until=rest.until.isoformat(), reason=rest.reason
                )
