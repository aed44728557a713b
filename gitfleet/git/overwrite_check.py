"""Which of a person's changes would be lost if their files moved from one commit to another."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from gitfleet.git import refs
from gitfleet.git.index_lock import IndexLock
from gitfleet.git.objects import Changed, Objects, TreeEntry, blob_id
from gitfleet.git.synced_commit import index_of, staged

_LONG: Final = 1800.0  # seconds: files of a large tree


def in_the_way(lock: IndexLock, base: str) -> str | None:
    """Why moving from `base` to `new` would cost the person something; None if it would not."""
    lock.git("update-index", "-q", "--refresh", check=False, timeout=_LONG)
    index = index_of(lock.path, lock.copy)
    if any(oid == "" for _, oid in index.values()):
        return f"a merge is unfinished in {lock.path}: resolve it"
    objects = Objects(lock.repo)
    changes = objects.diff(objects.tree_of(base), objects.tree_of(lock.new))
    listed = ("diff-files", "-z", "--name-only", "--ignore-submodules=all")
    edited = set(lock.git(*listed, timeout=_LONG).fields)
    blocked: list[str] = []
    arrived: list[Changed] = []
    for change in changes:
        if index.get(change.path) == staged(change.new):
            continue  # they have staged the same content
        found = _obstacle(lock.path, change, index, edited)
        if found is None:
            continue
        if found == change.path and _holds(lock, change.path, change.new):
            arrived.append(change)
        else:
            blocked.append(found)
    if blocked:
        return _would_lose(lock, base, sorted(set(blocked)), index)
    lock.stage(arrived)
    dry = lock.git("read-tree", "-m", "-u", "-n", base, lock.new, check=False, timeout=_LONG)
    return f"{lock.path} cannot follow {lock.branch}: {dry.stderr}" if dry.code else None


def _obstacle(
    top: Path, change: Changed, index: dict[str, tuple[str, str]], edited: set[str]
) -> str | None:
    """The person's path that a change would overwrite, if there is one."""
    was = index.get(change.path)
    if was is not None:
        return change.path if change.path in edited or was != staged(change.old) else None
    if change.new is None:
        return None  # they have deleted it, too; a file they keep there stays
    if change.old is not None:
        return change.path  # they have deleted the file that changes
    # git itself would overwrite an untracked file that is ignored (a person's `.env`).
    parents = [str(parent) for parent in Path(change.path).parents][:-1]
    for name in reversed(parents):
        if name not in index and os.path.lexists(top / name) and not _is_folder(top / name):
            return name
    if _is_folder(top / change.path):
        return _stray(top, top / change.path, index)
    return change.path if os.path.lexists(top / change.path) else None


def _stray(top: Path, place: Path, index: dict[str, tuple[str, str]]) -> str | None:
    """A file, in a folder that becomes a file, that no commit holds."""
    for here, _, files in os.walk(place):
        for file in files:
            name = str(Path(here, file).relative_to(top))
            if name not in index:
                return name
    return None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _holds(lock: IndexLock, path: str, wanted: TreeEntry | None) -> bool:
    """Whether the file already has its new content: a crash half way leaves such files."""
    file = lock.path / path
    if wanted is None:
        return not os.path.lexists(file)
    try:
        mode = file.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if wanted.kind == "link":
        return stat.S_ISLNK(mode) and blob_id(os.fsencode(file.readlink())) == wanted.oid
    if wanted.kind != "blob" or not stat.S_ISREG(mode):
        return False
    if bool(mode & stat.S_IXUSR) != wanted.executable and _file_modes_count(lock):
        return False
    # git's own hash: line endings and filters follow the attributes of that path
    return lock.git("hash-object", "--", path).out == wanted.oid


def _file_modes_count(lock: IndexLock) -> bool:
    said = lock.git("config", "--type=bool", "core.fileMode", check=False).out
    return said != "false"


def _would_lose(
    lock: IndexLock, base: str, paths: list[str], index: dict[str, tuple[str, str]]
) -> str:
    shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    if not any(path in index for path in paths):
        remedy = "move or delete them"
    elif refs.read(lock.repo, lock.ref) == lock.new:
        # The branch is already ahead. To git everything it brought looks like an edit here, so a
        # commit or a stash would contain the opposite of it.
        names = shlex.join(path for path in paths[:5] if path in index)
        restore = f"git restore --source={base[:12]} --staged --worktree -- {names}"
        remedy = f"copy them elsewhere, then `{restore}`; do not stash"
    else:
        remedy = "commit or stash them"
    return (
        f"updating {lock.path} to {lock.branch} would overwrite your changes to {shown}; {remedy}"
    )
