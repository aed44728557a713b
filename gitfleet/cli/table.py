"""The live table of `gitfleet run` on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gitfleet.cli import draw
from gitfleet.model.durations import spoken
from gitfleet.report import Report
from gitfleet.runner.loop import Runner

_HEADS = ("task", "role", "coder", "state", "elapsed", "silent", "tokens", "context")


class _View:
    """Draws what runs, anew at each refresh."""

    def __init__(self) -> None:
        self.runner: Runner | None = None

    def attach(self, runner: Runner) -> None:
        self.runner = runner

    def __rich__(self) -> Table | Text:
        lives = self.runner.lives if self.runner else []
        if not lives:
            return Text("waiting for tasks; Ctrl-C ends", style="dim")
        table = Table(box=None, pad_edge=False, expand=True)
        for name in _HEADS:
            table.add_column(name, no_wrap=True)
        table.add_column("last line", ratio=1, no_wrap=True, overflow="ellipsis")
        now = time.monotonic()
        for live in sorted(lives, key=lambda live: live.began):
            table.add_row(
                Text(live.task),
                live.role.value,
                Text(live.coder),
                Text(draw.line(live.state or live.doing)),
                spoken(now - live.began),
                spoken(now - live.heard),
                draw.tokens(live.tokens.total),
                draw.context(live.context, live.window),
                Text(draw.line(live.last)),
            )
        return table


@contextlib.contextmanager
def shown() -> Iterator[tuple[Report, Callable[[Runner], None]]]:
    """A report whose lines scroll above a live table."""
    console = Console()
    view = _View()
    with Live(view, console=console, refresh_per_second=2, transient=True):
        report = Report(lambda line: console.print(Text(line), soft_wrap=True))
        yield report, view.attach
