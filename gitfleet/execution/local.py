"""The local executor: each run has a supervisor on this machine that outlives the runner.

The run directory (`gitfleet.run_dir`) holds what another process must know about a run: a restarted
runner reads there whether its attempts still run, or how they ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import gitfleet
from gitfleet.errors import FleetError
from gitfleet.execution.base import Exit, LaunchSpec, Running
from gitfleet.process import atomic_json
from gitfleet.process.kill import kill_run
from gitfleet.process.procfs import (
    MARKER,
    TICKS,
    ProcessId,
    age,
    boot_seconds,
    marked,
    open_pidfd,
    poll,
    read_process,
    used_below,
)
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


class LocalRun:
    """The handle of a run on this machine. `child` is its supervisor."""

    def __init__(
        self, child: ProcessId, pidfd: int, files: RunFiles, ended: Exit | None = None
    ) -> None:
        self.child = child
        self._pidfd = pidfd
        self._files = files
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
                self._exit = exit_of(self._files) or Exit(None, None, time.time())
                return self._exit
            if ready or (deadline is not None and time.monotonic() >= deadline):
                return None

    def began(self) -> float:
        """When it began, in monotonic time. The time that the machine slept does not count."""
        at = atomic_json.read(self._files.child).get("began")
        return float(at) if isinstance(at, int | float) else time.monotonic() - age(self.child)

    def worked(self) -> float:
        """Seconds of processor time that the descendants of its supervisor have used so far."""
        return used_below(self.child.pid) / TICKS

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


def start(files: RunFiles, spec: LaunchSpec) -> LocalRun:
    """Start a run that may outlive us.

    Its output is appended to files, in a folder that is made if needed; `files.child` says who it
    is. Records of an earlier start with the same files are removed first; its output stays. A crash
    before `files.child` is written leaves processes that `marked` finds. Raises FleetError if it
    cannot be started.
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
            env = {**spec.env, MARKER: spec.marker}
            pid, pidfd = spawn(argv, files.path, env, (null, null, errors), (write,))
        try:
            said = _answer(read, pidfd)
            if "pid" not in said:
                raise _refused(spec, said, files.last_words)
            seen = read_process(pid)
            assert seen is not None, "an unreaped child is in /proc"
        except BaseException:  # no record of it would exist
            kill_run(None, spec.marker, grace=0, parent=pid)
            reap(pid, pidfd)
            os.close(pidfd)
            raise
    return LocalRun(seen.child, pidfd, files)


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
    """Tell the supervisor until when the claim is ours, in seconds of boot time."""
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
        remedy="Its output is there; the machine may be out of memory or processes.",
    )


def load(files: RunFiles) -> tuple[ProcessId, str] | None:
    """The supervisor and the marker of a run that some process started; None if there is none."""
    match atomic_json.read(files.child):
        case {"pid": int(pid), "started": str(started), "marker": str(marker)} if pid > 0:
            return ProcessId(pid, started), marker
    return None


def attach(files: RunFiles) -> LocalRun | None:
    """The handle of a run that another process started, whether it still runs or has ended; None
    if nothing is known of it."""
    loaded = load(files)
    if loaded is None:
        return None
    pidfd = open_pidfd(loaded[0])
    if pidfd is not None:
        return LocalRun(loaded[0], pidfd, files)
    ended = exit_of(files) or Exit(None, None, time.time())
    return LocalRun(loaded[0], -1, files, ended)


def exit_of(files: RunFiles) -> Exit | None:
    """How the run ended; None if it has not, or if the end was not observed."""
    match atomic_json.read(files.exit):
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


class LocalExecutor:
    """Runs on this machine, each under a supervisor of its own."""

    name = "local"

    def start(self, files: RunFiles, spec: LaunchSpec) -> Running:
        """Start a run; see `start`."""
        return start(files, spec)

    def attach(self, files: RunFiles) -> Running | None:
        """Find a run again; see `attach`."""
        return attach(files)

    def renew(self, files: RunFiles, until: float) -> None:
        """Prolong a lease; see `renew`."""
        renew(files, until)

    def end(self, run: Running | None, marker: str, *, grace: float) -> tuple[str, ...]:
        """Kill everything of a run, its supervisor last; the pids of what is left."""
        child = run.child if isinstance(run, LocalRun) else None
        return tuple(str(one.pid) for one in kill_run(child, marker, grace=grace))

    def find_left(self, marker: str) -> tuple[str, ...]:
        """The pids of all processes that carry the marker."""
        return tuple(str(child.pid) for child in marked(marker))


EXECUTOR: Final = LocalExecutor()
