"""Brings texts to one service, in a thread of its own: a slow one holds up nobody but itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gitfleet.notify.base import Service, Text
from gitfleet.notify.spool import box_texts

FIRST_PAUSE: Final = 1.0  # seconds after a service did not take a text
LAST_PAUSE: Final = 300.0
_LOOK: Final = 60.0


class Outlet:
    """One service and the folder of what waits for it."""

    def __init__(
        self,
        service: Service,
        box: Path,
        told: Callable[[Service, Text], None],
        failed: Callable[[Service], None],
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """`told` and `failed` report; both are called in the outlet's thread."""
        self.service, self.box = service, box
        self._told, self._failed = told, failed
        self._first = first_pause
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Something was put into the box."""
        self._news.set()

    def end(self) -> None:
        """Send what waits, but do not wait for a service that takes nothing."""
        self._ending.set()
        self._news.set()

    def join(self, until: float) -> None:
        """Wait for its end, until a monotonic moment."""
        self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        pause = self._first
        while True:
            ending = self._ending.is_set()
            if self._empty_box():
                pause = self._first
                if ending:
                    return
                self._news.wait(_LOOK)
                self._news.clear()
            elif ending or self._ending.wait(pause):
                return  # what is left goes out after the next start
            else:
                pause = min(LAST_PAUSE, pause * 2)

    def _empty_box(self) -> bool:
        """Send what waits, oldest first. False: the service did not take something."""
        for path, text in box_texts(self.box):
            if not self._sent(text):
                self._failed(self.service)
                return False
            path.unlink(missing_ok=True)
            self._told(self.service, text)
        return True

    def _sent(self, text: Text) -> bool:
        try:
            return self.service.send(text)
        except Exception:  # whatever a hundred services may raise; its words may hold the address
            return False
