"""The bench as a fixture: `make_bench(checks=[...])`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.landing.kit import Bench

MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Makes a bench; settings are keyword arguments."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Bench:
            bench = Bench(tmp_path, **settings)
            stack.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A bench without checks and without a validator."""
    return make_bench()
