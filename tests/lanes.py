"""The two lanes of tests: `-m "not slow"` for every change, `-m slow` for the gate (`.ci/run`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sample(cases: Iterable[Any], *fast: Any) -> list[Any]:
    """The cases of a parameter: those named in `fast` for every change, the others for the gate."""
    known = list(cases)
    assert all(case in known for case in fast), f"{fast} are not all among {known}"
    return [case if case in fast else pytest.param(case, marks=pytest.mark.slow) for case in known]
