"""An attempt as a person reads it: real transcripts of real coders, told in lines."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.cli.support.transcript_view import Page
from gitfleet.coders.base import CoderEvent, CoderEventKind
from gitfleet.coders.registry import MODULES
from gitfleet.files import boards
from gitfleet.model.board import Entry
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure
from gitfleet.transcripts.replay import Replay, Speaker
from gitfleet.transcripts.summarize import Passage, RunTotals, Summarizer, in_words
from gitfleet.transcripts.timestamps import Timestamp

TRANSCRIPTS: Final = Path(__file__).resolve().parents[1] / "coders" / "transcripts"
ALL: Final = sorted(TRANSCRIPTS.glob("*/*.jsonl"))
NOON: Final = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


def heard(
    coder: str, data: bytes, marks: list[Timestamp] | None = None, *, full: bool = False
) -> tuple[list[Passage], RunTotals]:
    told = Replay(boards.EMPTY, Entry(id="a"), Speaker(coder=coder), Path("/nonexistent"))
    teller = Summarizer(full=full)
    events = [*told.feed(data, 0, marks or []), *told.end()]
    return [one for event, at in events for one in teller.tell(event, at)], told.sum


def page(told: list[Passage]) -> list[str]:
    lines: list[str] = []
    shown = Page(lines.append)
    for one in told:
        shown.show(one)
    return lines


def tell(*events: CoderEvent, step: float = 0, full: bool = False) -> list[Passage]:
    teller = Summarizer(full=full)
    times = (NOON + timedelta(seconds=step * n) for n in range(len(events)))
    pairs = zip(events, times, strict=True)
    return [one for event, at in pairs for one in teller.tell(event, at if step else None)]


def test_a_whole_attempt_of_claude_reads_as_what_it_said_and_did() -> None:
    """Words by themselves, tools with what they were asked and what came of it, the end's words
    not twice, and what it cost below."""
    told, tally = heard("claude", (TRANSCRIPTS / "claude" / "demo1.jsonl").read_bytes())
    assert page(told) == [
        "began: model claude-opus-4-8[1m], session cc2c0304-9b3e-4484-9f5e-ac95019e4d05",
        "",
        "I will create hello.txt.",
        "",
        "> Bash  echo hello > hello.txt",
        "< Bash is done",
        "    (Bash completed with no output)",
        "> mcp__gitfleet__ask_human  Which colour?",
        "< mcp__gitfleet__ask_human is done",
        "    blue",
        "tries again (limited): rate_limit 429: try 1 of 10",
        "> Bash  git add -A && git commit -qm 'add hello.txt'",
        "< Bash is done",
        "    (Bash completed with no output)",
        "",
        "All done.",
    ]
    assert in_words(tally) == (
        "3 tool calls, 109,291 tokens (59,189 in, 102 out, 50,000 read from the cache),"
        " context 19,470 of 1,000,000 (1 %), $0.32"
    )


@pytest.mark.parametrize("coder", ["claude", "codex", "opencode", "gemini", "copilot"])
def test_coders_that_did_the_same_are_told_alike(coder: str) -> None:
    """Whatever each calls its shell: it said so, ran one command, and said that it was done."""
    told, _ = heard(coder, (TRANSCRIPTS / coder / "success.jsonl").read_bytes())
    kinds = [
        one.said
        for one in told
        if one.said not in (CoderEventKind.STARTED, CoderEventKind.ERROR, CoderEventKind.THINKING)
    ]
    start = kinds.index(CoderEventKind.TOOL_START)
    assert kinds[start : start + 2] == [CoderEventKind.TOOL_START, CoderEventKind.TOOL_END]
    assert CoderEventKind.TEXT in kinds[start + 2 :]
    (call,) = (one for one in told if one.said is CoderEventKind.TOOL_START)
    assert "hello.txt" in call.text and call.tool


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_transcript_can_be_told_and_draws_nothing(path: Path) -> None:
    """No event of a real coder is too odd to be told, and none sends a control character."""
    told, tally = heard(path.parent.name, path.read_bytes())
    _check(page(told))
    _check([in_words(tally)])


def _check(lines: list[str]) -> None:
    for row in lines:
        assert "\n" not in row
        assert not any(unicodedata.category(c) in ("Cc", "Cs") and c != "\t" for c in row), row


@given(st.sampled_from(sorted(MODULES)), st.binary(max_size=300), st.sampled_from(ALL))
def test_any_bytes_can_be_told(coder: str, noise: bytes, path: Path) -> None:
    """What is stored may be cut anywhere, be another coder's, or be anything at all."""
    data = path.read_bytes()[:4000]
    told, _ = heard(coder, data[: len(noise) * 10] + noise + b"\n" + data)
    _check(page(told))


