"""Yield to a person who is committing or pushing to a branch that we move often.

git reads the branch when a commit starts and refuses to finish it if the branch has moved since:
beside a busy runner nearly every commit would fail. So the hooks of a window leave a mark first,
and a writer that is about to move the branch waits until that commit is through. It waits briefly,
and not again for a while: neither an open editor nor a script in a loop may hold up the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gitfleet.git.repo import Repo

LONGEST: Final = 2.0  # seconds after the mark; a commit without an editor takes half of one
_PAUSE: Final = 0.005
_SKEW: Final = 0.1  # seconds that a mark may seem to lie ahead: file system clocks are coarse
_SHARE: Final = 2.0  # after waiting, do not wait again for this many times as long


def mark(repo: Repo) -> Path:
    """The file that marks a commit in progress. Its age is how long the commit has taken."""
    return repo.common / "gitfleet" / "committing"


class YieldToCommits:
    """One writer's patience with people. Any thread may use it."""

    def __init__(self, repo: Repo) -> None:
        self._mark = mark(repo)
        self._lock = threading.Lock()
        self._ours_until = 0.0

    def give_way(self, tip: Callable[[], str | None]) -> None:
        """Wait while a person commits, until the branch has moved or their time is over."""
        began = time.monotonic()
        if not _fresh(self._mark) or began < self._ours_until:
            return
        before = tip()
        while _fresh(self._mark) and tip() == before and time.monotonic() - began < LONGEST:
            time.sleep(_PAUSE)
        now = time.monotonic()
        with self._lock:
            self._ours_until = max(self._ours_until, now + _SHARE * (now - began))


def _fresh(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return -_SKEW <= age < LONGEST
