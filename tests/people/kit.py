"""A project with a board and its hooks, as `gitfleet init` leaves it; a person's hands in it, and
a runner's parts that a test can turn by themselves.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.audit import repair
from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store, utc_now
from gitfleet.event_log import EventLog
from gitfleet.files import codec, layout
from gitfleet.git import refs
from gitfleet.git.repo import find
from gitfleet.install import hooks, setup_clone
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.config import Machine
from gitfleet.model.event import Closed, Decision
from gitfleet.model.states import Role
from tests import warm
from tests.acceptance.fleetlab import PATIENCE, Live, start_runner
from tests.conftest import init
from tests.template import copied

ADA = Person("Ada", "ada@example.org")
BOB = {
    "GIT_AUTHOR_NAME": "Bob",
    "GIT_AUTHOR_EMAIL": "bob@example.org",
    "GIT_COMMITTER_NAME": "Bob",
    "GIT_COMMITTER_EMAIL": "bob@example.org",
}


class Spoken(NamedTuple):
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str


def tell(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Spoken:
    """Run a command, whatever comes of it."""
    done = subprocess.run(
        args,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Spoken(done.returncode, done.stdout, done.stderr)


def gitfleet(*args: str, cwd: Path) -> Spoken:
    """Run a verb, whatever comes of it."""
    done = warm.run(*args, cwd=cwd, timeout=PATIENCE)
    return Spoken(done.returncode, done.stdout, done.stderr)


def git(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What git says; it must succeed."""
    said = tell("git", *args, cwd=cwd, env=env)
    assert said.status == 0, f"git {args}: {said.out}{said.err}"
    return said.out.strip()


def task(title: str = "A task", script: str = "true", **keys: object) -> str:
    """The text of a task for the coder `shell`."""
    front = codec.front_matter({"title": title, "coder": "shell", **keys}).decode()
    return f"{front}\n```sh\n{script}\n```\n"


