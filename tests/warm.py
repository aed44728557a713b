"""Start `gitfleet` as a process without importing it each time.

A Python that imports gitfleet spends longer on that than on most of the work that a test asks for.
So each worker of pytest keeps one process that has imported everything, and that process forks when
a test starts a command. The child gets its own arguments, environment, directory and files; tests
can signal it, kill it and wait for it like any other process.

Commands that the product starts, from git's hooks or from an attempt's PATH, come here too: in a
test `sys.executable` is a script (`python`) that asks for a fork when it is started with
`-P -m gitfleet`, and is the interpreter otherwise. The process that was started waits for the fork;
if it is killed, the fork is killed too.

Imported, this module is the side of the tests; run as a program, it is the process that forks.
A test of how the interpreter starts or ends uses `PYTHON -m gitfleet` instead.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import io
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PYTHON: Final = sys.executable  # the interpreter itself
_SIGNALS: Final = tuple(signal.valid_signals())
# Lies on PATHs and in hooks in place of the interpreter.
_STAND_IN: Final = """\
#!/bin/sh
if [ "$1 $2 $3" = '-P -m gitfleet' ] && [ -S {socket} ]; then
    exec {python} -I -S {client} "$@"
fi
exec {python} "$@"
"""
# Imports no more than it must: its start is what a test waits for.
_CLIENT: Final = """\
import _socket, posix, sys
fields = [arg.encode(errors="surrogateescape") for arg in sys.argv[4:]]
env = [name + b"=" + value for name, value in posix.environ.items()]
request = posix.memfd_create("request")
posix.write(request, b"\\0".join([b"%d" % len(fields), *fields, posix.getcwdb(), *env]))
fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2, request))
status = b""
try:
    there = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    there.connect({socket!r})
    there.sendmsg([b"!"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    while len(status) < 24 and (more := there.recv(24 - len(status))):
        status += more
except OSError:
    pass
if not status:
    posix.execv({python!r}, [{python!r}, *sys.argv[1:]])
code = int(status[12:] or b"9")
if code & 0x7F:
    posix.kill(posix.getpid(), code & 0x7F)
posix._exit(code >> 8)
"""


def for_python(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter reads when it starts, and never again."""
    names = ("LANG", "LC_ALL", "LC_CTYPE")
    return {name: env[name] for name in env if name.startswith("PYTHON") or name in names}


# As most tests have them (tests/conftest.py), whichever test starts the first command.
_USUAL: Final = {**for_python(os.environ), "LC_ALL": "C"}
# Besides the verbs: what they import only when they need it.
_LATER: Final = ("jsonschema", "rich.console", "rich.table", "rich.live", "rich.text", "httpx")


# -- what tests use


class Process:
    """A command under way. `stdout` and `stderr` are pipes of it, where they were asked for."""

    def __init__(self, args: tuple[str, ...], status: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self.stdout: io.TextIOWrapper | None = None
        self.stderr: io.TextIOWrapper | None = None
        self._status = os.fdopen(status, "rb", buffering=0)
        self._one = threading.Lock()
        self.pid = self._number()

    def _number(self) -> int:
        said = self._status.read(12)  # one number a write, each of this length
        if len(said) != 12:
            raise RuntimeError(f"the process that forks ended before gitfleet {self.args} did")
        return int(said)

    def poll(self) -> int | None:
        """The exit status, minus the signal's number, once it has ended."""
        with self._one:
            if self.returncode is None and select.select([self._status], [], [], 0)[0]:
                self.returncode = os.waitstatus_to_exitcode(self._number())
                self._status.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; subprocess.TimeoutExpired if it does not come in that many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if end is None else max(0.0, end - time.monotonic())
            with suppress(ValueError):  # another thread has just seen its end
                if not select.select([self._status], [], [], left)[0]:
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:  # then it is not yet reaped, and its number is nobody else's
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()


def start(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Process:
    """Start `gitfleet` with these arguments and this whole environment (None: ours).

    With the arguments `-c CODE …` it is `python -c CODE …` with all of gitfleet imported.

    `stdout` and `stderr` are files, PIPE, or STDOUT for the latter; None: where ours goes.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    opened = [theirs]
    pipes: dict[str, int] = {}

    def end(name: str, wanted: int | None, default: int) -> int:
        if wanted == subprocess.PIPE:
            pipes[name], write = os.pipe2(os.O_CLOEXEC)
            opened.append(write)
            return write
        return default if wanted is None else wanted

    try:
        if stdin == subprocess.DEVNULL:
            stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            opened.append(stdin)
        out = end("stdout", stdout, 1)
        err = out if stderr == subprocess.STDOUT else end("stderr", stderr, 2)
        request = os.memfd_create("request")
        opened.append(request)
        os.write(request, _request(args, cwd, os.environ if env is None else env))
        _forker().ask([stdin, out, err, theirs, request])
    finally:
        for fd in opened:
            os.close(fd)
    made = Process(args, ours)
    for name, fd in pipes.items():
        setattr(made, name, os.fdopen(fd, encoding="utf-8", errors="replace"))
    return made


def run(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: str | bytes = b"",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `gitfleet` to its end. What it starts and leaves running may keep its output open."""
    given, out, err = (os.memfd_create(name) for name in ("input", "out", "err"))
    try:
        with os.fdopen(os.dup(given), "wb") as file:
            file.write(input.encode() if isinstance(input, str) else input)
        os.lseek(given, 0, os.SEEK_SET)
        made = start(*args, cwd=cwd, env=env, stdin=given, stdout=out, stderr=err)
        try:
            code = made.wait(timeout)
        except BaseException:
            made.kill()
            made.wait()
            raise
        said = [_text(fd) for fd in (out, err)]
    finally:
        for fd in (given, out, err):
            os.close(fd)
    return subprocess.CompletedProcess(["gitfleet", *args], code, *said)


def _request(args: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> bytes:
    """As `_CLIENT` writes it and `_become` reads it."""
    words = [str(len(args)), *args, str(cwd), *(f"{name}={value}" for name, value in env.items())]
    return b"\0".join(os.fsencode(word) for word in words)


def python() -> str:
    """The path of the script that is `sys.executable` in a test; it works without a forker, too."""
    return str(_folder() / "python")


@functools.cache
def _folder() -> Path:
    """Holds that script, what it runs, and the socket at which the forker is asked."""
    folder = Path(tempfile.mkdtemp(prefix="gitfleet-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    there = str(folder / "socket")
    client = folder / "client.py"
    client.write_text(_CLIENT.format(socket=there, python=PYTHON))
    words = {"socket": there, "python": PYTHON, "client": str(client)}
    script = folder / "python"
    quoted = {name: shlex.quote(word) for name, word in words.items()}
    script.write_text(_STAND_IN.format(**quoted))
    script.chmod(0o755)
    return folder


def _text(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), encoding="utf-8", errors="replace") as file:
        return file.read()


class _Forker:
    """The process that forks, seen from ours. It ends with us."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unusual = for_python(os.environ).keys()
        with its:
            self._process = subprocess.Popen(
                [PYTHON, "-P", __file__, str(its.fileno()), str(_folder())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                env={**{n: os.environ[n] for n in os.environ.keys() - unusual}, **_USUAL},
            )
        atexit.register(self._close)

    def ask(self, fds: list[int]) -> None:
        socket.send_fds(self._socket, [b"!"], fds)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


_first = threading.Lock()
_only: list[_Forker] = []


def _forker() -> _Forker:
    with _first:
        if not _only:
            _only.append(_Forker())
        return _only[0]


# -- the process that forks


def _import_all() -> None:
    from gitfleet.cli import main
    from gitfleet.files import schemas, yaml

    for verb in main.VERBS:
        importlib.import_module(f"gitfleet.cli.{verb}")
    for name in _LATER:
        with suppress(ImportError):
            importlib.import_module(name)
    for kind in schemas.SCHEMAS.values():
        yaml.shape_of(kind)  # a tenth of what a verb costs that reads a board
    gc.collect()
    gc.freeze()


def _serve(asked: socket.socket, folder: Path) -> list[int]:
    """Fork for each request, and tell how each child ends. Returns in the children only.

    The signals of a child are blocked until it is ready for them.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    running: dict[int, tuple[int, int]] = {}  # pidfd -> pid, where its status goes
    waiting: dict[int, int] = {}  # the connection of a started process -> pidfd
    events = select.poll()
    doors = (asked.fileno(), listener.fileno())
    for door in doors:
        events.register(door, select.POLLIN)
    while True:
        # Doors last: what was told of a number that is closed is not meant for who gets it next.
        for fd, _ in sorted(events.poll(), key=lambda event: event[0] in doors):
            if fd in running:
                events.unregister(fd)
                status = running[fd][1]
                if waiting.pop(status, None) is not None:
                    events.unregister(status)
                _tell_end(fd, *running.pop(fd))
                continue
            if fd not in doors:
                if fd in waiting:  # the process that was started is dead
                    events.unregister(fd)
                    signal.pidfd_send_signal(waiting.pop(fd), signal.SIGKILL)
                continue
            outside = fd == listener.fileno()
            fds = _from_outside(listener) if outside else socket.recv_fds(asked, 1, 5)[1]
            if not fds:
                if outside:
                    continue
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                asked.close()
                listener.close()
                for pidfd, (_, status) in running.items():
                    os.close(pidfd)
                    os.close(status)
                return fds
            status = fds[3]
            os.write(status, b"%12d" % pid)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, status
            events.register(pidfd, select.POLLIN)
            if outside:
                waiting[status] = pidfd
                events.register(status, 0)  # that it hangs up is always told
            for unused in (*fds[:3], fds[4]):
                os.close(unused)


def _from_outside(listener: socket.socket) -> list[int]:
    """What a process that was started sends, as `start` sends it; empty if it is dead."""
    there, _ = listener.accept()
    with suppress(OSError):
        there.settimeout(10)
        _, fds, _, _ = socket.recv_fds(there, 1, 4)
        if len(fds) == 4:
            there.settimeout(None)
            return [*fds[:3], there.detach(), fds[3]]
    there.close()
    return []


def _tell_end(pidfd: int, pid: int, status: int) -> None:
    """Told before it is reaped: its number is its own for as long as somebody may signal it."""
    found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert found is not None
    code = found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status
    with suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, b"%12d" % code)
    os.close(status)
    os.waitpid(pid, 0)
    os.close(pidfd)


def _become(fds: list[int]) -> None:
    """Be the process that was asked for; a fresh interpreter if this one cannot be it."""
    with os.fdopen(fds[4], "rb") as file:
        file.seek(0)
        words = [os.fsdecode(word) for word in file.read().split(b"\0")]
    count = int(words[0])
    args, cwd = words[1 : count + 1], words[count + 1]
    env = dict(word.split("=", 1) for word in words[count + 2 :])
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target)
    for fd in fds[:4]:
        os.close(fd)
    os.chdir(cwd)
    if for_python(env) != for_python(os.environ):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        argv = args if args[:1] == ["-c"] else ["-m", "gitfleet", *args]
        os.execve(PYTHON, [PYTHON, "-P", *argv], env)  # -P: as the command does
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv[1:] = args
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _main() -> None:
    asked, folder = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _import_all()
    sys.executable = str(folder / "python")
    _become(_serve(asked, folder))
    _end(_status())


def _status() -> int:
    from gitfleet.cli.main import main

    try:
        if sys.argv[1:2] == ["-c"]:
            code = sys.argv[2]
            sys.argv[:3] = ["-c"]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> None:
    """End as an interpreter does, but for taking down what is in memory, which takes its time."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()
