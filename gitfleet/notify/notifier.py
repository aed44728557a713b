"""Notify people of news: a thread of the runner.

News are facts of the board (`plan.notifications`). One runner of several sends each once,
through the services of its machine. A message that a service did not take waits on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gitfleet.attempt.context import Project
from gitfleet.background_service import (
    BackgroundService,
    ServiceHealth,
    failure_of,
)
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import Notice
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.model.states import Status
from gitfleet.notify import registry
from gitfleet.notify.base import Service, Text
from gitfleet.notify.outlet import Outlet
from gitfleet.notify.registry import NamedService
from gitfleet.notify.spool import Spool
from gitfleet.plan import notifications
from gitfleet.plan.notifications import News
from gitfleet.plan.status import statuses

DUTY: Final = "notify"
"""How a runner that has a service to tell people through says so to the others."""

FOLDER: Final = "notices"
_PACE: Final = 0.5  # seconds between two checks
_LOOK: Final = 30.0  # seconds; the loop wakes this thread earlier
_FAREWELL: Final = 10.0  # seconds that a stopping runner waits for services


def wanted(project: Project, board: Board) -> frozenset[Notice]:
    """The kinds of news that people want."""
    own = project.machine.notify.about
    return frozenset(board.settings.notify if own is None else own)


def able(project: Project) -> bool:
    """Whether this runner has a service to notify people through."""
    return registry.able(project.machine)


class _KnownNews(NamedTuple):
    """The news of a task, and the state of the task at that time."""

    entry: Entry
    status: Status
    news: tuple[News, ...]


class Notifier:
    """Finds news and sends it.

    `leads` returns whether this runner, of several, sends the news, and the monotonic time of the
    last sign of life of the runner that did so before.
    """

    def __init__(
        self, project: Project, leads: Callable[[], tuple[bool, float]] = lambda: (True, 0.0)
    ) -> None:
        self.fleet = project
        self._leads = leads
        self.spool = Spool(project.clone.folder / FOLDER)
        self._outlets: dict[str, Outlet] | None = None
        self._boxes: frozenset[str] = frozenset()  # of all services, including broken ones
        self._held: dict[str, tuple[float, News]] = {}  # seen here; another runner may have sent it
        self._known: dict[str, _KnownNews] = {}
        self._last: tuple[str, dict[str, News]] = ("", {})
        self.service = BackgroundService(
            "notify",
            self._turn,
            project.report,
            failure=lambda error: failure_of(error, Action.NOTIFICATIONS_DELAYED),
            goodbye=self._goodbye,
            first_pause=_LOOK,
            last_pause=_LOOK,
            spacing=_PACE,
            farewell=_FAREWELL,
            giving_up=project.giving_up,
            traces=project.clone.folder,
        )

    # -- lifecycle

    def health(self) -> list[ServiceHealth]:
        """The health of this service and of each outlet."""
        outlets = list((self._outlets or {}).values())
        return [self.service.health, *(outlet.service.health for outlet in outlets)]

    def _turn(self) -> float:
        self.round()
        return _LOOK

    def _goodbye(self) -> None:
        """Send the last news within a time limit; news that a service refuses waits on disk."""
        end = time.monotonic() + _FAREWELL
        try:
            self.round()
        finally:
            outlets = list((self._outlets or {}).values())
            for outlet in outlets:
                outlet.service.end()
            for outlet in outlets:
                outlet.service.join(end - time.monotonic())

    # -- a round

    def round(self) -> None:
        """Find news and send it. FleetError if no service is usable."""
        board = self.fleet.store.board()
        about = wanted(self.fleet, board)
        if not about:
            if not self.spool.fresh:
                self.spool.forget()
            return
        if not self.spool.fresh:
            self.spool.seen()  # before anything is sent: queued messages become known by this
        outlets = self._open()
        found = self._found(board)
        if self.spool.fresh:
            # The very first start: no person is notified of old news.
            self.spool.mark(found)
            return
        seen = self.spool.seen()
        now = time.monotonic()
        for key, one in found.items():
            if (
                key not in seen
                and key not in self._held
                and not notifications.older_idle(key, seen)
            ):
                self._held[key] = (now, one)
        self._put_out(about, outlets)
        self.spool.compact(found)

    def _put_out(self, about: frozenset[Notice], outlets: dict[str, Outlet]) -> None:
        first, alive = self._leads()
        settled: list[str] = []
        for key, (at, one) in self._held.items():
            if not first and at > alive:
                continue  # the sending runner may die before it sends
            settled.append(key)
            # The other runner has sent all news that it saw before its last sign of life.
            if first and at >= alive and one.about in about:
                mask = self.fleet.mask.text
                text = Text(key=key, title=mask(one.title), body=mask(one.body))
                self.spool.put(self._boxes, text)
        if settled:
            self.spool.mark(settled)
        for key in settled:
            del self._held[key]
        for outlet in outlets.values():
            outlet.service.wake()

    def _found(self, board: Board) -> dict[str, News]:
        """All news on the current board; recomputed only for changed tasks."""
        if board.commit == self._last[0]:
            return self._last[1]
        where = statuses(board, self.fleet.store.now())
        known: dict[str, _KnownNews] = {}
        for task, entry in board.entries.items():
            before, here = self._known.get(task), where[task]
            if before is None or before.entry is not entry or before.status is not here.status:
                before = _KnownNews(entry, here.status, tuple(notifications.of_entry(entry, here)))
            known[task] = before
        self._known = known
        found = {one.key: one for task in known.values() for one in task.news}
        idle = notifications.idle(board, where.values())
        found = found if idle is None else {**found, idle.key: idle}
        self._last = (board.commit, found)
        return found

    def _open(self) -> dict[str, Outlet]:
        """An outlet for each service, by its digest; opened once."""
        if self._outlets is None:
            named = _services(self.fleet)
            self._boxes = frozenset(one.digest for one in named)
            self.spool.keep_only(self._boxes)
            self._outlets = {
                one.digest: Outlet(one.made, self.spool.folder / one.digest, self.fleet.report)
                for one in named
                if isinstance(one.made, Service)
            }
            for one in named:
                if isinstance(one.made, FleetError):
                    self._broken(one, one.made)
            for outlet in self._outlets.values():
                outlet.service.start()
        return self._outlets

    def _broken(self, service: NamedService, error: FleetError) -> None:
        self.fleet.report.once(
            f"service {service.digest}",
            Action.NOTIFICATIONS_DELAYED,
            service=service.label,
            reason=error.one_line,
        )


def _services(project: Project) -> list[NamedService]:
    """The services of this machine. FleetError if it names none, or none that works."""
    found = registry.services(project.machine)
    if not found:
        raise FleetError(
            "fleet.yaml asks for notifications, but this machine has no service to send them",
            remedy=f"Set notify.urls in its config.yaml, or {NOTIFY_URLS}; or remove `notify`.",
        )
    errors = [one.made for one in found if isinstance(one.made, FleetError)]
    if len(errors) == len(found):
        raise errors[0]
    return found
