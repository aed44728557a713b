"""Read refs, and move them by compare-and-swap.

Measured: a swap is real if it uses the reference object that was read *before*, which compares
under `<ref>.lock`; looking it up again first is not. libgit2 and git take the same lock, so both
kinds of swap may be mixed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pygit2

from gitfleet.errors import GitError
from gitfleet.git.command import git
from gitfleet.git.fsync import flush, sync, syncing
from gitfleet.git.libgit2 import asked, handle
from gitfleet.git.repo import Repo

MOVED: Final = "gitfleet: "
"""How the reflog line of every move made here begins.

git writes such a line into the log of HEAD too, if the repository's HEAD is on that branch, though
no file in the worktree moves with it; `checkout` tells by this that it was us.
"""

_ZERO: Final = "0" * 40
_WAIT: Final = 5.0  # seconds to wait for a busy lock
_STALE: Final = 30.0  # seconds after which a lock without an owner may be broken
_LOCK_PATH: Final = re.compile(r"'([^'\n]+\.lock)'")
# libgit2 | git
_BUSY: Final = re.compile(r"failed to (?:lock|create locked) file|Unable to create '[^'\n]*\.lock'")


@dataclass(frozen=True, slots=True)
class RefMove:
    """From `old` to `new`, both ids. None: the ref does not exist. Equal: it must stay."""

    ref: str
    old: str | None
    new: str | None


class _RefLocked(Exception):
    """Another process holds a lock that a move needs."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        found = _LOCK_PATH.search(said)
        self.lock = Path(found[1]) if found else None


def read(repo: Repo, ref: str) -> str | None:
    """The current id of a full ref name; None if it does not exist."""
    with asked(f"cannot read {ref}"):
        try:
            return str(handle(repo).lookup_reference(ref).resolve().target)
        except KeyError:
            return None


def names(repo: Repo, prefix: str) -> dict[str, str]:
    """Every ref below a prefix that ends with a slash (or `refs/`), with its id."""
    out = git("for-each-ref", "--format=%(objectname) %(refname)", prefix, cwd=repo.here).out
    return {ref: oid for oid, _, ref in (line.partition(" ") for line in out.splitlines())}


def swap(repo: Repo, ref: str, old: str | None, new: str | None, *, message: str) -> bool:
    """Move one ref from `old` to `new` and return True; False if it is no longer at `old`.

    None as `old` creates it (with a log, in any folder: the log says when), as `new` deletes it.
    Raises GitError for anything else.
    """
    if old is None or new is None or old == new:
        return swap_all(repo, [RefMove(ref, old, new)], message=message)
    return _patiently(repo, [RefMove(ref, old, new)], message, _swap_one)


def swap_all(repo: Repo, moves: Sequence[RefMove], *, message: str) -> bool:
    """Move all of these refs or none: all are locked and compared before the first one moves.

    Returns False if one of them is not as expected. git renames one lock after the other, so a
    crash at that moment can leave some moved and some not.
    """
    return _patiently(repo, moves, message, _swap_together)


def moved_at(repo: Repo, ref: str) -> float | None:
    """When a ref was last moved, in seconds since the epoch; None if its log does not say."""
    try:
        last = (repo.common / "logs" / ref).read_bytes().splitlines()[-1]
    except (OSError, IndexError):
        return None
    found = re.search(rb"> ([0-9]+) [-+][0-9]{4}(?:\t|\Z)", last)
    return float(found[1]) if found else None


@contextlib.contextmanager
def mutex(repo: Repo) -> Iterator[None]:
    """One writer of this repository at a time, for throughput and fairness only.

    Correctness comes from the swap. Not reentrant, not even in one process.
    """
    with _flock(repo, "txn.lock"):
        yield


@contextlib.contextmanager
def _flock(repo: Repo, name: str) -> Iterator[None]:
    folder = repo.common / "gitfleet"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock


# -- one try


def _swap_one(repo: Repo, moves: Sequence[RefMove], message: str) -> bool:
    (move,) = moves
    assert move.new is not None
    try:
        reference = handle(repo).lookup_reference(move.ref)
        if str(reference.resolve().target) != move.old:
            return False
        flush(repo)
        reference.set_target(move.new, message)
        sync([repo.common / move.ref])
    except KeyError:
        return False
    except (pygit2.GitError, OSError, ValueError) as error:
        _raise_unless_moved(repo, moves, str(error))
        return False
    return True


