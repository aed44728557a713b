"""A worktree's `index.lock`, which we hold while its branch moves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from gitfleet.git.command import CommandResult, git
from gitfleet.git.objects import Changed
from gitfleet.git.repo import Repo
from gitfleet.git.synced_commit import folder, key, write_note
from gitfleet.git.worktree import NO_HOOKS, git_dir

Identity = tuple[int, int, int]

_FORGOTTEN: Final = 86_400.0  # seconds
_LONG: Final = 1800.0  # seconds: files of a large tree
_ZERO: Final = "0" * 40


class IndexLock:
    """A worktree's `index.lock`, held and recorded by us, and a copy of its index.

    A `flock` shows who holds it; it ends with its process, however that dies.
    """

    def __init__(self, repo: Repo, path: Path, ref: str, new: str) -> None:
        self.repo, self.path, self.ref, self.new = repo, path, ref, new
        self.git_dir = git_dir(path)
        self.index = self.git_dir / "index"
        self.lock = self.git_dir / "index.lock"
        self.record = folder(repo) / f"{key(path)}.json"
        self.identity: Identity | None = None
        self.owner: TextIO | None = None
        self.scratch: list[Path] = []

    @property
    def branch(self) -> str:
        """The ref's short name."""
        return self.ref.removeprefix("refs/heads/")

    @property
    def copy(self) -> Path:
        """Our working copy of the index, in the same folder (the index may be split)."""
        return self.scratch[0]

    def take(self) -> str | None:
        """Lock and copy. Returns why not; None if it is locked."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.owner = own(self.record.with_suffix(".lock"))
        if self.owner is None:
            return f"another runner is updating {self.path}"
        sweep(self.record, self.lock)
        self._drop_forgotten()
        # Choose the name before the file exists, so that the record knows it whenever we are
        # killed.
        copy = self.git_dir / f"gitfleet-{secrets.token_hex(8)}.index"
        self.scratch = [copy, copy.with_name(f"{copy.name}.lock")]
        self._announce()
        self.identity = identity_of(self.record)
        try:
            # A link fails if the name exists, as O_EXCL does. Unlike with O_EXCL, at no moment is
            # there a lock that nothing marks as ours: the lock is the record itself.
            self.lock.hardlink_to(self.record)
        except FileExistsError:
            return (
                f"a commit is in progress in {self.path} (if no git command runs"
                f" there, one that died left {self.lock})"
            )
        except OSError as error:
            return f"cannot create {self.lock}: {error.strerror}"
        try:
            shutil.copy2(self.index, copy)
        except FileNotFoundError:
            return f"{self.path} has no index: nothing is checked out there"
        return None

    def look(self, index: Path | None = None) -> str | None:
        """Copy the index, or another one, without locking, to see what would be in the way.

        Returns why not; None if all is well.
        """
        handle, name = tempfile.mkstemp(prefix="gitfleet-", suffix=".index", dir=self.git_dir)
        os.close(handle)
        copy = Path(name)
        self.scratch = [copy, copy.with_name(f"{copy.name}.lock")]
        try:
            shutil.copy2(index or self.index, copy)
        except FileNotFoundError:
            return f"{self.path} has no index: nothing is checked out there"
        return None

    def _drop_forgotten(self) -> None:
        """Remove scratch indexes older than a day: their process was killed."""
        with contextlib.suppress(OSError):
            for left in self.git_dir.glob("gitfleet-*.index*"):
                if time.time() - left.stat().st_ctime > _FORGOTTEN:
                    left.unlink(missing_ok=True)

    def _announce(self) -> None:
        content: dict[str, object] = {
            "path": str(self.path),
            "ref": self.ref,
            "new": self.new,
            "lock": str(self.lock),
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
    ) -> CommandResult:
        """Run git in the worktree on the copy of its index, without hooks."""
        env = {"GIT_INDEX_FILE": str(self.copy)}
        return git(
            *NO_HOOKS, *args, cwd=self.path, env=env, input=input, check=check, timeout=timeout
        )

    def stage(self, changes: Sequence[Changed]) -> None:
        """Stage the new side of each change in the copy of the index; touch no file."""
        if not changes:
            return
        lines = (
            f"{change.new.mode} {change.new.oid}\t{change.path}\0"
            if change.new
            else f"0 {_ZERO}\t{change.path}\0"
            for change in changes
        )
        self.git("update-index", "-z", "--index-info", input=os.fsencode("".join(lines)))
        self.git("update-index", "-q", "--refresh", check=False, timeout=_LONG)


def own(file: Path) -> TextIO | None:
    """The file, locked until it is closed; None if another process holds it."""
    opened = file.open("a")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        return None
    return opened


def sweep(record: Path, lock: Path | None = None) -> tuple[Path, str, str] | None:
    """Drop the lock and the scratch files of a dead owner, as its record says.

    The caller must hold the record's `flock`. Returns the worktree, the ref and the commit it was
    going to; None without a record, or with one that cannot be read, which is removed.
    """
    try:
        left = json.loads(record.read_text())
        path, ref, new = Path(left["path"]), str(left["ref"]), str(left["new"])
        drop(Path(left["lock"]), identity_of(record))
        for scratch in left["scratch"]:
            Path(scratch).unlink(missing_ok=True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        if lock is not None:
            drop(lock, identity_of(record))
        record.unlink(missing_ok=True)
        return None
    return path, ref, new


def forget(record: Path, swept: Identity | None) -> None:
    """Remove a dead owner's record, if it is still the swept one and no process holds it."""
    owner = own(record.with_suffix(".lock"))
    if owner is not None:
        with owner:
            if swept is not None and identity_of(record) == swept:
                record.unlink(missing_ok=True)


def identity_of(path: Path) -> Identity | None:
    """The identity of the file; None if it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns  # inode numbers are reused


def drop(lock: Path, identity: Identity | None) -> None:
    """Remove the lock if it is ours: the very file of the record."""
    if identity is not None and identity_of(lock) == identity:
        lock.unlink(missing_ok=True)
