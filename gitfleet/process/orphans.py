"""Collect orphans: they become children of this process, and are reaped when they end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

from gitfleet.process.procfs import ProcessInfo, list_processes, read_process
from gitfleet.process.spawn import children


def reap_orphans(known: Collection[int] = ()) -> int:
    """Collect orphans that became our children and have ended; return how many.

    Never takes the status of a child that this package started and another thread still waits for,
    of a pid in `known`, or of a child in our own session: no orphan of a run can be in it.
    """
    if not _has_ended_child():
        return 0  # by far the most frequent case: no need to list /proc
    session, us, count = os.getsid(0), os.getpid(), 0

    def is_orphan(one: ProcessInfo | None) -> bool:
        if one is None or not one.zombie or one.parent != us or one.session == session:
            return False
        return one.child.pid not in children.started and one.child.pid not in known

    for pid in [pid for pid, one in list_processes().items() if is_orphan(one)]:
        # Check again under the lock, which is held only briefly so that starts do not wait: the pid
        # may belong to a child that another thread has started since.
        with children.lock, contextlib.suppress(ChildProcessError):
            if is_orphan(read_process(pid)):
                count += os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    return count


def _has_ended_child() -> bool:
    """Whether any child of this process has ended and is not collected yet."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # there are no children
        return False
