"""Worktrees: list, add, remove, inspect, commit in, reset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.errors import FleetError, GitError
from gitfleet.git.command import git
from gitfleet.git.repo import Repo

# An orchestrator's operations in a worktree are not the person's: their hooks do not run.
NO_HOOKS: Final = ("-c", "core.hooksPath=/dev/null")
_LONG: Final = 1800.0  # seconds: a checkout of a large tree, or of submodules over the network


@dataclass(frozen=True, slots=True)
class Tree:
    """One worktree, as `git worktree list` reports it. `branch` is a full ref.

    `prunable`: its directory does not exist.
    """

    path: Path
    head: str | None
    branch: str | None
    bare: bool = False
    detached: bool = False
    locked: bool = False
    prunable: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """An unfinished operation: `merge`, `rebase`, `am`, `cherry-pick`, `revert` or `bisect`.

    `branch` is the full ref that a rebase or bisect holds while HEAD is detached.
    """

    name: str
    branch: str | None = None


def listing(repo: Repo) -> list[Tree]:
    """Every worktree, the main one (or the bare repository) first."""
    out = git("worktree", "list", "--porcelain", "-z", cwd=repo.here).stdout
    records = (record for record in out.split(b"\0\0") if record.strip(b"\0"))
    return [_tree(repo, os.fsdecode(record)) for record in records]


def _tree(repo: Repo, record: str) -> Tree:
    lines = (line.partition(" ") for line in record.strip("\0").split("\0"))
    found = {key: value for key, _, value in lines}
    path = Path(found["worktree"])
    if path == repo.common and repo.main is not None:
        path = repo.main  # git reports the git directory where `.git` is a file (submodules)
    return Tree(
        path=path,
        head=found.get("HEAD"),
        branch=found.get("branch"),
        bare="bare" in found,
        detached="detached" in found,
        locked="locked" in found,
        prunable="prunable" in found,
    )


def registered(repo: Repo, path: Path) -> Tree | None:
    """The worktree registered at this path, whether or not its directory exists."""
    wanted = path.resolve()
    return next((tree for tree in listing(repo) if tree.path.resolve() == wanted), None)


# -- add and remove


def add(repo: Repo, path: Path, *, branch: str | None, base: str) -> None:
    """Create a worktree on `branch` (short name; None: detached at `base`), with submodules.

    Creates the branch at `base` if it does not exist. No hook runs. Raises FleetError if something
    else is at `path`. If it fails, nothing is left behind.
    """
    _make_room(repo, path)
    args = ["--detach", str(path), base]
    if branch is not None:
        exists = git(
            "show-ref", "--verify", "-q", f"refs/heads/{branch}", cwd=repo.here, check=False
        )
        new = ["--no-track", "-b", branch, str(path), base]
        args = [str(path), branch] if exists.code == 0 else new
    check_out(repo, path, *args)
    try:
        _fill_submodules(path)
    except GitError:
        remove(repo, path)
        raise


def check_out(repo: Repo, path: Path, *args: str) -> None:
    """`git worktree add` with these arguments: no hook runs, and every file is there.

    git passes a person's sparse checkout on to new worktrees: an agent would miss files that the
    checks need, and a window would not show a single task.
    """
    full = ("-c", "core.sparseCheckout=false")
    git(*NO_HOOKS, *full, "worktree", "add", "-q", *args, cwd=repo.here, timeout=_LONG)
    setting = ("config", "--type=bool", "core.sparseCheckout")
    if git(*setting, cwd=path, check=False).out != "true":
        return
    if git("config", "extensions.worktreeConfig", cwd=path, check=False).out == "true":
        git("config", "--worktree", "core.sparseCheckout", "false", cwd=path)


def _make_room(repo: Repo, path: Path) -> None:
    old = registered(repo, path)
    if old is not None and not path.exists():
        # Only this one: a general `prune` would forget worktrees on a disk that is not mounted now.
        git("worktree", "remove", "-f", "-f", str(old.path), cwd=repo.here)
    elif old is not None:
        raise FleetError(
            f"{path} is already a worktree",
            remedy=f"Remove it with: git worktree remove {path}",
        )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FleetError(f"{path} exists and is not a worktree", remedy="Move it out of the way.")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)


def _fill_submodules(path: Path) -> None:
    if (path / ".gitmodules").is_file():
        update = ("submodule", "update", "-q", "--init", "--recursive")
        git(*NO_HOOKS, *update, cwd=path, timeout=_LONG)


def remove(repo: Repo, path: Path) -> None:
    """Remove a worktree and everything in it, locked or not; fine if it does not exist.

    Raises FleetError for a directory that is not a worktree of this repository.
    """
    old = registered(repo, path)
    if old is None:
        if path.exists():
            raise FleetError(
                f"{path} is not a worktree of {repo.common}", remedy="Remove it yourself."
            )
        return
    args = ("worktree", "remove", "-f", "-f", str(old.path))
    if git(*args, cwd=repo.here, check=False, timeout=_LONG).code != 0:
        # Build tools leave read-only folders (Go's module cache); git stops at those.
        _unprotect(old.path)
        if old.path.exists():
            shutil.rmtree(old.path)
        if registered(repo, path) is not None:
            git(*args, cwd=repo.here, timeout=_LONG)


def _unprotect(top: Path) -> None:
    for folder, names, _ in os.walk(top):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o700)


# -- look


def head(path: Path) -> tuple[str | None, str]:
    """The branch HEAD is on (full ref, None if detached) and the commit; GitError if unborn."""
    branch = git("symbolic-ref", "-q", "HEAD", cwd=path, check=False).out or None
    return branch, git("rev-parse", "--verify", "-q", "HEAD^{commit}", cwd=path).out


def git_dir(path: Path) -> Path:
    """The worktree's own git directory, with its HEAD, index and unfinished operations."""
    found = _git_dir_at(path)
    if found is None:
        out = git("rev-parse", "--absolute-git-dir", cwd=path).stdout
        found = Path(os.fsdecode(out.removesuffix(b"\n")))
    return found


