"""Change one key of a person's file and leave every other byte as it is."""

from __future__ import annotations

import re
from typing import Any

from gitfleet.errors import FleetError
from gitfleet.files import yaml
from gitfleet.files.codec import decode, split
from gitfleet.model.task import Task


def scalar(text: str) -> str:
    """`text` as a value for `set_key`: quoted if YAML would read it as something else."""
    return yaml.scalar(text)


def set_key(data: bytes, key: str, value: str | None) -> bytes:
    """A person's task file with one top-level key set to the YAML text `value`, or removed (None).

    All other bytes stay as they are, including comments, order and line ends. FleetError if the
    file's style does not allow a line to be changed separately.
    """
    text = data.decode("utf-8", "surrogateescape")
    lines: list[str] = re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z", text)
    end = "\r\n" if "\r\n" in text else "\n"
    fence = (i for i in range(1, len(lines)) if re.match(r"---[ \t]*\s*\Z", lines[i]))
    close = next(fence, 0)
    name = rf"""(?:{re.escape(key)}|"{re.escape(key)}"|'{re.escape(key)}')\s*:"""
    found = next((i for i in range(1, close) if re.match(name, lines[i])), None)
    fresh = [] if value is None else [f"{key}: {value}{end}"]
    if found is None:
        lines[close:close] = fresh
    else:
        lines[found : _end_of_value(lines, found, close)] = fresh
    changed = "".join(lines).encode("utf-8", "surrogateescape")
    if not close or not _differs_only(data, changed, key, value):
        raise FleetError(
            f"cannot change the line of {key!r} automatically",
            remedy="Edit the file by hand.",
        )
    return changed


def _end_of_value(lines: list[str], start: int, close: int) -> int:
    """The line after the value of the key in line `start`: it is indented, or a list's dashes.

    Empty lines and comments belong to it only if more of the value follows.
    """
    stop = start + 1
    for i in range(start + 1, close):
        if re.match(r"[ \t]+[^\s#]|-\s", lines[i]):
            stop = i + 1
        elif lines[i].strip() and not lines[i].lstrip().startswith("#"):
            break
    return stop


def _differs_only(before: bytes, after: bytes, key: str, value: str | None) -> bool:
    old, new = _keys(before), _keys(after)
    if old is None or new is None:
        return False
    there = key in new
    old.pop(key, None)
    new.pop(key, None)
    return old == new and there == (value is not None)


def _keys(data: bytes) -> dict[str, Any] | None:
    text, problems = decode(data, "")
    front, _, more = split(text, "")
    if problems or more:
        return None
    try:
        document = yaml.load(front, Task)
    except yaml.YamlError:
        return None
    return document.data if isinstance(document.data, dict) else None
