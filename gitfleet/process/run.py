"""Run a short command to its end, mostly git."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.process.kill import HELPER_GRACE
from gitfleet.process.procfs import poll
from gitfleet.process.spawn import kill_group, reap, spawn

_KILL_SECONDS: Final = 1.0  # a killed process is gone in milliseconds, unless it waits for a disk


@dataclass(frozen=True, slots=True)
class Completed:
    """A helper command that ended. `code` is its exit status, or minus the signal's number."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    timeout: float,
) -> Completed:
    """Run a short command (git, sh) to its end, at most `timeout` seconds and a few of grace.

    Only the end of the command itself counts: later output of a grandchild is not waited for,
    though it may keep the pipes open. After the timeout the whole process group is killed. `env`
    None means our own environment. Raises FleetError if the command cannot be started.
    """
    with ExitStack() as stack:
        stdin = _readable(input)
        stack.callback(os.close, stdin)
        with ExitStack() as ours_until_started:
            streams: dict[int, bytearray] = {}
            writers = []
            for _ in range(2):
                reader, writer = os.pipe()
                stack.callback(os.close, reader)
                ours_until_started.callback(os.close, writer)
                os.set_blocking(reader, False)
                streams[reader] = bytearray()
                writers.append(writer)
            pid, pidfd = spawn(argv, cwd, env, (stdin, writers[0], writers[1]))
        stack.callback(os.close, pidfd)
        ended = False
        try:
            ended = _gather(streams, pidfd, timeout)
            if not ended:
                kill_group(pid, signal.SIGTERM)
                _gather(streams, pidfd, HELPER_GRACE)
        finally:  # also on Ctrl-C: no process stays behind
            if not ended:
                kill_group(pid, signal.SIGKILL)
                _gather(streams, pidfd, _KILL_SECONDS)
            code = reap(pid, pidfd)
        stdout, stderr = (bytes(stream) for stream in streams.values())
    return Completed(
        tuple(argv), -signal.SIGKILL if code is None else code, stdout, stderr, not ended
    )


def _readable(content: bytes) -> int:
    """A file with this content, open for reading, so that no thread has to feed a pipe."""
    if not content:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _gather(streams: Mapping[int, bytearray], pidfd: int, seconds: float) -> bool:
    """Collect the pipes' output until the process ends; False if it has not after `seconds`."""
    deadline = time.monotonic() + seconds
    still = set(streams)
    while True:
        left = deadline - time.monotonic()
        ready = poll({pidfd, *still}, left)
        if pidfd in ready:
            break
        if left <= 0:
            return False
        for fd in ready & still:
            if chunk := os.read(fd, 1 << 16):
                streams[fd] += chunk
            else:
                still.discard(fd)
    for fd in still:
        # The process's own output is completely in the pipe now, and one read of the pipe's size
        # takes it all. Reading to the end could take as long as a grandchild lives.
        with contextlib.suppress(BlockingIOError):
            streams[fd] += os.read(fd, fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
    return True
