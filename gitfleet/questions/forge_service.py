"""The background service that brings questions to a forge and answers back.

A forge that does not answer, or rate-limits us, is asked again later; nothing else waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.background_service import BackgroundService, FailedRound, failure_of
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.forges import registry
from gitfleet.forges.base import Desk, Forge, Site
from gitfleet.forges.http_errors import Limited, NoAnswer
from gitfleet.model.config import ForgeSettings
from gitfleet.model.durations import seconds
from gitfleet.questions.forge_sync import CommentsSeen, SyncRound, open_cases

DUTY: Final = "forge"
"""How a runner that can speak to the forge says so to the others."""

_IDLE: Final = 60.0  # seconds between checks of the settings while there is no forge


class ForgeService:
    """Brings questions to the forge and answers back.

    `leads`: whether this runner, of several, does it.
    """

    def __init__(self, project: Project, leads: Callable[[], bool] = lambda: True) -> None:
        self.fleet = project
        self._leads = leads
        self.service = BackgroundService(
            "forge",
            self._turn,
            project.report,
            failure=self._failed,
            goodbye=self._goodbye,
            giving_up=project.giving_up,
            traces=project.clone.folder,
        )
        self._desk: tuple[ForgeSettings, Site, Forge, Desk] | None = None
        self._looked: dict[str, CommentsSeen] = {}
        self._known: frozenset[str] | None = None  # the open questions of the last successful round
        self._due = 0.0  # monotonic
        self.able = False  # whether this runner has the forge's client and token

    # -- lifecycle

    def _turn(self) -> float:
        """Do a round if one is due, or if the board's questions changed since the last one."""
        if time.monotonic() >= self._due or self._changed():
            self._due = 0.0  # retry after a failure
            self._due = time.monotonic() + self.round()
        return self._due - time.monotonic()

    def _changed(self) -> bool:
        try:
            return frozenset(open_cases(self.fleet.store.board())) != self._known
        except FleetError:
            return False  # the loop reports it

    def _failed(self, error: Exception) -> FailedRound:
        if not isinstance(error, NoAnswer | Limited):
            self.leave()  # the token may have expired
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
            # The server there does not speak the forge's API.
            error = FleetError(
                f"the forge gave an unexpected answer: {type(error).__name__} {error}"
            )
        wait = error.seconds if isinstance(error, Limited) else 0.0
        return FailedRound(Action.FORGE_DELAYED, failure_of(error).fields, wait)

    def _goodbye(self) -> None:
        """Bring the last questions; the next start of a runner does the rest."""
        try:
            if not self.service.failing and self._changed():
                self.round()
        finally:
            self.leave()

    def leave(self) -> None:
        """Close the connection; the next round opens a new one, with a new token."""
        if self._desk is not None:
            self._desk[3].api.close()
        self._desk = None

    # -- a round

    def round(self) -> float:
        """Do the due work. Returns seconds until the next round.

        Raises HttpError, Unreachable, or another FleetError if the forge cannot be asked.
        """
        board = self.fleet.store.board()
        settings = board.settings.forge
        self._known = frozenset(open_cases(board))
        self.able = settings is not None and self._equipped(settings)
        if settings is None or settings.by_hand:
            return _IDLE
        if self._leads():
            where, forge, desk = self._at(settings)
            SyncRound(self.fleet, where, forge, desk, self._looked).run(board)
        return seconds(settings.poll)

    def _equipped(self, settings: ForgeSettings) -> bool:
        if settings.by_hand or not registry.installed():
            return False
        try:
            forge = registry.find(self._site(settings).kind, self.fleet.machine.plugins)
        except FleetError:
            return False
        command = self.fleet.machine.forge.token_command
        return registry.token_at_hand(forge, command)

    def _site(self, settings: ForgeSettings) -> Site:
        remote = self.fleet.store.backend.remote
        return registry.site(settings, remote.address() if remote is not None else None)

    def _at(self, settings: ForgeSettings) -> tuple[Site, Forge, Desk]:
        if self.fleet.store.backend.remote is None:
            raise FleetError(
                "a forge is configured, but the board is only in this clone",
                remedy=f"`git push origin {self.fleet.store.branch}`, and restart the runner.",
            )
        if self._desk is None or self._desk[0] != settings:
            self.leave()
            where = self._site(settings)
            forge = registry.find(where.kind, self.fleet.machine.plugins)
            secret = registry.token(forge, where, self.fleet.machine.forge.token_command)
            made = registry.desk(forge, where, secret, self.service.ending)
            self._desk = (settings, where, forge, made)
        return self._desk[1:]
