"""Give way to a person who is just committing, or pushing, to a branch that we move often.

git looks where the branch is when a commit begins and refuses to finish it if it has moved since:
beside a busy runner nearly every commit would fail. So the hooks of a window leave a mark first
thing, and whoever is about to move the branch waits until that commit is through: briefly, for
nobody may hold up the work by keeping an editor open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gitfleet.git.repo import Repo

LONGEST: Final = 1.5  # seconds from the mark on; a commit without an editor takes half of one
_PAUSE: Final = 0.005
_SKEW: Final = 0.1  # seconds a mark may seem to lie ahead: clocks of file systems are coarse


def mark(repo: Repo) -> Path:
    """The file that says: somebody is committing. Its age is how long they have been."""
    return repo.common / "gitfleet" / "committing"


def give_way(repo: Repo, tip: Callable[[], str | None]) -> None:
    """Wait while somebody commits, until the branch has moved or their time is over."""
    path = mark(repo)
    if not _fresh(path):
        return
    before = tip()
    while _fresh(path) and tip() == before:
        time.sleep(_PAUSE)


def _fresh(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    return -_SKEW <= age < LONGEST
