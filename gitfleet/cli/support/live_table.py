"""The live table of `gitfleet run` on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rich.console import Console
from rich.live import Live as Drawn
from rich.table import Table
from rich.text import Text

from gitfleet.attempt.context import LiveStatus
from gitfleet.cli.support import format
from gitfleet.event_log import EventLog
from gitfleet.model.durations import spoken
from gitfleet.runner.loop import Runner

_HEADS: Final = ("task", "role", "coder", "state", "elapsed", "silent", "tokens", "context")
_NARROW: Final = 90  # columns of a terminal; narrower ones show only these heads
_FEW: Final = ("task", "state", "elapsed")


class _View:
    """Draws the running attempts at each refresh."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.runner: Runner | None = None

    def attach(self, runner: Runner) -> None:
        self.runner = runner

    def __rich__(self) -> Table | Text:
        lives = self.runner.lives if self.runner else []
        if not lives:
            return Text("waiting for tasks; Ctrl-C ends", style="dim")
        return table_of(lives, self.console.width)


def table_of(lives: Iterable[LiveStatus], width: int) -> Table:
    """The running attempts, one per row, for a terminal of that many columns."""
    heads = _FEW if width < _NARROW else _HEADS
    table = Table(box=None, pad_edge=False, expand=True)
    for name in heads:
        table.add_column(name, no_wrap=True)
    table.add_column("last line", ratio=1, no_wrap=True, overflow="ellipsis")
    now = time.monotonic()
    for live in sorted(lives, key=lambda live: live.began):
        cells = dict(zip(_HEADS, _cells(live, now), strict=True))
        table.add_row(*(Text(cells[name]) for name in heads), Text(format.line(live.last)))
    return table


def _cells(live: LiveStatus, now: float) -> tuple[str, ...]:
    return (
        live.task,
        live.role.value,
        live.coder,
        format.line(live.state or live.doing),
        spoken(now - live.began),
        spoken(now - live.heard),
        format.tokens(live.tokens.total),
        format.context(live.context, live.window),
    )


@contextlib.contextmanager
def shown() -> Iterator[tuple[EventLog, Callable[[Runner], None]]]:
    """An event log whose lines scroll above a live table."""
    console = Console()
    view = _View(console)
    with Drawn(view, console=console, refresh_per_second=2, transient=True):
        report = EventLog(lambda line: console.print(Text(line), soft_wrap=True))
        yield report, view.attach
