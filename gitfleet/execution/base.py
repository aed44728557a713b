"""The interface of an executor: start a command so that it may outlive the runner, and end it.

A run belongs to an attempt, whose nonce is its marker. The run's files (`gitfleet.run_dir`) hold
what another process must know of it: a restarted runner attaches to them. An executor enforces the
limits of a run without the runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from gitfleet.process import supervisor
from gitfleet.process.kill import GRACE
from gitfleet.process.wakeup import Wakeup
from gitfleet.run_dir import RunFiles


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended: by `code` or by `signal`; both are None if the end was not observed.

    `at` is in seconds since the epoch. `why` is the supervisor's reason where it ended the run
    (`process.supervisor`), and `running` the number of processes of the run that were still at
    work then.
    """

    code: int | None
    signal: int | None
    at: float
    why: str = ""
    running: int = 0

    @property
    def cut_short(self) -> str:
        """Why this end does not reflect on the program; empty if it does."""
        if self.why == supervisor.TOLD:
            return "a signal ended its supervisor"
        return "its supervisor is gone" if self.code is None and self.signal is None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """The limits that an executor enforces without a runner, in seconds; 0: no limit."""

    attempt: float = 0.0
    silence: float = 0.0
    grace: float = GRACE
    lease: float = 0.0  # how long the run continues without a runner; `renew` restarts it


_FREE: Final = RunLimits()


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to start. `env` is the whole environment; the marker is added to it.

    The repr omits the environment, which may hold secrets: reprs end up in logs.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    marker: str
    stdin: Path | None = None
    limits: RunLimits = _FREE


class Running(Protocol):
    """The handle of a run, or of one that has ended."""

    def wait(self, timeout: float | None, wake: Wakeup | None = None) -> Exit | None:
        """Wait for the end, at most `timeout` seconds (None: no limit) or until `wake` is set.

        Returns None if the run continues; every call after the end returns the same. Any thread may
        call it.
        """

    def began(self) -> float:
        """When it began, in monotonic time of this machine."""

    def worked(self) -> float:
        """Seconds of processor time that its processes have used so far."""

    def close(self) -> None:
        """Close the handle; the run continues. Not while another thread waits."""


@runtime_checkable
class Executor(Protocol):
    """Where and how the commands of attempts run. Any thread may use it."""

    @property
    def name(self) -> str:
        """The name by which a machine's settings choose it."""

    def start(self, files: RunFiles, spec: LaunchSpec) -> Running:
        """Start a run that may outlive us; its output is appended to `files`.

        FleetError if it cannot be started, ResourceShortage if it could be another time.
        """

    def attach(self, files: RunFiles) -> Running | None:
        """The handle of a run that any process started with these files, whether it still runs or
        has ended; None if nothing is known of it."""

    def renew(self, files: RunFiles, until: float) -> None:
        """Prolong the lease of a run, to a moment in seconds of this machine's boot time."""

    def end(self, run: Running | None, marker: str, *, grace: float) -> tuple[str, ...]:
        """End everything with the marker, politely and after `grace` seconds by force. `run` is its
        handle, where there is one. Returns names of processes that could not be ended, normally
        none."""

    def find_left(self, marker: str) -> tuple[str, ...]:
        """The names of the processes that run with the marker now."""
