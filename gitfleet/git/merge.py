"""Merge without a checkout, compare, and put a merge's conflicts into a worktree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.git.command import failure, git
from gitfleet.git.repo import Repo
from gitfleet.git.worktree import NO_HOOKS

_LONG: Final = 600.0  # seconds; finding renames in a large tree takes time


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge: `tree` if it is clean, else the conflicting paths.

    `messages` is git's explanation, for people.
    """

    tree: str | None
    conflicts: tuple[str, ...]
    messages: str


def merge_trees(repo: Repo, ours: str, theirs: str) -> Merged:
    """Merge two commits in memory: no worktree and no ref changes; only objects are written."""
    args = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages", ours, theirs)
    done = git(*args, cwd=repo.here, check=False, timeout=_LONG)
    if done.code not in (0, 1) or not done.stdout:  # 2.39 also exits 1 if an argument is no commit
        raise failure(args, done.code, done.stderr)
    tree, *rest = done.stdout.split(b"\0")
    # <tree> NUL (<path> NUL)* NUL, then messages: <count> NUL (<path> NUL)* <kind> NUL <text> NUL
    end = rest.index(b"") if b"" in rest else len(rest)
    conflicts = tuple(os.fsdecode(path) for path in rest[:end])
    messages = _messages(rest[end + 1 :])
    return Merged(os.fsdecode(tree) if done.code == 0 else None, conflicts, messages)


def _messages(fields: list[bytes]) -> str:
    texts: list[str] = []
    at = 0
    while at < len(fields) and fields[at].isdigit():
        at += int(fields[at]) + 2  # the paths, and the kind
        texts += [field.decode("utf-8", "replace").strip() for field in fields[at : at + 1]]
        at += 1
    return "\n".join(texts)


def changed_paths(repo: Repo, old: str, new: str) -> tuple[str, ...]:
    """The files that differ between two commits or trees; a renamed file under both names."""
    args = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", old, new)
    return tuple(git(*args, cwd=repo.here, timeout=_LONG).fields)


def conflict_into(path: Path, commit: str, env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Merge `commit` into a clean worktree without committing; return the conflicting paths.

    The files contain conflict markers and the merge stays unfinished, so that the next commit there
    completes it. Raises GitError if git cannot start the merge.
    """
    merge = ("merge", "-q", "--no-commit", "--no-ff", commit)
    options = ("-c", "rerere.enabled=false", "-c", "merge.autoStash=false")
    done = git(*NO_HOOKS, *options, *merge, cwd=path, env=env, check=False, timeout=_LONG)
    conflicts = git("diff", "--name-only", "-z", "--diff-filter=U", cwd=path, timeout=_LONG).fields
    if done.code != 0 and not conflicts:
        raise failure(merge, done.code, done.stderr)
    return tuple(dict.fromkeys(conflicts))
