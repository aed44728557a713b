"""The real command line as a child process, and a real runner that can be listened to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import yaml

from tests import warm
from tests.conftest import git, init
from tests.template import copied

T = TypeVar("T")
_LONG = 60.0  # seconds; a bound for what takes tenths on an idle machine
GITFLEET = (sys.executable, "-m", "gitfleet")


def gitfleet(
    *args: str,
    cwd: Path,
    input: str = "",
    code: int | None = 0,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command and see to it that it ends with this status, or with any if None."""
    around = {**os.environ, **(env or {})}
    done = warm.run(*args, cwd=cwd, input=input, env=around, timeout=_LONG)
    assert code in (None, done.returncode), (
        f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done


def board(path: Path, name: str = "board") -> Path:
    """A new repository with one commit, and what `gitfleet init` adds to it."""

    def make(there: Path) -> None:
        gitfleet("init", cwd=init(there, name=name))

    return copied(path, name, make)


def refusal(*args: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command says when it refuses: on standard error, with exit status 1."""
    said = gitfleet(*args, cwd=cwd, code=1, env=env).stderr
    assert said.startswith("gitfleet: ")
    assert "Traceback" not in said
    return said


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something to see, for a bounded time."""
    end = time.monotonic() + _LONG
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {_LONG} s in vain: {what}")


class Runner:
    """A `gitfleet run` under way, and the lines it says."""

    def __init__(self, cwd: Path, *args: str) -> None:
        self.process = warm.start(
            "run", *args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()

    def until(self, *words: str) -> str:
        """The first line, said already or soon, that has all these words."""

        def found() -> str | None:
            return next((x for x in self.lines if all(word in x for word in words)), None)

        with self._more:
            assert self._more.wait_for(lambda: found() is not None, _LONG), "\n".join(self.lines)
            line = found()
        assert line is not None
        return line

    def said(self, *words: str) -> bool:
        """Whether a line with all these words was said so far."""
        return any(all(word in line for word in words) for line in self.lines)

    def stop(self) -> int:
        """End it as `systemctl stop` would, at once, and return its exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        return self.join()

    def join(self) -> int:
        """Wait for its end."""
        try:
            code = self.process.wait(_LONG)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(_LONG)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def running(cwd: Path, *args: str) -> Iterator[Runner]:
    """A runner, ended in the end whatever happens."""
    runner = Runner(cwd, *args)
    try:
        yield runner
    finally:
        if runner.process.poll() is None:
            runner.stop()
        else:
            runner.join()


def work(cwd: Path, code: int = 0) -> list[str]:
    """Let a runner do all that can be done; the lines it said."""
    return gitfleet("run", "--until-idle", cwd=cwd, code=code).stdout.splitlines()


def script(text: str) -> str:
    """A task's body for the coder `shell`."""
    return f"```sh\n{text}\n```\n"


def add(cwd: Path, task: str, text: str, *options: str) -> None:
    """File a task that runs a script."""
    args = ("add", f"Do {task}", "--id", task, "--coder", "shell", *options)
    gitfleet(*args, cwd=cwd, input=script(text))


def files(cwd: Path, folder: str = "", branch: str = "fleet") -> list[str]:
    """The paths on the board below a folder."""
    return git("ls-tree", "-r", "--name-only", branch, "--", folder or ".", cwd=cwd).split()


def show(cwd: Path, path: str, branch: str = "fleet") -> str:
    """A file of the board."""
    return git("show", f"{branch}:{path}", cwd=cwd)


def events(cwd: Path, task: str, kind: str) -> list[dict[str, object]]:
    """What the events of one kind on a task hold, oldest first."""
    paths = [path for path in files(cwd, f"log/{task}") if f"-{kind}-" in path]
    return [yaml.safe_load(show(cwd, path)) for path in sorted(paths)]


def kinds(cwd: Path, task: str) -> list[str]:
    """The kinds of all events on a task, in their order."""
    return [Path(path).name.split("-")[1] for path in sorted(files(cwd, f"log/{task}"))]


def nonce(cwd: Path, task: str) -> str:
    """The nonce of the claim on a task."""
    found: str = yaml.safe_load(show(cwd, f"claims/{task}.yaml"))["nonce"]
    return found
