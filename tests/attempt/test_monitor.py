"""A coder's output, followed to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.attempt import monitor
from gitfleet.attempt.context import LiveStatus
from gitfleet.attempt.monitor import OutputFollower
from gitfleet.coders import registry
from gitfleet.model.states import Role
from gitfleet.run_dir import RunDir
from tests.coders.kit import job


def test_all_counts_when_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs little is read at a time. What it wrote faster than that, or while no runner
    was there, is read when it has ended: how it ended stands in its last line."""
    monkeypatch.setattr(monitor, "_CHUNK", 1 << 10)
    monkeypatch.setattr(monitor, "_AT_ONCE", 1 << 12)
    coder = registry.find("shell", {})
    assert coder is not None
    run_dir = RunDir(tmp_path)
    run_dir.stdout.write_text("again and again\n" * 10_000 + "the last word\n")
    output = OutputFollower(run_dir, coder, job(tmp_path))
    live = LiveStatus("one", Role.WORK, "shell", 1)
    output.follow(live)
    assert live.last == "again and again"
    output.follow(live, end=True)
    assert live.last == "the last word"
    assert output.tally.events == 10_001
