"""The runner is woken by every move of a branch, and by nothing else of git's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitfleet.runner.watch import watching
from tests.conftest import git

PATIENCE = 30.0


class Bell:
    """Rings when the watcher wakes."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def heard(self, within: float = PATIENCE) -> bool:
        found = self._rung.wait(within)
        self._rung.clear()
        return found


@pytest.fixture
def bell(repo_path: Path) -> Iterator[Bell]:
    made = Bell()
    with watching(repo_path / ".git", made.ring):
        yield made


def test_a_commit_wakes(bell: Bell, repo_path: Path) -> None:
    """A loose ref is renamed into place."""
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=repo_path)
    assert bell.heard()


def test_a_branch_in_a_new_folder_wakes(bell: Bell, repo_path: Path) -> None:
    """Branches with slashes lie deeper, in folders that were not there when watching began."""
    git("branch", "a/b/c", cwd=repo_path)
    assert bell.heard()
    while bell.heard(1):
        pass
    git(
        "branch",
        "-f",
        "a/b/c",
        git("commit-tree", "-m", "x", "HEAD^{tree}", cwd=repo_path),
        cwd=repo_path,
    )
    assert bell.heard()


def test_a_folder_made_while_its_parent_is_registered_is_no_warning(
    bell: Bell, repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on a runner's standard error at its first task: watchdog finds such a folder when it
    lists the parent, and again when it reads the event. Moves below it still wake the runner."""
    outer = repo_path / ".git" / "refs" / "heads" / "outer"
    twice = threading.Event()
    walk = os.walk

    def slow(top: Any, *args: Any, **keys: Any) -> Any:
        if os.fsdecode(top) == str(outer):  # the watch on it exists
            (outer / "inner").mkdir(exist_ok=True)
        if os.fsdecode(top) == str(outer / "inner"):
            twice.set()
        return walk(top, *args, **keys)

    monkeypatch.setattr(os, "walk", slow)
    outer.mkdir()
    assert twice.wait(PATIENCE)
    while bell.heard(1):
        pass
    git("branch", "outer/inner/x", cwd=repo_path)
    assert bell.heard()


def test_packing_and_deleting_packed_refs_wakes(bell: Bell, repo_path: Path) -> None:
    """A ref may live in packed-refs only."""
    git("branch", "x", cwd=repo_path)
    git("pack-refs", "--all", "--prune", cwd=repo_path)
    assert bell.heard()
    while bell.heard(1):
        pass
    git("branch", "-D", "x", cwd=repo_path)
    assert bell.heard()


def test_reading_does_not_wake(bell: Bell, repo_path: Path) -> None:
    """Else the runner would wake itself, again and again."""
    while bell.heard(1):
        pass
    for _ in range(3):
        git("log", "--all", cwd=repo_path)
        git("for-each-ref", cwd=repo_path)
        git("status", cwd=repo_path)
    assert not bell.heard(1)
