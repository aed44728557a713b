"""What gitfleet tells while it works: one line per action, with a name that never changes.

    2026-11-20T15:00:00Z claimed task=fix-login role=work attempt=1 coder=shell

The names are for programs as much as for people (docs/architecture.md lists them).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,%-]+\Z")
# Controls, marks that turn or end a line, and halves of characters, which no stream takes.
_MARKS = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_CONTROL = re.compile(rf"[\x00-\x1f{_MARKS}]")
UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f{_MARKS}]")


def harmless(text: str) -> str:
    """Text of others with its lines and tabs; what could draw on a terminal is shown as codes."""
    return UNSAFE.sub(_code, text)


_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


def without_colours(text: str) -> str:
    """Text without codes that only colour it, and with line ends as in files."""
    return _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def value(text: object) -> str:
    """A value as it stands behind `key=`: quoted where it is not one plain word.

    Control characters, with which text of others could draw on a terminal, are shown as codes.
    """
    plain = _CONTROL.sub(_code, str(text))
    if _PLAIN.match(plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


class EventLog:
    """Hands each action to a sink, as a line; some only once. Any thread may use it."""

    def __init__(
        self,
        sink: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sink = sink
        self._now = now
        self.mask: Callable[[str], str] = str  # takes secrets out of every value
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()

    def action(self, name: str, **fields: object) -> None:
        """Tell that something was done."""
        given = (
            f"{key}={value(self.mask(str(v)))}" for key, v in fields.items() if v not in ("", None)
        )
        line = " ".join((f"{self._now():%Y-%m-%dT%H:%M:%SZ}", name, *given))
        # Where nobody reads any more, the work goes on.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._sink(line)

    def once(self, key: str, name: str, **fields: object) -> None:
        """Tell it unless the same was told last under this key."""
        text = repr((name, sorted(fields.items())))
        with self._lock:
            known = self._said.get(key) == text
            self._said[key] = text
        if not known:
            self.action(name, **fields)

    def each(self, key: str, name: str, reasons: Sequence[object]) -> None:
        """Tell all of these, a line each, unless just these were told last under this key."""
        text = repr((name, [str(reason) for reason in reasons]))
        with self._lock:
            known = self._said.get(key, "") == text
            self._said[key] = text
        for reason in () if known else reasons:
            self.action(name, reason=reason)

    def settled(self, key: str) -> None:
        """What was told under this key is over; if it comes again, it is told again."""
        with self._lock:
            self._said.pop(key, None)
