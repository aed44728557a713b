"""Read JSON lines safely: whatever they hold, nothing raises, and nothing is trusted.

A coder's output was written by another program, often by a model, and may be cut anywhere.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from gitfleet.coders.base import LONGEST_TEXT
from gitfleet.model.event import Tokens

_MANY: Final = 1 << 53  # more than any count; larger numbers are ignored
_PLACES: Final = (
    *("command", "file_path", "filePath", "path", "pattern", "query", "url", "question"),
    *("description", "prompt", "title"),
)
_BLANK: Final = re.compile(r"\s+")

Object = Mapping[str, Any]
_NOTHING: Final[Object] = {}


def parse(line: str) -> Object | None:
    """The JSON object that a line holds; None if it is anything else."""
    if line.lstrip()[:1] != "{":
        return None
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        found = _parse_loosely(line)
    return found if isinstance(found, dict) else None


def _parse_loosely(line: str) -> Any:
    """JavaScript and Python write things that strict JSON lacks: NaN, lone surrogates."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def dig(value: object, *names: str) -> Any:
    """The value under nested names; None if there is none."""
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def inner(value: object, *names: str) -> Object:
    """The object under nested names; an empty one if there is none."""
    found = dig(value, *names)
    return found if isinstance(found, Mapping) else _NOTHING


def text(value: object, *names: str) -> str:
    """The text under nested names, bounded and fit for any file; empty if there is none."""
    found = dig(value, *names)
    if not isinstance(found, str):
        return ""
    return found[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def name(value: object, *names: str) -> str:
    """A short text on one line: the name of a tool or a model, the id of a call or a session."""
    return _BLANK.sub(" ", text(value, *names)[:400]).strip()[:200]


def number(value: object, *names: str) -> float | None:
    """The number under nested names, if it is a usable one."""
    found = dig(value, *names)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) and 0 <= found < _MANY else None


def count(value: object, *names: str) -> int:
    """The whole number under nested names; 0 if there is none."""
    return int(number(value, *names) or 0)


def objects(value: object, *names: str) -> Iterator[Object]:
    """The objects in the list under nested names."""
    found = dig(value, *names)
    for item in found if isinstance(found, list) else ():
        if isinstance(item, Mapping):
            yield item


def brief(value: object, *names: str) -> str:
    """A tool's input in one line for a person: its command, its file."""
    found = dig(value, *names)
    if isinstance(found, str):
        return _BLANK.sub(" ", text(found)[:600]).strip()[:300]
    if not isinstance(found, Mapping):
        return ""
    for place in _PLACES:
        if said := brief(found, place) if isinstance(found.get(place), str) else "":
            return said
    return " ".join(str(key)[:40] for key in list(found)[:8])


def flat(value: object, *names: str) -> str:
    """The text under nested names, which may be a text or a list of parts."""
    found = dig(value, *names)
    if isinstance(found, list):
        return "\n".join(filter(None, (text(part, "text") for part in objects(found))))[
            :LONGEST_TEXT
        ]
    return text(found)


def tail(path: Path, size: int) -> list[str]:
    """The last lines of a file, up to so many bytes; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - size))
            return file.read(size).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


@functools.lru_cache(maxsize=512)
def newest(folder: Path, pattern: str) -> Path:
    """The newest file below a folder, once there is one: LookupError until then."""
    for path in sorted(folder.glob(pattern), reverse=True):
        return path
    raise LookupError(pattern)


def plus(one: Tokens, other: Tokens) -> Tokens:
    """The sum of both."""
    return Tokens(
        input=one.input + other.input,
        output=one.output + other.output,
        cache_read=one.cache_read + other.cache_read,
        cache_write=one.cache_write + other.cache_write,
    )


def less(one: Tokens, other: Tokens) -> Tokens:
    """The difference; nothing falls below zero."""
    return Tokens(
        input=max(0, one.input - other.input),
        output=max(0, one.output - other.output),
        cache_read=max(0, one.cache_read - other.cache_read),
        cache_write=max(0, one.cache_write - other.cache_write),
    )


def of_this_run(told: Tokens, used: Tokens, seen: Tokens) -> tuple[Tokens, bool]:
    """A run's tokens from totals that may cover its whole session, and whether they did.

    Some programs count over the resumed session, some versions do not. They did if, after
    subtracting the earlier use (`used`), enough is left for what this run was `seen` to use.
    """
    over = used.total > 0 and told.total - used.total >= seen.total
    return (less(told, used), True) if over else (told, False)