def test_a_tool_is_told_with_how_long_it_took() -> None:
    """From when its start was heard to when its end was; where nothing is known, nothing is."""
    events = (
        CoderEvent(said=CoderEventKind.TOOL_START, tool="Bash", call="1", text="make"),
        CoderEvent(said=CoderEventKind.TOOL_START, tool="Read", call="2", text="a.py"),
        CoderEvent(said=CoderEventKind.TOOL_END, call="2"),
        CoderEvent(said=CoderEventKind.TOOL_END, call="1", text="ok\ndone"),
    )
    assert page(tell(*events, step=65)) == [
        "12:00:00 > Bash  make",
        "12:01:05 > Read  a.py",
        "12:02:10 < Read took 1m 5s",
        "12:03:15 < Bash took 3m 15s",
        "    ok",
        "    done",
    ]
    assert page(tell(*events))[-3:] == ["< Bash is done", "    ok", "    done"]


def test_bulk_is_bounded_and_what_is_said_is_not() -> None:
    """Of an answer the end is shown, of a thought the beginning; `full` leaves nothing out."""
    long = "\n".join(f"line {n}" for n in range(100))
    for said, first, last in (
        (CoderEventKind.TOOL_END, "line 88", "line 99"),
        (CoderEventKind.THINKING, "line 0", "line 5"),
        (CoderEventKind.TEXT, "line 0", "line 99"),
    ):
        event = CoderEvent(said=said, text=long, tool="Bash")
        (short,) = tell(event)
        assert (short.text.split("\n")[0], short.text.split("\n")[-1]) == (first, last)
        (full,) = tell(event, full=True)
        assert full.text == long and full.left_out == 0
    shown = page(tell(CoderEvent(said=CoderEventKind.TOOL_END, text=long, tool="Bash")))
    assert shown[1] == "    [… 88 lines more, shown by --full]"
    (wide,) = tell(CoderEvent(said=CoderEventKind.TOOL_END, text="x" * 9_000, tool="Bash"))
    assert len(wide.text) < 2_100


def test_what_went_wrong_is_told_with_why_and_until_when() -> None:
    """A warning is no error; what was not allowed is named."""
    events = (
        CoderEvent(said=CoderEventKind.ERROR, text="no metadata"),
        CoderEvent(said=CoderEventKind.ERROR, text="key refused", failure=Failure.AUTH),
        CoderEvent(said=CoderEventKind.LIMIT, text="weekly", failure=Failure.LIMITED, until=NOON),
        CoderEvent(said=CoderEventKind.ENDED, text="no", denied=("Bash",), final=True),
        CoderEvent(said=CoderEventKind.ENDED, final=True),
        CoderEvent(said=CoderEventKind.USAGE, text="?", tokens=Tokens(input=1)),
    )
    assert page(tell(*events)) == [
        "warning: no metadata",
        "error (auth): key refused",
        "limit (limited), until 2026-12-01 12:00:00 UTC: weekly",
        "ended: no",
        "    not allowed: Bash",
    ]


def test_escapes_in_what_a_coder_says_are_shown_and_not_sent() -> None:
    """In words, in results and in the names of tools."""
    wicked = "\x1b[31mred\x1b[0m \x1b[2J\x9b \u202e"
    for event in (
        CoderEvent(said=CoderEventKind.TEXT, text=wicked),
        CoderEvent(said=CoderEventKind.TOOL_START, tool=wicked, text=wicked),
        CoderEvent(said=CoderEventKind.STARTED, session=wicked, model=wicked),
    ):
        shown = "".join(page(tell(event)))
        assert "red \\x1b[2J\\x9b \\u202e" in shown and "\x1b" not in shown
