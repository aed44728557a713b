"""A supervised background service: a thread that does rounds, retries after errors, and stops.

Every service has a thread of its own, so a slow one delays no other. A round that goes well takes
no lock: the event log is used only when a service fails or recovers. A log whose reader is stuck
therefore cannot delay a service that works.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.event_log import Action, EventLog

_HURRY: Final = 0.2  # seconds that `stop` waits when the runner must end at once


class FailedRound(Struct, frozen=True):
    """The log line of a failed round."""

    action: Action = Action.ERROR
    fields: Mapping[str, object] = field(default_factory=dict)
    retry_after: float = 0.0  # seconds until the next try at the earliest

    @property
    def text(self) -> str:
        """The reason in one sentence."""
        return str(self.fields.get("reason", ""))


class ServiceHealth(Struct, frozen=True, kw_only=True):
    """The state of one service. Times are monotonic seconds."""

    name: str
    running: bool = False  # its thread lives
    last_round: float | None = None  # end of the last successful round
    failing_since: float | None = None  # None: the last round succeeded
    error: str = ""
    remedy: str = ""


def failure_of(error: Exception, action: Action = Action.ERROR, **fields: object) -> FailedRound:
    """An error as log fields: its reason, and a remedy if it has one."""
    reason = error.what if isinstance(error, FleetError) else _plain(error)
    remedy = error.remedy if isinstance(error, FleetError) else ""
    return FailedRound(action, {**fields, "reason": reason, "remedy": remedy})


def _plain(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) else repr(error)


def write_trace(folder: Path, name: str) -> Path:
    """Write the traceback of the current exception to `error-NAME.txt` in a folder; its path."""
    path = folder / f"error-{name}.txt"
    with contextlib.suppress(OSError):  # a full disk must not end the caller
        path.write_text(traceback.format_exc())
    return path


class HealthRecord:
    """Health of work that is repeated. A failure is logged once, until it changes or is over."""

    def __init__(self, name: str, report: EventLog) -> None:
        self._report, self._key = report, f"health {name}"
        self._health = ServiceHealth(name=name)

    @property
    def health(self) -> ServiceHealth:
        """The state as of the last round."""
        return self._health

    @property
    def failing(self) -> bool:
        """Whether the last round failed."""
        return self._health.failing_since is not None

    def succeeded(self) -> None:
        """Record a successful round."""
        was = self._health
        self._health = ServiceHealth(name=was.name, last_round=time.monotonic())
        if was.failing_since is not None:
            self._report.settled(self._key)

    def failed(self, failure: FailedRound) -> None:
        """Record a failed round, and log it."""
        was = self._health
        now = time.monotonic()
        self._health = ServiceHealth(
            name=was.name,
            last_round=was.last_round,
            failing_since=now if was.failing_since is None else was.failing_since,
            error=failure.text,
            remedy=str(failure.fields.get("remedy", "")),
        )
        self._report.once(self._key, failure.action, **failure.fields)


class BackgroundService:
    """A thread that does rounds until it is stopped.

    `round` does what is due and returns the seconds until the next round; `wake` makes that round
    come at once. After an exception the service waits (`first_pause` seconds, doubled with each
    failure up to `last_pause`) and tries again; only `stop` shortens that wait.
    """

    def __init__(
        self,
        name: str,
        round: Callable[[], float],
        report: EventLog,
        *,
        failure: Callable[[Exception], FailedRound] | None = None,
        goodbye: Callable[[], object] | None = None,
        first_pause: float = 5.0,
        last_pause: float = 300.0,
        spacing: float = 0.0,
        farewell: float = 10.0,
        giving_up: threading.Event | None = None,
        traces: Path | None = None,
    ) -> None:
        """`failure` words an error for the log. `goodbye` runs in the thread after the last round.
        `spacing`: seconds between two rounds at least. `farewell`: seconds that `stop` waits for
        the thread; 0.2 if `giving_up` is set. `traces`: the folder for tracebacks of bugs."""
        self.name = name
        self.ending = threading.Event()
        self._round, self._goodbye = round, goodbye
        self._failure = failure or (lambda error: failure_of(error, doing=name))
        self._first_pause, self._last_pause, self._spacing = first_pause, last_pause, spacing
        self._farewell, self._giving_up = farewell, giving_up
        self._traces = traces
        self._record = HealthRecord(name, report)
        self._woken = threading.Event()
        self._pause = 0.0  # seconds to wait after the next failure
        self._next = 0.0  # seconds until the next round, as the last round returned
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def health(self) -> ServiceHealth:
        """The state as of now; a thread that died counts as failing."""
        health, alive = self._record.health, self._thread.is_alive()
        if not alive and self._thread.ident is not None and not self.ending.is_set():
            since = health.failing_since or health.last_round or time.monotonic()
            error = health.error or "its thread died"
            health = replace(health, failing_since=since, error=error)
        return replace(health, running=alive)

    @property
    def failing(self) -> bool:
        """Whether the last round failed."""
        return self._record.failing

    def start(self) -> None:
        """Start the thread; its first round starts at once."""
        self._thread.start()

    def wake(self) -> None:
        """Start the next round at once, unless the service waits after a failure."""
        self._woken.set()

    def end(self) -> None:
        """Ask the service to end, without waiting."""
        self.ending.set()
        self._woken.set()

    def join(self, seconds: float) -> None:
        """Wait at most so long until the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, seconds))

    def stop(self) -> None:
        """End the service; wait for its goodbye, but no longer than its farewell."""
        self.end()
        hurry = self._giving_up is not None and self._giving_up.is_set()
        self.join(_HURRY if hurry else self._farewell)

    def attempt(self) -> bool:
        """Do one round in the calling thread. Returns whether it succeeded."""
        return self._supervised(self._one_round)

    def _one_round(self) -> None:
        self._next = self._round()

    def _run(self) -> None:
        while not self.ending.is_set():
            if self.attempt():
                self.ending.wait(self._spacing)
                self._woken.wait(max(0.0, self._next - self._spacing))
                self._woken.clear()
            else:
                self.ending.wait(self._next)
        if self._goodbye is not None:
            self._supervised(self._goodbye)

    def _supervised(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except Exception as error:
            self._failed(error)
            return False
        self._pause = 0.0
        self._record.succeeded()
        return True

    def _failed(self, error: Exception) -> None:
        failure = self._worded(error)
        if self._traces is not None and not isinstance(error, FleetError | OSError):
            trace = write_trace(self._traces, self.name)
            failure = FailedRound(failure.action, {**failure.fields, "trace": trace})
        self._pause = min(self._last_pause, self._pause * 2 or self._first_pause)
        self._next = max(self._pause, failure.retry_after)
        self._record.failed(failure)

    def _worded(self, error: Exception) -> FailedRound:
        try:
            return self._failure(error)
        except Exception as second:  # the supervisor must outlive a bug in the wording
            return failure_of(second, doing=self.name)