def _swap_together(repo: Repo, moves: Sequence[RefMove], message: str) -> bool:
    lines = ["start", *(_line(move) for move in moves), "prepare", "commit"]
    data = "".join(f"{line}\0" for line in lines).encode()
    # With a log even where git keeps none: it says when the ref was made.
    log = ("--create-reflog",) if any(move.old is None for move in moves) else ()
    flush(repo)
    fsync = ("-c", "core.fsync=reference") if syncing() else ()
    args = (*fsync, "update-ref", *log, "-m", message, "--stdin", "-z")
    done = git(*args, cwd=repo.here, input=data, check=False)
    if done.code != 0:
        _raise_unless_moved(repo, moves, done.stderr)
        return False
    return True


def _line(move: RefMove) -> str:
    old, new = move.old or _ZERO, move.new or _ZERO
    if old == new:
        return f"verify {move.ref}\0{old}"
    if move.old is None:
        return f"create {move.ref}\0{new}"
    if move.new is None:
        return f"delete {move.ref}\0{old}"
    return f"update {move.ref}\0{new}\0{old}"


def _raise_unless_moved(repo: Repo, moves: Sequence[RefMove], said: str) -> None:
    """Return if a try failed because a ref has moved; else raise _RefLocked or GitError.

    Reads the refs themselves rather than git's message, which differs between versions.
    """
    if _BUSY.search(said):
        raise _RefLocked(said)
    if all(read(repo, move.ref) == move.old for move in moves):
        refs = ", ".join(move.ref for move in moves)
        raise GitError(f"cannot move {refs}: {said.splitlines()[0] if said else '?'}", stderr=said)


# -- patience


_Try = Callable[[Repo, Sequence[RefMove], str], bool]


def _patiently(repo: Repo, moves: Sequence[RefMove], message: str, attempt: _Try) -> bool:
    deadline = time.monotonic() + _WAIT
    pause = 0.002
    while True:
        try:
            return attempt(repo, moves, MOVED + message)
        except _RefLocked as busy:
            if any(read(repo, move.ref) != move.old for move in moves):
                return False
            if time.monotonic() > deadline:
                _break(repo, busy)
                deadline = time.monotonic() + _WAIT
        time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - spreads tries, hides nothing
        pause = min(pause * 1.5, 0.1)


def _break(repo: Repo, busy: _RefLocked) -> None:
    """Remove a lock that a dead process left behind, or raise GitError with a remedy.

    A lock is stale if it is older than 30 seconds, no process on this machine has it open, and no
    git process is at work in this repository: git closes a lock's file some time before it releases
    the lock, so a closed file alone proves nothing. A process that we may not inspect (another
    user's git) counts as at work.
    """
    lock = busy.lock
    if lock is None:
        raise GitError(f"a lock of git is busy: {busy}")
    with _flock(
        repo, "stale.lock"
    ):  # if two processes check one lock, the second must see that the first removed it
        try:
            age = time.time() - lock.stat().st_mtime
        except FileNotFoundError:
            return
        if age <= _STALE or is_open(lock) or _git_at_work(repo):
            raise GitError(
                f"{lock} is held by another process",
                remedy="If no git command is running in this repository, delete that file.",
            )
        lock.unlink(missing_ok=True)


def is_open(path: Path) -> bool:
    """Whether a process that we may inspect has this file open."""
    wanted = str(path.resolve())
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == wanted:  # noqa: PTH115 - a Path would lose " (deleted)"
                return True
    return False


def _git_at_work(repo: Repo) -> bool:
    places = _places(repo)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if not (process / "comm").read_text().startswith("git"):
                continue
            here = (process / "cwd").readlink()
        except FileNotFoundError:
            continue
        except PermissionError:
            return True
        if any(here.is_relative_to(place) for place in places):
            return True
    return False


def _places(repo: Repo) -> list[Path]:
    """The git directory, and the git directory of every worktree."""
    found = [repo.common]
    if repo.main is not None:
        found.append(repo.main)
    for pointer in repo.common.glob("worktrees/*/gitdir"):
        with contextlib.suppress(OSError):
            found.append(Path(pointer.read_text().strip()).parent)
    return found
