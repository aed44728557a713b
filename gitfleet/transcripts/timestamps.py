"""When an attempt wrote what: a file beside its output records how far the output had come when.

    <bytes of stdout> <seconds since 1970>

At most one line a second, written by the runner that follows the output. It is for display only, so
unreadable parts are ignored.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gitfleet.run_dir import RunDir
from gitfleet.transcripts.output_files import opened

_LINE: Final = re.compile(rb"([0-9]{1,15}) ([0-9]{1,11})\n")
_EVERY: Final = 1.0  # seconds
_LARGEST: Final = 4 << 20  # bytes read of the file; enough for two days


class Timestamp(NamedTuple):
    """All bytes before `size` were written by that time."""

    size: int
    at: datetime


class TimestampLog:
    """Records the growth of an output. A restarted runner continues the same file."""

    def __init__(self, folder: Path) -> None:
        self._path = RunDir(folder).timestamps
        marks = read(folder)
        self._size = marks[-1].size if marks else 0
        self._due = 0.0

    def note(self, size: int, *, end: bool = False) -> None:
        """Record the output's present size."""
        now = time.monotonic()
        if size <= self._size or (now < self._due and not end):
            return
        self._due, self._size = now + _EVERY, size
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # a full disk, or the attempt replaced the file
            fd = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
            with os.fdopen(fd, "wb", buffering=0) as file:
                file.write(b"%d %d\n" % (size, int(time.time())))


def read(folder: Path) -> list[Timestamp]:
    """The marks of an output, growing in both; none where nobody noted any."""
    fd = opened(RunDir(folder).timestamps)
    if fd is None:
        return []
    with os.fdopen(fd, "rb") as file:
        data = file.read(_LARGEST)
    marks: list[Timestamp] = []
    for size, at in _LINE.findall(data):
        last = marks[-1] if marks else Timestamp(0, datetime.min.replace(tzinfo=UTC))
        mark = Timestamp(int(size), datetime.fromtimestamp(int(at), UTC))
        if mark.size > last.size and mark.at >= last.at:  # a clock that was set back says nothing
            marks.append(mark)
    return marks


def pieces(
    data: bytes, start: int, marks: Sequence[Timestamp]
) -> Iterator[tuple[bytes, datetime | None]]:
    """Bytes at offset `start` of the output, split where time is known to have passed."""
    index = bisect_right(marks, start, key=lambda mark: mark.size)
    done = 0
    for mark in marks[index:]:
        until = min(len(data), mark.size - start)
        if until > done:
            yield data[done:until], mark.at
        done = max(done, until)
        if done == len(data):
            return
    if done < len(data):
        yield data[done:], None
