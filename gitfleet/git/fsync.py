"""A power cut must not damage the board: objects reach the disk before a ref points at them.

libgit2 can sync every object as it writes it, each with its folder: ten waits for the disk in one
small commit. If objects are written first and synced together, the first sync carries most of what
the others would wait for. git calls that `core.fsyncMethod=batch`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from gitfleet.git.repo import Repo

_fresh: defaultdict[Path, set[str]] = defaultdict(set)
_lock = threading.Lock()


def syncing() -> bool:
    """Whether to sync at all. Tests that kill processes, not machines, turn it off."""
    return os.environ.get("GITFLEET_NO_FSYNC") != "1"


def written(repo: Repo, oid: str) -> str:
    """Register an object that was just written, and return its id."""
    if syncing():
        with _lock:
            _fresh[repo.common].add(oid)
    return oid


def flush(repo: Repo) -> None:
    """Sync every object written since the last call, by any thread."""
    with _lock:
        oids = _fresh.pop(repo.common, set())
    paths = [repo.common / "objects" / oid[:2] / oid[2:] for oid in oids]
    sync(paths)


def sync(paths: Iterable[Path]) -> None:
    """Sync files, then their folders; skip a file that was packed and removed meanwhile."""
    if not syncing():
        return
    folders: set[Path] = set()
    for path in paths:
        if _sync(path):
            folders.add(path.parent)
    for folder in folders:
        _sync(folder)


def _sync(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return True
    return False
