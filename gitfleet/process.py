"""The only room that starts and ends child processes. Linux only.

Three facts shape it:

- A pid is a number that the kernel hands out again. A process is known by its pid *and* its start
  (`Child`), and a signal goes through a pidfd, which can never mean another process.
- A process group is too small a net: coders start shells in sessions of their own, leaders die
  while their workers go on, daemons fork twice. A run is therefore all that carries its marker in
  the environment, all that descends from those, and all that lives in a session which one of
  those opened.
- A child outlives the program that started it. What another program must know about it later
  stands in its run directory: `child.json` from the start on, `exit.json` from the end on.

`/proc` is read here and not through a library: parent, session, start and environment of every
process have to come from one pass, or a process that forks in between slips through.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import math
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from gitfleet.errors import FleetError

MARKER: Final = "GITFLEET_RUN"
"""The environment variable by which every process of an attempt is known."""

_PROC: Final = Path("/proc")
_HELPER_GRACE: Final = 2.0  # seconds a helper has between TERM and KILL
_KILL_SECONDS: Final = 1.0  # a killed process is gone in milliseconds, unless it waits for a disk
_KILL_ROUNDS: Final = 16
_HELD_MAX: Final = 256  # pidfds at a time: a fork bomb must not take the files of other threads
_LOOK_ROUNDS: Final = 8  # listings of /proc until one shows nobody new
_FIND_ROUNDS: Final = 100  # looks until two in a row show nobody
_EXEC_TRIES: Final = 50
_EXEC_PAUSE: Final = 0.002  # seconds; the end of another process's exec sends no event
_KERNEL_THREAD: Final = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


@dataclass(frozen=True, slots=True)
class Completed:
    """A helper command that is over. `code` is its exit status, or minus the signal's number."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


@dataclass(frozen=True, slots=True)
class Child:
    """One process for all time. `started` is the boot's id and the start in ticks after boot."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: by `code` or by `signal`; both are None if the kernel did not tell us.

    `at` is when we saw it, in seconds since the epoch.
    """

    code: int | None
    signal: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Spec:
    """What to start. `env` is the whole environment; the marker is added to it.

    Its representation leaves the environment out: it may hold secrets, and ends up in logs.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    marker: str
    stdin: Path | None = None


class Wake:
    """A flag that any thread sets and another waits for in a poll, next to other files."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Reentrant, so that a signal handler may set what its own thread is just clearing.
        self._lock = threading.RLock()

    def set(self) -> None:
        """Wake whoever waits, now and until `clear`. Does nothing once closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # the counter is full, so it is set
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Take the flag down."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it was not up
            if self._fd >= 0:
                os.eventfd_read(self._fd)

    def fileno(self) -> int:
        """The file to poll for reading; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Give the file back. Setting it afterwards is harmless: no other file is hit."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


# --- starting ---------------------------------------------------------------------------------

# The children that this process started and has not reaped. The lock is held over every fork and
# every reaping, so that `reap_orphans` in one thread never takes the status of a child which
# another thread is just starting, and a pid never leaves the set after it was handed out again.
_started: set[int] = set()
_lock = threading.RLock()


def _spawn(
    argv: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    files: tuple[int, int, int],
) -> tuple[int, int]:
    """Start argv in a session of its own with its three standard files; return pid and pidfd."""
    if not argv:
        raise FleetError("an empty command cannot be started", remedy="Name a program.")
    with _lock:
        try:
            popen = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(argv[0], cwd, env, error) from error
        except ValueError as error:  # a NUL byte in an argument, a "=" in a variable's name
            raise FleetError(
                f"{argv[0]!r} cannot be started: {error}",
                remedy="Take the character out of the arguments or the environment.",
            ) from error
        # From here on the child is ours alone. A Popen that believes its child to be running
        # would otherwise wait for it behind our back when it is collected.
        popen.returncode = 0
        _started.add(popen.pid)
        try:
            return popen.pid, os.pidfd_open(popen.pid)
        except OSError:
            os.killpg(popen.pid, signal.SIGKILL)
            os.waitpid(popen.pid, 0)
            _started.discard(popen.pid)
            raise


