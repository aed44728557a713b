"""What people are notified of: an idle fleet is told with what is left."""

from __future__ import annotations

from gitfleet.model.config import Notice
from gitfleet.plan.notifications import idle
from gitfleet.plan.status import statuses
from tests.plan.kit import NOW, board, logged, tasks


def test_an_idle_fleet_says_how_many_tasks_wait_for_what() -> None:
    """A person decides by it whether to look."""
    found = board(
        tasks("a", "b", "c"), logged("a", "hold"), logged("b", "hold"), logged("c", "cancel")
    )
    news = idle(found, statuses(found, NOW).values())
    assert news is not None and news.about is Notice.IDLE
    assert news.body == "1 cancelled, 2 held"


def test_a_fleet_with_work_left_is_not_idle() -> None:
    """Also if a runner waits for the time of that work."""
    found = board(tasks("a", "b"), logged("a", "hold"))
    assert idle(found, statuses(found, NOW).values()) is None
