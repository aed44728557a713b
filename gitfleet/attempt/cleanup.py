"""Clean up, at a runner's start, what a dead runner left in the state directory and elsewhere.

Only one runner works in a clone, so anything found before its first claim belongs to no one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from gitfleet.attempt.context import Project
from gitfleet.attempt.environment import scratch_name
from gitfleet.attempt.workspace import CHECK, discard
from gitfleet.git import worktree
from gitfleet.model.ids import is_id
from gitfleet.plan.graph import is_over


def sweep(project: Project, busy: Collection[str] = ()) -> None:
    """Remove worktrees for checking, finished tasks' workspaces, and half-written files.

    Everything is saved first. The tasks `busy`, whose coders still run, are left alone.
    """
    for half_written in (project.clone.folder / "held").glob(".*"):
        half_written.unlink(missing_ok=True)
    board = project.store.board()
    for path in sorted(project.clone.workspaces.glob("*")):
        task = path.name.removesuffix(CHECK)
        if not is_id(task) or worktree.registered(project.repo, path) is None:
            continue  # not ours, or set aside for a person
        if task in busy:
            continue
        if path.name != task:
            project.workspaces.remove(path)
        elif is_over(board, task):
            discard(project, task, path)


def drop_scratch(nonce: str) -> None:
    """Remove the TMPDIR of an attempt whose runner died; another user's stays."""
    for path in Path(tempfile.gettempdir()).glob(f"{scratch_name(nonce)}*"):
        shutil.rmtree(path, ignore_errors=True)