def _not_started(
    program: str, cwd: Path | None, env: Mapping[str, str] | None, error: OSError
) -> FleetError:
    """Say what is wrong with a program that the kernel did not start."""
    if cwd is not None and not cwd.is_dir():
        return FleetError(
            f"{program!r} cannot be started: its directory does not exist",
            where=str(cwd),
            remedy="Make the directory, or name another one.",
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
        errno.E2BIG: "Hand the long text over in a file or on standard input.",
    }
    return FleetError(
        f"{program!r} cannot be started: {error.strerror}",
        remedy=remedies.get(error.errno or 0, "Try to start it by hand to see more."),
    )


def _reap(pid: int, pidfd: int) -> int | None:
    """Collect the status of an ended child; minus the signal's number; None if there is none."""
    with _lock:
        _started.discard(pid)
        try:
            status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return None
    if status is None:
        return None
    return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status


def _kill_group(pid: int, number: int) -> None:
    """Signal the group of a child that is not reaped: until then its number is its own."""
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def _poll(fds: Iterable[int], seconds: float | None) -> set[int]:
    """Wait until one of fds can be read or is at its end; at most a day, None being a day."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    limit = 86_400.0 if seconds is None else min(max(seconds, 0.0), 86_400.0)
    return {fd for fd, _ in poller.poll(math.ceil(limit * 1000))}


# --- helpers ----------------------------------------------------------------------------------


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    timeout: float,
) -> Completed:
    """Run a short command (git, sh) to its end, at most `timeout` seconds and a few of grace.

    The end is the end of the command itself: what a grandchild writes later is not waited for,
    though it may keep the pipes open. After the timeout its whole process group is ended.
    `env` None is our own environment. Raises FleetError if it cannot be started.
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
            pid, pidfd = _spawn(argv, cwd, env, (stdin, writers[0], writers[1]))
        stack.callback(os.close, pidfd)
        ended = False
        try:
            ended = _gather(streams, pidfd, timeout)
            if not ended:
                _kill_group(pid, signal.SIGTERM)
                _gather(streams, pidfd, _HELPER_GRACE)
        finally:  # also on Ctrl-C: nothing stays behind
            if not ended:
                _kill_group(pid, signal.SIGKILL)
                _gather(streams, pidfd, _KILL_SECONDS)
            code = _reap(pid, pidfd)
        stdout, stderr = (bytes(stream) for stream in streams.values())
    return Completed(
        tuple(argv), -signal.SIGKILL if code is None else code, stdout, stderr, not ended
    )


def _readable(content: bytes) -> int:
    """A file that holds content, open for reading: no thread has to feed a pipe."""
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
    """Collect what the pipes bring until the process ends; False if it has not after `seconds`."""
    deadline = time.monotonic() + seconds
    still = set(streams)
    while True:
        left = deadline - time.monotonic()
        ready = _poll({pidfd, *still}, left)
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
        # All that the process itself wrote is in the pipe now, and one read of the pipe's size
        # takes it all. Reading to the end could take as long as a grandchild lives.
        with contextlib.suppress(BlockingIOError):
            streams[fd] += os.read(fd, fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ))
    return True


# --- attempts ---------------------------------------------------------------------------------


class Running:
    """The handle of a child that this process started. `wait` may be called from any thread."""

    def __init__(self, child: Child, pidfd: int, exit_file: Path) -> None:
        self.child = child
        self._pidfd = pidfd
        self._exit_file = exit_file
        self._exit: Exit | None = None
        self._settling = threading.Lock()

    def wait(self, timeout: float | None, wake: Wake | None = None) -> Exit | None:
        """Wait for the end, at most `timeout` seconds (None: for ever) or until `wake` is set.

        Returns None if it still runs. The first call that sees the end writes `exit.json`, then
        reaps; every later one returns the same. `wake` is not cleared.
        """
        if self._exit is not None:
            return self._exit
        if self._pidfd < 0:
            raise ValueError("the handle is closed")
        fds = [self._pidfd] if wake is None else [self._pidfd, wake.fileno()]
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = _poll(fds, None if deadline is None else deadline - time.monotonic())
            if self._pidfd in ready:
                return self._settle()
            if ready or (deadline is not None and time.monotonic() >= deadline):
                return None

    def _settle(self) -> Exit:
        with self._settling:
            if self._exit is None:
                ended = _peek(self._pidfd)
                # Before the reaping: a runner that dies in between leaves the status on record.
                _write_json(
                    self._exit_file,
                    {"code": ended.code, "signal": ended.signal, "at": ended.at},
                )
                _reap(self.child.pid, self._pidfd)
                self._exit = ended
            return self._exit

    def fileno(self) -> int:
        """A file to poll for reading, together with others; it can be read once the child ended."""
        return self._pidfd

    def close(self) -> None:
        """Give the file back; the child lives on. Not while another thread waits."""
        fd, self._pidfd = self._pidfd, -1
        if fd < 0:
            return
        os.close(fd)
        if self._exit is None:
            with _lock:  # nobody waits for its status any more, so `reap_orphans` may take it
                _started.discard(self.child.pid)


