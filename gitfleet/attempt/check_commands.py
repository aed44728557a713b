"""Run a project's own commands (checks and set-up): their time limits, and how they ended."""

from __future__ import annotations

from typing import Final

from gitfleet.errors import FleetError
from gitfleet.execution.base import Exit, RunLimits
from gitfleet.process import supervisor

_LATER: Final = 5.0  # seconds after the runner's own limit, when the supervisor ends it


def limits(limit: float) -> RunLimits:
    """The limits of a command that may take `limit` seconds; they hold without a runner, too."""
    return RunLimits(attempt=limit + _LATER)


def outcome_of(command: str, ended: Exit | None) -> Exit | None:
    """The outcome of a command; None if it took too long.

    FleetError if its end proves nothing: then the check has neither passed nor failed.
    """
    if ended is None or ended.why == supervisor.TIMED_OUT:
        return None
    if ended.cut_short:
        raise FleetError(
            f"the end of {command!r} was not recorded: {ended.cut_short}",
            remedy="It runs again; check whether the machine is out of memory or disk space.",
        )
    return ended
