"""A page of Markdown for a person to read, in the pager that git would use."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import click
from rich.console import Console
from rich.markdown import Markdown

_WIDEST: Final = 100  # columns; longer lines are hard to read
_LESS: Final = {"LESS": "FRX", "LV": "-c"}  # git's defaults if the person has none
_WITHIN: Final = re.compile(r"\[([^\]]+)\]\(#[^)]+\)")  # a link to a heading of the same page
_CELLS: Final = re.compile(r"(?<!\\)\|")


def show_markdown(text: str) -> None:
    """Render Markdown as wide as the terminal, and page it."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    console = Console(width=width, force_terminal=not plain, no_color=plain, highlight=False)
    with console.capture() as drawn:
        shown = without_wide_tables(_WITHIN.sub(r"\1", text), width)
        console.print(Markdown(shown, hyperlinks=False))
    show("\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n")


def without_wide_tables(text: str, width: int) -> str:
    """The same text with every table that does not fit turned into a list, one item per row.

    A table with too few columns would be drawn with its words cut off.
    """
    lines: list[str] = []
    fenced = False

    def is_row(line: str) -> bool:
        nonlocal fenced
        fenced ^= line.startswith("```")
        return line.startswith("|") and not fenced

    for rows, group in groupby(text.splitlines(), is_row):
        found = list(group)
        wide = rows and len(found) > 2 and max(map(len, found)) > width
        lines += _as_list([_cells(line) for line in found]) if wide else found
    return "\n".join(lines) + "\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(line.strip().strip("|"))]


def _as_list(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    heads, _, *others = rows
    for first, *rest in others:
        told = [(head, cell) for head, cell in zip(heads[1:], rest, strict=False) if cell]
        if len(told) == 1:
            yield f"- {first}: {told[0][1]}"
            continue
        yield f"- {first}"
        yield from (f"    - {head}: {cell}" if head else f"    - {cell}" for head, cell in told)


def show(text: str) -> None:
    """Page a text that is formatted for the terminal; without a pager, print it."""
    said = subprocess.run(["git", "var", "GIT_PAGER"], capture_output=True, text=True, check=False)
    command = said.stdout.strip()
    if command in ("", "cat"):
        click.echo(text, nl=False)
        return
    # The person's own setting, which git passes to a shell, too.
    argv = ["/bin/sh", "-c", command]
    pager = subprocess.Popen(argv, stdin=subprocess.PIPE, env={**_LESS, **os.environ})
    assert pager.stdin is not None
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager
    try:
        with contextlib.suppress(BrokenPipeError):  # the person left the pager before the end
            pager.stdin.write(text.encode())
        with contextlib.suppress(BrokenPipeError):
            pager.stdin.close()
        pager.wait()
    finally:
        signal.signal(signal.SIGINT, before)
