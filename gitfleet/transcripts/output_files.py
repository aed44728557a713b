"""Read an attempt's output files as files of a stranger:

the attempt could write there, so only plain files are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gitfleet.run_dir import CHECK, ERROR, OUTPUT, SETUP, STDOUT, TARGET

CHUNK: Final = 1 << 16  # bytes read at once, and the longest line that is held back
_ORDER: Final = (SETUP, CHECK, TARGET, None)


def opened(path: Path) -> int | None:
    """A plain file, opened for reading; None otherwise. Follows no link and waits for no pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def listed(folder: Path) -> list[str]:
    """The names in a folder; empty if there is no such folder."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - a name is all we want
    except (FileNotFoundError, NotADirectoryError):
        return []


def streams(names: list[str]) -> list[str]:
    """The names of output files, in the order in which they were written."""

    def order(name: str) -> tuple[int, int, str]:
        found = OUTPUT.fullmatch(name)
        assert found is not None
        return _ORDER.index(found[1]), int(found[2] or 0), found[3].replace(STDOUT, "")

    found = sorted((name for name in names if OUTPUT.fullmatch(name)), key=order)
    return [*found, *(name for name in names if name == ERROR)]


class Source:
    """One growing file, read incrementally."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = 0  # bytes read so far
        self._rest = b""

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """The new content since the last call, and its offset in the file."""
        fd = opened(self.path)
        if fd is None:
            return
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size < self.at:  # a coder may truncate its own output
                self.at = 0
            file.seek(self.at)
            while chunk := file.read(CHUNK):
                start, self.at = self.at, self.at + len(chunk)
                yield start, chunk

    def lines(self, *, end: bool) -> Iterator[bytes]:
        """The new whole lines since the last call; at the end also a line without a newline."""
        for _, chunk in self.chunks():
            whole, newline, rest = (self._rest + chunk).rpartition(b"\n")
            self._rest = rest
            if newline:
                yield whole + newline
            if len(self._rest) > CHUNK:
                yield self._rest
                self._rest = b""
        if end and self._rest:
            yield self._rest + b"\n"
            self._rest = b""


class Bytes(Source):
    """The same for a fetched transcript, which is in no folder."""

    def __init__(self, data: bytes) -> None:
        super().__init__(Path())
        self._data = data

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        if self._data:
            yield 0, self._data
        self._data = b""
