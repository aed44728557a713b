"""The worktrees of one clone change one at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.errors import FleetError
from gitfleet.git.repo import find
from gitfleet.git.worktree import head
from tests.conftest import git

PATIENCE = 60.0


@pytest.fixture
def pool(repo_path: Path) -> WorkspacePool:
    return WorkspacePool(find(repo_path))


def test_what_is_added_is_there_and_what_is_removed_is_gone(
    pool: WorkspacePool, repo_path: Path, tmp_path: Path
) -> None:
    """On a branch or detached, in folders that only this user may enter; removing twice is fine."""
    base = git("rev-parse", "main", cwd=repo_path)
    work, check = tmp_path / "state" / "app", tmp_path / "state" / "app.check"
    pool.add(work, branch="gitfleet/task/app", base=base)
    pool.add(check, branch=None, base=base)
    assert head(work) == ("refs/heads/gitfleet/task/app", base) and head(check) == (None, base)
    assert work.parent.stat().st_mode & 0o077 == 0
    for path in (work, check, check):
        pool.remove(path)
        assert not path.exists()


def test_no_folder_of_others_is_removed(pool: WorkspacePool, tmp_path: Path) -> None:
    """One that is no worktree of this repository stays."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    with pytest.raises(FleetError, match="is not a worktree of"):
        pool.remove(theirs)
    assert theirs.is_dir()


def test_while_one_thread_changes_worktrees_the_others_wait(
    pool: WorkspacePool, tmp_path: Path
) -> None:
    """Several steps of one thread belong together: another adds its worktree after them."""
    mine, others = tmp_path / "mine", tmp_path / "others"
    tries = threading.Event()

    def other() -> None:
        tries.set()
        pool.add(others, branch=None, base="main")

    thread = threading.Thread(target=other, daemon=True)
    with pool.exclusive():
        thread.start()
        assert tries.wait(PATIENCE)
        pool.add(mine, branch=None, base="main")
        pool.remove(mine)
        assert not others.exists()
    thread.join(PATIENCE)
    assert others.exists() and not mine.exists()
