"""Summarize an attempt for people: what its coder said and did, and how long that took.

Pure: events in, sentences out. Plain-text output has only lines; structured events become a list of
`Passage`, shortened where they are long.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from gitfleet.coders.base import CoderEvent, CoderEventKind, Tally
from gitfleet.event_log import harmless, without_colours
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_THOUGHT: Final = 6  # lines shown of a thought
_RESULT: Final = 12  # lines shown of a tool's result
_CALL: Final = 6  # lines shown of a tool call
_WIDE: Final = 2_000  # characters shown of a line, unless the coder addresses people
_SHOWN: Final = {
    CoderEventKind.THINKING: _THOUGHT,
    CoderEventKind.TOOL_START: _CALL,
    CoderEventKind.TOOL_END: _RESULT,
}


class Passage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a coder said or did."""

    said: CoderEventKind
    text: str = ""  # without control characters but newlines and tabs
    tool: str = ""
    seconds: float | None = None  # duration of a tool call, if known
    at: datetime | None = None
    left_out: int = 0  # lines of the text that were left out
    failure: Failure | None = None  # the reason, if something went wrong
    until: datetime | None = None  # when a limit resets


class RunTotals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The totals of a run so far."""

    tools: int = 0
    tokens: Tokens = Tokens()
    context: int = 0
    window: int = 0
    usd: float = 0.0


class Summarizer:
    """Summarizes the events of one run, in their order. `full`: nothing is left out."""

    def __init__(self, *, full: bool = False) -> None:
        self._full = full
        self._began: dict[str, tuple[str, datetime | None]] = {}  # call -> its tool and its start
        self._opening = self._last = ""  # the coder's introduction, and its last words

    def tell(self, event: CoderEvent, at: datetime | None) -> Iterator[Passage]:
        """The passages to show for an event that arrived at that time."""
        tool, seconds = self._tool(event, at)
        text = self._text(event)
        if event.said is CoderEventKind.USAGE or not (
            text.strip() or tool or event.failure or event.denied
        ):
            return
        if event.denied:
            text = f"{text}\nnot allowed: {', '.join(event.denied)}".strip("\n")
        text, left = self._bounded(event.said, _clean(text))
        yield Passage(
            said=event.said,
            text=text,
            tool=" ".join(_clean(tool).split()),
            seconds=seconds,
            at=at,
            left_out=left,
            failure=event.failure,
            until=event.until,
        )

    def _tool(self, event: CoderEvent, at: datetime | None) -> tuple[str, float | None]:
        """The tool of an event, and how long the call took."""
        if event.said is CoderEventKind.TOOL_START:
            self._began[event.call] = event.tool or "a tool", at
            return event.tool or "a tool", None
        if event.said is not CoderEventKind.TOOL_END:
            return event.tool, None
        began, since = self._began.pop(event.call, ("", None))
        tool = event.tool or began or "a tool"
        if at is None or since is None:
            return tool, None
        return tool, max(0.0, (at - since).total_seconds())

    def _text(self, event: CoderEvent) -> str:
        """The coder's words, without repetitions.

        Many coders repeat their last words at the end, and some introduce themselves at every
        request.
        """
        if event.said is CoderEventKind.TEXT and event.text.strip():
            self._last = event.text
        if event.said is CoderEventKind.ENDED and event.text.strip() == self._last.strip():
            return ""
        if event.said is not CoderEventKind.STARTED:
            return event.text
        before, self._opening = self._opening, _opening(event)
        return "" if self._opening == before else self._opening

    def _bounded(self, said: CoderEventKind, text: str) -> tuple[str, int]:
        most = _SHOWN.get(said)
        if self._full or most is None:
            return text, 0
        lines = [row if len(row) <= _WIDE else f"{row[:_WIDE]}…" for row in text.split("\n")]
        if len(lines) <= most:
            return "\n".join(lines), 0
        # A tool's result matters most at its end, every other text at its start.
        kept = lines[-most:] if said is CoderEventKind.TOOL_END else lines[:most]
        return "\n".join(kept), len(lines) - most


def _opening(event: CoderEvent) -> str:
    parts = [f"model {event.model}" if event.model else ""]
    parts += [f"session {event.session}" if event.session else "", event.text]
    return ", ".join(part for part in parts if part)


def _clean(text: str) -> str:
    """Text that is safe for a terminal; the colours of a tool's output are dropped."""
    return harmless(without_colours(text)).strip("\n")


def sum_of(tally: Tally) -> RunTotals:
    """The totals of the events so far."""
    return RunTotals(
        tools=tally.tool_calls,
        tokens=tally.tokens,
        context=tally.context or 0,
        window=tally.window or 0,
        usd=tally.usd or 0.0,
    )


def in_words(run: RunTotals) -> str:
    """The same for a person; empty if there is nothing to show."""
    parts = []
    if run.tools:
        parts.append(f"{run.tools} tool call{'' if run.tools == 1 else 's'}")
    if run.tokens.total:
        named = {
            "in": run.tokens.input,
            "out": run.tokens.output,
            "read from the cache": run.tokens.cache_read,
            "written to it": run.tokens.cache_write,
        }
        detail = ", ".join(f"{number:,} {name}" for name, number in named.items() if number)
        parts.append(f"{run.tokens.total:,} tokens ({detail})")
    if run.context:
        parts.append(f"context {filled(run.context, run.window)}")
    if run.usd:
        parts.append(f"${run.usd:.2f}")
    return ", ".join(parts)


def filled(context: int, window: int) -> str:
    """How full a context is: `45,000 of 200,000 (22 %)`."""
    if not window:
        return f"{context:,}"
    return f"{context:,} of {window:,} ({100 * context // window} %)"
