"""A project with a board, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.people.kit import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A small repository after `gitfleet init`; its runners end with the test."""
    made = Project(tmp_path)
    yield made
    made.close()
