"""`gitfleet log`: show the transcripts of a task's attempts, also of a running one.

The files are in the clone whose runner made the attempt; transcripts of other machines are fetched,
if their runners push them. No control character of them reaches a terminal.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from gitfleet.cli.support import format, lookup
from gitfleet.cli.support.attempts import ShownAttempt, tries_of
from gitfleet.cli.support.session import CliSession, listed_plugins, machine, open_session
from gitfleet.cli.support.transcript_view import Out, ShownFile, Speech, Wish
from gitfleet.cli.support.verb import ANY_TASK, Verb
from gitfleet.cli.support.write import remote_of
from gitfleet.errors import FleetError
from gitfleet.execution import registry
from gitfleet.model.durations import counted, spoken
from gitfleet.run_dir import PROMPT, STDOUT, RunDir
from gitfleet.runner import transcript_sync
from gitfleet.transcripts import output_files, timestamps
from gitfleet.transcripts.output_files import Bytes, Source
from gitfleet.transcripts.replay import Replay
from gitfleet.transcripts.summarize import Passage, Summarizer

_PAUSE: Final = 0.2  # seconds between checks of the files and the board while following


@click.command(
    "log",
    cls=Verb,
    examples=(
        "gitfleet log fix-login",
        "gitfleet log fix-login --follow",
        "gitfleet log fix-login --attempt 2 --prompt",
    ),
)
@click.argument("task", metavar="ID", type=ANY_TASK)
@click.option("--attempt", "wanted", type=click.IntRange(1), metavar="N", help="Only attempt N.")
@click.option("-f", "--follow", is_flag=True, help="Follow the running attempt to its end.")
@click.option("--full", is_flag=True, help="Do not shorten.")
@click.option("--prompt", is_flag=True, help="Show the prompts.")
@click.option("--stderr", "only_errors", is_flag=True, help="Only standard error.")
@click.option("--raw", is_flag=True, help="Raw output; headings go to standard error.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON; with -f one line per event.")
def command(task: str, wanted: int | None, follow: bool, **wish: bool) -> None:
    """Show the transcripts of the attempts on task ID."""
    session = open_session()
    reader = _Reader(session, task, Wish(**wish))
    chosen = [one for one in reader.tries if wanted is None or one.number == wanted]
    if follow:
        reader.follow(_running(reader.tries, task, wanted))
    elif reader.wish.as_json:
        format.out_json([reader.plain(one) for one in chosen])
    elif not chosen:
        raise _none(task, reader.tries, wanted)
    else:
        for one in chosen:
            reader.print(one)


def _none(task: str, tries: list[ShownAttempt], wanted: int | None) -> FleetError:
    if not tries:
        return FleetError(f"{task} has no attempts yet", remedy=f"`gitfleet show {task}`")
    numbers = ", ".join(str(one.number) for one in tries)
    what = f"{task} has {counted(len(tries), 'attempt')}, and no attempt {wanted}"
    return FleetError(what, remedy=f"Choose from: {numbers}.")


def _running(tries: list[ShownAttempt], task: str, wanted: int | None) -> ShownAttempt:
    found = next((t for t in reversed(tries) if t.running and wanted in (None, t.number)), None)
    if found is None:
        what = task if wanted is None else f"attempt {wanted} of {task}"
        raise FleetError(
            f"{what} is not running, so there is nothing to follow",
            remedy=f"`gitfleet log {task}` shows what is stored.",
        )
    return found


class _Reader:
    """Shows the attempts on one task as the options ask."""

    def __init__(self, session: CliSession, task: str, wish: Wish) -> None:
        self.session, self.task, self.wish = session, task, wish
        self.board = session.store.board()
        self.entry = lookup.task_of(session.store, self.board, task)
        self.tries = tries_of(session, self.entry)
        self.out = Out(wish)

    # -- stored output

    def print(self, one: ShownAttempt) -> None:
        """Show the output of an attempt that is known here."""
        self.out.heading(one.head)
        found = self._outputs(one)
        if not self.wish.prompt and not self.wish.only_errors:
            self._checks(one)
        if found is None:
            where = f"; it ran on {one.runner}" if one.runner else ""
            if not one.running and one.runner == self.session.clone.known_name():
                where = " any more; `gitfleet gc` removes old output"
            self.out.heading(f"its output is not in this clone{where}", "--")
            return
        shown = [output.more(end=True, begin=True) for output in found]
        if not any(shown):
            self.out.heading(f"it {'has written' if one.running else 'wrote'} nothing", "--")
        self._sum(found)

    def _checks(self, one: ShownAttempt) -> None:
        for check in one.checks:
            how = "passed" if check.exit_code == 0 else f"ended with {check.exit_code}"
            self.out.heading(f"{check.command}: {how} after {spoken(check.seconds)}", "$")

    def plain(self, one: ShownAttempt) -> dict[str, Any]:
        """The same for programs: everything the coder said and did."""
        source = self._sources(one).get(STDOUT)
        replay, teller = self._replay(one), Summarizer(full=True)
        events: list[Passage] = []
        marks = self._marks(one)
        for start, data in source.chunks() if source else ():
            for event, at in replay.feed(data, start, marks):
                events += teller.tell(event, at)
        for event, at in replay.end():
            events += teller.tell(event, at)
        return {
            "attempt": one.number,
            "runner": one.runner,
            "running": one.running,
            "coder": one.speaker.coder,
            "model": one.speaker.model,
            "role": one.speaker.role,
            "summary": one.head,
            "folder": str(one.folder) if one.folder else None,
            "checks": one.checks,
            "events": events,
            "sum": replay.sum,
        }

    def _outputs(self, one: ShownAttempt) -> list[ShownFile] | None:
        """The attempt's files; None if this clone cannot get them."""
        found = self._sources(one)
        if not found and one.folder is None:
            return None
        return [self._output(one, name, source) for name, source in found.items()]

    def _sources(self, one: ShownAttempt) -> dict[str, Source]:
        """The requested files by name, in their order."""
        if one.folder is not None:
            folder = one.folder
            return {
                name: Source(folder / name) for name in self._wished(output_files.listed(folder))
            }
        if one.running:
            return {}
        remote = remote_of(self.session.repo, self.session.store)
        pushed = transcript_sync.read(self.session.store, remote, self.task, one.number)
        return {name: Bytes(pushed[name]) for name in self._wished(list(pushed))}

    def _wished(self, names: list[str]) -> list[str]:
        if self.wish.prompt:
            return [name for name in names if name == PROMPT]
        found = output_files.streams(names)
        if self.wish.as_json:
            return [name for name in found if name == STDOUT]
        if self.wish.only_errors:
            return [name for name in found if not name.endswith(STDOUT)]
        return found

    def _output(self, one: ShownAttempt, name: str, source: Source) -> ShownFile:
        replay = self._replay(one) if name == STDOUT and not self.wish.raw else None
        if replay is None or (replay.plain and not self.wish.as_json):
            return ShownFile(self.out, name, source)
        return Speech(self.out, source, replay, self.wish, lambda: self._marks(one))

    def _replay(self, one: ShownAttempt) -> Replay:
        folder = one.folder or self.session.clone.runs
        return Replay(self.board, self.entry, one.speaker, folder, listed_plugins())

    def _marks(self, one: ShownAttempt) -> list[timestamps.Timestamp]:
        return timestamps.read(one.folder) if one.folder is not None else []

    def _sum(self, found: list[ShownFile]) -> None:
        for output in found:
            words = output.sum()
            if words:
                self.out.heading(words, "--")

    # -- following

    def follow(self, one: ShownAttempt) -> None:
        """Follow the attempt until it is over:

        until its event is on the board, or no process is left that could write one.
        """
        clone = self.session.clone
        one = one._replace(folder=clone.run_dir(self.task, one.number, one.nonce).path)
        assert one.folder is not None
        if not one.folder.exists() and clone.running() is None:
            raise FleetError(
                f"the output of {self.task} is not in this clone; it runs on"
                f" {format.line(one.runner)}",
                remedy="Follow it on that machine.",
            )
        self.out.heading(one.head)
        shown: dict[str, ShownFile] = {}
        last = ""
        while True:
            over = self._over(one)  # asked first, so that all output before the end is shown
            for name, source in self._sources(one).items():
                if name not in shown:
                    shown[name] = self._output(one, name, source)
                if shown[name].more(end=bool(over), begin=name != last):
                    last = name
            sys.stdout.flush()
            if over:
                self._sum(list(shown.values()))
                self.out.heading(over)
                return
            time.sleep(_PAUSE)

    def _over(self, one: ShownAttempt) -> str:
        """The outcome of the attempt; empty while it runs."""
        store = self.session.store
        board = store.board()
        entry = board.get(self.task) or store.archived(board, self.task)
        if entry is not None and entry.claim is not None and entry.claim.nonce == one.nonce:
            alive = one.folder is not None and self._alive(one.folder)
            return "" if alive else "its runner is gone; `gitfleet run` settles it"
        for event in reversed(entry.events if entry else ()):
            if event.attempt is not None and event.attempt.nonce == one.nonce:
                return f"{event.attempt.outcome}: {event.attempt.reason}"
        return "its claim is gone from the board"

    def _alive(self, folder: Path) -> bool:
        """Whether a process is left that could write: the runner, or the attempt's own."""
        if self.session.clone.running() is not None:
            return True
        own = machine()
        run = registry.find(own.executor, own.plugins).attach(RunDir(folder))
        if run is None:
            return False
        running = run.wait(0) is None
        run.close()
        return running
