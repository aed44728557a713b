"""Runners that die at moments drawn by lot, as `random_kills` and `agent_kills` do by hand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.acceptance import agent_kills, random_kills

pytestmark = pytest.mark.slow
ROUNDS = 3


def test_a_board_struck_at_random_comes_to_the_same_end(tmp_path: Path) -> None:
    """Whatever the runner was doing when it died, the next one works the same board off."""
    dice = random.Random(1)
    whole = random_kills.undisturbed(tmp_path / "whole")
    for number in range(ROUNDS):
        found = random_kills.strike(tmp_path / str(number), dice.uniform(0.05, whole))
        assert not found.fault, found


def test_agents_whose_runner_is_struck_at_random_all_end_well(tmp_path: Path) -> None:
    """Each is begun once, ends once, and loses no line of its output."""
    dice = random.Random(1)
    for number in range(ROUNDS):
        found = agent_kills.strike(tmp_path / str(number), 5, dice.uniform(0.5, 8.0))
        assert not found.fault, found
