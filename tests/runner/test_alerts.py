"""Each problem that needs a person is logged once, until it is resolved."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gitfleet.runner.alerts import Alerts
from tests.plan.kit import NOW, logged, tasks
from tests.runner.kit import Place


def test_a_task_that_needs_a_person_is_logged_until_it_does_not(tmp_path: Path) -> None:
    """Once however often the loop looks; again when it comes to that once more."""
    place = Place(tmp_path, tasks("app", "fine"), logged("app", "work tampered"))
    alerts = Alerts(place.project)
    for _ in range(3):
        alerts.board(place.board)
    assert len(place.lines) == 1
    assert " needs-attention task=app status=failed reason=" in place.lines[0]
    place.put(logged("app", "work tampered", "retry"))
    alerts.board(place.board)
    assert len(place.lines) == 1
    place.put(logged("app", "work tampered", "retry", "work tampered"))
    alerts.board(place.board)
    assert place.names() == ["needs-attention"] * 2


def test_a_task_nobody_touched_is_no_news(tmp_path: Path) -> None:
    """A task held by its own file waits for a person who wrote just that."""
    place = Place(tmp_path, tasks("app", hold=True))
    Alerts(place.project).board(place.board)
    assert place.lines == []


def test_broken_settings_and_damaged_files_are_logged_with_their_reason(tmp_path: Path) -> None:
    """All problems of the settings, a line each; of a damaged file the first."""
    broken = {
        "fleet.yaml": b"format: 2\nconcurency: 3\n",
        "tasks/bad.md": b"---\ntitel: x\n---\n",
        "log/app/nonsense.yaml": b"{",
    }
    place = Place(tmp_path, tasks("app"))
    place.put(broken)
    alerts = Alerts(place.project)
    alerts.board(place.board)
    first = list(place.lines)
    alerts.board(place.board)
    assert place.lines == first
    text = "\n".join(first)
    assert " broken-settings " in text and "concurency" in text
    assert " needs-attention task=bad status=invalid" in text


def test_a_limit_is_logged_each_time_and_a_refused_key_once(tmp_path: Path) -> None:
    """Until when it lasts, or what a person has to do; another runner's coders are its own."""
    place = Place(tmp_path, tasks("a", "b", "c"))
    alerts = Alerts(place.project)

    def look() -> list[str]:
        alerts.coders(place.board, NOW)
        lines, place.lines[:] = list(place.lines), []
        return [line.split(" ", 1)[1] for line in lines]

    place.put(logged("a", "work limited", until=NOW + timedelta(hours=1)))
    (line,) = look()
    assert line.startswith("cooldown coder=shell until=2026-12-01T13:00:00")
    assert look() == []
    place.put(logged("b", "work limited", until=NOW + timedelta(hours=2)))
    (line,) = look()
    assert "until=2026-12-01T14:00:00" in line
    place.put(logged("c", "work auth-failed", coder="other", ended=NOW))
    (line,) = look()
    assert line.startswith("key-refused coder=other") and "gitfleet doctor" in line
    assert look() == []
    place.put(logged("c", "work auth-failed", "work limited", coder="third", runner="oak"))
    assert not [line for line in look() if "third" in line]
