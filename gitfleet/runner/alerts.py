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
    """Logs tasks that wait for a person, and coders in cooldown."""

    def __init__(self, project: Project) -> None:
        self._fleet = project
        self._cooldowns: dict[str, tuple[Outcome, datetime]] = {}  # coder -> last logged

    def board(self, board: Board) -> None:
        """Log each problem once."""
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
        """Log coders in cooldown here: each limit, and a refused key once until it works again."""
        for coder, rest in cooldowns(board, self._fleet.runner, now).items():
            what = (rest.outcome, rest.since if rest.refused else rest.until)
            if self._cooldowns.get(coder) == what:
                continue
            self._cooldowns[coder] = what
            if rest.refused:
                remedy = "fix the key on this machine; `gitfleet doctor` checks it"
                self._fleet.report.action(
                    Action.KEY_REFUSED, coder=coder, reason=rest.reason, remedy=remedy
                )
            else:
                self._fleet.report.action(
                    Action.COOLDOWN, coder=coder, until=rest.until.isoformat(), reason=rest.reason
                )
