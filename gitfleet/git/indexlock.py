"""A worktree's `index.lock`, held by us while its branch moves."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from gitfleet.git.command import Result, git
from gitfleet.git.repo import Repo
from gitfleet.git.step import folder, key, write_note
from gitfleet.git.worktree import NO_HOOKS, git_dir

Identity = tuple[int, int, int]


class IndexLock:
    """A worktree's `index.lock`, taken by us and on record, and a copy of its index.

    Who holds it is told by a `flock`, which ends with its process, whatever happens.
    """

    def __init__(self, repo: Repo, path: Path, ref: str, new: str) -> None:
        self.repo, self.path, self.ref, self.new = repo, path, ref, new
        self.git_dir = git_dir(path)
        self.index = self.git_dir / "index"
        self.lock = self.git_dir / "index.lock"
        self.record = folder(repo) / f"{key(path)}.json"
        self.identity: Identity = (0, 0, 0)
        self.owner: TextIO | None = None
        self.scratch: list[Path] = []

    @property
    def branch(self) -> str:
        """The ref's short name."""
        return self.ref.removeprefix("refs/heads/")

    @property
    def copy(self) -> Path:
        """The copy of the index that we work on, in the same folder (it may be split)."""
        return self.scratch[0]

    def take(self) -> str | None:
        """Lock and copy; why not, if not."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.owner = own(self.record.with_suffix(".lock"))
        if self.owner is None:
            return f"{self.path} is being moved by another runner just now"
        empty = self._scratch_file("lock")
        self.identity = _identity(empty)
        copy = self._scratch_file("index")
        self.scratch = [copy, copy.with_name(f"{copy.name}.lock"), empty]
        self._announce()
        try:
            # A link fails if the name exists, as O_EXCL does; unlike with O_EXCL, the record
            # knows the lock's inode before there is a lock.
            self.lock.hardlink_to(empty)
        except FileExistsError:
            return (
                f"{self.path} is being committed to just now (if no git command runs there, one "
                f"that died left {self.lock})"
            )
        try:
            shutil.copy2(self.index, copy)
        except FileNotFoundError:
            return f"{self.path} has no index: nothing is checked out there"
        return None

    def look(self) -> str | None:
        """Copy without locking, to see what would be in the way; why not, if not."""
        copy = self._scratch_file("index")
        self.scratch = [copy, copy.with_name(f"{copy.name}.lock")]
        try:
            shutil.copy2(self.index, copy)
        except FileNotFoundError:
            return f"{self.path} has no index: nothing is checked out there"
        return None

    def _scratch_file(self, what: str) -> Path:
        handle, name = tempfile.mkstemp(prefix="gitfleet-", suffix=f".{what}", dir=self.git_dir)
        os.close(handle)
        self.scratch.append(Path(name))
        return Path(name)

    def _announce(self) -> None:
        content: dict[str, object] = {
            "path": str(self.path),
            "ref": self.ref,
            "new": self.new,
            "lock": str(self.lock),
            "identity": self.identity,
            "scratch": [str(path) for path in self.scratch],
            "pid": os.getpid(),
        }
        write_note(self.record, content)

    def release(self) -> None:
        """Drop lock, record and scratch files, in that order."""
        if self.owner is not None:
            drop(self.lock, self.identity)
        for path in self.scratch:
            path.unlink(missing_ok=True)
        if self.owner is None:
            return
        self.record.unlink(missing_ok=True)
        self.owner.close()
        self.owner = None

    def git(
        self, *args: str, input: bytes = b"", check: bool = True, timeout: float = 60.0
    ) -> Result:
        """git in the worktree, on the copy of its index. No hook sees it."""
        env = {"GIT_INDEX_FILE": str(self.copy)}
        return git(
            *NO_HOOKS, *args, cwd=self.path, env=env, input=input, check=check, timeout=timeout
        )


def own(file: Path) -> TextIO | None:
    """The file, locked until it is closed; None if somebody has it."""
    opened = file.open("a")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        return None
    return opened


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns  # an inode's number is used again


def drop(lock: Path, identity: Sequence[int]) -> None:
    """Remove the lock if it is that very file."""
    with contextlib.suppress(FileNotFoundError):
        if _identity(lock) == tuple(identity):
            lock.unlink()
