"""A flag to wait for in a poll, next to files."""

from __future__ import annotations

import contextlib
import os
import threading


class Wakeup:
    """A flag that any thread sets and another waits for in a poll, next to other files."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Reentrant, so that a signal handler may set the flag while its own thread clears it.
        self._lock = threading.RLock()

    def set(self) -> None:
        """Wake all waiting threads, now and until `clear`. Does nothing once closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # the counter is full, so it is set
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Clear the flag."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it was not set
            if self._fd >= 0:
                os.eventfd_read(self._fd)

    def fileno(self) -> int:
        """The file descriptor to poll for reading; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close the file descriptor. Later calls of `set` are harmless: they hit no other file."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
