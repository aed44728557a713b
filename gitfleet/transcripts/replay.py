"""Replay an attempt's stored output through the reader of its coder.

It needs only the output, so a fetched transcript works like a local one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.coders import registry
from gitfleet.coders.base import CoderEvent, Job, text_reader
from gitfleet.coders.stream import Stream
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import CoderSettings
from gitfleet.model.event import Tokens
from gitfleet.model.states import Role
from gitfleet.run_dir import RunDir
from gitfleet.transcripts import timestamps
from gitfleet.transcripts.summarize import RunTotals, sum_of
from gitfleet.transcripts.timestamps import Timestamp


class Speaker(Struct, frozen=True, kw_only=True):
    """The coder and model of an output."""

    coder: str  # empty: only checks ran
    model: str = ""
    role: Role = Role.WORK
    tokens: Tokens = Tokens()  # from the attempt's event, once there is one
    usd: float = 0.0


class Replay:
    """The events of one run's output, with the times at which they arrived."""

    def __init__(
        self,
        board: Board,
        entry: Entry,
        speaker: Speaker,
        folder: Path,
        plugins: Collection[str] = (),
    ) -> None:
        """`plugins` are those that this machine lists: one of them may be the coder."""
        found = registry.find(speaker.coder, board.settings.coders, plugins)
        reader = found.reader if found is not None else text_reader
        # Plain-text output: no events to parse.
        self.plain = found is None or not found.speaks
        self._stream = Stream(reader(_job(board, entry, speaker, folder)))
        self._speaker = speaker
        self._last: datetime | None = None

    @property
    def sum(self) -> RunTotals:
        """The totals so far.

        Only the event knows a continued session's earlier usage; the output does not contain it.
        """
        found, known = sum_of(self._stream.tally), self._speaker
        return replace(found, tokens=known.tokens, usd=known.usd) if known.tokens.total else found

    def feed(
        self,
        data: bytes,
        start: int = 0,
        marks: Sequence[Timestamp] = (),
        now: datetime | None = None,
    ) -> Iterator[tuple[CoderEvent, datetime | None]]:
        """The events of the next bytes, at offset `start`; `now` where no time is recorded."""
        for piece, at in timestamps.pieces(data, start, marks):
            self._last = at or now
            for event in self._stream.feed(piece):
                yield event, self._last

    def end(self) -> Iterator[tuple[CoderEvent, datetime | None]]:
        """The events of a last line without a newline."""
        for event in self._stream.end():
            yield event, self._last


def _job(board: Board, entry: Entry, speaker: Speaker, folder: Path) -> Job:
    """The parts of the job that a reader may ask for. The task may be gone by now."""
    task = entry.task
    return Job(
        task=entry.id,
        title=entry.title,
        body=task.body if task is not None else "",
        role=speaker.role,
        model=speaker.model,
        prompt=RunDir(folder).prompt,
        workspace=folder,
        run_dir=folder,
        settings=board.settings.coders.get(speaker.coder) or CoderSettings(),
    )
