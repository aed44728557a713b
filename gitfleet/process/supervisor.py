"""The supervisor of one attempt: a small process that outlives the runner.

It starts the coder in a session of its own, enforces its limits even without a runner, kills
everything that the coder started, and records how it ended. It and the runner communicate through
files in the run directory:

    spec.json     what to start, and the limits; written by the runner before the start
    child.json    this process and the coder's; written once the coder runs
    lease.json    until when the claim is the runner's, in boot time; renewed by the runner
    exit.json     how it ended; written last, after the last process of the run has ended

The standard library only: it stays in memory as long as the coder runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from gitfleet.process import atomic_json
from gitfleet.process.kill import kill_run, subreaper
from gitfleet.process.procfs import boot_seconds, marked, myself, poll, read_process
from gitfleet.run_dir import RunFiles

ABANDONED: Final = "abandoned"  # no runner renewed the lease
TIMED_OUT: Final = "timed-out"
SILENT: Final = "silent"
TOLD: Final = "told"  # it got a signal

_TICK: Final = 1.0  # seconds between checks of the limits
_INSIST: Final = 600.0  # seconds in which the supervisor tries to record the end on a full disk
_AGAIN: Final = 3.0  # seconds: after a sleep of the machine, its runner may renew the lease
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SupervisorSpec(NamedTuple):
    """The content of spec.json. The environment is this process's own, and in no file."""

    argv: tuple[str, ...]
    cwd: str
    stdin: str
    marker: str
    grace: float  # seconds between TERM and KILL
    attempt: float  # seconds that the run may take; 0: no limit
    silence: float  # seconds without a byte of output; 0: no limit
    leased: bool  # whether a runner renews a lease


class _Supervisor:
    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._spec = SupervisorSpec(**atomic_json.read(files.spec))  # type: ignore[arg-type]
        self._told = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._began = self._grown = time.monotonic()
        self._size = -1
        self._overdue: float | None = None
        self._until: float = 0  # end of the lease that the runner set last

    # -- starting

    def start(self) -> int:
        """Start the coder; return its pid. Raises OSError."""
        spec = self._spec
        os.chdir(spec.cwd)
        # Some coders believe PWD rather than ask. Our own may have been changed on the way here: a
        # shell sets it where it starts.
        os.environ["PWD"] = spec.cwd
        with contextlib.ExitStack() as stack:

            def opened(path: str | Path, flags: int) -> int:
                fd = os.open(path, flags | os.O_CLOEXEC, 0o600)  # a coder's output may be secret
                stack.callback(os.close, fd)
                return fd

            append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            files = (
                opened(spec.stdin or os.devnull, os.O_RDONLY),
                opened(self._files.stdout, append),
                opened(self._files.stderr, append),
            )
            pid = os.posix_spawnp(
                spec.argv[0],
                list(spec.argv),
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate(files)],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, *_SIGNALS],
            )
        try:
            self._introduce(pid)
        except BaseException:  # no other process would ever find it
            kill_run(None, spec.marker, grace=0, parent=os.getpid())
            raise
        return pid

    def _introduce(self, pid: int) -> None:
        spec = self._spec
        coder = read_process(pid)
        assert coder is not None, "an unreaped child is in /proc"
        me = myself()
        about = {
            "pid": me.pid,
            "started": me.started,
            "began": self._began,  # by the clock that stops while the machine sleeps
            "coder": coder.child._asdict(),
            "argv0": spec.argv[0],
            "marker": spec.marker,
        }
        atomic_json.write(self._files.child, about)

    def listen(self) -> None:
        """From now on a signal ends the run in order, not this process at once."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self._told = True

        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, handle)

    # -- watching

    def watch(self, pid: int) -> str:
        """Wait until the coder ends or must be ended; return why it must."""
        pidfd = os.pidfd_open(pid)
        while True:
            ready = poll([pidfd, self._read], _TICK)
            self._collect(pid)
            if pidfd in ready:
                return TOLD if self._told else ""  # some coders exit with 0 on a signal
            if self._read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._read, 64)
            why = self._due()
            if why:
                return why

    def _due(self) -> str:
        spec, now = self._spec, time.monotonic()
        if self._told:
            return TOLD
        if spec.attempt and now - self._began >= spec.attempt:
            return TIMED_OUT
        if spec.silence and self._quiet(now) >= spec.silence:
            return SILENT
        return ABANDONED if spec.leased and self._abandoned(now) else ""

    def _quiet(self, now: float) -> float:
        size = 0
        for stream in (self._files.stdout, self._files.stderr):
            with contextlib.suppress(OSError):
                size += os.stat(stream).st_size  # noqa: PTH116 - fewer objects
        if size != self._size:
            self._size, self._grown = size, now
        return now - self._grown

    def _abandoned(self, now: float) -> bool:
        """Whether the lease has ended, and was not renewed during a short wait."""
        until = atomic_json.read(self._files.lease).get("until")
        if isinstance(until, int | float):
            self._until = until  # a missing or unreadable file extends nothing
        if boot_seconds() <= self._until:
            self._overdue = None
            return False
        if self._overdue is None:
            self._overdue = now
        return now - self._overdue >= _AGAIN

    def _collect(self, pid: int) -> None:
        """Take the status of every ended orphan that became our child, but not the coder's."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid == pid:
                return
            os.waitpid(ended.si_pid, 0)

    # -- ending

    def finish(self, pid: int, why: str) -> None:
        """End all remaining processes of the run, and record how it ended."""
        spec = self._spec
        running = max(0, len(marked(spec.marker)))
        kill_run(None, spec.marker, grace=spec.grace, parent=os.getpid())
        status = self._status(pid)
        if self._told and status != 0:
            # Stopping a whole service signals the coder at the same time, and it may end first.
            why = why or TOLD
        self._write_down(
            {
                "code": None if status is None or status < 0 else status,
                "signal": -status if status is not None and status < 0 else None,
                "at": time.time(),
                "why": why,
                "running": running,
            }
        )

    def _write_down(self, ended: Mapping[str, object]) -> None:
        """Record the end; retry on a full disk, which may have room again later."""
        last = time.monotonic() + _INSIST
        while True:
            try:
                atomic_json.write(self._files.exit, ended)
            except OSError:
                if time.monotonic() >= last or not self._files.path.is_dir():
                    raise
                time.sleep(_TICK)
            else:
                return

    @staticmethod
    def _status(pid: int) -> int | None:
        """The coder's exit status, or minus the number of a signal."""
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended == pid:
                return os.waitstatus_to_exitcode(status)
        return None


def main(run_dir: str, name: str, ready: int) -> None:
    """Supervise the run in `run_dir`; the runner waits on the pipe `ready` for its start."""
    os.set_inheritable(ready, False)  # the coder must not hold the pipe open
    subreaper()
    supervisor = _Supervisor(RunFiles(Path(run_dir), name))
    supervisor.listen()
    try:
        pid = supervisor.start()
    except OSError as error:
        _answer(ready, {"errno": error.errno, "what": error.strerror})
        sys.exit(1)
    except ValueError as error:  # a NUL byte in an argument
        _answer(ready, {"what": str(error)})
        sys.exit(1)
    _answer(ready, {"pid": pid})
    supervisor.finish(pid, supervisor.watch(pid))


def _answer(ready: int, said: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # the runner is gone; the run continues without it
        os.write(ready, json.dumps(said).encode())
        os.close(ready)