def _git_dir_at(path: Path) -> Path | None:
    """The git directory that `.git` in `path` is or names; None where git has to find it.

    A third of all git processes of a runner asked for this alone.
    """
    found = path / ".git"
    try:
        if found.is_file():
            prefix, _, named = found.read_bytes().rstrip(b"\r\n").partition(b" ")
            if prefix != b"gitdir:":
                return None
            found = path / os.fsdecode(named)
        whole = (found / "HEAD").is_file() and (
            (found / "objects").is_dir() or (found / "commondir").is_file()
        )
        return found.resolve(strict=True) if whole else None
    except (OSError, ValueError):
        return None


def is_dirty(path: Path) -> bool:
    """Whether anything is uncommitted there: untracked files count, ignored ones do not."""
    return bool(git("status", "--porcelain", "-z", "-unormal", cwd=path, timeout=_LONG).stdout)


def operation(path: Path) -> Operation | None:
    """The operation that a person (or an agent) has started there and not finished."""
    return operation_in(git_dir(path))


def operation_in(folder: Path) -> Operation | None:
    """The same, given a worktree's git directory."""
    if (folder / "rebase-merge").is_dir():
        return Operation("rebase", _held(folder / "rebase-merge" / "head-name"))
    if (folder / "rebase-apply").is_dir():
        name = "am" if (folder / "rebase-apply" / "applying").exists() else "rebase"
        return Operation(name, _held(folder / "rebase-apply" / "head-name"))
    for file, name in _MARKS:
        if (folder / file).exists():
            return Operation(name)
    if (folder / "BISECT_LOG").exists():
        start = _held(folder / "BISECT_START")
        return Operation("bisect", start and f"refs/heads/{start.removeprefix('refs/heads/')}")
    return None


_MARKS: Final = (
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer/todo", "cherry-pick"),  # between two picks of a series
)


def _held(file: Path) -> str | None:
    try:
        name = file.read_text().strip()
    except FileNotFoundError:
        return None
    return None if name == "detached HEAD" else name


# -- write


def commit_all(
    path: Path, message: str, env: Mapping[str, str] | None = None, *, sign: bool = False
) -> str | None:
    """Commit everything that is not ignored and return the commit; None if there is nothing.

    No hook runs; the commit is signed only with `sign`. `env` sets the author and committer.
    """
    git("add", "-A", cwd=path, env=env, timeout=_LONG)
    merging = operation(path) is not None
    if not merging and git("diff", "--cached", "--quiet", cwd=path, check=False).code == 0:
        return None
    signing = () if sign else ("-c", "commit.gpgsign=false")
    commit = ("commit", "-q", "--no-verify", "--cleanup=whitespace", "-F", "-")
    git(*NO_HOOKS, *signing, *commit, cwd=path, env=env, input=message.encode(), timeout=_LONG)
    return head(path)[1]


def reset_to(path: Path, commit: str) -> None:
    """Reset the worktree to exactly `commit`: edits, untracked and ignored files are lost.

    Only for a worktree of ours, after its content was saved.
    """
    unfinished = operation(path)
    if unfinished is not None and unfinished.name in ("rebase", "am", "cherry-pick", "revert"):
        git(*NO_HOOKS, unfinished.name, "--quit", cwd=path, check=False)
    if unfinished is not None and unfinished.name == "bisect":
        git(*NO_HOOKS, "bisect", "reset", "HEAD", cwd=path, check=False)
    git(*NO_HOOKS, "reset", "-q", "--hard", commit, cwd=path, timeout=_LONG)
    git("clean", "-q", "-ffdx", cwd=path, timeout=_LONG)
