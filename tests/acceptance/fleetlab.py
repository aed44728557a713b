"""A laboratory: a real repository with a board, real runners on it, few words a test.

    lab = Lab(tmp_path, checks=["test -f a"])
    lab.task("make-a", script="touch a")
    ran = lab.run("--until-idle")
    assert ran.status == 0 and lab.status("make-a") == "done"

Nothing here sleeps a guessed time: a runner's lines are waited for, and scripts meet the test at
gates (`Gate`), which are named pipes.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store, utc_now
from gitfleet.files import codec, yaml
from gitfleet.git.commits import trailers
from gitfleet.git.repo import find
from gitfleet.install import setup_clone
from gitfleet.model.board import Board
from gitfleet.model.change import Person
from gitfleet.model.event import Attempt, Event
from gitfleet.plan.status import status_of
from gitfleet.process.procfs import ProcessId, marked
from tests import warm
from tests.conftest import git
from tests.template import copied

PATIENCE = 90.0  # seconds until a test gives up; nothing waits that long unless it is broken
_LINE = re.compile(r"(\S+) ([a-z-]+)((?: [a-z_]+=(?:\"(?:[^\"\\]|\\.)*\"|\S+))*)\Z")
_FIELD = re.compile(r" ([a-z_]+)=(\"(?:[^\"\\]|\\.)*\"|\S+)")
_ESCAPE = re.compile(r"\\(.)")
_PERSON = Person("Ada Author", "ada@example.org")


def until(true: Callable[[], object], *, timeout: float = PATIENCE, what: str = "") -> None:
    """Wait for what tells nobody that it happened (the end of a process, a file)."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"in vain waited for {what or true}"
        time.sleep(0.02)


# -- what a runner says


class Line(NamedTuple):
    """One action as a runner told it."""

    name: str
    fields: Mapping[str, str]

    def fits(self, name: str, fields: Mapping[str, object]) -> bool:
        given = self.fields
        return self.name == name and all(given.get(k) == str(v) for k, v in fields.items())


def parsed(text: str) -> Line:
    """A runner's line; one that is none fails the test."""
    found = _LINE.match(text)
    assert found is not None, f"not an action: {text!r}"
    return Line(found[2], {key: _plain(value) for key, value in _FIELD.findall(found[3])})


def _plain(value: str) -> str:
    return _ESCAPE.sub(r"\1", value[1:-1]) if value.startswith('"') else value


class Lines(list[Line]):
    """What a runner said."""

    def of(self, name: str, **fields: object) -> list[Line]:
        return [line for line in self if line.fits(name, fields)]


class Ran(NamedTuple):
    """A runner that has ended. `status` is the exit status, minus the signal's number."""

    lines: Lines
    status: int
    stderr: str


class Live:
    """A runner at work, followed line by line."""

    def __init__(self, process: subprocess.Popen[str] | warm.Process) -> None:
        self._popen = process
        self.lines = Lines()
        self.stderr = ""
        self._news = threading.Condition()
        self._ended = False
        self._readers = [
            threading.Thread(target=reads, daemon=True) for reads in (self._out, self._err)
        ]
        for reader in self._readers:
            reader.start()

    def _out(self) -> None:
        assert self._popen.stdout is not None
        for text in self._popen.stdout:
            with self._news:
                self.lines.append(parsed(text.rstrip("\n")))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _err(self) -> None:
        assert self._popen.stderr is not None
        self.stderr = self._popen.stderr.read()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait_for(
        self, name: str, *, timeout: float = PATIENCE, times: int = 1, **fields: object
    ) -> Line:
        """The `times`-th line of that name with these fields, said already or said soon."""
        deadline = time.monotonic() + timeout
        with self._news:
            while len(found := self.lines.of(name, **fields)) < times:
                left = deadline - time.monotonic()
                more = not self._ended and self._news.wait(left) and left > 0
                assert more, f"no {name} {fields} (x{times}) in:\n{self.told()}"
        return found[times - 1]

    def told(self) -> str:
        """The end of what it said, for a test that failed."""
        last = (f"{line.name} {dict(line.fields)}" for line in self.lines[-40:])
        return "\n".join(last) + self.stderr

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> Ran:
        """Wait for its end."""
        status = self._popen.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        for pipe in (self._popen.stdout, self._popen.stderr):
            assert pipe is not None
            pipe.close()
        return Ran(self.lines, status, self.stderr)

    def stop(self) -> Ran:
        """End it, and what it runs."""
        try:
            self._popen.wait(0)
        except subprocess.TimeoutExpired:
            self.signal()
            with suppress(AssertionError):
                self.wait_for("stopping", timeout=30)
                self.signal()
            try:
                self._popen.wait(60)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self.wait()


