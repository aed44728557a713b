"""The laboratory as a fixture: `make_lab(checks=[...])`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.fleetlab import Lab, laboratory

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    """Makes a laboratory; settings are keyword arguments."""
    with ExitStack() as stack:

        def make(place: str = "lab", **keys: Any) -> Lab:
            return stack.enter_context(laboratory(tmp_path / place, **keys))

        yield make


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A laboratory with quick settings and the coder `shell`."""
    return make_lab()