def _peek(pidfd: int) -> Exit:
    """How an ended child ended; its status stays to be collected."""
    try:
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return Exit(None, None, time.time())
    assert status is not None
    if status.si_code == os.CLD_EXITED:
        return Exit(status.si_status, None, time.time())
    return Exit(None, status.si_status, time.time())


def start(run_dir: Path, spec: Spec, *, name: str = "") -> Running:
    """Start an attempt that may outlive us, in a session of its own.

    Its output is appended to `{name}stdout` and `{name}stderr` in run_dir, which is made if
    needed; `{name}child.json` says who it is. What an earlier start of that name left in
    `child.json` and `exit.json` is removed first. A crash before `child.json` is written leaves
    a process that `marked` finds. Raises FleetError if it cannot be started.
    """
    assert spec.marker, "a run without a marker cannot be ended"
    run_dir.mkdir(parents=True, exist_ok=True)
    child_file, exit_file = run_dir / f"{name}child.json", run_dir / f"{name}exit.json"
    for stale in (child_file, exit_file):
        stale.unlink(missing_ok=True)
    with ExitStack() as stack:

        def opened(path: Path, flags: int) -> int:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o600)  # what a coder says may be secret
            stack.callback(os.close, fd)
            return fd

        try:
            stdin = opened(spec.stdin or Path(os.devnull), os.O_RDONLY)
        except OSError as error:
            raise FleetError(
                f"the input of {spec.argv[0]!r} cannot be read: {error.strerror}",
                where=str(spec.stdin),
                remedy="Write the file before the start.",
            ) from error
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        stdout = opened(run_dir / f"{name}stdout", append)
        stderr = opened(run_dir / f"{name}stderr", append)
        # There are coders that believe PWD rather than ask, and would work where we were started.
        env = {**spec.env, "PWD": str(spec.cwd), MARKER: spec.marker}
        pid, pidfd = _spawn(spec.argv, spec.cwd, env, (stdin, stdout, stderr))
    try:
        seen = _look_at(pid)
        assert seen is not None, "a child that is not reaped stands in /proc"
        about = {
            "pid": pid,
            "started": seen.child.started,
            "argv0": spec.argv[0],
            "marker": spec.marker,
        }
        _write_json(child_file, about)
    except BaseException:  # nobody would know of it
        _kill_group(pid, signal.SIGKILL)
        _poll([pidfd], _KILL_SECONDS)
        _reap(pid, pidfd)
        os.close(pidfd)
        raise
    return Running(seen.child, pidfd, exit_file)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write path so that a reader, or a crash, finds all of it or nothing."""
    fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _read_json(path: Path) -> dict[str, object]:
    """The object in path; empty if there is none, or none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def load(run_dir: Path, *, name: str = "") -> tuple[Child, str] | None:
    """The child and the marker of a run that some process started; None if absent or broken."""
    match _read_json(run_dir / f"{name}child.json"):
        case {"pid": int(pid), "started": str(started), "marker": str(marker)} if pid > 0:
            return Child(pid, started), marker
    return None


def exit_of(run_dir: Path, *, name: str = "") -> Exit | None:
    """How the run ended; None if it has not, or if nobody saw it."""
    match _read_json(run_dir / f"{name}exit.json"):
        case {
            "code": int() | None as code,
            "signal": int() | None as number,
            "at": int() | float() as at,
        }:
            return Exit(code, number, float(at))
    return None


# --- looking ----------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """One process as /proc showed it."""

    child: Child
    parent: int
    session: int
    zombie: bool
    in_exec: bool  # its memory is new and its environment not laid out yet, so it reads as empty
    marked: bool = False


