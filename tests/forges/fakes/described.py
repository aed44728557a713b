"""What the documentation of a forge fixes about a request: hand-written, one line a route."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Told(NamedTuple):
    """One route: what may stand in its query and body, and what must."""

    method: str
    path: str  # a pattern
    query: Mapping[str, str] = {}  # name -> pattern of its value
    body: Mapping[str, str] = {}
    must: frozenset[str] = frozenset()


def complaints(
    known: tuple[Told, ...], method: str, path: str, query: Mapping[str, str], body: Any
) -> Iterator[str]:
    """Where a request is not as told."""
    what = f"{method} {path}"
    told = next((t for t in known if t.method == method and re.fullmatch(t.path, path)), None)
    if told is None:
        yield f"{what}: no such route is told of"
        return
    for place, given, allowed in (("query", query, told.query), ("body", body or {}, told.body)):
        for name, value in given.items():
            if name not in allowed:
                yield f"{what}: {name} is not told of in its {place}"
            elif not re.fullmatch(allowed[name], str(value), re.DOTALL):
                yield f"{what}: {name} cannot be {value!r}"
    for name in told.must - set(body or {}):
        yield f"{what}: {name} is missing"
