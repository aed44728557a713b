"""Start `gitfleet` as a process without importing it each time.

A Python that imports gitfleet spends longer on that than on most of the work that a test asks for.
So each worker of pytest keeps one process that has imported everything, and that process forks when
a test starts a command. The child gets its own arguments, environment, directory and files; tests
can signal it, kill it and wait for it like any other process.

Imported, this module is the side of the tests; run as a program, it is the process that forks.
A test of how the interpreter starts or ends uses `python -m gitfleet` instead.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SIGNALS: Final = tuple(signal.valid_signals())


def _for_python(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter reads when it starts, and never again."""
    names = ("LANG", "LC_ALL", "LC_CTYPE")
    return {name: env[name] for name in env if name.startswith("PYTHON") or name in names}


# As most tests have them (tests/conftest.py), whichever test starts the first command.
_USUAL: Final = {**_for_python(os.environ), "LC_ALL": "C"}
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
        what = {"args": args, "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        request = os.memfd_create("request")
        opened.append(request)
        os.write(request, json.dumps(what).encode())
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


def _text(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), encoding="utf-8", errors="replace") as file:
        return file.read()


class _Forker:
    """The process that forks, seen from ours. It ends with us."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        unusual = _for_python(os.environ).keys()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(its.fileno())],
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


def _serve(asked: socket.socket) -> list[int]:
    """Fork for each request, and tell how each child ends. Returns in the children only.

    The signals of a child are blocked until it is ready for them.
    """
    running: dict[int, tuple[int, int]] = {}  # pidfd -> pid, where its status goes
    events = select.poll()
    events.register(asked, select.POLLIN)
    while True:
        for fd, _ in events.poll():
            if fd in running:
                events.unregister(fd)
                _tell_end(fd, *running.pop(fd))
                continue
            _, fds, _, _ = socket.recv_fds(asked, 1, 5)
            if not fds:
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                asked.close()
                for pidfd, (_, status) in running.items():
                    os.close(pidfd)
                    os.close(status)
                return fds
            status = fds[3]
            os.write(status, b"%12d" % pid)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, status
            events.register(pidfd, select.POLLIN)
            for unused in (*fds[:3], fds[4]):
                os.close(unused)


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
        what = json.load(file)
    for target, fd in enumerate(fds[:3]):
        os.dup2(fd, target)
    for fd in fds[:4]:
        os.close(fd)
    os.chdir(what["cwd"])
    if _for_python(what["env"]) != _for_python(os.environ):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        argv = [sys.executable, "-P", "-m", "gitfleet", *what["args"]]  # -P: as the command does
        os.execve(sys.executable, argv, what["env"])
    os.environ.clear()
    os.environ.update(what["env"])
    time.tzset()
    sys.argv[1:] = what["args"]
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _main() -> None:
    asked = socket.socket(fileno=int(sys.argv[1]))
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _import_all()
    _become(_serve(asked))
    _end(_status())


def _status() -> int:
    from gitfleet.cli.main import main

    try:
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
