"""A runner's parts in this process, on a real repository whose clock a test sets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.edit_conflicts import log_edits
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.event_log import EventLog
from gitfleet.files import layout
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.config import Machine
from tests.conftest import git, init
from tests.plan.kit import ANN, FLEET, NOW


class Place:
    """A clone with a board, and the runner `box` in it. `lines` is its log."""

    def __init__(self, folder: Path, *parts: Mapping[str, bytes], shared: bool = False) -> None:
        self.path = init(folder / "clone", name="clone")
        self.now: datetime = NOW
        self.lines: list[str] = []
        self.repo = find(self.path)
        local = Store(self.repo, runner="box", now=self._clock)
        local.create(_united({layout.SETTINGS: FLEET}, *parts), ANN)
        report = EventLog(self.lines.append)
        self.remote: RemoteBackend | None = None
        if shared:
            bare = init(folder / "srv.git", name="", bare=True)
            git("remote", "add", "origin", str(bare), cwd=self.path)
            git("push", "-q", "origin", "main", "fleet", cwd=self.path)
            git("fetch", "-q", "origin", cwd=self.path)
            self.remote = RemoteBackend(
                self.repo, "fleet", "origin", local.signature, log_edits(report), report.action
            )
        self.store = Store(self.repo, runner="box", now=self._clock, swap=self.remote)
        self.store.backend.refresh()
        clone = Clone(self.repo)
        self.project = Project(
            self.repo, clone, self.store, report, "box", "main", WorkspacePool(self.repo), Machine()
        )

    def _clock(self) -> datetime:
        return self.now

    def put(self, *parts: Mapping[str, bytes | None]) -> Board:
        """Change the board, as a runner does; the board then."""
        files: dict[str, bytes | None] = {}
        for part in parts:
            files.update(part)
        result = self.store.transact(lambda _board, _now: Change(subject="x", files=files))
        assert result.won
        return self.board

    @property
    def board(self) -> Board:
        """The board as it is."""
        return self.store.board()

    def files(self) -> list[str]:
        """The paths of all files on the board."""
        return self.git("ls-tree", "-r", "--name-only", self.store.ref).split()

    def file(self, path: str) -> bytes:
        """A file of the board."""
        data = self.store.file(self.board, path)
        assert data is not None
        return data

    def names(self) -> list[str]:
        """The name of each line of the log."""
        return [line.split()[1] for line in self.lines]

    def git(self, *args: str, **more: Any) -> str:
        """git in the clone."""
        return git(*args, cwd=self.path, **more)


def _united(*parts: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for part in parts for path, data in part.items()}
