"""`gitfleet top`: all attempts on all known machines, live."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from gitfleet.board.heartbeats import aged
from gitfleet.cli.support import format, runners_view
from gitfleet.cli.support.session import CliSession, open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.cli.support.write import remote_of
from gitfleet.git.remote import Unreachable
from gitfleet.model.durations import counted, seconds, spoken

_EVERY: Final = 1.0  # seconds between two refreshes
_FETCH: Final = 5.0  # seconds between two fetches
_LATE: Final = 2.5  # heartbeats missed before a runner counts as silent
HEADS: Final = (
    *("task", "role", "coder", "machine", "state", "elapsed", "silent", "tokens", "context"),
    "last line",
)


@click.command(
    "top",
    cls=Verb,
    examples=(
        "gitfleet top",
        "gitfleet top --once --json",
    ),
)
@click.option(
    "--once", is_flag=True, help="Print once and exit (default where there is no terminal)."
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON, once.")
def command(once: bool, as_json: bool) -> None:
    """Watch all attempts, on all machines that share the board, until Ctrl-C."""
    session = open_session()
    crowd = Crowd(session)
    crowd.fetch()
    if as_json:
        format.out_json(crowd.attempts())
    elif once or not format.on_terminal():
        _print(crowd)
    else:
        _watch(crowd)


class Crowd:
    """All known runners, the age of their heartbeats, and their attempts."""

    def __init__(self, session: CliSession) -> None:
        self._session = session
        self._remote = remote_of(session.repo, session.store)
        self._late = _LATE * seconds(session.store.board().settings.heartbeat)
        self._heard: dict[str, tuple[str, float]] = {}  # runner -> its heartbeat, and since when
        self.trouble = ""  # why the remote does not answer
        self.machines = self.slots = 0
        self.cooldowns: list[str] = []  # coders in cooldown, a sentence each
        self.failing: list[str] = []  # failing services of runners, a sentence each

    def fetch(self) -> None:
        """Fetch from the remote; if it does not answer, the last fetched state stays."""
        if self._remote is None:
            return
        try:
            runners_view.fetch(self._session.repo, self._remote)
        except Unreachable as error:
            self.trouble = format.line(error.what)
        else:
            self.trouble = ""

    def attempts(self) -> list[dict[str, Any]]:
        """The current activity of every attempt, with its runner, in the order of their starts."""
        runners = runners_view.known(self._session)
        self.machines = len(runners)
        self.slots = sum(one["capacity"] or 0 for one in runners)
        self.cooldowns = [
            format.line(told) for one in runners for told in one["cooldowns"].values()
        ]
        self.failing = [
            format.line(runners_view.failure(service, one["name"]))
            for one in runners
            for service in self._services(one)
        ]
        found = [
            {"runner": one["name"], "host": one["host"], "here": one["here"], **attempt}
            for one in runners
            for attempt in self._of(one)
        ]
        return sorted(found, key=lambda one: (-(one["elapsed"] or 0), one["task"]))

    def _of(self, runner: Mapping[str, Any]) -> list[dict[str, Any]]:
        if runner["here"]:
            return list(runner["attempts"])
        passed = self._since(runner)
        found = [aged(attempt, passed) for attempt in runner["attempts"]]
        if passed > self._late:
            for attempt in found:
                attempt["state"] = f"not seen for {spoken(passed)}"
        return found

    def _services(self, runner: Mapping[str, Any]) -> list[dict[str, Any]]:
        passed = 0.0 if runner["here"] else self._since(runner)
        return [aged(service, passed) for service in runner["failing"]]

    def _since(self, runner: Mapping[str, Any]) -> float:
        """Seconds since we saw its heartbeat change. Clocks of two machines are never compared."""
        now = time.monotonic()
        heartbeat, since = self._heard.get(runner["name"], ("", now))
        if heartbeat != runner["at"]:
            heartbeat, since = runner["at"], now
        self._heard[runner["name"]] = heartbeat, since
        return now - since


def row(attempt: Mapping[str, Any]) -> list[str]:
    """The table's cells of one attempt; control characters in foreign text are removed."""
    tokens, context, window = attempt["tokens"], attempt["context"], attempt["window"]
    cells = [
        attempt["task"],
        attempt["role"],
        attempt["coder"] or "checks",
        attempt["runner"],
        runners_view.doing(attempt),
        *(spoken(attempt[key]) if attempt[key] is not None else "" for key in _TIMES),
        format.tokens(tokens or 0),
        format.context(context or 0, window or 0),
        attempt["last"],
    ]
    return [format.line(cell) for cell in cells]


_TIMES: Final = ("elapsed", "silence")


def summary(crowd: Crowd, number: int) -> str:
    """The line above the table."""
    told = f"{counted(crowd.machines, 'runner')}, {number} of {counted(crowd.slots, 'slot')} busy"
    return f"{told}; {crowd.trouble}; showing what was seen last" if crowd.trouble else told


def _print(crowd: Crowd) -> None:
    attempts = crowd.attempts()
    click.echo(summary(crowd, len(attempts)))
    cells = [list(HEADS), *map(row, attempts)] if attempts else []
    for number, cell in enumerate(format.columns(cells, format.room(), keep=0)):
        click.echo(format.style("".join(cell).rstrip(), bold=not number))
    for told in (*crowd.failing, *crowd.cooldowns):
        click.echo(format.cut(told, format.room() or len(told) * 2))


# -- live


def _watch(crowd: Crowd) -> None:
    # Imported here on purpose: rich is slow to import, and only terminals need it.
    from rich.live import Live  # noqa: PLC0415

    stop = threading.Event()
    thread = threading.Thread(target=_fetching, args=(crowd, stop), daemon=True)
    thread.start()
    try:
        with Live(auto_refresh=False, screen=True) as live:
            while True:
                live.update(_picture(crowd), refresh=True)
                time.sleep(_EVERY)
    except KeyboardInterrupt:
        pass  # the normal end
    finally:
        stop.set()


def _fetching(crowd: Crowd, stop: threading.Event) -> None:
    while not stop.wait(_FETCH):
        crowd.fetch()


def _picture(crowd: Crowd) -> Any:
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    attempts = crowd.attempts()
    table = Table(box=None, pad_edge=False, expand=True)
    for head in HEADS[:-1]:
        table.add_column(head, no_wrap=True, overflow="ellipsis")
    table.add_column(HEADS[-1], ratio=1, no_wrap=True, overflow="ellipsis")
    for attempt in attempts:
        table.add_row(*map(Text, row(attempt)))
    about = Text(f"{summary(crowd, len(attempts))}; Ctrl-C ends", style="dim")
    fails = [Text(told, style="red", no_wrap=True) for told in crowd.failing]
    rests = [Text(told, style="yellow", no_wrap=True) for told in crowd.cooldowns]
    return Group(about, *([table] if attempts else []), *fails, *rests)
