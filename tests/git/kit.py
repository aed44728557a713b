"""A checked-out branch that somebody moves, and a git command that is slow at one moment."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from gitfleet.git.commits import Signature
from gitfleet.git.follow_branch import CannotFollow, LockedCheckout, prepare
from gitfleet.git.objects import Objects, TreeEntry
from gitfleet.git.refs import read, swap
from gitfleet.git.repo import Repo, find
from tests.conftest import git

MAIN = "refs/heads/main"
WHO = Signature("runner", "runner@example.org", 1_700_000_000)
PATIENCE = 60.0  # seconds before a test that waits for an event fails; never a measure of speed


class Board:
    """A repository whose main somebody has checked out at `path`, and a runner that moves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo: Repo = find(path)
        self.objects = Objects(self.repo)

    @property
    def tip(self) -> str:
        found = read(self.repo, MAIN)
        assert found is not None
        return found

    def make(self, changes: Mapping[str, bytes | TreeEntry | None], parent: str = "") -> str:
        """A commit on top of main (or of parent) that nothing points at yet."""
        parent = parent or self.tip
        tree = self.objects.write_tree(self.objects.tree_of(parent), changes)
        return self.objects.write_commit(tree, (parent,), "landed", WHO, WHO)

    def move(self, new: str) -> None:
        """The ref alone."""
        assert swap(self.repo, MAIN, self.tip, new, message="landed")

    def prepare(self, new: str) -> LockedCheckout | CannotFollow:
        return prepare(self.repo, self.path, MAIN, self.tip, new)

    def hold(self, new: str) -> LockedCheckout:
        held = self.prepare(new)
        assert isinstance(held, LockedCheckout), held
        return held

    def land(self, changes: Mapping[str, bytes | TreeEntry | None]) -> str:
        new = self.make(changes)
        with self.hold(new) as held:
            self.move(new)
            assert held.follow() is None
        return new

    def refused(self, changes: Mapping[str, bytes | TreeEntry | None]) -> str:
        """The reason, having made sure that nothing was touched."""
        before = self.everything()
        outcome = self.prepare(self.make(changes))
        assert isinstance(outcome, CannotFollow)
        assert self.everything() == before
        return outcome.reason

    def everything(self) -> dict[str, bytes]:
        """Every file, every ref, the index and what lies beside it."""
        git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=self.path))
        files = [f for f in self.path.rglob("*") if ".git" not in f.parts and f.is_file()]
        files += [f for f in git_dir.iterdir() if f.is_file()]
        files += list((self.repo.common / "refs").rglob("*"))
        return {str(f): f.read_bytes() for f in files if f.is_file()}

    @property
    def status(self) -> str:
        return git("status", "--porcelain", cwd=self.path)

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def commit(self, **files: str) -> str:
        """A person's commit."""
        for name, text in files.items():
            self.write(name, text)
        git("add", "-A", cwd=self.path)
        git("commit", "-q", "-m", "person", cwd=self.path)
        return self.tip

    def clean_git_dir(self) -> bool:
        """No lock, no copy, no record of ours is left."""
        git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=self.path))
        left = [*git_dir.glob("gitfleet-*"), *git_dir.glob("*.lock")]
        notes = (self.repo.common / "gitfleet" / "follow").glob("*.json")
        return not left and all(note.name.endswith(".step.json") for note in notes)


class SlowCommand:
    """A git command that has read HEAD and the index, and locks the index only after `go_on`.

    git asks a file system monitor at exactly that moment, and this one waits for two named pipes.
    """

    def __init__(self, folder: Path, worktree: Path, *args: str) -> None:
        self._reached, self._go = folder / "index-was-read", folder / "go-on"
        for pipe in (self._reached, self._go):
            os.mkfifo(pipe)
        monitor = folder / "monitor"
        monitor.write_text(
            f"#!/bin/sh\nif mkdir '{folder}/asked' 2>/dev/null; then\n"
            f": >'{self._reached}'\nread line <'{self._go}'\nfi\nprintf '1\\0/\\0'\n"
        )
        monitor.chmod(0o755)
        self._process = subprocess.Popen(
            ["git", "-c", f"core.fsmonitor={monitor}", *args],
            cwd=worktree,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reached.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and its monitor, if a test failed before `go_on`."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def go_on(self) -> tuple[int, str]:
        """Let it lock and write the index, and end; its exit status and what it said."""
        self._go.write_text("\n")
        _, said = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, said
