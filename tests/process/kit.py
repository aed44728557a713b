"""What tests of processes share: a way to hear them, and to look at them from outside."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from gitfleet.execution.base import Exit, LaunchSpec
from gitfleet.execution.local import LocalRun
from gitfleet.process.procfs import MARKER, ProcessId, poll, read_process
from gitfleet.process.spawn import reap, spawn

PATIENCE = 60.0  # seconds before a test that waits for an event fails; never a measure of speed
FOREVER = "600"  # seconds a process sleeps that is to be ended by us


class Mouth:
    """A fifo through which processes under test say that they are ready."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # Open for both, so that it is never at its end while nobody speaks.
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._heard = b""

    def line(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._heard:
            assert poll([self._fd], deadline - time.monotonic()), "nobody spoke"
            self._heard += os.read(self._fd, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def pid(self) -> int:
        return int(self.line())

    def close(self) -> None:
        os.close(self._fd)


class Bare:
    """A child without a supervisor, in a session of its own: what `end` has to do with."""

    def __init__(self, spec: LaunchSpec, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        files = (null, os.open(folder / "stdout", flags), os.open(folder / "stderr", flags))
        env = {**spec.env, MARKER: spec.marker}
        self.pid, self._pidfd = spawn(spec.argv, spec.cwd, env, files)
        for fd in files:
            os.close(fd)
        self.child = child_of(self.pid)
        self._exit: Exit | None = None

    def wait(self, timeout: float) -> Exit | None:
        if self._exit is None and poll([self._pidfd], timeout):
            status = reap(self.pid, self._pidfd)
            code = status if status is not None and status >= 0 else None
            number = -status if status is not None and status < 0 else None
            self._exit = Exit(code, number, time.time())
        return self._exit

    def fileno(self) -> int:
        return self._pidfd

    def close(self) -> None:
        fd, self._pidfd = self._pidfd, -1
        if fd >= 0:
            os.close(fd)


Start = Callable[..., Bare]
Supervise = Callable[..., LocalRun]


def carriers(marker: str) -> list[int]:
    """The pids of all that carry the marker, found without the module under test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"GITFLEET_RUN={marker}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def is_gone(pid: int) -> bool:
    """Whether nothing runs under that number (a zombie that its parent forgot does not run)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b") ")[2][:1] in b"ZX"


def await_end(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert poll([fd], PATIENCE), f"{pid} runs on"
    os.close(fd)


def child_of(pid: int) -> ProcessId:
    seen = read_process(pid)
    assert seen is not None
    return seen.child


def ended(running: LocalRun | Bare) -> Exit:
    end = running.wait(PATIENCE)
    assert end is not None
    return end


def python(script: str) -> tuple[str, ...]:
    return sys.executable, "-c", textwrap.dedent(script)
