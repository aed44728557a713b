"""A coder's output as events: however the bytes arrive, the same bytes give the same events.

A line ends at a newline and nothing else. The rest of an overlong line is dropped, so that no
program fills the memory; invalid bytes become marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gitfleet.coders.base import CoderEvent, Reader, Tally

LONGEST_LINE: Final = 16 << 20  # bytes of a line


class Stream:
    """One run's output, read from its beginning."""

    def __init__(self, reader: Reader, longest: int = LONGEST_LINE) -> None:
        self._read, self._longest = reader, longest
        self._rest = bytearray()
        self.tally = Tally()

    def feed(self, data: bytes, at: float = 0.0) -> Iterator[CoderEvent]:
        """The events that these bytes complete; `at` is when they were read."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._keep(piece)
            yield from self._line(at)
        self._keep(rest)

    def end(self, at: float = 0.0) -> Iterator[CoderEvent]:
        """The events of a last line without a newline."""
        if self._rest:
            yield from self._line(at)

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: max(0, self._longest - len(self._rest))]

    def _line(self, at: float) -> Iterator[CoderEvent]:
        line, self._rest = self._rest.decode("utf-8", "replace"), bytearray()
        for event in self._read(line):
            self.tally.take(event, at)
            yield event
