"""A runner's heart beats as long as its loop lives, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.heartbeats import BEATS
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.event_log import EventLog
from gitfleet.git.repo import find
from gitfleet.presence import heartbeat_thread as hearts
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from tests.cli.acting import gitfleet
from tests.conftest import git, init, no_conflict
from tests.sharing.servers import serve_copy


def test_a_loop_that_stands_still_is_not_kept_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat is evidence of the loop's life: without that the others are to take over, and a
    person is told. When the loop comes round again, so does the beat."""
    seed = init(tmp_path / "seed", name="seed")
    gitfleet("init", cwd=seed)
    bare = serve_copy(seed, tmp_path / "srv")
    path = tmp_path / "box"
    git("clone", "-q", str(bare), str(path), cwd=tmp_path)
    git("branch", "-q", "fleet", "origin/fleet", cwd=path)
    repo, lines = find(path), list[str]()
    shared = RemoteBackend(
        repo, "fleet", "origin", Store(repo, branch="fleet").signature, no_conflict
    )
    store = Store(repo, branch="fleet", runner="box-1", swap=shared)
    fleet = Project(
        repo, Clone(repo), store, EventLog(lines.append), "box-1", "main", WorkspacePool(repo)
    )
    shared.fetch()
    heartbeat = HeartbeatThread(fleet, shared, dict, lambda: None)
    heartbeat.every = 0.0

    def beat() -> str:
        heartbeat._due = 0.0
        heartbeat.exchange()
        return git("for-each-ref", "--format=%(objectname)", BEATS, cwd=bare)

    first = beat()
    assert first and beat() != first
    monkeypatch.setattr(hearts, "STUCK", 0.0)
    still = beat()
    assert beat() == still
    assert [line.split()[1] for line in lines] == ["loop-stuck"]
    monkeypatch.setattr(hearts, "STUCK", 300.0)
    heartbeat.turned()
    assert beat() != still
