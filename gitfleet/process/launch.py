"""Start a run that may outlive the runner, under a supervisor, and find it again later.

The run directory (`gitfleet.run_dir`) holds everything that another process must know about a run:
a restarted runner reads there whether its attempts still run, or how they ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import gitfleet
from gitfleet.errors import FleetError
from gitfleet.process import atomic_json, supervisor
from gitfleet.process.kill import kill_run
from gitfleet.process.procfs import MARKER, ProcessId, boot_seconds, open_pidfd, poll, read_process
from gitfleet.process.spawn import ResourceShortage, children, not_started, reap, spawn
from gitfleet.process.wakeup import Wakeup
from gitfleet.run_dir import RunFiles

_START_SECONDS: Final = 60.0  # a loaded machine may be slow; after that something is wrong
# -I -S: the environment's Python settings are for the coder, and no package is needed.
_SUPERVISE: Final = (
    "-I",
    "-S",
    "-c",
    "import sys; sys.path.insert(0, sys.argv[1]); from gitfleet.process.supervisor import main;"
    " main(sys.argv[2], sys.argv[3], int(sys.argv[4]))",
    str(Path(gitfleet.__path__[0]).parent),
)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended: by `code` or by `signal`; both are None if the end was not observed.

    `at` is in seconds since the epoch. `why` is the supervisor's reason where it ended the run
    (`shim`), and `running` the number of processes of the run that were still at work then.
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
    """The limits that the supervisor enforces without a runner, in seconds; 0: no limit."""

    attempt: float = 0.0
    silence: float = 0.0
    grace: float = 10.0
    lease: float = 0.0  # how long the run continues without a runner; `renew` restarts it


_FREE: Final = RunLimits()


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """The command to start. `env` is the whole environment; the marker is added to it.

    The repr omits the environment, which may hold secrets: reprs end up in logs.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    marker: str
    stdin: Path | None = None
    limits: RunLimits = _FREE


class Running:
    """The handle of a run. `child` is its supervisor. `wait` may be called from any thread."""

    def __init__(
        self, child: ProcessId, pidfd: int, exit_file: Path, ended: Exit | None = None
    ) -> None:
        self.child = child
        self._pidfd = pidfd
        self._exit_file = exit_file
        self._exit = ended

    def wait(self, timeout: float | None, wake: Wakeup | None = None) -> Exit | None:
        """Wait for the end, at most `timeout` seconds (None: no limit) or until `wake` is set.

        Returns None if the run continues; every call after the end returns the same. `wake` is not
        cleared.
        """
        if self._exit is not None:
            return self._exit
        if self._pidfd < 0:
            raise ValueError("the handle is closed")
        fds = [self._pidfd] if wake is None else [self._pidfd, wake.fileno()]
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = poll(fds, None if deadline is None else deadline - time.monotonic())
            if self._pidfd in ready:
                reap(self.child.pid, self._pidfd)
                self._exit = _read_exit(self._exit_file) or Exit(None, None, time.time())
                return self._exit
            if ready or (deadline is not None and time.monotonic() >= deadline):
                return None

    def fileno(self) -> int:
        """A file descriptor to poll with others; it becomes readable when the run has ended."""
        return self._pidfd

    def close(self) -> None:
        """Close the file descriptor; the run continues. Not while another thread waits."""
        fd, self._pidfd = self._pidfd, -1
        if fd < 0:
            return
        os.close(fd)
        if self._exit is None:
            with children.lock:  # no thread waits for its status: `reap_orphans` may take it
                children.started.discard(self.child.pid)


def start(files: RunFiles, spec: LaunchSpec) -> Running:
    """Start a run that may outlive this process.

    Its output is appended to files, in a folder that is created if needed; `files.child` identifies
    its processes. Files of an earlier start with the same names are removed first, except its
    output. A crash before `files.child` is written leaves processes that `marked` finds. Raises
    FleetError if it cannot be started.
    """
    assert spec.marker, "a run without a marker cannot be ended"
    if not spec.argv:
        raise FleetError("an empty command cannot be started", remedy="Name a program.")
    files.path.mkdir(parents=True, exist_ok=True)
    _prepare(files, spec)
    with ExitStack() as stack:
        read, write = os.pipe()
        stack.callback(os.close, read)
        with ExitStack() as until_started:
            until_started.callback(os.close, write)
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            until_started.callback(os.close, null)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            errors = os.open(files.last_words, flags, 0o600)
            until_started.callback(os.close, errors)
            argv = (sys.executable, *_SUPERVISE, str(files.path), files.name, str(write))
            # There are coders that believe PWD rather than ask, and would work where we started.
            env = {**spec.env, "PWD": str(spec.cwd), MARKER: spec.marker}
            pid, pidfd = spawn(argv, files.path, env, (null, null, errors), (write,))
        try:
            said = _answer(read, pidfd)
            if "pid" not in said:
                raise _refused(spec, said, files.last_words)
            seen = read_process(pid)
            assert seen is not None, "a child that is not reaped stands in /proc"
        except BaseException:  # no record of it would exist
            kill_run(None, spec.marker, grace=0, parent=pid)
            reap(pid, pidfd)
            os.close(pidfd)
            raise
    return Running(seen.child, pidfd, files.exit)


