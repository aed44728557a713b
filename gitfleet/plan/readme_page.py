"""The board as a page for people on a forge: README.md of the fleet branch. Pure.

Tasks that need a person come first. The page has no relative times, so that it changes only when
the board does. Titles and reasons are other people's words: nothing in them is markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from gitfleet.files import layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Landed
from gitfleet.model.states import CLAIMED, FINISHED, FOR_A_PERSON, Kind, Status
from gitfleet.plan.status import TaskStatus, statuses

_OURS: Final = "<!-- Drawn by gitfleet "
MARK: Final = f"{_OURS}from the files of this branch; edits here are lost. -->"
_ROWS: Final = 50
_LATELY: Final = 10
_NODES: Final = 60
_MARKUP: Final = re.compile(r"([\\`*_\[\]#!|<>~$&@:])")

_SECTIONS: Final[tuple[tuple[str, frozenset[Status]], ...]] = (
    ("Needs attention", FOR_A_PERSON),
    ("Running", CLAIMED),
    ("Next", frozenset({Status.ACCEPTED, Status.SUBMITTED, Status.READY})),
    ("Later", frozenset({Status.FIXING, Status.DELAYED, Status.WAITING, Status.HELD})),
)


def draw(board: Board, now: datetime) -> str:
    """The page as Markdown."""
    where = statuses(board, now)
    parts = [MARK, "", "# Fleet board", "", _counts(where), ""]
    for title, shown in _SECTIONS:
        rows = [entry for entry in _ordered(board) if where[entry.id].status in shown]
        if rows:
            parts += [f"## {title}", "", *_table(rows, where), ""]
    parts += _landed(board)
    parts += _graph(board, where)
    return "\n".join(parts).rstrip() + "\n"


def _ordered(board: Board) -> list[Entry]:
    return sorted(board.entries.values(), key=lambda e: (e.task.priority if e.task else 2, e.id))


def _counts(where: Mapping[str, TaskStatus]) -> str:
    numbers = {status: sum(1 for w in where.values() if w.status is status) for status in Status}
    told = [f"{count} {status}" for status, count in numbers.items() if count]
    return ", ".join(told) + "." if told else "There are no tasks yet."


def _table(rows: list[Entry], where: Mapping[str, TaskStatus]) -> Iterator[str]:
    yield "| task | status | title | reason |"
    yield "|---|---|---|---|"
    for entry in rows[:_ROWS]:
        here = where[entry.id]
        link = f"[{text(entry.id)}](tasks/{entry.id}.md)" if entry.task else text(entry.id)
        status = _status(entry, here.status)
        yield f"| {link} | {status} | {text(entry.title)} | {text(here.reason)} |"
    if len(rows) > _ROWS:
        yield f"\nand {len(rows) - _ROWS} more."


def _status(entry: Entry, status: Status) -> str:
    """The status; for a task that asks, with a link to the question's file."""
    asked = next((q for q in entry.questions if q.open), None)
    if status is not Status.ASKING or asked is None:
        return status.value
    return f"[{status}]({layout.question_path(asked.name)})"


def text(words: str) -> str:
    """Other people's words as plain text in one cell of a Markdown table."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    line = line if len(line) <= 160 else line[:159] + "…"
    return _MARKUP.sub(r"\\\1", line).replace("www.", r"www\.")


def _landed(board: Board) -> Iterator[str]:
    found: list[tuple[datetime, Entry, str]] = []
    for entry in board.entries.values():
        event = entry.last(Kind.LANDED, Kind.CLOSED)
        if event is not None:
            how = event.content.merge[:10] if isinstance(event.content, Landed) else "closed"
            found.append((event.at, entry, how))
    if not found:
        return
    yield from (
        "## Recently landed",
        "",
        "| task | title | when (UTC) | commit |",
        "|---|---|---|---|",
    )
    found.sort(key=lambda one: (one[0], one[1].id), reverse=True)
    for at, entry, how in found[:_LATELY]:
        link = f"[{text(entry.id)}](tasks/{entry.id}.md)"
        yield f"| {link} | {text(entry.title)} | {at:%Y-%m-%d %H:%M} | {how} |"
    yield ""


def _graph(board: Board, where: Mapping[str, TaskStatus]) -> Iterator[str]:
    """The unfinished tasks with dependencies, as a Mermaid graph."""
    edges = [
        (need, entry.id)
        for entry in _ordered(board)
        if entry.task is not None and where[entry.id].status not in FINISHED
        for need in entry.task.depends_on
        if need in where and where[need].status not in FINISHED
    ]
    nodes = list(dict.fromkeys(task for edge in edges for task in edge))
    if not nodes:
        return
    shown = set(nodes[:_NODES])
    yield from ("## Dependencies", "", "```mermaid", "graph LR")
    names = {task: f"t{number}" for number, task in enumerate(nodes)}
    for task in nodes[:_NODES]:
        yield f'  {names[task]}["{_label(task)}<br/>{where[task].status}"]'
    for need, task in edges:
        if need in shown and task in shown:
            yield f"  {names[need]} --> {names[task]}"
    yield "```"
    if len(nodes) > _NODES:
        yield f"\n{len(nodes) - _NODES} more tasks are not shown."
    yield ""


def _label(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "?", task)


def drawn(page: bytes | None) -> bool:
    """Whether the branch's README.md is ours to rewrite; a person's own stays."""
    return page is None or page.startswith(_OURS.encode())
