"""Follow a running coder's output, and check it against its limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from gitfleet.attempt.context import AttemptContext, LiveStatus
from gitfleet.coders.base import Coder, CoderEvent, Job, Tally
from gitfleet.coders.stream import Stream
from gitfleet.execution.base import Running
from gitfleet.model.states import Failure
from gitfleet.plan.liveness import LimitHit, Observation, limits_of, state_of, why_kill
from gitfleet.run_dir import RunDir
from gitfleet.transcripts.timestamps import TimestampLog

_CHUNK: Final = 1 << 18
_AT_ONCE: Final = 1 << 20  # bytes of output read between two checks of the limits
_LOOK_EVERY: Final = 5.0  # seconds between checks of a silent run's CPU use
_SILENT: Final = 10.0  # seconds of silence before that check
_WORKS: Final = 0.05  # of one CPU: an idle program uses less than that


class OutputFollower:
    """Follows a coder's growing output and turns its whole lines into events and their totals."""

    def __init__(self, run_dir: RunDir, coder: Coder, job: Job) -> None:
        self._path, self._coder, self._job = run_dir.stdout, coder, job
        self._at = 0
        self._stream = Stream(coder.reader(job))
        self._pace = TimestampLog(run_dir.path)

    @property
    def tally(self) -> Tally:
        """The totals of all events so far."""
        return self._stream.tally

    def follow(self, live: LiveStatus, *, end: bool = False) -> None:
        """Read the new output since the last call."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            size = file.seek(0, 2)
            if size < self._at:
                # The coder may truncate its own output; a file that shrank is read from its start.
                self._at, self._stream = 0, Stream(self._coder.reader(self._job))
            file.seek(self._at)
            # Bounded, so that a coder that writes faster than we read cannot escape the time
            # limits. At the end all of it counts: the last event may follow a lot of unread output.
            stop = size if end else self._at + _AT_ONCE
            while file.tell() < stop and (chunk := file.read(_CHUNK)):
                self._note(self._stream.feed(chunk, time.monotonic()), live)
            self._at = file.tell()
            self._pace.note(self._at, end=end)
        if end:
            self._note(self._stream.end(time.monotonic()), live)
        for event in self._coder.gauge(self._job, self.tally):
            self.tally.take(event, time.monotonic())
        self._show(live)

    def _note(self, events: Iterator[CoderEvent], live: LiveStatus) -> None:
        for event in events:
            live.heard = time.monotonic()
            if event.text.strip():
                live.lines.append(event.text.strip().splitlines()[-1][:300])

    def _show(self, live: LiveStatus) -> None:
        """Update the status for display; some coders' gauges show more than their events."""
        tally = self.tally
        live.tokens, live.context = tally.tokens, tally.context or 0
        live.window = tally.window or self._coder.window(self._job.model) or 0


class Monitor:
    """Watches one run, and decides when it must end."""

    def __init__(self, ctx: AttemptContext, coder: Coder, job: Job, running: Running) -> None:
        self._ctx, self._coder, self._job = ctx, coder, job
        self._running = running
        self._limits = limits_of(ctx.claimed.board, ctx.claimed.entry, speaks=coder.speaks)
        now = time.monotonic()
        self._began = running.began()
        self._grown = self._worked = self._looked = now
        self._size = -1
        self._used = 0.0

    def look(self, tally: Tally) -> LimitHit | None:
        """Check once; return the limit for which the run must end, if any."""
        now = time.monotonic()
        self._look_at_output(now)
        if now - self._grown >= _SILENT and now - self._looked >= _LOOK_EVERY:
            self._look_at_processes(now)
        signs = self._signs(tally, now)
        self._ctx.live.state = state_of(self._limits, signs)
        return why_kill(self._limits, signs)

    def _look_at_output(self, now: float) -> None:
        """By size, not by modification time: the clock may jump."""
        size = 0
        for path in (self._ctx.run_dir.stdout, self._ctx.run_dir.stderr):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        if size != self._size:
            self._size, self._grown, self._ctx.live.heard = size, now, now

    def _look_at_processes(self, now: float) -> None:
        used = self._running.worked()
        if used - self._used >= (now - self._looked) * _WORKS:
            self._worked = now
        self._used, self._looked = used, now

    def _signs(self, tally: Tally, now: float) -> Observation:
        oldest = min(tally.tools.values(), key=lambda tool: tool.since, default=None)
        return Observation(
            elapsed=now - self._began,
            quiet=now - self._grown,
            idle=now - max(self._grown, self._worked),
            heard=tally.events > 0,
            tool=oldest.name if oldest else "",
            tool_for=now - oldest.since if oldest else 0.0,
            retrying=tally.retrying,
            refused=tally.failure is Failure.AUTH,
            rests=(tally.until - self._ctx.project.store.now()).total_seconds()
            if tally.until
            else 0.0,
            tokens=tally.tokens,
            usd=tally.usd,
            used=tally.context,
            window=tally.window or self._coder.window(self._job.model),
        )
