"""Of several runners one draws the page."""

from __future__ import annotations

import pytest

from gitfleet.runner.maintenance import Maintenance
from tests.people.kit import SampleProject, task


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_runner_draws(project: SampleProject, first: bool) -> None:
    """The others leave it alone, so that they do not outdo each other."""
    project.put({"tasks/a.md": task("A")})
    Maintenance(project.fleet(), first=lambda: first).draw()
    assert ("README.md" in project.files()) is first
