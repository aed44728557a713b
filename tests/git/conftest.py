"""A checkout to move: in the main worktree and in a linked one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import git
from tests.git.kit import Board


@pytest.fixture(params=["main worktree", "linked worktree"])
def board(request: pytest.FixtureRequest, repo_path: Path, tmp_path: Path) -> Board:
    """main is checked out with a, b, c and d/e; in the main worktree or in a linked one."""
    path = repo_path
    if request.param == "linked worktree":
        git("switch", "-q", "-c", "elsewhere", cwd=repo_path)
        path = tmp_path / "linked ü"
        git("worktree", "add", "-q", str(path), "main", cwd=repo_path)
    made = Board(path)
    made.commit(a="a\n", b="b\n", c="c\n", **{"d/e": "e\n"})
    return made
