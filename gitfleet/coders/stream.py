"""The bytes that a coder writes, as events: however they arrive, the same bytes give the same.

A line ends at a newline and at nothing else. Of one that is longer than any sane line the rest is
left out, so that no program fills the memory; bytes that are no text become marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gitfleet.coders.base import CoderEvent, Reader, Tally

LONGEST_LINE: Final = 16 << 20  # bytes of a line that are kept


class Stream:
    """One run's output, read from its beginning."""

    def __init__(self, reader: Reader, longest: int = LONGEST_LINE) -> None:
        self._read, self._longest = reader, longest
        self._rest = bytearray()
        self.tally = Tally()

    def feed(self, data: bytes, at: float = 0.0) -> Iterator[CoderEvent]:
        """The events that these next bytes complete; `at` is when they were read."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._keep(piece)
            yield from self._line(at)
        self._keep(rest)

    def end(self, at: float = 0.0) -> Iterator[CoderEvent]:
        """The events of a last line that has no newline."""
        if self._rest:
            yield from self._line(at)

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: max(0, self._longest - len(self._rest))]

    def _line(self, at: float) -> Iterator[CoderEvent]:
        line, self._rest = self._rest.decode("utf-8", "replace"), bytearray()
        for event in self._read(line):
            self.tally.take(event, at)
            yield event