def start_runner(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Live:
    """A runner, started; the environment is ours if none is given."""
    pipe = subprocess.PIPE
    return Live(warm.start("run", *args, cwd=cwd, env=env, stdout=pipe, stderr=pipe))


# -- where scripts meet the test


class Gate:
    """A named pipe at which a script says that it is there, and waits to be let on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        pipes = [Path(f"{path}.{name}") for name in ("here", "go")]
        for pipe in pipes:
            os.mkfifo(pipe)
        # Open for both directions: nobody who comes or goes blocks or ends the other.
        self._here, self._go = (os.open(pipe, os.O_RDWR | os.O_CLOEXEC) for pipe in pipes)

    @property
    def here(self) -> str:
        """The script's line that tells the test it has come to this place."""
        return f"echo here > '{self.path}.here'"

    @property
    def pause(self) -> str:
        """The script's lines that tell so, and go on when the test opens the gate."""
        return f"{self.here}\nread _ < '{self.path}.go'"

    def reached(self, timeout: float = PATIENCE) -> None:
        """Wait until one script is there."""
        ready, _, _ = select.select([self._here], [], [], timeout)
        assert ready, f"nobody came to {self.path.name}"
        assert os.read(self._here, 5) == b"here\n"

    def empty(self) -> bool:
        """Whether nobody came whom the test has not met."""
        return not select.select([self._here], [], [], 0)[0]

    def open(self, times: int = 1) -> None:
        """Let that many scripts on, those that come later too."""
        os.write(self._go, b"go\n" * times)

    def close(self) -> None:
        os.close(self._here)
        os.close(self._go)


# -- the laboratory


QUICK: Mapping[str, Any] = {
    "format": 2,
    "target": "main",
    "concurrency": 3,
    "roles": {"work": {"coder": "shell"}},
    "backoff": {"initial": "0s", "factor": 1, "max": "1s"},
    "timeouts": {"attempt": "5m", "silence": "5m"},
}

_FILES: Mapping[str, str] = {"README": "hello\n"}


@dataclass(frozen=True)
class Fsck:
    status: int
    text: str


class Lab:
    """A repository on main with a board. `path` is the person's checkout (or the bare one)."""

    def __init__(
        self,
        folder: Path,
        *,
        files: Mapping[str, str] | None = None,
        bare: bool = False,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / ("project.git" if bare else "project")
        self._gates: list[Gate] = []
        self._lives: list[Live] = []
        self.env: dict[str, str] = {}
        self.settings: dict[str, Any] = {**QUICK, **settings}
        self.bare = bare
        self.window = folder / "elsewhere" if bare else self.path / ".fleet"
        if bare or files or settings:
            self._make({**_FILES, **(files or {})})
        else:
            copied(folder, "fleetlab", lambda there: Lab(there, files=_FILES))
        self.repo = find(self.path)
        self.clone = Clone(self.repo)

    def _make(self, files: Mapping[str, str]) -> None:
        seed = self.folder / "seed" if self.bare else self.path
        git("init", "-q", "-b", "main", str(seed), cwd=self.folder)
        for name, text in files.items():
            (seed / name).parent.mkdir(parents=True, exist_ok=True)
            (seed / name).write_text(text)
        git("add", "-A", cwd=seed)
        git("commit", "-q", "-m", "The project", cwd=seed)
        if self.bare:
            git("clone", "-q", "--bare", str(seed), str(self.path), cwd=self.folder)
            git("remote", "remove", "origin", cwd=self.path)
        repo = find(self.path)
        board = {"fleet.yaml": yaml.dump(self.settings), ".gitattributes": b"* text eol=lf\n"}
        Store(repo).create(board, _PERSON)
        setup_clone.prepare_clone(repo)
        if self.bare:  # another clone of it, as on a server
            git("clone", "-q", "-b", "fleet", str(self.path), str(self.window), cwd=self.folder)
        else:
            git("worktree", "add", "-q", str(self.window), "fleet", cwd=self.path)

    # -- a person at the board

    def commit(self, message: str = "By hand") -> str:
        """Commit all that lies in the window, with plain git; from another clone, push it."""
        self._patiently("add", "-A")
        self._patiently("commit", "-q", "-m", message)
        while self.bare and not self._pushed():
            self._patiently("pull", "-q", "--rebase")
        return git("rev-parse", "HEAD", cwd=self.window)

    def _patiently(self, *args: str) -> None:
        """A person tries again when a runner has the index of the window for a moment."""

        def done() -> bool:
            ran = subprocess.run(
                ["git", *args], cwd=self.window, capture_output=True, text=True, check=False
            )
            again = "index.lock" in ran.stderr or "cannot lock ref" in ran.stderr
            assert ran.returncode == 0 or again, ran.stdout + ran.stderr
            return ran.returncode == 0

        until(done, what=f"git {args}")

    def _pushed(self) -> bool:
        push = ["git", "push", "-q", "origin", "fleet"]
        return (
            subprocess.run(push, cwd=self.window, capture_output=True, check=False).returncode == 0
        )

    def write_task(
        self, id: str, *, script: str | None = None, body: str = "", **keys: Any
    ) -> Path:
        """Put a task's file into the window; not committed."""
        if script is not None:
            body += f"\n```sh\n{script}\n```\n"
        text = codec.front_matter({"title": f"Do {id}", **keys}).decode() + body
        path = self.window / "tasks" / f"{id}.md"
        path.write_text(text)
        return path

    def task(self, id: str, *, script: str | None = None, body: str = "", **keys: Any) -> None:
        """Commit a task with plain git, as a person does."""
        self.write_task(id, script=script, body=body, **keys)
        self.commit(f"Add {id}")

    def set(self, **settings: Any) -> None:
        """Change fleet.yaml with plain git."""
        self.settings.update(settings)
        _, problems = codec.read_settings(yaml.dump(self.settings))
        assert not problems or "format" in settings, problems
        (self.window / "fleet.yaml").write_bytes(yaml.dump(self.settings))
        self.commit("Settings")

    def gate(self, name: str) -> Gate:
        gate = Gate(self.folder / name)
        self._gates.append(gate)
        return gate

    # -- programs

    def gitfleet(self, *args: str, env: Mapping[str, str] | None = None, **more: Any) -> Any:
        """A verb, run to its end in the person's checkout."""
        around = {**os.environ, **self.env, **(env or {})}
        return warm.run(*args, cwd=self.path, env=around, **more)

    def run(
        self, *args: str, env: Mapping[str, str] | None = None, timeout: float = PATIENCE
    ) -> Ran:
        """A runner, run to its end."""
        live = self.start(*args, env=env)
        try:
            return live.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{live.told()}") from None

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, at: Path | None = None
    ) -> Live:
        """A runner at work."""
        around = {**os.environ, **self.env, **(env or {})}
        return self.follow(start_runner(*args, cwd=at or self.path, env=around))

    def follow(self, live: Live) -> Live:
        """End a runner with this laboratory, if nobody has by then."""
        self._lives.append(live)
        return live

    def fsck(self) -> Fsck:
        done = self.gitfleet("fsck")
        return Fsck(done.returncode, done.stdout + done.stderr)

    # -- what is there now

    def board(self) -> Board:
        return Store(self.repo).board()

    def status(self, task: str) -> str:
        return str(status_of(self.board(), task, utc_now()).status)

    def reason(self, task: str) -> str:
        return status_of(self.board(), task, utc_now()).reason

    def statuses(self) -> dict[str, str]:
        board = self.board()
        return {task: str(status_of(board, task, utc_now()).status) for task in board.entries}

    def events(self, task: str, kind: str = "") -> list[Event]:
        entry = self.board().get(task)
        assert entry is not None, f"{task} is not on the board"
        return [event for event in entry.events if not kind or event.kind == kind]

    def attempts(self, task: str, kind: str = "") -> list[Attempt]:
        return [event.attempt for event in self.events(task, kind) if event.attempt]

    def outcomes(self, task: str, kind: str = "") -> list[str]:
        return [str(attempt.outcome) for attempt in self.attempts(task, kind)]

    def tree(self, ref: str = "main") -> dict[str, str]:
        """Path -> content, of every file that is in a commit."""
        listed = git("ls-tree", "-r", "-z", ref, cwd=self.path).split("\0")
        found = (line.partition("\t") for line in listed if " blob " in line)
        return {name: self.show(f"{ref}:{name}") for _, _, name in found}

    def show(self, what: str) -> str:
        return git("show", what, cwd=self.path)

    def tip(self, ref: str = "main") -> str:
        return git("rev-parse", "--verify", ref, cwd=self.path)

    def refs(self, prefix: str) -> list[str]:
        return git("for-each-ref", "--format=%(refname)", prefix, cwd=self.path).split()

    def landings(self, target: str = "main") -> list[str]:
        """The tasks whose merges are in the target, oldest first; twice if one is there twice."""
        out = git("log", "--reverse", "--format=%H", "--first-parent", target, cwd=self.path)
        store = Store(self.repo)
        found = (trailers(store.objects.commit(oid).message) for oid in out.split())
        return [said["Gitfleet-Task"] for said in found if "Gitfleet-Task" in said]

    def worktrees(self) -> list[Path]:
        out = git("worktree", "list", "--porcelain", "-z", cwd=self.path)
        return [
            Path(field.removeprefix("worktree "))
            for field in out.split("\0")
            if field.startswith("worktree ")
        ]

    def left_over(self) -> list[ProcessId]:
        """Processes of any attempt that was ever made here."""
        nonces: set[str] = set()
        for entry in self.board().entries.values():
            nonces |= {a.nonce for e in entry.events if (a := e.attempt)}
            nonces |= {entry.claim.nonce} if entry.claim else set()
        return [child for nonce in sorted(nonces) for child in marked(nonce)]

    def wait_status(self, task: str, status: str) -> None:
        until(lambda: self.status(task) == status, what=f"{task} to be {status}")

    def close(self) -> None:
        for live in self._lives:
            live.stop()
        for gate in self._gates:
            gate.close()


@contextmanager
def laboratory(folder: Path, **keys: Any) -> Iterator[Lab]:
    """A Lab whose runners are ended with the block."""
    lab = Lab(folder, **keys)
    try:
        yield lab
    finally:
        lab.close()
