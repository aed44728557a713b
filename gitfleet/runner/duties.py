"""The loop's side jobs; if one fails, neither the others nor the work stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.background_service import HealthRecord, ServiceHealth, failure_of
from gitfleet.event_log import Action
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.follow_branch import settle
from gitfleet.git.remote import Unreachable
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.plan.scheduler import target_of
from gitfleet.plan.transitions import by_person

_PASSING: Final = 5.0  # seconds


class Duties:
    """Runs each duty in order, and records the health of each."""

    def __init__(self, project: Project, duties: Mapping[str, Callable[[], object]]) -> None:
        self._duties = dict(duties)
        self._records = {name: HealthRecord(name, project.report) for name in duties}

    def run(self) -> None:
        """Run all of them. Raises Unreachable if the board cannot be read at all."""
        for name, duty in self._duties.items():
            try:
                duty()
            except Unreachable:
                raise
            except Exception as error:
                self._records[name].failed(failure_of(error, doing=name))
            else:
                self._records[name].succeeded()

    def health(self) -> list[ServiceHealth]:
        """The health of every duty."""
        return [record.health for record in self._records.values()]


class WindowCatchUp:
    """Updates checkouts of the board whose index was busy when the board moved.

    It also corrects the index of a target's checkout that a slow command of a person put back: no
    hook of ours keeps the person from committing it.
    """

    def __init__(self, project: Project, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet, self._clock = project, clock
        self.behind: dict[Path, float] = {}  # since when, monotonic
        self.settling = False  # a target's checkout has followed a moment ago

    def keep(self) -> None:
        """Update them; log those that stay behind for longer."""
        behind = self._fleet.store.keep_windows()
        now = self._clock()
        for path, refusal in behind.items():
            since = self.behind.setdefault(path, now)
            # A person's commit takes a moment; only a longer delay is worth a line.
            if not refusal.passing or now - since > _PASSING:
                self._fleet.report.once(
                    f"window {path}", Action.CHECKOUT_BEHIND, path=path, reason=refusal.reason
                )
        for path in self.behind.keys() - behind.keys():
            del self.behind[path]
            self._fleet.report.settled(f"window {path}")
        self.settling = self._settle_targets()

    def _settle_targets(self) -> bool:
        repo, board = self._fleet.repo, self._fleet.store.board()
        default = board.settings.target or self._fleet.default_target
        targets = {target_of(board, entry, default) for entry in board.entries.values()}
        settling = False
        for ref in (f"refs/heads/{target}" for target in {*targets, default}):
            for path in checkouts_of(repo, ref):
                settling |= settle(repo, path, ref)
        return settling


def follow_up(project: Project) -> None:
    """Write the events that follow from people's decisions, one change at a time."""

    def decide(board: Board, now: datetime) -> Change | None:
        return by_person.close_by_hand(board, now, runner=project.runner, suffix=_suffix(now))

    while project.store.transact(decide).won:
        pass


def _suffix(now: datetime) -> str:
    return f"{int(now.timestamp()) & 0xFFFF:04x}"
