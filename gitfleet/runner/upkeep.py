"""What a runner does beside the work: the page, the archive, the disk, git's own clean-up."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from gitfleet.errors import GitError
from gitfleet.files import layout
from gitfleet.git.command import git
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.plan import archive, page
from gitfleet.work.fleet import Fleet

PAGE_EVERY: Final = 30.0  # seconds between two drawings of the page
_COLLECT_EVERY: Final = 3600.0
_LONG: Final = 3600.0


class Upkeep:
    """Keeps its own time, so that the loop may call it as often as it likes."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._drawn = time.monotonic()
        self._collected = time.monotonic()
        self._collecting: threading.Thread | None = None

    def round(self) -> None:
        """Do what is due."""
        if time.monotonic() - self._drawn >= PAGE_EVERY:
            self.draw()
        self._archive()
        if time.monotonic() - self._collected >= _COLLECT_EVERY:
            self._collect()

    def draw(self) -> None:
        """Draw the page, if it would differ."""
        self._drawn = time.monotonic()

        def decide(board: Board, now: datetime) -> Change | None:
            old = self.fleet.store.file(board, layout.PAGE)
            new = page.draw(board, now).encode()
            if old == new or not page.drawn(old):
                return None
            return Change(subject="Draw the page", files={layout.PAGE: new})

        self.fleet.store.transact(decide)

    def _archive(self) -> None:
        result = self.fleet.store.transact(archive.batch)
        if result.won and result.change is not None:
            self.fleet.report.action("archived", tasks=len(result.change.tasks))

    def _collect(self) -> None:
        """Let git pack what has piled up, in a thread: a large repository takes its time."""
        self._collected = time.monotonic()
        if self._collecting is None or not self._collecting.is_alive():
            self._collecting = threading.Thread(target=self._git_gc, name="git-gc", daemon=True)
            self._collecting.start()

    def _git_gc(self) -> None:
        # What is unreachable stays two weeks at least: somebody may be just about to use it.
        args = ("-c", "gc.autoDetach=false", "-c", "gc.pruneExpire=2.weeks.ago", "gc", "--auto")
        with contextlib.suppress(GitError):
            git(*args, "-q", cwd=self.fleet.repo.here, timeout=_LONG)

    def short_of_disk(self) -> bool:
        """Whether too little is left to begin anything; said once."""
        report = self.fleet.report
        wanted = self.fleet.machine.disk_reserve * 2**20
        for place in (self.fleet.repo.common, _existing(self.fleet.clone.workspaces)):
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(place).free
                if free < wanted:
                    report.once(
                        "disk",
                        "disk-full",
                        path=place,
                        free=f"{free // 2**20}MiB",
                        remedy="free some space, for example with `gitfleet gc`; nothing new is"
                        " begun until then",
                    )
                    return True
        report.settled("disk")
        return False


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
