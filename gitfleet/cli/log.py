"""`gitfleet log`: the stored output of a task's attempts, or what a running one says.

The files lie in the clone whose runner made the attempt, and the attempt itself could write there:
a file is read only if it is a plain one, and a terminal gets no control characters of it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from gitfleet import process
from gitfleet.cli import draw, reading
from gitfleet.cli.home import remote_of
from gitfleet.cli.session import Session, open_session
from gitfleet.errors import FleetError
from gitfleet.model.board import Entry
from gitfleet.model.durations import clock, spoken
from gitfleet.model.event import Attempt
from gitfleet.model.ids import is_id
from gitfleet.report import harmless
from gitfleet.work import transcripts

_PAUSE: Final = 0.2  # seconds between looks at the files and the board while following
_CHUNK: Final = 1 << 16  # bytes read at once, and the longest line that is held back
_FOLDER: Final = re.compile(r"([0-9]{3,})-([0-9a-f]{8})\Z")
_STREAM: Final = re.compile(r"(?:(setup|check|target)-([0-9]+)\.)?(stdout|stderr)\Z")
_ORDER: Final = ("setup", "check", "target", None)
_OURS: Final = "error.txt"
# A colour is dropped, since it says nothing; all else that could draw is shown as a code.
_COLOUR: Final = re.compile("\x1b\\[[0-9;:]*m")


class Try(NamedTuple):
    """One attempt: what the board knows of it, and where its files would lie."""

    number: int
    head: str
    folder: Path | None  # None: it left nothing in this clone
    runner: str = ""
    nonce: str = ""
    running: bool = False


@click.command("log")
@click.argument("task", metavar="ID")
@click.option("--attempt", "wanted", type=click.IntRange(1), metavar="N", help="Only this one.")
@click.option("--follow", is_flag=True, help="What the running attempt says, until it ends.")
@click.option("--stderr", "only_errors", is_flag=True, help="Only the standard error.")
@click.option("--raw", is_flag=True, help="The bytes as they are; headings go to standard error.")
@click.option("--json", "as_json", is_flag=True, help="The attempts, and where their files lie.")
def command(
    task: str, wanted: int | None, follow: bool, only_errors: bool, raw: bool, as_json: bool
) -> None:
    """Show what the attempts on the task ID wrote, as it is stored in this clone."""
    session = open_session()
    board = session.store.board()
    entry = reading.task_of(session.store, board, task)
    tries = _tries(session, entry)
    if as_json:
        chosen = [one for one in tries if wanted is None or one.number == wanted]
        draw.out_json([_plain(one) for one in chosen])
        return
    out = _Out(raw=raw)
    if follow:
        running = _running(tries, task, wanted)
        _follow(session, task, running, out, only_errors=only_errors)
        return
    chosen = [one for one in tries if wanted is None or one.number == wanted]
    if not chosen:
        raise _none(task, tries, wanted)
    for one in chosen:
        out.heading(one.head)
        if one.folder is None and not one.running:
            _print_pushed(session, task, one, out, only_errors=only_errors)
            continue
        _print(one, out, only_errors=only_errors)


def _plain(one: Try) -> dict[str, object]:
    return {
        "attempt": one.number,
        "runner": one.runner,
        "running": one.running,
        "summary": one.head,
        "folder": str(one.folder) if one.folder else None,
    }


def _none(task: str, tries: list[Try], wanted: int | None) -> FleetError:
    if not tries:
        return FleetError(f"nobody has tried {task} yet", remedy=f"`gitfleet show {task}`")
    numbers = ", ".join(str(one.number) for one in tries)
    return FleetError(f"{task} has no attempt {wanted}", remedy=f"There are {numbers}.")


def _running(tries: list[Try], task: str, wanted: int | None) -> Try:
    found = next((t for t in reversed(tries) if t.running and wanted in (None, t.number)), None)
    if found is None:
        what = task if wanted is None else f"attempt {wanted} of {task}"
        raise FleetError(
            f"{what} is not running, so there is nothing to follow",
            remedy=f"`gitfleet log {task}` shows what is stored.",
        )
    return found


# -- which attempts there are


def _tries(session: Session, entry: Entry) -> list[Try]:
    """Every attempt the board knows, and every one that left files here, by number."""
    folders = _folders(session, entry.id)
    found: list[Try] = []
    for event in entry.events:
        done = event.attempt
        if done is not None:
            folder = folders.pop((done.attempt, done.nonce[:8]), None)
            head = _heading(done, event.kind.value)
            found.append(Try(done.attempt, head, folder, done.runner, done.nonce))
    claim = entry.claim
    if claim is not None:
        folder = folders.pop((claim.attempt, claim.nonce[:8]), None)
        by = f"{claim.coder or 'checks'} on {claim.runner}"
        head = f"attempt {claim.attempt}: {claim.role} by {by}, running since {clock(claim.at)}"
        found.append(Try(claim.attempt, head, folder, claim.runner, claim.nonce, running=True))
    for (number, _), folder in folders.items():
        found.append(Try(number, f"attempt {number}: it is not on the board", folder))
    return sorted(found, key=lambda one: one.number)


def _folders(session: Session, task: str) -> dict[tuple[int, str], Path]:
    """The run directories of a task. A badly named task file may lie about its id."""
    if not is_id(task):
        return {}
    try:
        names = os.listdir(session.clone.runs / task)  # noqa: PTH208 - a name is all we want
    except (FileNotFoundError, NotADirectoryError):
        return {}
    parsed = [found for name in names if (found := _FOLDER.match(name))]
    return {(int(f[1]), f[2]): session.clone.runs / task / f[0] for f in parsed}


def _heading(done: Attempt, role: str) -> str:
    took = spoken((done.ended - done.started).total_seconds())
    by = f"{done.coder or 'checks'} on {done.runner}"
    when = clock(done.started)
    return f"attempt {done.attempt}: {role} by {by}, {when}, {took}, {done.outcome}: {done.reason}"


# -- printing


class _Out:
    """Standard output, with headings of ours between what is others'."""

    def __init__(self, *, raw: bool) -> None:
        self.raw = raw
        self._clean = not raw and draw.on_terminal()

    def heading(self, text: str, mark: str = "==") -> None:
        """A line of ours; with --raw it must not stand between the bytes."""
        how = {"bold": True} if mark == "==" else {"dim": True}
        styled = draw.style(f"{mark} {draw.line(text)}", **how)
        click.echo(styled, err=self.raw)

    def write(self, data: bytes) -> None:
        """Bytes of others, whole lines unless they are very long."""
        if self._clean:
            text = _COLOUR.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n"))
            data = harmless(text.replace("\r", "\n")).encode("utf-8", "replace")
        click.echo(data, nl=False)


