"""Move a branch that somebody has checked out together with their files.

    held = prepare(...)      their index is locked, and nothing of theirs is in the way
    <the refs move>
    held.follow()            files and index go along; the lock is dropped

While the lock is held no git command of theirs can commit an index that lags behind its branch.
What a crash leaves is on record, and `recover` heals it. Where the files could not follow (a lock
was busy, edits were in the way) `catch_up` does it later. A person's edits always win: the two-tree
merge of git goes ahead only where index and file are as they were or as they are to be.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from gitfleet import failpoints
from gitfleet.errors import GitError
from gitfleet.git import refs
from gitfleet.git.command import git
from gitfleet.git.index_lock import Identity, IndexLock, forget, identity_of, own, sweep
from gitfleet.git.objects import Objects
from gitfleet.git.overwrite_check import in_the_way
from gitfleet.git.repo import Repo
from gitfleet.git.synced_commit import drop_half_written, folder, in_step, read_step, write_step
from gitfleet.git.worktree import operation_in

_TRIES: Final = 200
_PAUSE: Final = 0.01  # seconds; a lock of git's is held for milliseconds
_LONG: Final = 1800.0  # seconds: files of a large tree


@dataclass(frozen=True, slots=True)
class CannotFollow:
    """Why a checkout cannot follow: a sentence for the person whose checkout it is."""

    reason: str
    passing: bool = False  # something is at work there for a moment, and nobody need do anything


@dataclass
class LockedCheckout:
    """A checkout whose index is locked by us. `base` is where its files are, `new` where to."""

    repo: Repo
    path: Path
    ref: str
    base: str
    new: str
    _own: IndexLock = field(repr=False)

    def follow(self) -> CannotFollow | None:
        """Bring files and index to `new`, after the ref has moved; the lock is dropped.

        A Refusal (somebody wrote to a file in this moment) leaves them as they were.
        """
        try:
            if _branch(self.path) != self.ref:
                return CannotFollow(f"{self.path} is no longer on {self._own.branch}")
            merged = self._own.git(
                "read-tree", "-m", "-u", self.base, self.new, check=False, timeout=_LONG
            )
            if merged.code != 0:
                return CannotFollow(
                    f"{self.path} cannot follow {self._own.branch}: {merged.stderr}"
                )
            self._own.copy.replace(self._own.index)
            write_step(self.repo, self.path, self.new)
            return None
        finally:
            self.release()

    def release(self) -> None:
        """Drop the lock; nothing else changes. Fine to be called again."""
        self._own.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def prepare(repo: Repo, path: Path, ref: str, old: str, new: str) -> LockedCheckout | CannotFollow:
    """Lock the index of a checkout of `ref` (a full name) at `path`, which is to go to `new`.

    Refuses, having touched nothing, where it is busy, where something is unfinished there, or
    where going would overwrite an edit or an untracked file. Its files need not be at `old` (the
    ref's commit): where they were left behind earlier, they go all the way.
    """
    try:
        lock = IndexLock(repo, path, ref, new)
    except GitError as error:
        return CannotFollow(f"{path} cannot be looked into: {error.what}")
    try:
        busy = lock.take()
        if busy is not None:
            lock.release()
            return CannotFollow(busy, passing=True)
        base = in_step(repo, path) or old
        refused = _unfit(lock) or in_the_way(lock, base)
        if refused is not None:
            lock.release()
            return CannotFollow(refused)
        if read_step(repo, path) is None:
            write_step(repo, path, base)
    except GitError as error:  # a tree that git cannot put into files, a worktree it cannot read
        lock.release()
        return CannotFollow(f"{path} cannot follow {lock.branch}: {error.what}")
    except BaseException:
        lock.release()
        raise
    failpoints.point("sync-announced")
    return LockedCheckout(repo, path, ref, base, new, lock)


def refusal(repo: Repo, path: Path, ref: str, old: str, new: str) -> str | None:
    """Why `prepare` would refuse, as far as it shows without a lock; None if it would not.

    For asking again and again: a lock would make the git commands fail by which the person is
    just clearing the way.
    """
    view = IndexLock(repo, path, ref, new)
    try:
        return view.look() or _unfit(view) or in_the_way(view, in_step(repo, path) or old)
    finally:
        view.release()


def catch_up(repo: Repo, path: Path, ref: str) -> CannotFollow | None:
    """Bring a checkout of `ref` that was left behind to where the ref is. None: it is there.

    A person's `git commit` writes the log of HEAD first and moves the ref last, by renaming its
    lock; it holds no lock on the index by then. In between their files are ahead of the ref, and
    taking them "to where the ref is" would undo what they are just committing. So wherever the
    log was read, the ref's lock is looked for after it, and the ref is read after that.
    """
    lock = repo.common / f"{ref}.lock"
    try:
        for _ in range(_TRIES):
            base = in_step(repo, path)
            busy, tip = lock.exists(), refs.read(repo, ref)
            if tip is None or tip == base:
                return None
            if not busy:
                held = prepare(repo, path, ref, tip, tip)  # reads the log again
                if isinstance(held, CannotFollow):
                    return held
                if not lock.exists() and refs.read(repo, ref) == tip:
                    return held.follow()
                held.release()
            time.sleep(_PAUSE)
    except GitError as error:
        return CannotFollow(f"{path} cannot be looked into: {error.what}")
    return CannotFollow(f"{ref} is being moved by another process", passing=True)


def recover(repo: Repo) -> list[tuple[Path, CannotFollow]]:
    """Heal what dead processes left: their locks go, and files follow a ref that has moved.

    May be called at any time, again and again. Returns the checkouts that could not follow.
    """
    refused = []
    drop_half_written(repo)
    for file in sorted(folder(repo).glob("*.json")):
        if file.name.endswith(".step.json"):
            continue
        left = _clean_up(repo, file)
        if left is None:
            continue
        path, ref, swept = left
        outcome = catch_up(repo, path, ref)
        if outcome is not None:
            refused.append((path, outcome))
        else:
            forget(file, swept)
    return refused


def _clean_up(repo: Repo, file: Path) -> tuple[Path, str, Identity | None] | None:
    """Drop a dead owner's lock; the checkout and ref if files may be left behind there, and which
    record told of it."""
    with _owned(file.with_suffix(".lock")) as owner:
        if owner is None:
            return None  # its owner lives
        left = sweep(file)
        if left is None:
            return None
        path, ref, new = left
        tip = refs.read(repo, ref)
        moved = tip is not None and Objects(repo).is_ancestor(new, tip)
        if moved and path.is_dir() and _branch(path) == ref:
            return path, ref, identity_of(file)
        file.unlink(missing_ok=True)
        return None


def _unfit(lock: IndexLock) -> str | None:
    unfinished = operation_in(lock.git_dir)
    if unfinished is not None:
        return f"a {unfinished.name} is under way in {lock.path}: finish or abort it"
    if _branch(lock.path) != lock.ref:
        return f"{lock.path} is not on {lock.branch}"
    return None


def _branch(path: Path) -> str | None:
    return git("symbolic-ref", "-q", "HEAD", cwd=path, check=False).out or None


@contextlib.contextmanager
def _owned(file: Path) -> Iterator[TextIO | None]:
    owner = own(file)
    try:
        yield owner
    finally:
        if owner is not None:
            owner.close()
