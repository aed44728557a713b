"""Start a child in a session of its own; if that fails, say why in a sentence for people."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitfleet.errors import FleetError

# Resources that the machine may lack for a while.
_SHORT = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EIO}
)


class ResourceShortage(FleetError):
    """The machine lacks a resource for a start. Not the program's fault: try again later."""


class _Children:
    """The children that this process started and has not reaped.

    The lock is held over every fork and every reaping, so that `reap_orphans` in one thread never
    takes the status of a child that another thread is just starting, and a pid never leaves the set
    after the kernel reused it.
    """

    def __init__(self) -> None:
        self.started: set[int] = set()
        self.lock = threading.RLock()


children = _Children()


def spawn(
    argv: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    files: tuple[int, int, int],
    inherited: tuple[int, ...] = (),
) -> tuple[int, int]:
    """Start argv in a new session; return pid and pidfd.

    The child inherits `files`, as its standard input, output and error, and `inherited`.
    """
    if not argv:
        raise FleetError("an empty command cannot be started", remedy="Name a program.")
    with children.lock:
        try:
            popen = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                close_fds=True,
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError as error:
            raise not_started(argv[0], cwd, env, error) from error
        except ValueError as error:  # a NUL byte in an argument, a "=" in a variable's name
            raise FleetError(
                f"{argv[0]!r} cannot be started: {error}",
                remedy="Take the character out of the arguments or the environment.",
            ) from error
        # From here on only we handle the child. A Popen that believes its child to be running would
        # otherwise wait for it in the background when it is garbage-collected.
        popen.returncode = 0
        children.started.add(popen.pid)
        try:
            return popen.pid, os.pidfd_open(popen.pid)
        except OSError:
            os.killpg(popen.pid, signal.SIGKILL)
            os.waitpid(popen.pid, 0)
            children.started.discard(popen.pid)
            raise


def not_started(
    program: str, cwd: Path | None, env: Mapping[str, str] | None, error: OSError
) -> FleetError:
    """Explain why the kernel did not start a program."""
    if cwd is not None and not cwd.is_dir():
        return FleetError(
            f"{program!r} cannot be started: its directory does not exist",
            where=str(cwd),
            remedy="Create the directory, or name another one.",
        )
    if error.errno in _SHORT:
        return ResourceShortage(
            f"{program!r} cannot be started now: {error.strerror}",
            remedy="Free some memory, processes, open files or disk space; it is retried.",
        )
    if isinstance(error, FileNotFoundError):
        path = (os.environ if env is None else env).get("PATH")
        if shutil.which(program, path=path) is None:
            return FleetError(
                f"{program!r} is not installed, or not on the PATH",
                remedy="Install it, put its directory on the PATH, or name it by its full path.",
            )
        return FleetError(
            f"{program!r} cannot be started: the interpreter in its first line does not exist",
            remedy="Install the interpreter, or correct the line that begins with #!.",
        )
    remedies = {
        errno.EACCES: "Make it executable (chmod +x), or name another program.",
        errno.ENOEXEC: "Begin the script with a line such as #!/bin/sh.",
        errno.E2BIG: "Pass the long text in a file or on standard input.",
    }
    return FleetError(
        f"{program!r} cannot be started: {error.strerror}",
        remedy=remedies.get(error.errno or 0, "Start it by hand to see more."),
    )


def reap(pid: int, pidfd: int) -> int | None:
    """Collect an ended child's status; minus the signal's number; None if there is none."""
    with children.lock:
        children.started.discard(pid)
        try:
            status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def kill_group(pid: int, number: int) -> None:
    """Signal the group of an unreaped child: until then the kernel keeps its pid."""
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
