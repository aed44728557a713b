"""Maintenance by the runner: README page, archive, disk space, git's own gc."""

from __future__ import annotations

import contextlib
import math
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.files import layout
from gitfleet.git.command import git
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.plan import archive, readme_page

PAGE_EVERY: Final = 30.0  # seconds between two updates of the page
_IDLE_PAGE_EVERY: Final = 600.0  # the same while the board does not change
_ARCHIVE_EVERY: Final = 60.0
_COLLECT_EVERY: Final = 3600.0
_LONG: Final = 3600.0


class Maintenance:
    """Keeps its own schedule, so that the loop may call it as often as it likes."""

    def __init__(
        self,
        project: Project,
        clock: Callable[[], float] = time.monotonic,
        first: Callable[[], bool] = lambda: True,
    ) -> None:
        """`first`: whether this runner, of several, writes the page."""
        self.fleet = project
        self._first = first
        self._clock = clock
        self._drawn = clock()
        self._looked: tuple[str | None, float] = (None, 0.0)
        self._archived = -math.inf
        self._collected = clock()
        self._collecting: threading.Thread | None = None
        self._short = False

    def round(self) -> None:
        """Do the due jobs."""
        if self._clock() - self._drawn >= PAGE_EVERY:
            self.draw()
        if self._clock() - self._archived >= _ARCHIVE_EVERY:
            self._archive()
        if self._clock() - self._collected >= _COLLECT_EVERY:
            self._collect()

    def draw(self) -> None:
        """Write the page if it would differ."""
        self._drawn = self._clock()
        if not self._first():
            return
        # An idle runner must not render a board of thousands of tasks again and again. Time alone
        # changes little on it (a `not_before` that has come), so that may wait a while.
        tip, looked = self._looked
        same = tip is not None and tip == self.fleet.store.tip()
        if same and self._drawn - looked < _IDLE_PAGE_EVERY:
            return

        def decide(board: Board, now: datetime) -> Change | None:
            old = self._page_of(board)
            new = readme_page.draw(board, now).encode()
            if old == new or not readme_page.drawn(old):
                return None
            return Change(subject="Update the README page", files={layout.PAGE: new})

        self._looked = (self.fleet.store.transact(decide).board.commit, self._drawn)

    def _page_of(self, board: Board) -> bytes | None:
        """The current page; one that is too large was not written by us."""
        objects = self.fleet.objects
        found = objects.find(objects.tree_of(board.commit), layout.PAGE)
        if found is None:
            return None
        ours = found.kind == "blob" and objects.blob_size(found.oid) <= layout.LARGEST
        return objects.blob(found.oid) if ours else b""

    def _archive(self) -> None:
        self._archived = self._clock()
        result = self.fleet.store.transact(archive.batch)
        if result.won and result.change is not None:
            self.fleet.report.action(Action.ARCHIVED, tasks=len(result.change.tasks))

    def _collect(self) -> None:
        """Let git pack loose objects, in a thread: a large repository takes its time."""
        self._collected = self._clock()
        if self._collecting is None or not self._collecting.is_alive():
            self._collecting = threading.Thread(target=self._git_gc, name="git-gc", daemon=True)
            self._collecting.start()

    def _git_gc(self) -> None:
        # Unreachable objects stay two weeks at least: another process may be about to use one.
        args = ("-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=2.weeks.ago", "gc", "--auto")
        with contextlib.suppress(FleetError, OSError):  # the machine may be short of something
            git(*args, "-q", cwd=self.fleet.repo.here, timeout=_LONG)

    def short_of_disk(self) -> bool:
        """Whether too little disk space is left to start anything; logged once at start and end."""
        wanted = self.fleet.machine.disk_reserve * 2**20
        for place in (self.fleet.repo.common, _existing(self.fleet.clone.workspaces)):
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(place).free
                if free < wanted:
                    self._tell_short(place, free)
                    return True
        if self._short:
            self.fleet.report.action(Action.DISK_FREE)
        self._short = False
        return False

    def _tell_short(self, place: Path, free: int) -> None:
        if not self._short:
            self.fleet.report.action(
                Action.DISK_FULL,
                path=place,
                free=f"{free // 2**20}MiB",
                reserve=f"{self.fleet.machine.disk_reserve}MiB",
                remedy="free some space, for example with `gitfleet gc`; until then"
                " nothing new starts",
            )
        self._short = True


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
