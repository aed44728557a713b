"""Move a branch that is checked out somewhere, together with the files of that checkout.

    held = prepare(...)      locks the index, and checks that no edit is in the way
    <the refs move>
    held.follow()            updates files and index; drops the lock

While the lock is held, no git command in that checkout can commit an index that lags behind its
branch. A crash leaves a record, and `recover` heals it. Where the files could not follow (the lock
was taken, edits were in the way) `catch_up` does it later. A person's edits always win: git's
two-tree merge proceeds only where index and file are unchanged or already as they should become.
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
from gitfleet.git import outdated_index, refs
from gitfleet.git.command import git
from gitfleet.git.index_lock import Identity, IndexLock, forget, identity_of, own, sweep
from gitfleet.git.objects import Objects
from gitfleet.git.overwrite_check import in_the_way
from gitfleet.git.repo import Repo
from gitfleet.git.synced_commit import (
    drop_half_written,
    folder,
    followed_at,
    in_step,
    read_step,
    write_step,
)
from gitfleet.git.worktree import git_dir, operation_in

_TRIES: Final = 200
_PAUSE: Final = 0.01  # seconds; git holds a lock for milliseconds
_LONG: Final = 1800.0  # seconds: files of a large tree
_SETTLING: Final = 10.0  # seconds; longer than a slow git command keeps an index that it has read


@dataclass(frozen=True, slots=True)
class CannotFollow:
    """Why a checkout cannot follow its branch: a sentence for the checkout's owner."""

    reason: str
    passing: bool = False  # another command is busy there for a moment; the person need not act


@dataclass
class LockedCheckout:
    """A checkout whose index we have locked. Its files are at `base` and will go to `new`."""

    repo: Repo
    path: Path
    ref: str
    base: str
    new: str
    _own: IndexLock = field(repr=False)

    def follow(self) -> CannotFollow | None:
        """Update files and index to `new`, after the ref has moved, and drop the lock.

        Returns CannotFollow, and leaves the files alone, if somebody wrote to one at that moment.
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
            write_step(self.repo, self.path, self.new, self.base)
            return None
        finally:
            self.release()

    def release(self) -> None:
        """Drop the lock and change nothing else. May be called twice."""
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
    """Lock the index of the checkout of `ref` (a full name) at `path`, which will move to `new`.

    Refuses, without touching anything, if the checkout is busy, has an unfinished operation, or if
    the move would overwrite an edit or an untracked file. Its files need not be at `old` (the ref's
    commit): files that lagged behind earlier go all the way.
    """
    try:
        lock = IndexLock(repo, path, ref, new)
    except GitError as error:
        return CannotFollow(f"{path} cannot be read: {error.what}")
    try:
        busy = lock.take()
        if busy is not None:
            lock.release()
            return CannotFollow(busy, passing=True)
        base = in_step(repo, path) or old
        refused = _unfit(lock) or _loss(lock, base)
        if refused is not None:
            lock.release()
            return CannotFollow(refused)
        if read_step(repo, path) is None:
            write_step(repo, path, base)
    except GitError as error:  # a tree that git cannot check out, or a worktree it cannot read
        lock.release()
        return CannotFollow(f"{path} cannot follow {lock.branch}: {error.what}")
    except BaseException:
        lock.release()
        raise
    failpoints.point("sync-announced")
    return LockedCheckout(repo, path, ref, base, new, lock)


def refusal(repo: Repo, path: Path, ref: str, old: str, new: str) -> str | None:
    """Why `prepare` would refuse, as far as can be told without a lock; None if it would not.

    For repeated checks: taking the lock would break the git commands with which the person is
    clearing the way.
    """
    view = IndexLock(repo, path, ref, new)
    try:
        return view.look() or _unfit(view) or _loss(view, in_step(repo, path) or old)
    finally:
        view.release()


def catch_up(repo: Repo, path: Path, ref: str) -> CannotFollow | None:
    """Bring a checkout of `ref` that lagged behind to where the ref is. None: it is there now.

    A person's `git commit` writes HEAD's log first and moves the ref last, by renaming its lock; at
    that point it holds no lock on the index. In between, the files are ahead of the ref, and moving
    them "to where the ref is" would undo the commit in progress. So after each reading of the log
    this function looks for the ref's lock, and reads the ref after that.
    """
    lock = repo.common / f"{ref}.lock"
    try:
        for _ in range(_TRIES):
            base = in_step(repo, path)
            busy, tip = lock.exists(), refs.read(repo, ref)
            if tip is None or (tip == base and not outdated_index.suspects(repo, path, base)):
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
        return CannotFollow(f"{path} cannot be read: {error.what}")
    return CannotFollow(f"another process is updating {ref}", passing=True)


def settle(repo: Repo, path: Path, ref: str) -> bool:
    """Correct the index of a checkout that followed `ref` a moment ago, if a command put it back.

    Returns whether to call it again soon. A checkout that lags behind is left alone.
    """
    if time.time() - followed_at(repo, path) > _SETTLING:
        return False
    with contextlib.suppress(GitError):  # the next move of the branch corrects it, or says why not
        tip = refs.read(repo, ref)
        if tip is not None and tip == in_step(repo, path):
            catch_up(repo, path, ref)
    return True


def undoes_a_move(repo: Repo, path: Path, ref: str, base: str, index: Path) -> bool:
    """Whether a commit of this index, made on `base`, would undo an earlier move of the branch."""
    own = index.resolve() == (git_dir(path) / "index").resolve()
    if not outdated_index.suspects(repo, path, base, None if own else index):
        return False
    view = IndexLock(repo, path, ref, base)
    try:
        return not view.look(index) and bool(outdated_index.correct(view, base, index))
    finally:
        view.release()


def recover(repo: Repo) -> list[tuple[Path, CannotFollow]]:
    """Heal what dead processes left: remove their locks, and let files follow refs that moved.

    May be called at any time, repeatedly. Returns the checkouts that could not follow.
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
    """Drop a dead owner's lock.

    Returns the checkout and ref whose files may lag behind, and the record that named them.
    """
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


def _loss(lock: IndexLock, base: str) -> str | None:
    outdated_index.correct(lock, base)
    return in_the_way(lock, base)


def _unfit(lock: IndexLock) -> str | None:
    unfinished = operation_in(lock.git_dir)
    if unfinished is not None:
        return f"a {unfinished.name} is unfinished in {lock.path}: finish or abort it"
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
