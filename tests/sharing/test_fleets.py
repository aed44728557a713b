"""Four real runners on one real remote, killed, stopped and cut off at random."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sharing.fleets import work_off
from tests.sharing.links import SSHD


@pytest.mark.slow
@pytest.mark.parametrize(("over", "tasks"), [("path", 9), ("http", 20), ("ssh", 9)])
def test_disturbed_runners_do_each_task_exactly_once(over: str, tasks: int, tmp_path: Path) -> None:
    """Whatever dies, sleeps or is cut off: every task ends as done, its work is in the target
    once, who landed what adds up on both sides, and no step of the board broke a rule."""
    if over == "ssh" and SSHD is None:
        pytest.skip("there is no sshd on this machine")
    made = work_off(tmp_path, over, tasks=tasks, seed=7, mischief=6 if over == "http" else 3)
    assert not made.wrong(tasks), made.told()
