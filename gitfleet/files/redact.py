"""A change to the board without secrets: the last look before a runner writes it.

An attempt's texts are also masked on arrival, before they are cut; this module catches the rest.
Files stay valid: an event is masked field by field, Markdown as text. A file that people wrote may
be moved, but is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.files.layout import FileKind
from gitfleet.model.change import Change
from gitfleet.model.event import Event
from gitfleet.model.secrets import Mask

_TEXT: Final = frozenset({FileKind.TASK, FileKind.QUESTION, FileKind.NOTE, FileKind.PAGE})
# The fields of an event that may contain foreign text; gitfleet itself sets the others.
_FREE: Final = frozenset({"reason", "tail", "command", "findings", "session"})


def masked(mask: Mask, change: Change) -> Change:
    """The change without secrets. FleetError if a file's name contains one."""
    files = _files(mask, change.files)
    subject, body = mask.text(change.subject), mask.text(change.body)
    return replace(change, files=files, subject=subject, body=body)


def _files(mask: Mask, files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for path, data in files.items():
        if data is not None and mask.text(path) != path:
            raise FleetError("the name of a file on the board would contain a secret")
        found[path] = _file(mask, path, data) if data is not None else None
    return found


def _file(mask: Mask, path: str, data: bytes) -> bytes:
    there = layout.place(path)
    if there.what in _TEXT:
        return mask.bytes(data)
    if there.what is FileKind.EVENT and layout.of_runner(path):
        event, _ = codec.read_event(data, path, there.task, there.name)
        return _event(mask, event, data) if event is not None else data
    return data


def _event(mask: Mask, event: Event, data: bytes) -> bytes:
    plain = msgspec.to_builtins(event.content)
    clean = _fields(mask, plain)
    if clean == plain:
        return data
    return codec.write(msgspec.convert(clean, type(event.content)))


def _fields(mask: Mask, data: object, free: bool = False) -> object:
    match data:
        case dict():
            return {key: _fields(mask, item, free or key in _FREE) for key, item in data.items()}
        case list() | tuple():
            return [_fields(mask, item, free) for item in data]
        case str() if free:
            return mask.text(data)
    return data
