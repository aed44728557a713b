"""Give the keys of a person's file their new names and leave every other byte alone."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout, yaml
from gitfleet.model.config import FORMAT, Settings
from gitfleet.model.task import Task

_FORMAT: Final = re.compile(r"^format:[ \t]*([0-9]+)", re.MULTILINE)
_CHARACTER: Final = re.compile(r"\r\n|[\s\S]")  # a line end is one character, as in parsed text


class Renamed(NamedTuple):
    """A file with its new bytes, and the keys that were renamed: old name, name."""

    data: bytes
    keys: tuple[tuple[str, str], ...] = ()


class _Edit(NamedTuple):
    """A replacement for text[start:end]."""

    start: int
    end: int
    fresh: str


def in_task(data: bytes) -> Renamed:
    """A task file with the present names; one that cannot be parsed stays as it is."""
    text, problems = codec.decode(data, "")
    front, _, more = codec.split(text, "")
    if problems or more or not front:
        return Renamed(data)
    return _renamed(data, text, front, Task, start=text.index("\n") + 1)


def in_settings(data: bytes) -> Renamed:
    """fleet.yaml with the present names and the newest format.

    FleetError if it cannot be parsed, or its line `format: …` cannot be changed separately.
    """
    text, problems = codec.decode(data, layout.SETTINGS)
    found = None if problems else _FORMAT.search(text)
    old = found is not None and int(found[1][:9]) < FORMAT
    edits = [_Edit(*found.span(1), str(FORMAT))] if found and old else []
    renamed = Renamed(data) if problems else _renamed(data, text, text, Settings, extra=edits)
    settings, problems = codec.read_settings(renamed.data)
    if settings is None:
        raise FleetError(problems[0].what, where=problems[0].where, remedy=problems[0].remedy)
    if settings.old_format:
        raise FleetError(
            "cannot change the line `format: …` automatically",
            where=layout.SETTINGS,
            remedy=f"Write it as `format: {FORMAT}` on a line of its own and commit that.",
        )
    return renamed


def _renamed(
    data: bytes, text: str, yaml_text: str, kind: type, start: int = 0, extra: Iterable[_Edit] = ()
) -> Renamed:
    """Rename keys in `yaml_text`, which starts at `text[start]` of the decoded file."""
    try:
        before = yaml.load(yaml_text, kind)
    except yaml.YamlError:
        return Renamed(data)
    edits = list(extra)
    for path, key in before.former.items():
        token = yaml_text[key.start : key.end]
        quote = token[0] if token[0] in "'\"" else ""
        edits.append(_Edit(start + key.start, start + key.end, f"{quote}{path[-1]}{quote}"))
    keys = ((key.name, str(path[-1])) for path, key in before.former.items())
    return Renamed(_edited(data, edits), tuple(dict.fromkeys(keys)))


def _edited(data: bytes, edits: Iterable[_Edit]) -> bytes:
    """The bytes of the file with these parts of the decoded text changed.

    The decoded text has only `\\n` as line ends; the file may have others.
    """
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text = data.removeprefix(mark).decode()
    places = [found.start() for found in _CHARACTER.finditer(text)] + [len(text)]
    for edit in sorted(edits, reverse=True):
        text = text[: places[edit.start]] + edit.fresh + text[places[edit.end] :]
    return mark + text.encode()
