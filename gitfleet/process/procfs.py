"""Processes of this machine as /proc shows them: by pid and start time, and by their marker.

This module reads `/proc` itself, not through a library: parent, session, start and environment of
every process have to come from one pass, or a process that forks in between slips through. The
standard library only, and little of it: every supervisor carries this module in its memory.
"""

from __future__ import annotations

import errno
import functools
import math
import os
import select
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

MARKER: Final = "GITFLEET_RUN"
"""The environment variable by which every process of an attempt is known."""

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""Ticks of CPU time in a second."""

PROC: Final = Path("/proc")
_LOOK_ROUNDS: Final = 8  # listings of /proc until one shows no new process
_EXEC_LIMIT: Final = 1.0  # seconds to wait for the end of another process's exec
_EXEC_PAUSE: Final = 0.002  # seconds; the end of an exec sends no event
_MEMORYLESS: Final = 0x00200004  # PF_KTHREAD, PF_EXITING in the flags of /proc/PID/stat


class ProcessId(NamedTuple):
    """One process, unique across reboots.

    `started` is the boot's id and the start in ticks after boot.
    """

    pid: int
    started: str


class ProcessInfo(NamedTuple):
    """One process as /proc showed it."""

    child: ProcessId
    parent: int
    session: int
    zombie: bool
    bare: bool  # it has no environment; one that otherwise reads as empty is in an exec
    ticks: int = 0  # CPU time that it used
    marked: bool = False


@functools.cache
def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def read_process(pid: int) -> ProcessInfo | None:
    """The entry of a process in /proc; None if there is no such process."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses and may contain any character, so count from the last one. The
    # first field here is the third of proc_pid_stat(5).
    fields = stat.rpartition(b") ")[2].split()
    zombie = fields[0] in (b"Z", b"X")
    # The kernel sets the code's start when it lays out the new environment: fs/binfmt_elf.c.
    empty = fields[23] != b"0" and fields[47] == fields[48]
    return ProcessInfo(
        ProcessId(pid, f"{_boot()} {int(fields[19])}"),
        parent=int(fields[1]),
        session=int(fields[3]),
        zombie=zombie,
        ticks=sum(int(field) for field in fields[11:15]),  # its own, and of children it reaped
        bare=zombie or bool(int(fields[6]) & _MEMORYLESS) or empty,
    )


def list_processes(wanted: bytes = b"") -> dict[int, ProcessInfo]:
    """Every process but this one, by pid; `marked` are those that carry the wanted variable.

    Processes born during the listing are read at once: they may live only for a moment.
    """
    # An agent may call us from inside a run: we must not kill ourselves half way.
    listed = {os.getpid()}
    seen = {}
    for _ in range(_LOOK_ROUNDS):
        fresh = sorted({int(p.name) for p in PROC.iterdir() if p.name.isdigit()} - listed)
        listed.update(fresh)
        for pid in fresh:
            if one := read_process(pid):
                marked = bool(wanted) and not one.zombie and carries(pid, wanted)
                seen[pid] = one._replace(marked=marked)
        if not fresh:
            break
    return seen


def carries(pid: int, wanted: bytes) -> bool:
    """Whether the process has the variable. Waits for a process in an exec, a second at most."""
    deadline = time.monotonic() + _EXEC_LIMIT
    while time.monotonic() < deadline:
        try:
            environ = (PROC / str(pid) / "environ").read_bytes()
        except OSError:  # gone, or another user's
            return False
        if environ:
            return wanted in environ.split(b"\0")
        seen = read_process(pid)
        if seen is None or seen.bare:
            return False
        # It is in an exec, or was when its environment was read.
        time.sleep(_EXEC_PAUSE)
    return False


def variable(marker: str) -> bytes:
    """The marker as an environment entry."""
    return os.fsencode(f"{MARKER}={marker}")


def marked(marker: str) -> list[ProcessId]:
    """Every live process but this one that was started with exactly this marker.

    Leaves out processes whose environment we may not read (other users').
    """
    return [one.child for one in list_processes(variable(marker)).values() if one.marked]


def used_below(pid: int) -> int:
    """The CPU ticks that the descendants of a process have used so far, without the process.

    An ended descendant counts while the parent that reaped it lives.
    """
    seen = list_processes()
    below: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {one.child.pid for one in seen.values() if one.parent in fresh} - below
        below |= fresh
    return sum(seen[one].ticks for one in below)


def myself() -> ProcessId:
    """This process."""
    seen = read_process(os.getpid())
    assert seen is not None
    return seen.child


def age(child: ProcessId) -> float:
    """Seconds since a process of this boot started."""
    return max(0.0, boot_seconds() - int(child.started.rpartition(" ")[2]) / TICKS)


def alive(child: ProcessId) -> bool:
    """Whether exactly this process runs. A zombie does not."""
    fd = open_pidfd(child)
    if fd is None:
        return False
    os.close(fd)
    return True


def open_pidfd(child: ProcessId) -> int | None:
    """A pidfd of exactly this process; None if it has ended."""
    try:
        fd = os.pidfd_open(child.pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):  # gone; or the number is now a thread's id
            return None
        raise
    # In this order: compare the start after the pidfd is bound to one process. Ask the pidfd
    # whether it ended, because /proc shows "Z" already when only the first thread ended.
    seen = read_process(child.pid)
    if seen is None or seen.child != child or poll([fd], 0):
        os.close(fd)
        return None
    return fd


def poll(fds: Iterable[int], seconds: float | None) -> set[int]:
    """Wait until one of fds is readable or at its end; at most a day, also for None."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    limit = 86_400.0 if seconds is None else min(max(seconds, 0.0), 86_400.0)
    return {fd for fd, _ in poller.poll(math.ceil(limit * 1000))}


def boot_seconds() -> float:
    """Seconds since the machine started, including the time that it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
