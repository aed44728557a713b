"""Notify people of news: a thread of the runner.

News are facts of the board (`plan.notifications`). One runner of several sends each once,
through the services of its machine. A message that a service did not take waits on disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gitfleet.attempt.context import Project
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import Notice
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.model.states import Status
from gitfleet.notify import apprise_services, base
from gitfleet.notify.base import Service, Text
from gitfleet.notify.outlet import Outlet
from gitfleet.notify.spool import Spool
from gitfleet.plan import notifications
from gitfleet.plan.notifications import News
from gitfleet.plan.status import statuses

DUTY: Final = "notify"
"""How a runner that has a service to tell people through says so to the others."""

FOLDER: Final = "notices"
_PACE: Final = 0.5  # seconds between two looks
_LOOK: Final = 30.0  # seconds; the loop wakes us earlier
_FAREWELL: Final = 10.0  # seconds that the end of a runner waits for services


def wanted(project: Project, board: Board) -> frozenset[Notice]:
    """Of what people are to be told."""
    own = project.machine.notify.about
    return frozenset(board.settings.notify if own is None else own)


def able(project: Project) -> bool:
    """Whether this runner has something to tell people through."""
    return bool(base.urls(project.machine)) and apprise_services.installed()


class _KnownNews(NamedTuple):
    """What there was to tell of a task, and of which state of it."""

    entry: Entry
    status: Status
    news: tuple[News, ...]


class Notifier:
    """Looks for news and puts them out.

    `leads` says whether of several runners it is this one that tells, and the monotonic time of the
    last sign of life of the one that did before.
    """

    def __init__(
        self, project: Project, leads: Callable[[], tuple[bool, float]] = lambda: (True, 0.0)
    ) -> None:
        self.fleet = project
        self._leads = leads
        self.spool = Spool(project.clone.folder / FOLDER)
        self._outlets: dict[str, Outlet] | None = None
        self._held: dict[str, tuple[float, News]] = {}  # seen here, perhaps told by another runner
        self._known: dict[str, _KnownNews] = {}
        self._last: tuple[str, dict[str, News]] = ("", {})
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    # -- the thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """The board may have moved."""
        self._news.set()

    def stop(self) -> None:
        """Put out what came last, for a while; what a service does not take waits on disk."""
        self._ending.set()
        self._news.set()
        end = time.monotonic() + (0.2 if self.fleet.giving_up.is_set() else _FAREWELL)
        self._thread.join(max(0.0, end - time.monotonic()))
        outlets = list((self._outlets or {}).values())
        for outlet in outlets:
            outlet.end()
        for outlet in outlets:
            outlet.join(end)

    def _run(self) -> None:
        while True:
            ending = self._ending.is_set()
            try:
                self.round()
            except (FleetError, OSError) as error:
                what = error.what if isinstance(error, FleetError) else str(error)
                remedy = error.remedy if isinstance(error, FleetError) else ""
                self.fleet.report.once(
                    "notify", Action.NOTIFICATIONS_DELAYED, reason=what, remedy=remedy
                )
            else:
                self.fleet.report.settled("notify")
            if ending:
                return
            self._ending.wait(_PACE)  # a busy board moves many times a second
            self._news.wait(_LOOK)
            self._news.clear()

    # -- a round

    def round(self) -> None:
        """See what is new and put it out. FleetError where nobody can be told."""
        board = self.fleet.store.board()
        about = wanted(self.fleet, board)
        if not about:
            if not self.spool.fresh:
                self.spool.forget()
            return
        if not self.spool.fresh:
            self.spool.seen()  # before anything is sent: what lies there is known by that
        outlets = self._open()
        found = self._found(board)
        if self.spool.fresh:
            # The very first start: what is old by now is told to nobody.
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
                continue  # who tells may die before telling it
            settled.append(key)
            # What the other one saw before its last sign of life it has told.
            if first and at >= alive and one.about in about:
                mask = self.fleet.mask.text
                text = Text(key=key, title=mask(one.title), body=mask(one.body))
                self.spool.put(outlets, text)
        if settled:
            self.spool.mark(settled)
        for key in settled:
            del self._held[key]
        for outlet in outlets.values():
            outlet.wake()

    def _found(self, board: Board) -> dict[str, News]:
        """All that could be told of the board as it is; made anew only of what has changed."""
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
            known = {service.digest: service for service in _services(self.fleet)}
            self.spool.keep_only(known)
            self._outlets = {
                digest: Outlet(service, self.spool.folder / digest, self._told, self._failed)
                for digest, service in known.items()
            }
            for outlet in self._outlets.values():
                outlet.start()
        return self._outlets

    def _told(self, service: Service, text: Text) -> None:
        self.fleet.report.settled(f"service {service.digest}")
        self.fleet.report.action(Action.NOTIFIED, about=text.key, service=service.label)

    def _failed(self, service: Service) -> None:
        self.fleet.report.once(
            f"service {service.digest}",
            Action.NOTIFICATIONS_DELAYED,
            service=service.label,
            reason="it did not take a message; it is tried again, with growing pauses",
        )


def _services(project: Project) -> Iterator[Service]:
    urls = base.urls(project.machine)
    if not urls:
        raise FleetError(
            "people are to be told, and this machine has nothing to tell them through",
            remedy=f"Set notify.urls in its config.yaml, or {NOTIFY_URLS}; or take `notify` away.",
        )
    for number, url in enumerate(urls, 1):
        yield apprise_services.service(number, url)
