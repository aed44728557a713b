"""This runner's free capacity: slots, labels, coders, and tasks that it cannot land now."""

from __future__ import annotations

from datetime import datetime

from gitfleet.attempt.context import Project
from gitfleet.coders import registry
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.board import Board
from gitfleet.plan.coder_choice import named_by, named_on
from gitfleet.plan.scheduler import Assignment, Capacity, Skipped, picks, target_of
from gitfleet.plan.transitions import on_landing
from gitfleet.runner.options import Options


class LocalCapacity:
    """Checks the clone and its machine, and chooses tasks from a board that can be done here."""

    def __init__(self, project: Project, options: Options, blocked: BlockedLandings) -> None:
        self._fleet, self._options, self._blocked = project, options, blocked

    def picks(self, board: Board, now: datetime) -> tuple[list[Assignment], list[Skipped]]:
        """The tasks to claim now, and the claimable tasks that are passed over."""
        return picks(board, now, self.now(board), self._fleet.default_target)

    def now(self, board: Board) -> Capacity:
        """The present capacity for this board."""
        machine = self._fleet.machine
        tips = self._tips(board)
        slots = self._options.slots or machine.concurrency or board.settings.concurrency
        return Capacity(
            runner=self._fleet.runner,
            slots=slots,
            labels=frozenset(machine.labels),
            coders=frozenset(machine.coders) if machine.coders is not None else None,
            absent=self._absent(board),
            default=self._options.default,
            only=self.only(board),
            blocked={**self._blocked.reasons(), **self._homeless(board, tips)},
            tips=tips,
        )

    def _absent(self, board: Board) -> dict[str, str]:
        """The coders that the board names and this machine lacks, each with the reason."""
        described, listed = board.settings.coders, self._fleet.machine.plugins
        default = named_by(self._options.default) if self._options.default else ()
        names = named_on(board) | {one.coder for one in default}
        errors = {name: registry.absence(name, described, listed) for name in names}
        return {name: error.one_line for name, error in errors.items() if error is not None}

    def only(self, board: Board) -> frozenset[str] | None:
        """The requested tasks with their fix tasks; None: all."""
        once = self._options.once
        if once is None:
            return None
        repairs = (
            entry.id
            for entry in board.entries.values()
            if any(above.id == once for above in on_landing.chain(board, entry))
        )
        return frozenset({once, *repairs})

    def _tips(self, board: Board) -> dict[str, str]:
        targets = {
            target_of(board, entry, self._fleet.default_target) for entry in board.entries.values()
        }
        found = {target: self._fleet.tip_of(target) for target in targets}
        return {target: tip for target, tip in found.items() if tip is not None}

    def _homeless(self, board: Board, tips: dict[str, str]) -> dict[str, str]:
        """Tasks whose target branch does not exist."""
        default = self._fleet.default_target
        return {
            entry.id: f"it lands on {target}, but there is no such branch"
            for entry in board.entries.values()
            if (target := target_of(board, entry, default)) not in tips
        }
