"""A board as plain data for programs, in the words of docs/lifecycle.md."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from gitfleet.plan.view import Detail, Row


def facts(one: Row) -> dict[str, Any]:
    """A row for programs: every key is always present; null where the value is unknown."""
    known = {name: _plain(value) for name, value in _fields(one).items()}
    doer = one.doer
    del known["doer"]
    known["coder"] = doer.coder if doer else None
    known["model"] = doer.model or None if doer else None
    known["coder_default"] = doer is not None and doer.coder_default
    known["model_default"] = doer is not None and doer.model_default
    known["questions"] = [{**_plain(q), "open": q.open} for q in one.questions]
    return known


def story(whole: Detail) -> dict[str, Any]:
    """A task for programs: its row, and the rest of what `show` prints."""
    entry = whole.entry
    return {
        **facts(whole.row),
        "body": entry.task.body if entry.task else "",
        "task": dict(whole.keys),
        "problems": _plain(entry.problems),
        "notes": list(entry.notes),
        "head": whole.head,
        "landed": _plain(whole.landed),
        "events": [
            {"name": e.name, "number": e.number, "kind": e.kind.value, **_plain(e.content)}
            for e in entry.events
        ],
        "checks": _plain(whole.validation.checks if whole.validation else ()),
        "waits_for_it": _plain(whole.waits_for_it),
        "fix_chain": _plain(whole.fix_chain),
        "spent": _plain(whole.spent),
        "next": whole.next,
    }


def _fields(value: Struct) -> dict[str, Any]:
    found: dict[str, Any] = asdict(value)
    return found


def _plain(value: Any) -> Any:
    """Structs as mappings with all their keys: the shape does not depend on the values."""
    if isinstance(value, Struct):
        return {name: _plain(inner) for name, inner in _fields(value).items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value
