"""Run a project's own commands (checks and set-up): their time limits, and how they ended."""

from __future__ import annotations

from typing import Final

from gitfleet.errors import FleetError
from gitfleet.execution.base import Exit, RunLimits
from gitfleet.process import supervisor

_LATER: Final = 5.0  # seconds after us, the supervisor ends by itself what takes too long


def limits(limit: float) -> RunLimits:
    """What holds for a command that may take `limit` seconds, even when its runner has died."""
    return RunLimits(attempt=limit + _LATER)


def outcome_of(command: str, ended: Exit | None) -> Exit | None:
    """How a command ended; None if it took too long.

    FleetError if its end says nothing of it: such a check has neither passed nor failed.
    """
    if ended is None or ended.why == supervisor.TIMED_OUT:
        return None
    if ended.cut_short:
        raise FleetError(
            f"nobody saw how {command!r} ended: {ended.cut_short}",
            remedy="It is run again; see whether the machine is out of memory or disk.",
        )
    return ended