class SampleProject:
    """A repository called `project` with a board; `window` is its .fleet/.

    What `gitfleet init` does is done here without starting it, which is quicker.
    """

    def __init__(self, folder: Path) -> None:
        self.path = copied(folder / "project", "project", self._make)
        self.window = self.path / ".fleet"
        self.lines: list[str] = []
        self._lives: list[Live] = []
        self.repo = find(self.path)
        self.clone = Clone(self.repo)
        self.store = Store(self.repo, runner="box")

    def _make(self, path: Path) -> None:
        repo = find(init(path, name="project"))
        store = Store(repo, runner="box")
        store.create(setup_clone.first_files("main", ()), ADA)
        setup_clone.prepare_clone(repo)
        git("worktree", "add", "-q", str(path / ".fleet"), "fleet", cwd=path)
        hooks.install(Clone(repo), store)

    # -- programs

    def gitfleet(self, *args: str, at: Path | None = None) -> Spoken:
        """A verb, run to its end."""
        return gitfleet(*args, cwd=at or self.path)

    def start(self, *args: str) -> Live:
        """A runner at work; `close` ends it."""
        live = start_runner(*args, cwd=self.path)
        self._lives.append(live)
        return live

    def close(self) -> None:
        for live in self._lives:
            live.stop()

    def git(self, *args: str) -> str:
        """git in the window."""
        return git(*args, cwd=self.window)

    # -- a person

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Put files into the window; None removes one."""
        for name, content in files.items():
            path = self.window / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes | None], *args: str) -> Spoken:
        """Put files into the window and commit all there is, as people do."""
        self.write(files)
        self.git("add", "-A")
        return tell("git", "commit", "-q", "-m", "By hand", *args, cwd=self.window)

    def put(self, files: Mapping[str, str | bytes | None], *args: str) -> str:
        """The same past the hooks, which take ten times as long as git; the commit."""
        said = self.commit(files, "--no-verify", *args)
        assert said.status == 0, said.err
        return self.git("rev-parse", "HEAD")

    def put_by_hooks(self, files: Mapping[str, str | bytes | None]) -> str:
        """The same with the hooks, which let it pass; the commit."""
        return self.put(files, "--verify")

    def clone_to(self, path: Path) -> Path:
        """Another person's clone, on the board's branch."""
        git("clone", "-q", "-b", "fleet", str(self.path), str(path), cwd=path.parent)
        git("config", "merge.directoryRenames", "false", cwd=path)
        return path

    # -- a runner's parts

    def fleet(
        self, *, now: Callable[[], datetime] = utc_now, machine: Machine | None = None
    ) -> Project:
        """All that a runner works with; what it tells is in `lines`."""
        return Project(
            repo=self.repo,
            clone=self.clone,
            store=Store(self.repo, runner="box", now=now),
            report=EventLog(self.lines.append),
            runner="box",
            default_target="main",
            workspaces=WorkspacePool(self.repo),
            machine=machine or Machine(),
        )

    def told(self, action: str) -> list[str]:
        """The lines of an action, without their times."""
        words = (line.split(" ", 1)[1] for line in self.lines)
        return [line for line in words if line.split(" ", 1)[0] == action]

    def claim(self, name: str, nonce: str = "c1a1" * 8) -> str:
        """Claim a task as the runner does; the window follows if it can. The commit."""
        base = refs.read(self.repo, "refs/heads/main")
        assert base is not None
        claim = Claim(
            runner="box",
            nonce=nonce,
            role=Role.WORK,
            attempt=1,
            coder="shell",
            at=utc_now(),
            base=base,
            task_blob=self.board().entries[name].blob,
            branch=f"gitfleet/task/{name}",
        )
        return self.change({layout.claim_path(name): codec.write(claim)}, f"{name}: claimed")

    def change(
        self,
        files: Mapping[str, bytes | None],
        subject: str = "By a runner",
        author: Person | None = None,
    ) -> str:
        """A commit made by a transaction; a runner's unless it has an author."""
        change = Change(subject=subject, files=files, author=author)
        result = self.store.transact(lambda _board, _now: change)
        assert result.won
        return result.board.commit

    def close_task(self, names: Iterable[str], at: datetime) -> None:
        """A person closed them by hand at that time, and the runner has seen it."""
        said = codec.write(Decision(at=at, by="Ada <ada@example.org>"))
        closed = codec.write(Closed(runner="box", at=at, reason="by hand"))
        first = {layout.event_path(name, "001-close-aaaa.yaml"): said for name in names}
        second = {layout.event_path(name, "002-closed-bbbb.yaml"): closed for name in names}
        self.change(first, "Close", ADA)
        self.change(second, "closed")

    # -- what there is

    def board(self) -> Board:
        return Store(self.repo).board()

    def tip(self, ref: str = "fleet") -> str:
        return git("rev-parse", ref, cwd=self.path)

    def show(self, path: str) -> str:
        return git("show", f"fleet:{path}", cwd=self.path)

    def files(self, ref: str = "fleet") -> set[str]:
        return set(git("ls-tree", "-r", "-z", "--name-only", ref, cwd=self.path).split("\0")) - {""}

    def findings(self) -> list[repair.HistoryFinding]:
        """What fsck finds, repaired or not."""
        store = Store(self.repo)
        tip = store.tip()
        assert tip is not None
        return list(repair.check(store, tip))

    def broken(self) -> list[str]:
        """What fsck calls broken."""
        return [str(one.violation) for one in self.findings() if not (one.repaired or one.warning)]

    def clean(self) -> None:
        """The window shows the board, and nothing else."""
        assert self.git("status", "--porcelain") == ""
        assert self.git("rev-parse", "HEAD") == self.tip()


def moment(text: str) -> datetime:
    """`2026-11-20 15:00` as a time."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def repair_board(fleet: Project) -> None:
    """What a runner does before it looks at the board."""
    mender = fleet.store.repairer = repair.Repairer(fleet)
    fleet.store.board()
    mender.remember()


def script(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def settings(project: SampleProject, **keys: Any) -> None:
    """Add keys to fleet.yaml, with plain git."""
    lines = "".join(f"{key}: {value}\n" for key, value in keys.items())
    project.put({"fleet.yaml": (project.window / "fleet.yaml").read_text() + lines})
