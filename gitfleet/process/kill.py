"""Kill a whole run, with SIGTERM, a grace and SIGKILL, however its processes try to escape.

A process group is not enough: coders start shells in sessions of their own, leaders die while their
workers continue, daemons fork twice. A run is everything with its marker in the environment,
everything that descends from those, and everything in a session that one of them opened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Final

from gitfleet.process.procfs import (
    ProcessId,
    ProcessInfo,
    list_processes,
    open_pidfd,
    poll,
    variable,
)

# Seconds between SIGTERM and SIGKILL.
GRACE: Final = 10.0  # of a coder or a check
PROBE_GRACE: Final = 5.0  # of a coder that `gitfleet doctor` calls
HELPER_GRACE: Final = 2.0  # of git, and of a set-up
_KILL_SECONDS: Final = 1.0  # a killed process is gone in milliseconds, unless it waits for a disk
_LAST_WORDS: Final = 5.0  # seconds a supervisor has after its run ended
_KILL_ROUNDS: Final = 16
_HELD_MAX: Final = 256  # pidfds at a time: a fork bomb must not take the files of other threads
_FIND_ROUNDS: Final = 100  # looks until two in a row find no process
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


def subreaper() -> None:
    """Make orphans below this process its children, not init's."""
    import ctypes  # noqa: PLC0415 - 2 ms that only runners need; every verb imports this module

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _family(
    seen: Mapping[int, ProcessInfo], roots: Iterable[int], leaders: dict[int, ProcessId]
) -> set[int]:
    """The pids of a run: its roots, their descendants, and all in the sessions that these opened.

    `leaders` are the session leaders known so far, by pid; new ones are added. The session of a
    dead leader counts only while a process of the run is in it: until then the kernel cannot have
    given the number to another session.
    """
    family = set(roots)
    while True:
        leaders.update({pid: seen[pid].child for pid in family if seen[pid].session == pid})
        inhabited = {seen[pid].session for pid in family}
        own = {
            pid
            for pid, leader in leaders.items()
            if (seen[pid].child == leader if pid in seen else pid in inhabited)
        }
        grown = family | {
            pid for pid, one in seen.items() if one.parent in family or one.session in own
        }
        if grown == family:
            return family
        family = grown


class RunProcesses:
    """The live processes of one run, each held by a pidfd."""

    def __init__(self, child: ProcessId | None, marker: str, parent: int | None) -> None:
        self._wanted, self._parent = variable(marker), parent
        self._child = child
        self._leaders = {} if child is None else {child.pid: child}
        self._held: dict[ProcessId, int] = {}

    def find(self) -> list[ProcessId]:
        """Open a pidfd for each process not held yet, up to the limit; return the new ones."""
        quiet = 0
        for _ in range(_FIND_ROUNDS):
            found, missed = self._find()
            if found:
                return found
            # A process that vanished may have left a child that we missed. Even if none was seen,
            # the look is repeated: when pids have wrapped around, a process can fork to a pid that
            # the look has passed, and die before the look reaches it.
            quiet = 0 if missed else quiet + 1
            if quiet == 2:
                break
        return []

    def _find(self) -> tuple[list[ProcessId], bool]:
        """The newly held processes, and whether one ended before it could be held."""
        seen = list_processes(self._wanted)
        roots = {
            pid
            for pid, one in seen.items()
            if one.marked
            or one.child == self._child
            or one.child in self._held
            or one.parent == self._parent
        }
        found, missed = [], False
        for pid in sorted(_family(seen, roots, self._leaders)):
            child = seen[pid].child
            if child in self._held:
                continue
            if len(self._held) >= _HELD_MAX:
                break
            if (fd := open_pidfd(child)) is None:
                missed = missed or not seen[pid].zombie
            else:
                self._held[child] = fd
                found.append(child)
        return found, missed

    def left(self, but: ProcessId | None = None) -> list[ProcessId]:
        """The held processes, without `but`, that were not seen to end."""
        return [child for child in self._held if child != but]

    def signal(self, children: Iterable[ProcessId], *numbers: signal.Signals) -> None:
        """Send the signals, in this order, to each process."""
        for number in numbers:
            for child in children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(self._held[child], number)

    def wait(self, deadline: float) -> None:
        """Wait until all have ended, at most until the deadline (monotonic); release those that
        have."""
        while self._held:
            gone = poll(self._held.values(), deadline - time.monotonic())
            if not gone:
                return
            for child in [child for child, fd in self._held.items() if fd in gone]:
                os.close(self._held.pop(child))

    def close(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])


def kill_run(
    child: ProcessId | None, marker: str, *, grace: float, parent: int | None = None
) -> list[ProcessId]:
    """End a whole run; return the processes that could not be ended, normally none.

    A run is `child` if it is still the same process, every process with the marker, all their
    descendants, and all in the sessions that these opened; and, where a supervisor ends its own
    run, all children of the process `parent`. `child` itself, a supervisor, is killed last, and
    only if it does not end by itself once it is alone. The others get SIGTERM, `grace` seconds to
    shut down, then SIGKILL, until a look finds no more processes. This process is never among them.
    A descendant with none of these traits (its environment cleared, in a new session, its parent
    gone before we looked) is not found.
    """
    assert marker, "a run without a marker cannot be told from others"
    processes = RunProcesses(child, marker, parent)
    try:
        deadline = time.monotonic() + grace
        while found := processes.find():
            # A stopped process handles SIGTERM only after it continues.
            processes.signal(found, signal.SIGTERM, signal.SIGCONT)
            processes.wait(deadline)
            if processes.left() or time.monotonic() >= deadline:
                break
        else:
            return []
        spared = child
        for _ in range(_KILL_ROUNDS):
            # First stop all of them, so that none forks and none dies before its children are
            # found: an orphan would no longer be known as a descendant.
            processes.signal(processes.left(spared), signal.SIGSTOP)
            while found := processes.find():
                processes.signal(found, signal.SIGSTOP)
            if not processes.left():
                return []
            if not processes.left(spared):  # it is alone: it may record how the run ended
                processes.wait(time.monotonic() + _LAST_WORDS)
                spared = None
                continue
            processes.signal(processes.left(spared), signal.SIGKILL)
            processes.wait(time.monotonic() + _KILL_SECONDS)
        processes.find()
        return processes.left()
    finally:
        processes.close()
