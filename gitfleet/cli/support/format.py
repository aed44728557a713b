"""Format output: harmless text, columns, colours, JSON.

Text on the board and from coders comes from anyone: none of its control characters, and nothing
that changes the direction of text, reaches a terminal.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec

from gitfleet.event_log import UNSAFE, harmless
from gitfleet.model.states import Status

_GAP: Final = 2
_LEAST: Final = 3  # columns that a column keeps before a protected one shrinks
_SHORT: Final = 8  # columns that a column keeps before a more valuable one shrinks
_COLOURS: Final[dict[Status, str]] = {
    Status.ASKING: "yellow",
    Status.FAILED: "red",
    Status.INVALID: "red",
    Status.WORKING: "cyan",
    Status.VALIDATING: "cyan",
    Status.PLANNING: "cyan",
    Status.ACCEPTED: "green",
    Status.READY: "green",
}


def line(text: str) -> str:
    """The same in one line: each run of white space becomes one space."""
    return harmless(" ".join(text.split()))


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def room() -> int | None:
    """The terminal's columns; None if lines are not to be cut."""
    return max(20, shutil.get_terminal_size().columns) if on_terminal() else None


def style(text: str, **how: Any) -> str:
    """Text in a colour, on a terminal whose user wants colours (https://no-color.org)."""
    plainly = not on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plainly else click.style(text, **how)


def of_status(text: str, status: Status) -> str:
    """Text in the colour of a status; finished and waiting tasks are dim."""
    colour = _COLOURS.get(status)
    return style(text, fg=colour) if colour else style(text, dim=True)


def width(text: str) -> int:
    """The columns that a text takes: wide characters two, combining characters none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def tokens(number: int) -> str:
    """A count of tokens in few characters: 950, 9.5k, 45k, 1.2M; empty if it is 0 or unknown."""
    if number < 1_000:
        return str(number or "")
    if number < 9_950:
        return f"{number / 1_000:.1f}k"
    return f"{number / 1_000:.0f}k" if number < 999_500 else f"{number / 1_000_000:.1f}M"


def context(now: int, window: int) -> str:
    """How full a context is: `45k/200k 22%`; empty if that is unknown."""
    if not now or not window:
        return tokens(now)
    return f"{tokens(now)}/{tokens(window)} {100 * now // window}%"


def cut(text: str, columns: int) -> str:
    """Text cut to this many columns, with … in place of the rest."""
    if width(text) <= columns:
        return text
    kept, taken = "", 0
    for char in text:
        taken += width(char)
        if taken > columns - 1:
            break
        kept += char
    return f"{kept.rstrip()}…"


def columns(
    cells: Sequence[Sequence[str]],
    limit: int | None,
    keep: int | None = None,
    late: int | None = None,
) -> list[list[str]]:
    """Rows with every cell but the last padded to its column.

    With a limit, the widest columns shrink first. `late` shrinks once the others are short. The
    column to keep, which people have to type, shrinks only when nothing else is left.
    """
    if not cells:
        return []
    wide = [max(map(width, column)) for column in zip(*cells, strict=True)]
    if limit is not None:
        over = sum(wide) + _GAP * (len(wide) - 1) - limit
        for _ in range(max(0, over)):
            early = [i for i in range(len(wide)) if i not in (keep, late) and wide[i] > _SHORT]
            giving = [i for i in range(len(wide)) if i != keep and wide[i] > _LEAST]
            widest = max(early or giving or range(len(wide)), key=wide.__getitem__)
            wide[widest] = max(1, wide[widest] - 1)
    return [
        [_cell(cell, wide[i], i == len(row) - 1) for i, cell in enumerate(row)] for row in cells
    ]


def _cell(text: str, columns: int, last: bool) -> str:
    text = cut(text, columns)
    return text if last else text + " " * (columns - width(text) + _GAP)


def out_json(value: Any) -> None:
    """Print as JSON in UTF-8, indented; control characters of terminals are escaped."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a file name on the board that is not UTF-8
        text = json.dumps(msgspec.to_builtins(value), indent=2)
    click.echo(UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode())
