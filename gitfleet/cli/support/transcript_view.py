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
    """The lines of one thing; what was said stands by itself, what was done is set off."""
    mark, rest = _FORMS[told.said](told)
    how = _STYLES.get(told.said, _DIM)
    if told.said is CoderEventKind.TEXT:
        return mark.split("\n")
    at = f"{told.at.astimezone(UTC):%H:%M:%S} " if told.at is not None else ""
    shown = [format.style(at, dim=True) + format.style(mark, **how)]
    shown += [format.style(f"    {row}".rstrip(), dim=True) for row in rest]
    return shown


_Form = tuple[str, list[str]]  # the line with the time, and those below it


def _said(told: Passage) -> _Form:
    return told.text, []


def _thought(told: Passage) -> _Form:
    return "thinks:", [*told.text.split("\n"), *_left(told)]


def _call(told: Passage) -> _Form:
    first, *more = told.text.split("\n")
    return f"> {told.tool}  {first}".rstrip(), [*more, *_left(told)]


def _answer(told: Passage) -> _Form:
    # What took no second, some coders told of only when it was over.
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
    """What is no failure is a warning: some coders say both in one way."""
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
    """Things one below the other; an empty line stands between what was said and what was done."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last: bool | None = None  # whether words came last; None: nothing did

    def show(self, told: Passage) -> None:
        """The lines of one more thing."""
        words = told.said is CoderEventKind.TEXT
        if self._last is not None and words is not self._last:
            self._write("")
        self._last = words
        for row in lines(told):
            self._write(row)


# -- the whole of an attempt


class Wish(NamedTuple):
    """How it is to be shown."""

    raw: bool = False
    only_errors: bool = False
    prompt: bool = False
    full: bool = False
    as_json: bool = False


class Out:
    """Standard output, with headings of ours between what is others'."""

    def __init__(self, wish: Wish) -> None:
        self._raw = wish.raw
        self._silent = wish.as_json  # headings are for people

    def heading(self, text: str, mark: str = "==") -> None:
        """A line of ours; with --raw it must not stand between the bytes."""
        if self._silent:
            return
        how = {"bold": True} if mark == "==" else {"dim": True}
        styled = format.style(f"{mark} {format.line(text)}", **how)
        click.echo(styled, err=self._raw)

    def write(self, data: bytes) -> None:
        """Bytes of others, whole lines unless they are very long."""
        if not self._raw:
            text = without_colours(data.decode("utf-8", "replace"))
            data = harmless(text).encode("utf-8", "replace")
        click.echo(data, nl=False)


class ShownFile:
    """One of an attempt's files, shown as far as it has come."""

    def __init__(self, out: Out, name: str, source: Source) -> None:
        self.out, self.name = out, name
        self.source = source

    def more(self, *, end: bool, begin: bool) -> bool:
        """Show what came since the last call, below a heading if `begin`. Whether something did."""
        shown = False
        for data in self.source.lines(end=end):
            if begin and not shown:
                self.out.heading(self.name, "--")
            self.out.write(data)
            shown = True
        return shown

    def sum(self) -> str:
        """What it came to, in words; empty if that is not to be known."""
        return ""


class Speech(ShownFile):
    """The output of a coder that is understood."""

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
            marks = self._marks() if marks is None else marks  # only where there is something new
            for event, at in self._hearing.feed(data, start, marks, now=None if end else now):
                yield from self._teller.tell(event, at)
        if end and not self._ended:
            self._ended = True
            for event, at in self._hearing.end():
                yield from self._teller.tell(event, at)

    def sum(self) -> str:
        return summarize.in_words(self._hearing.sum)