def _prepare(files: RunFiles, spec: LaunchSpec) -> None:
    for stale in (files.child, files.exit, files.lease):
        stale.unlink(missing_ok=True)
    if spec.stdin is not None and not os.access(spec.stdin, os.R_OK):
        raise FleetError(
            f"the input of {spec.argv[0]!r} cannot be read",
            where=str(spec.stdin),
            remedy="Write the file before the start.",
        )
    limits = spec.limits
    if limits.lease:
        renew(files, boot_seconds() + limits.lease)
    atomic_json.write(
        files.spec,
        {
            "argv": spec.argv,
            "cwd": str(spec.cwd),
            "stdin": str(spec.stdin or ""),
            "marker": spec.marker,
            "grace": limits.grace,
            "attempt": limits.attempt,
            "silence": limits.silence,
            "leased": bool(limits.lease),
        },
        durable=False,
    )


def renew(files: RunFiles, until: float) -> None:
    """Tell the supervisor how long the claim is ours, in seconds of boot time."""
    atomic_json.write(files.lease, {"until": until}, durable=False)


def _answer(read: int, pidfd: int) -> dict[str, object]:
    """The supervisor's result of the start; nothing if it died."""
    said = b""
    deadline = time.monotonic() + _START_SECONDS
    while read in poll([read], deadline - time.monotonic()):
        chunk = os.read(read, 4096)
        if not chunk:
            break
        said += chunk
    try:
        found = json.loads(said)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refused(spec: LaunchSpec, said: Mapping[str, object], errors: Path) -> FleetError:
    number = said.get("errno")
    if isinstance(number, int):
        error = OSError(number, os.strerror(number))
        return not_started(spec.argv[0], spec.cwd, spec.env, error)
    if "what" in said:
        return FleetError(
            f"{spec.argv[0]!r} cannot be started: {said['what']}",
            remedy="Take the character out of the arguments or the environment.",
        )
    return ResourceShortage(
        f"the supervisor of {spec.argv[0]!r} did not start",
        where=str(errors),
        remedy="What it said stands there; is the machine out of memory or processes?",
    )


def load(files: RunFiles) -> tuple[ProcessId, str] | None:
    """The supervisor and marker of a run started by any process; None if there is none."""
    match atomic_json.read(files.child):
        case {"pid": int(pid), "started": str(started), "marker": str(marker)} if pid > 0:
            return ProcessId(pid, started), marker
    return None


def began(files: RunFiles) -> float | None:
    """The start of a run in monotonic time; None if its supervisor did not record it."""
    at = atomic_json.read(files.child).get("began")
    return float(at) if isinstance(at, int | float) else None


def attach(files: RunFiles) -> Running | None:
    """The handle of a run that another process started, live or ended; None if it is unknown."""
    loaded = load(files)
    if loaded is None:
        return None
    pidfd = open_pidfd(loaded[0])
    if pidfd is not None:
        return Running(loaded[0], pidfd, files.exit)
    ended = _read_exit(files.exit) or Exit(None, None, time.time())
    return Running(loaded[0], -1, files.exit, ended)


def exit_of(files: RunFiles) -> Exit | None:
    """How the run ended; None if it has not, or if its end was not observed."""
    return _read_exit(files.exit)


def _read_exit(path: Path) -> Exit | None:
    match atomic_json.read(path):
        case {
            "code": int() | None as code,
            "signal": int() | None as number,
            "at": int() | float() as at,
            **rest,
        }:
            running = rest.get("running")
            count = running if isinstance(running, int) else 0
            return Exit(code, number, float(at), str(rest.get("why") or ""), count)
    return None
