"""What waits for what: finished tasks wait for nothing, and a running one is not over."""

from __future__ import annotations

import pytest

from gitfleet.plan.graph import graph_of
from tests.plan.kit import board, claimed, logged, stands, tasks


@pytest.mark.parametrize("word", ["cancel", "close", "landed"])
def test_a_finished_task_waits_for_nothing(word: str) -> None:
    """It neither raises what it depended on, nor closes a circle."""
    found = board(tasks("a", depends_on=("b",)), tasks("b", depends_on=("a",)), logged("b", word))
    assert graph_of(found).behind("a") == 0
    assert graph_of(found).cycles == {}


def test_a_dependency_that_is_cancelled_while_it_runs_is_waited_for_until_it_ends() -> None:
    """Only then is it sure that it will not land."""
    parts = (tasks("a"), tasks("b", depends_on=("a",)), logged("a", "cancel"))
    assert stands(board(*parts, claimed("a")), "b").reason == "waits for a"
    assert "cancelled" in stands(board(*parts), "b").reason


def test_a_task_between_two_circles_is_on_neither() -> None:
    """It waits for one and delays the other: a person must break the circles, not its line."""
    found = board(
        tasks("a", depends_on=("b", "middle")),
        tasks("b", depends_on=("a",)),
        tasks("middle", depends_on=("c",)),
        tasks("c", depends_on=("d",)),
        tasks("d", depends_on=("c",)),
    )
    assert graph_of(found).cycles == {
        "a": ("a", "b", "a"),
        "b": ("b", "a", "b"),
        "c": ("c", "d", "c"),
        "d": ("d", "c", "d"),
    }
    assert stands(found, "middle").reason == "waits for c"
