"""Questions on a forge: the thread of a runner that brings them there, and answers back.

A forge that does not answer, or limits us, is asked again later; nothing else waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.forges import registry
from gitfleet.forges.base import Desk, Forge, Site
from gitfleet.forges.http_errors import Limited, NoAnswer
from gitfleet.git import remote
from gitfleet.model.config import ForgeKind, ForgeSettings
from gitfleet.model.durations import seconds
from gitfleet.questions.forge_sync import CommentsSeen, SyncRound, open_cases

DUTY: Final = "forge"
"""How a runner that can speak to the forge says so to the others."""

_FIRST_PAUSE: Final = 5.0  # seconds after something did not go
_LAST_PAUSE: Final = 300.0
_IDLE: Final = 60.0  # seconds between looks at the settings while there is no forge
_FAREWELL: Final = 10.0  # seconds that the end of a runner waits for a last round


class ForgeService:
    """Brings questions to the forge and answers back. `leads`: whether of several runners it is
    this one that does so."""

    def __init__(self, project: Project, leads: Callable[[], bool] = lambda: True) -> None:
        self.fleet = project
        self._leads = leads
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._desk: tuple[ForgeSettings, Site, Forge, Desk] | None = None
        self._looked: dict[str, CommentsSeen] = {}
        self._known: frozenset[str] | None = None  # what was open at the last round that went well
        self._due = 0.0  # monotonic
        self._pause = 0.0
        self.able = False  # whether this runner has what the forge is spoken to with

    # -- the thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """The board may have moved."""
        self._news.set()

    def stop(self) -> None:
        """Bring what was asked last, for a while; the next start of a runner does the rest."""
        self._ending.set()
        self._news.set()
        self._thread.join(0.2 if self.fleet.giving_up.is_set() else _FAREWELL)
        if not self._thread.is_alive():
            self.leave()

    def leave(self) -> None:
        """Let go of the connection; the next round makes a new one, with a token asked for anew."""
        if self._desk is not None:
            self._desk[3].api.close()
        self._desk = None

    def _run(self) -> None:
        while True:
            ending = self._ending.is_set()
            if self._changed() or (not ending and time.monotonic() >= self._due):
                self.attempt()
            if ending:
                return
            self._news.wait(max(0.0, self._due - time.monotonic()))
            self._news.clear()

    def _changed(self) -> bool:
        """Whether other questions are open than at the last round. After a failure that does not
        matter: a forge is not to be asked at every event."""
        if self._pause:
            return False
        try:
            return frozenset(open_cases(self.fleet.store.board())) != self._known
        except FleetError:
            return False  # the loop tells of it

    def attempt(self) -> bool:
        """One round, told where it does not go. False: to be tried again."""
        try:
            self._due = time.monotonic() + self.round()
        except (FleetError, OSError) as error:
            self._later(error)
            return False
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Whatever answers there speaks another language than the forge it should be.
            self._later(FleetError(f"the forge answers strangely: {type(error).__name__} {error}"))
            return False
        self._pause = 0.0
        self.fleet.report.settled("forge")
        return True

    def _later(self, error: FleetError | OSError) -> None:
        self._pause = min(_LAST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        wait = max(self._pause, error.seconds) if isinstance(error, Limited) else self._pause
        self._due = time.monotonic() + wait
        if not isinstance(error, NoAnswer | Limited):
            self.leave()  # the token may have expired
        what = error.what if isinstance(error, FleetError) else str(error)
        remedy = error.remedy if isinstance(error, FleetError) else ""
        self.fleet.report.once("forge", Action.FORGE_DELAYED, reason=what, remedy=remedy)

    # -- a round

    def round(self) -> float:
        """Do what is due now. Seconds until the next round.

        Raises RestError, Unreachable, or another FleetError where the forge cannot be asked.
        """
        board = self.fleet.store.board()
        settings = board.settings.forge
        self._known = frozenset(open_cases(board))
        self.able = settings is not None and self._equipped(settings)
        if settings is None or settings.kind is ForgeKind.NONE:
            return _IDLE
        if self._leads():
            where, forge, desk = self._at(settings)
            SyncRound(self.fleet, where, forge, desk, self._looked).run(board)
        return seconds(settings.poll)

    def _equipped(self, settings: ForgeSettings) -> bool:
        if settings.kind is ForgeKind.NONE or not registry.installed():
            return False
        try:
            forge = registry.find(self._site(settings).kind)
        except FleetError:
            return False
        command = self.fleet.machine.forge.token_command
        return forge is not None and registry.token_at_hand(forge, command)

    def _site(self, settings: ForgeSettings) -> Site:
        swap = self.fleet.store.backend
        name = swap.name if isinstance(swap, RemoteBackend) else None
        return registry.site(settings, remote.address(self.fleet.repo, name) if name else None)

    def _at(self, settings: ForgeSettings) -> tuple[Site, Forge, Desk]:
        if not isinstance(self.fleet.store.backend, RemoteBackend):
            raise FleetError(
                "a forge is configured, and the board is in this clone only",
                remedy=f"`git push origin {self.fleet.store.branch}`, and start the runner again.",
            )
        if self._desk is None or self._desk[0] != settings:
            self.leave()
            where = self._site(settings)
            forge = registry.find(where.kind)
            assert forge is not None
            secret = registry.token(forge, where, self.fleet.machine.forge.token_command)
            made = registry.desk(forge, where, secret, self._ending)
            self._desk = (settings, where, forge, made)
        return self._desk[1:]
