"""Names of things: task ids, and how one is made from a title."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Final

from msgspec import Meta

ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"
_ID: Final = re.compile(ID_PATTERN)
# A file of such a name cannot be checked out on Windows, whatever its extension.
_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(10)]
)

ID_HINT: Final = "lower-case letters, digits, - and _, at most 64, the first a letter or digit"

TaskId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$(?!\n)",
        max_length=64,
        description="The id of a task: the name of its file without .md.",
    ),
]


def is_id(text: str) -> bool:
    """Whether `text` can name a task: a safe file name and a safe ref name everywhere."""
    return _ID.match(text) is not None and text not in _DEVICES


def slug(title: str) -> str:
    """An id-like word made from a title, at most 40 characters; `task` if nothing is left."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    word = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-")
    return f"task-{word}" if word in _DEVICES else word or "task"


def new_id(title: str, suffix: str) -> str:
    """The id of a task that got none from a person: its title and four random hex digits."""
    return f"{slug(title)}-{suffix}"