@functools.cache
def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _look_at(pid: int) -> _Seen | None:
    """What /proc says about a process; None if there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may hold any character, so count from the last one.
    # The first field here is the third of proc_pid_stat(5).
    fields = stat.rpartition(b") ")[2].split()
    zombie = fields[0] in (b"Z", b"X")
    return _Seen(
        Child(pid, f"{_boot()} {int(fields[19])}"),
        parent=int(fields[1]),
        session=int(fields[3]),
        zombie=zombie,
        in_exec=not zombie and not int(fields[6]) & _KERNEL_THREAD and fields[48] == b"0",
    )


def _look(wanted: bytes = b"") -> dict[int, _Seen]:
    """Every process but this one, by pid; `marked` are those that carry the wanted variable.

    Whoever is born while we look is looked at too, and at once: it may live for a moment only.
    """
    # An agent may call us from inside a run: we are not to end ourselves half way.
    listed = {os.getpid()}
    seen = {}
    for _ in range(_LOOK_ROUNDS):
        fresh = sorted({int(p.name) for p in _PROC.iterdir() if p.name.isdigit()} - listed)
        listed.update(fresh)
        for pid in fresh:
            if one := _look_at(pid):
                marked = bool(wanted) and not one.zombie and _carries(pid, wanted)
                seen[pid] = one._replace(marked=marked)
        if not fresh:
            break
    return seen


def _carries(pid: int, wanted: bytes) -> bool:
    """Whether the process has the variable. One in the middle of an exec is waited for."""
    settled = False
    for _ in range(_EXEC_TRIES):
        try:
            environ = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:  # gone, or another user's
            return False
        if environ or settled:
            return wanted in environ.split(b"\0")
        seen = _look_at(pid)
        if seen is None:
            return False
        settled = not seen.in_exec  # then read once more: it may have settled after the reading
        if not settled:
            time.sleep(_EXEC_PAUSE)
    return False


def _variable(marker: str) -> bytes:
    return os.fsencode(f"{MARKER}={marker}")


def marked(marker: str) -> list[Child]:
    """Every live process but this one that was started with this very marker.

    Processes whose environment we may not read (other users') are left out.
    """
    return [one.child for one in _look(_variable(marker)).values() if one.marked]


def myself() -> Child:
    """This process."""
    seen = _look_at(os.getpid())
    assert seen is not None
    return seen.child


def alive(child: Child) -> bool:
    """Whether that very process runs. A zombie does not."""
    fd = _hold(child)
    if fd is None:
        return False
    os.close(fd)
    return True


def _hold(child: Child) -> int | None:
    """A pidfd of that very process; None if it has ended."""
    try:
        fd = os.pidfd_open(child.pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):  # gone; recycled as the id of a thread
            return None
        raise
    # In this order: the start is compared after the pidfd was fixed to one process. Whether it
    # ended is asked of the pidfd, as /proc shows "Z" already when only the first thread ended.
    seen = _look_at(child.pid)
    if seen is None or seen.child != child or _poll([fd], 0):
        os.close(fd)
        return None
    return fd


# --- ending -----------------------------------------------------------------------------------


def _family(seen: Mapping[int, _Seen], roots: Iterable[int], leaders: dict[int, Child]) -> set[int]:
    """The pids of a run: its roots, their descendants, and all in the sessions that these opened.

    `leaders` are the session leaders known so far, by pid; those found are added. The session
    of a leader that is gone counts only as long as somebody of the run is in it: until then the
    kernel cannot have given the number to another session.
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


class _Grip:
    """The live processes of one run, each held by a pidfd."""

    def __init__(self, child: Child | None, marker: str) -> None:
        self._wanted = _variable(marker)
        self._child = child
        self._leaders = {} if child is None else {child.pid: child}
        self._held: dict[Child, int] = {}

    def find(self) -> list[Child]:
        """Take hold of those not held yet, up to the limit; return these."""
        quiet = 0
        for _ in range(_FIND_ROUNDS):
            found, missed = self._find()
            if found:
                return found
            # One that was there and is gone may have left a child behind our back. And even
            # where none was seen, the look is repeated: when pids have wrapped around, a process
            # can fork to where a look has been and die before the look gets to it.
            quiet = 0 if missed else quiet + 1
            if quiet == 2:
                break
        return []

    def _find(self) -> tuple[list[Child], bool]:
        """Those now held in addition, and whether one ended before it could be held."""
        seen = _look(self._wanted)
        roots = {
            pid
            for pid, one in seen.items()
            if one.marked or one.child == self._child or one.child in self._held
        }
        found, missed = [], False
        for pid in sorted(_family(seen, roots, self._leaders)):
            child = seen[pid].child
            if child in self._held:
                continue
            if len(self._held) >= _HELD_MAX:
                break
            if (fd := _hold(child)) is None:
                missed = missed or not seen[pid].zombie
            else:
                self._held[child] = fd
                found.append(child)
        return found, missed

    def left(self) -> list[Child]:
        """Those held that were not seen to end."""
        return list(self._held)

    def signal(self, children: Iterable[Child], *numbers: signal.Signals) -> None:
        """Send the signals, one after the other, to each."""
        for number in numbers:
            for child in children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(self._held[child], number)

    def wait(self, deadline: float) -> None:
        """Wait until all have ended, at most to the deadline (monotonic); let go of those."""
        while self._held:
            gone = _poll(self._held.values(), deadline - time.monotonic())
            if not gone:
                return
            for child in [child for child, fd in self._held.items() if fd in gone]:
                os.close(self._held.pop(child))

    def close(self) -> None:
        while self._held:
            os.close(self._held.popitem()[1])


def end(child: Child | None, marker: str, *, grace: float) -> list[Child]:
    """End a whole run; return what could not be ended, normally nothing.

    A run is `child` if it is still that very process, every process with the marker, all that
    descends from these, and all in the sessions that these opened. They get SIGTERM and `grace`
    seconds for their farewell, then SIGKILL, until a look around finds no more. This process is
    never among them. What descends from a run in none of these ways (its environment cleared,
    in a session of its own, its parent gone before we looked) is not found.
    """
    assert marker, "a run without a marker cannot be told from others"
    grip = _Grip(child, marker)
    try:
        deadline = time.monotonic() + grace
        while found := grip.find():
            # A stopped process takes its TERM only when it goes on.
            grip.signal(found, signal.SIGTERM, signal.SIGCONT)
            grip.wait(deadline)
            if grip.left() or time.monotonic() >= deadline:
                break
        else:
            return []
        for _ in range(_KILL_ROUNDS):
            # First all of them are stopped, so that none forks any more and none dies before its
            # children are found: an orphan would no longer be known as a descendant.
            grip.signal(grip.left(), signal.SIGSTOP)
            while found := grip.find():
                grip.signal(found, signal.SIGSTOP)
            if not grip.left():
                return []
            grip.signal(grip.left(), signal.SIGKILL)
            grip.wait(time.monotonic() + _KILL_SECONDS)
        grip.find()
        return grip.left()
    finally:
        grip.close()


# --- orphans ----------------------------------------------------------------------------------


def subreaper() -> None:
    """From now on orphans below this process become its children, and not those of init."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reap_orphans(known: Collection[int] = ()) -> int:
    """Collect the orphans that came to us and have ended; return how many.

    Never takes the status of a child that this room started and somebody still waits for, of a
    pid in `known`, or of a child in our own session: no orphan of a run can be in it.
    """
    session, us, count = os.getsid(0), os.getpid(), 0

    def is_orphan(one: _Seen | None) -> bool:
        if one is None or not one.zombie or one.parent != us or one.session == session:
            return False
        return one.child.pid not in _started and one.child.pid not in known

    for pid in [pid for pid, one in _look().items() if is_orphan(one)]:
        # Looked at again under the lock, which no start should have to wait for longer: the
        # number may be that of a child which another thread has started since.
        with _lock, contextlib.suppress(ChildProcessError):
            if is_orphan(_look_at(pid)):
                count += os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    return count


# --- what the runner watches ------------------------------------------------------------------


def last_growth(run_dir: Path, *, name: str = "") -> float:
    """When the run last wrote to stdout or stderr, in seconds since the epoch; 0 if never."""
    newest = 0.0
    for stream in ("stdout", "stderr"):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, (run_dir / f"{name}{stream}").stat().st_mtime)
    return newest


def tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file as text, from the start of a line where there is one.

    Empty if there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - limit, 0)
            file.seek(max(start - 1, 0))
            content = file.read(limit + 1 if start else limit)
    except FileNotFoundError:
        return ""
    if start:
        # The byte before says whether a line starts here by chance.
        line = content.find(b"\n") + 1
        if 0 < line < len(content):
            content = content[line:]
        else:  # one long line: begin at least with a whole character (UTF-8 continues in 10xxxxxx)
            content = content[1:]
            for _ in range(3):
                if content and content[0] & 0xC0 == 0x80:
                    content = content[1:]
    return content.decode(errors="replace")


def boot_seconds() -> float:
    """Seconds since the machine started, the time it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
