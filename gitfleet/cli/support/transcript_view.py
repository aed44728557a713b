"""How an attempt looks: what its coder said and did, what it wrote, for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import click
import msgspec

from gitfleet.cli.support import format
from gitfleet.coders.base import CoderEventKind
from gitfleet.event_log import harmless, without_colours
from gitfleet.model.durations import clock, counted, spoken
from gitfleet.transcripts import summarize
from gitfleet.transcripts.output_files import Source
from gitfleet.transcripts.replay import Replay
from gitfleet.transcripts.summarize import Passage, Summarizer
from gitfleet.transcripts.timestamps import Timestamp

_STYLES: Final[Mapping[CoderEventKind, Mapping[str, Any]]] = {
    CoderEventKind.TOOL_START: {"fg": "cyan"},
    CoderEventKind.RETRYING: {"fg": "yellow"},
    CoderEventKind.LIMIT: {"fg": "yellow"},
    CoderEventKind.ERROR: {"fg": "red"},
    CoderEventKind.TEXT: {},
}
_DIM: Final[Mapping[str, Any]] = {"dim": True}


def lines(told: Passage) -> list[str]:
    """The lines of one transcript item. The coder's words and its actions look different."""
    mark, rest = _FORMS[told.said](told)
    how = _STYLES.get(told.said, _DIM)
    if told.said is CoderEventKind.TEXT:
        return mark.split("\n")
    at = f"{told.at.astimezone(UTC):%H:%M:%S} " if told.at is not None else ""
    shown = [format.style(at, dim=True) + format.style(mark, **how)]
    shown += [format.style(f"    {row}".rstrip(), dim=True) for row in rest]
    return shown


_Form = tuple[str, list[str]]  # the line with the time, and the lines below it


def _said(told: Passage) -> _Form:
    return told.text, []


def _thought(told: Passage) -> _Form:
    return "thinks:", [*told.text.split("\n"), *_left(told)]


def _call(told: Passage) -> _Form:
    first, *more = told.text.split("\n")
    return f"> {told.tool}  {first}".rstrip(), [*more, *_left(told)]


def _answer(told: Passage) -> _Form:
    # Some coders report an action only after it ended: then no duration is known.
    took = f" took {spoken(told.seconds)}" if told.seconds else " is done"
    rows = told.text.split("\n") if told.text else []
    return f"< {told.tool}{took}", [*_left(told), *rows]


def _left(told: Passage) -> list[str]:
    if not told.left_out:
        return []
    return [f"[… {counted(told.left_out, 'line')} more, shown by --full]"]


def _plainly(word: str) -> Callable[[Passage], _Form]:
    def form(told: Passage) -> _Form:
        until = f", until {clock(told.until)}" if told.until is not None else ""
        first, *more = told.text.split("\n")
        why = f" ({told.failure})" if told.failure is not None else ""
        return f"{word}{why}{until}{': ' if first else ''}{first}", more

    return form


def _error(told: Passage) -> _Form:
    """Show an error that is not a failure as a warning: some coders report both the same way."""
    return _plainly("error" if told.failure is not None else "warning")(told)


_FORMS: Final[Mapping[CoderEventKind, Callable[[Passage], _Form]]] = {
    CoderEventKind.STARTED: _plainly("began"),
    CoderEventKind.TEXT: _said,
    CoderEventKind.THINKING: _thought,
    CoderEventKind.TOOL_START: _call,
    CoderEventKind.TOOL_END: _answer,
    CoderEventKind.USAGE: _plainly("used"),
    CoderEventKind.RETRYING: _plainly("tries again"),
    CoderEventKind.LIMIT: _plainly("limit"),
    CoderEventKind.ERROR: _error,
    CoderEventKind.ENDED: _plainly("ended"),
}


class Page:
    """Transcript items one below the other, with an empty line between words and actions."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last: bool | None = None  # whether words came last; None: nothing was shown yet

    def show(self, told: Passage) -> None:
        """The lines of one more item."""
        words = told.said is CoderEventKind.TEXT
        if self._last is not None and words is not self._last:
            self._write("")
        self._last = words
        for row in lines(told):
            self._write(row)


# -- a whole attempt


class Wish(NamedTuple):
    """How to show an attempt."""

    raw: bool = False
    only_errors: bool = False
    prompt: bool = False
    full: bool = False
    as_json: bool = False


class Out:
    """Standard output, with our headings between the output of others."""

    def __init__(self, wish: Wish) -> None:
        self._raw = wish.raw
        self._silent = wish.as_json  # headings are for people

    def heading(self, text: str, mark: str = "==") -> None:
        """Print a heading of ours; not with --raw, where it would stand between the bytes."""
        if self._silent:
            return
        how = {"bold": True} if mark == "==" else {"dim": True}
        styled = format.style(f"{mark} {format.line(text)}", **how)
        click.echo(styled, err=self._raw)

    def write(self, data: bytes) -> None:
        """Print foreign bytes, as whole lines unless they are very long."""
        if not self._raw:
            text = without_colours(data.decode("utf-8", "replace"))
            data = harmless(text).encode("utf-8", "replace")
        click.echo(data, nl=False)


class ShownFile:
    """One of an attempt's files, and how far it was shown."""

    def __init__(self, out: Out, name: str, source: Source) -> None:
        self.out, self.name = out, name
        self.source = source

    def more(self, *, end: bool, begin: bool) -> bool:
        """Show new content since the last call, below a heading if `begin`; return whether any
        came."""
        shown = False
        for data in self.source.lines(end=end):
            if begin and not shown:
                self.out.heading(self.name, "--")
            self.out.write(data)
            shown = True
        return shown

    def sum(self) -> str:
        """The totals of the attempt in words; empty if they are unknown."""
        return ""


class Speech(ShownFile):
    """The output of a coder whose format is known."""

    def __init__(
        self,
        out: Out,
        source: Source,
        hearing: Replay,
        wish: Wish,
        marks: Callable[[], list[Timestamp]] = list,
    ) -> None:
        super().__init__(out, "said and done", source)
        self._hearing, self._marks, self._json = hearing, marks, wish.as_json
        self._teller = Summarizer(full=wish.full or wish.as_json)
        self._page = Page(click.echo)
        self._ended = False

    def more(self, *, end: bool, begin: bool) -> bool:
        shown = False
        for told in self._told(end=end):
            if begin and not shown:
                self.out.heading(self.name, "--")
            shown = True
            if self._json:
                click.echo(msgspec.json.encode(told))
            else:
                self._page.show(told)
        return shown

    def _told(self, *, end: bool) -> Iterator[Passage]:
        now = datetime.now(UTC).replace(microsecond=0)
        marks: list[Timestamp] | None = None
        for start, data in self.source.chunks():
            marks = self._marks() if marks is None else marks  # only if there is new output
            for event, at in self._hearing.feed(data, start, marks, now=None if end else now):
                yield from self._teller.tell(event, at)
        if end and not self._ended:
            self._ended = True
            for event, at in self._hearing.end():
                yield from self._teller.tell(event, at)

    def sum(self) -> str:
        return summarize.in_words(self._hearing.sum)
