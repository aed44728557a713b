"""Maintenance keeps its own time, whatever the loop does."""

from __future__ import annotations

import shutil
import threading
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import pytest

from gitfleet.runner.maintenance import PAGE_EVERY, Maintenance
from tests.plan.kit import NOW, logged, tasks
from tests.runner.kit import Place

Usage = namedtuple("Usage", "free")


class Clock:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_runner_draws(tmp_path: Path, first: bool) -> None:
    """The others leave it alone, so that they do not outdo each other."""
    place = Place(tmp_path, tasks("a"))
    Maintenance(place.project, first=lambda: first).draw()
    assert ("README.md" in place.files()) is first


def test_the_page_is_drawn_now_and_then_and_only_if_it_differs(tmp_path: Path) -> None:
    """A page each second would be a commit each second."""
    place, clock = Place(tmp_path, tasks("a")), Clock()
    maintenance = Maintenance(place.project, clock)
    maintenance.round()
    assert "README.md" not in place.files()
    clock.now += PAGE_EVERY
    maintenance.round()
    drawn = place.store.tip()
    assert "README.md" in place.files()
    place.put(tasks("b"))
    maintenance.round()
    assert place.store.tip() != drawn and b"B" not in place.file("README.md")
    clock.now += PAGE_EVERY
    maintenance.round()
    again = place.store.tip()
    assert b"B" in place.file("README.md")
    clock.now += 10_000
    maintenance.round()
    assert place.store.tip() == again


def test_a_board_that_did_not_move_is_looked_at_rarely(tmp_path: Path) -> None:
    """Time alone changes little on it: a `not_before` that has come shows after ten minutes."""
    place, clock = Place(tmp_path, tasks("a", not_before=NOW + timedelta(minutes=1))), Clock()
    maintenance = Maintenance(place.project, clock)
    maintenance.draw()
    first = place.store.tip()
    place.now += timedelta(hours=1)
    clock.now += PAGE_EVERY
    maintenance.round()
    assert place.store.tip() == first
    clock.now += 600
    maintenance.round()
    assert place.store.tip() != first


def test_a_persons_own_page_stays(tmp_path: Path) -> None:
    """It does not begin with our mark."""
    place = Place(tmp_path, tasks("a"), {"README.md": b"# My board\n"})
    Maintenance(place.project).draw()
    assert place.file("README.md") == b"# My board\n"


def test_finished_tasks_are_archived_once_a_minute(tmp_path: Path) -> None:
    """And the log says how many."""
    place, clock = Place(tmp_path, tasks("a", "b"), logged("a", "landed")), Clock()
    place.now = NOW + timedelta(days=2)
    maintenance = Maintenance(place.project, clock)
    maintenance.round()
    assert place.board.archived == {"a": "done/2026-12/a"}
    assert [line.split(" ", 1)[1] for line in place.lines] == ["archived tasks=1"]
    place.put(logged("b", "landed"))
    clock.now += 30
    maintenance.round()
    assert "b" not in place.board.archived
    clock.now += 30
    maintenance.round()
    assert "b" in place.board.archived


def test_a_disk_that_fills_up_is_told_once_and_once_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing new is begun; a place that is not there yet counts as its parent."""
    place = Place(tmp_path)
    maintenance = Maintenance(place.project)
    free = 2 << 40
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert not maintenance.short_of_disk()
    assert all(path.exists() for path in asked) and len(asked) == 2
    free = 1 << 20
    assert maintenance.short_of_disk() and maintenance.short_of_disk()
    free = 2 << 40
    assert not maintenance.short_of_disk() and not maintenance.short_of_disk()
    assert place.names() == ["disk-full", "disk-free"]
    assert "free=1MiB" in place.lines[0]


def test_a_git_gc_that_cannot_be_started_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment the machine may be short of processes or memory: the next round tries again."""
    place, clock = Place(tmp_path), Clock()
    maintenance = Maintenance(place.project, clock)
    monkeypatch.setenv("PATH", "")
    clock.now += 100_000
    maintenance.round()
    for thread in threading.enumerate():
        if thread.name == "git-gc":
            thread.join(60)
