"""When a limit resets, from the words of coders and their services."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

_AFTER: Final = (
    r"(?i:retry|again|resets?|wait|available)(?:[ -](?i:after|in|at|on|is|until))*\W{0,3}"
)
_SPAN: Final = re.compile(
    _AFTER + r"(?P<span>(?:\d+(?:\.\d+)?\s*(?i:ms|d(?:ays?)?|h(?:(?:ou)?rs?)?"
    r"|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])[\s,]*)+)"
)
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)", re.IGNORECASE)
_CLOCK: Final = re.compile(
    _AFTER + r"(?:(?P<month>[A-Z][a-z]{2})[a-z]*\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,?"
    r"(?: (?P<year>\d{4}))?,?(?: at)? )?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s?(?P<half>[aApP])\.?[mM]\.?"
    r"(?:\s\((?P<zone>[A-Za-z_]+(?:/[A-Za-z_]+)*)\))?"
)
_STAMP: Final = re.compile(
    _AFTER + r"(?P<stamp>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d))"
)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun")
_MONTHS_2: Final = ("jul", "aug", "sep", "oct", "nov", "dec")
_FAR: Final = timedelta(days=40)  # a limit that seems to last longer is a misunderstanding


def reset_in(text: str, at: datetime) -> datetime | None:
    """The end of a limit that a text, written at `at`, names; None if it names none."""
    for find in (_stamp, _span, _clock):
        with contextlib.suppress(ValueError, OverflowError):
            moment = find(text, at)
            if moment is not None and at <= moment <= at + _FAR:
                return moment
    return None


def reset_at(epoch: float | None) -> datetime | None:
    """A moment in seconds since 1970, as in some events."""
    if epoch is None:
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(epoch, UTC)
    return None


def _stamp(text: str, _at: datetime) -> datetime | None:
    found = _STAMP.search(text)
    return datetime.fromisoformat(found["stamp"]) if found else None


def _span(text: str, at: datetime) -> datetime | None:
    found = _SPAN.search(text)
    if found is None:
        return None
    pieces = _PIECE.findall(found["span"])
    return at + timedelta(seconds=sum(float(n) * _UNITS[unit.lower()] for n, unit in pieces))


def _clock(text: str, at: datetime) -> datetime | None:
    """A time of day means the next such time; without a zone it is this machine's."""
    found = _CLOCK.search(text)
    if found is None:
        return None
    here = at.astimezone(_zone(found["zone"]))
    hour = int(found["hour"]) % 12 + (12 if found["half"] in "pP" else 0)
    moment = here.replace(hour=hour, minute=int(found["minute"] or 0), second=0, microsecond=0)
    if found["month"]:
        month = (*_MONTHS, *_MONTHS_2).index(found["month"].lower()) + 1
        year = int(found["year"] or here.year)
        return moment.replace(year=year, month=month, day=int(found["day"])).astimezone(UTC)
    if moment < here:
        moment += timedelta(days=1)
    return moment.astimezone(UTC)


def _zone(name: str | None) -> tzinfo | None:
    if not name:
        return None
    if name == "UTC":
        return UTC
    with contextlib.suppress(ValueError, OSError, KeyError):
        return ZoneInfo(name)
    return None
