"""The worktrees of one clone's attempts: added and removed one at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from gitfleet.git import worktree
from gitfleet.git.repo import Repo


class WorkspacePool:
    """Adds and removes the worktrees of attempts. Any thread may use it.

    git locks the whole repository to add a worktree, and checking out a large tree is heavy.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let no other thread add or remove a worktree inside the context."""
        with self._lock:
            yield

    def add(self, path: Path, *, branch: str | None, base: str) -> None:
        """Check out `base` at `path`, on a new branch or the existing one; detached without one."""
        with self._lock:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            worktree.add(self._repo, path, branch=branch, base=base)

    def remove(self, path: Path) -> None:
        """Remove the worktree at `path`, with everything in it; harmless if there is none."""
        with self._lock:
            worktree.remove(self._repo, path)
