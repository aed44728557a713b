"""Find and correct index entries that a slow git command wrote back after the files had followed.

`git commit`, `git stash` and `git merge` read the index, lock it after that, and then write the
entries that they read. If a checkout follows its branch in between, they put the index back: git
takes that for staged changes, and the person's next commit undoes the move. An entry is outdated if
the index has it as it was before a recent move, while the file has the content that the move
brought. It is no edit: an edit would be in the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gitfleet.git.command import git
from gitfleet.git.index_lock import IndexLock
from gitfleet.git.objects import Changed, Objects
from gitfleet.git.repo import Repo
from gitfleet.git.synced_commit import index_stamp, read_step, staged

_LONG: Final = 1800.0  # seconds: files of a large tree
_NO_MODE: Final = "000000"


def suspects(repo: Repo, path: Path, base: str, index: Path | None = None) -> list[Changed]:
    """The entries of the index that an earlier commit had instead of `base`: staged and expected.

    `index` is another index than the worktree's own. The files are not compared: see `correct`.
    """
    step = read_step(repo, path)
    if step is None or not step.earlier:
        return []
    if index is None and (step.commit, step.index) == (base, index_stamp(path)):
        return []  # no command has written it since the files followed
    now = _staged(path, base, index)
    objects = Objects(repo)
    found: dict[str, Changed] = {}
    if now:
        tree = objects.tree_of(base)
        for commit in {step.commit, *step.earlier} - {base}:
            if objects.exists(commit):
                for change in objects.diff(objects.tree_of(commit), tree):
                    if change.path in now and now[change.path] == staged(change.old):
                        found[change.path] = change
    return list(found.values())


def correct(lock: IndexLock, base: str, index: Path | None = None) -> list[str]:
    """Stage outdated entries in the lock's copy of the index as in `base`; return their paths."""
    outdated = suspects(lock.repo, lock.path, base, index)
    if not outdated:
        return []
    lock.stage(outdated)
    differing = set(lock.git("diff-files", "-z", "--name-only", timeout=_LONG).fields)
    edited = {
        change.path
        for change in outdated
        if change.path in differing
        or (change.new is None and os.path.lexists(lock.path / change.path))
    }
    lock.stage([Changed(one.path, one.new, one.old) for one in outdated if one.path in edited])
    return [change.path for change in outdated if change.path not in edited]


def _staged(path: Path, base: str, index: Path | None) -> dict[str, tuple[str, str] | None]:
    """The staged files that differ from `base`: (mode, id), or None where one is removed."""
    env = {"GIT_INDEX_FILE": str(index)} if index else None
    args = ("diff-index", "--cached", "-z", "--no-renames", "--ignore-submodules=none", base)
    fields = git(*args, cwd=path, env=env).fields
    found: dict[str, tuple[str, str] | None] = {}
    for about, name in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, _ = about.split(" ")
        found[name] = None if mode == _NO_MODE else (mode, oid)
    return found