class _Source:
    """One file, read as far as it has come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0
        self._rest = b""

    def more(self, *, end: bool) -> Iterator[bytes]:
        """What came since the last call, in whole lines; at the end also a line without one."""
        fd = self._open()
        if fd is None:
            return
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size < self._at:  # a coder may cut its own output short
                self._at = 0
            file.seek(self._at)
            while chunk := file.read(_CHUNK):
                self._at += len(chunk)
                whole, newline, rest = (self._rest + chunk).rpartition(b"\n")
                self._rest = rest
                if newline:
                    yield whole + newline
                if len(self._rest) > _CHUNK:
                    yield self._rest
                    self._rest = b""
        if end and self._rest:
            yield self._rest + b"\n"
            self._rest = b""

    def _open(self) -> int | None:
        """No link is followed and no pipe waited for: the attempt could have put one there."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None


def _files(folder: Path, *, only_errors: bool) -> list[str]:
    """The names of the files with output, in the order in which they were written."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a name is all we want
    except (FileNotFoundError, NotADirectoryError):
        return []

    def order(name: str) -> tuple[int, int, str]:
        found = _STREAM.match(name)
        assert found is not None
        return _ORDER.index(found[1]), int(found[2] or 0), found[3].replace("stdout", "")

    found = sorted((name for name in names if _STREAM.match(name)), key=order)
    if only_errors:
        found = [name for name in found if name.endswith("stderr")]
    return [*found, *(name for name in names if name == _OURS)]


def _print(one: Try, out: _Out, *, only_errors: bool) -> None:
    if one.folder is None:
        where = f"; it ran on {one.runner}" if one.runner else ""
        out.heading(f"its output is not in this clone{where}", "--")
        return
    silent = True
    for name in _files(one.folder, only_errors=only_errors):
        source = _Source(one.folder / name)
        for number, data in enumerate(source.more(end=True)):
            if not number:
                out.heading(name, "--")
            out.write(data)
            silent = False
    if silent:
        out.heading("it wrote nothing", "--")


def _print_pushed(session: Session, task: str, one: Try, out: _Out, *, only_errors: bool) -> None:
    """What an attempt on another machine wrote, if its runner pushed that."""
    remote = remote_of(session.repo, session.store)
    found = transcripts.read(session.store, remote, task, one.number)
    if not found:
        _print(one, out, only_errors=only_errors)
    for name, data in found.items():
        if _STREAM.match(name) and (not only_errors or name.endswith("stderr")):
            out.heading(name, "--")
            out.write(data if data.endswith(b"\n") or not data else data + b"\n")


# -- following


def _follow(session: Session, task: str, one: Try, out: _Out, *, only_errors: bool) -> None:
    """Print what the attempt writes until it is over: its event is on the board, or nobody is
    left who could write one."""
    folder = session.clone.run_dir(task, one.number, one.nonce)
    if not folder.exists() and session.clone.running() is None:
        raise FleetError(
            f"the output of {task} is not in this clone; it runs on {draw.line(one.runner)}",
            remedy="Follow it on that machine.",
        )
    out.heading(one.head)
    sources: dict[str, _Source] = {}
    last = ""
    while True:
        over = _over(session, task, one, folder)  # asked first: what was written before is shown
        for name in _files(folder, only_errors=only_errors):
            source = sources.setdefault(name, _Source(folder / name))
            for data in source.more(end=bool(over)):
                if name != last:
                    out.heading(name, "--")
                    last = name
                out.write(data)
        sys.stdout.flush()
        if over:
            out.heading(over)
            return
        time.sleep(_PAUSE)


def _over(session: Session, task: str, one: Try, folder: Path) -> str:
    """How the attempt ended; empty while it runs."""
    board = session.store.board()
    entry = board.get(task) or session.store.archived(board, task)
    if entry is not None and entry.claim is not None and entry.claim.nonce == one.nonce:
        return "" if _alive(session, folder) else "its runner is gone; `gitfleet run` settles it"
    for event in reversed(entry.events if entry else ()):
        if event.attempt is not None and event.attempt.nonce == one.nonce:
            return f"{event.attempt.outcome}: {event.attempt.reason}"
    return "its claim is gone from the board"


def _alive(session: Session, folder: Path) -> bool:
    """Whether anybody is left who could still write: the runner, or the attempt's own process."""
    if session.clone.running() is not None:
        return True
    child = process.load(folder)
    return child is not None and process.alive(child[0])
