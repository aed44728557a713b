"""A flag to wait for in a poll, next to files."""

from __future__ import annotations

import contextlib
import os
import threading


class Wakeup:
    """A flag that any thread sets and another waits for in a poll, next to other files."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Reentrant, so that a signal handler may set what its own thread is just clearing.
        self._lock = threading.RLock()

    def set(self) -> None:
        """Wake whoever waits, now and until `clear`. Does nothing once closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # the counter is full, so it is set
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Take the flag down."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it was not up
            if self._fd >= 0:
                os.eventfd_read(self._fd)

    def fileno(self) -> int:
        """The file to poll for reading; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Give the file back. Setting it afterwards is harmless: no other file is hit."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
