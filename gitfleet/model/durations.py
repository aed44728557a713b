"""Moments, and durations as people write them: 90s, 45m, 2h, 1d."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])\Z")

Moment = Annotated[
    datetime, Meta(tz=True, description="A time with its zone: 2026-12-01T09:00:00Z.")
]
Duration = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{1,6}[smhd]$(?!\n)",
        description="A number and a unit: 90s, 45m, 2h, 1d.",
        examples=["90s", "45m", "2h"],
    ),
]


def seconds(text: str) -> float:
    """The seconds in a duration such as `45m`; ValueError if it is none."""
    found = _DURATION.match(text)
    if found is None:
        raise ValueError(f"not a duration: {text!r}")
    return float(int(found[1]) * _UNITS[found[2]])


def later(at: datetime, pause: float) -> datetime:
    """`pause` seconds after `at`, clamped to the last possible moment: a file may hold any year."""
    try:
        return at + timedelta(seconds=pause)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def clock(at: datetime) -> str:
    """A moment as people read it: 2026-12-01 09:00:00 UTC."""
    try:
        at = at.astimezone(UTC)
    except OverflowError:
        return at.isoformat(" ", "seconds")
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(number: int, word: str) -> str:
    """A number of things as a person reads it: 1 commit, 2 commits."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def spoken(number: float) -> str:
    """Seconds as a person reads them: 8s, 3m 20s, 2h 5m, 4d 1h."""
    left = max(0, round(number))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m {left % 60}s" if left % 60 else f"{left // 60}m"
    if left < 86400:
        return f"{left // 3600}h {left % 3600 // 60}m" if left % 3600 // 60 else f"{left // 3600}h"
    return f"{left // 86400}d {left % 86400 // 3600}h"
