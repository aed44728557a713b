"""Values for commits and their authors, and the trailers of a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TRAILER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*):[ \t]*(.*)")


@dataclass(frozen=True, slots=True)
class Signature:
    """A name and address with a time: seconds since the epoch, and the zone's offset in minutes."""

    name: str
    email: str
    when: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as it is stored."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    message: str
    author: Signature
    committer: Signature


def trailers(message: str) -> dict[str, str]:
    """The trailers in a message's last paragraph; the last value of a repeated key.

    Stricter than git: a paragraph with any other line has no trailers, so that pasted text is not
    taken for one of ours.
    """
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip())
    if len(paragraphs) < 2:
        return {}
    found: dict[str, str] = {}
    key = ""
    for line in paragraphs[-1].splitlines():
        match = _TRAILER.fullmatch(line)
        if match is not None:
            key = match[1]
            found[key] = match[2].strip()
        elif key and line[:1].isspace():
            found[key] += f" {line.strip()}"
        elif not line.startswith("(cherry picked from commit "):
            return {}
    return found
