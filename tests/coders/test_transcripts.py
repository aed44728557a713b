"""Real runs, read and judged: what came out of them is what really happened."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet.coders import registry
from gitfleet.coders.base import CoderEventKind
from gitfleet.coders.stream import Stream
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure
from tests.coders.expected import EXPECTED, SITUATIONS
from tests.coders.kit import job
from tests.coders.replay import CASES, FOLDER, coder_of, output, replay


def test_every_transcript_is_expected_to_be_something_once() -> None:
    """None is left out, and none is in two rows of the table."""
    named = [
        (coder, case)
        for verdicts in SITUATIONS.values()
        for coder, by_verdict in verdicts.items()
        for case in itertools.chain.from_iterable(names.split() for names in by_verdict.values())
    ]
    assert sorted(named) == sorted(CASES)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """codex tells the time of the day, and no zone: it is the machine's."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(("coder", "case"), CASES)
def test_a_run_is_judged_as_what_it_was(tmp_path: Path, coder: str, case: str) -> None:
    """By its events, its end and its standard error, and never by its exit status alone."""
    assert replay(tmp_path, coder, case).verdict == EXPECTED[coder, case]


@pytest.mark.parametrize(("coder", "case"), CASES)
def test_reading_again_and_in_pieces_gives_the_same(tmp_path: Path, coder: str, case: str) -> None:
    """A runner that was killed reads the file again; and a line comes in pieces."""
    data, made = output(coder, case), job(tmp_path)
    whole = Stream(coder_of(coder).reader(made))
    events = [*whole.feed(data), *whole.end()]
    pieces = Stream(coder_of(coder).reader(made))
    found = [
        event
        for start in range(0, len(data), 97)
        for event in pieces.feed(data[start : start + 97])
    ]
    assert [*found, *pieces.end()] == events
    assert pieces.tally == whole.tally


def test_nothing_in_them_names_the_machine_they_were_made_on() -> None:
    """Their paths are made up, their addresses are the loopback."""
    allowed = re.compile(
        rb"127\.0\.0\.1|opencode\.ai|chatgpt\.com|anthropic\.com|github\.com|geminicli\.com"
    )
    for path in FOLDER.glob("*/*"):
        for address in re.findall(rb"https?://([\w.-]+)", path.read_bytes()):
            assert allowed.search(address), (path, address)


@pytest.mark.parametrize(
    ("coder", "case", "tokens", "context", "window"),
    [
        # The last message is the context; the totals are those of the end.
        ("claude", "success", Tokens(38450, 40), 19282, 1_000_000),
        ("claude", "usage", Tokens(30, 82, 205_000, 5100), 105_121, 200_000),
        # Its `usage` says 0 there, and its own messages do not.
        ("claude", "cut", Tokens(19163, 20), 19183, 1_000_000),
        ("claude", "max-budget", Tokens(1_000_000, 20), 1_000_001, 1_000_000),
        # Two turns of one run: `usage` is the second's.
        ("claude", "stdin-streamjson", Tokens(38365, 40), 19199, 1_000_000),
        # Killed: what its messages told.
        ("claude", "sigkill-bash", Tokens(19171, 1), 19172, 1_000_000),
        ("claude", "autocompact", Tokens(414_122, 60), 29123, 200_000),
        ("codex", "demo1", Tokens(33096, 102, 50_000), None, None),
        ("opencode", "demo1", Tokens(24738, 102, 50_000), 7983, None),
        ("gemini", "demo1", Tokens(38497, 102, 50_000), None, 1_048_576),
        ("qwen", "demo1", Tokens(60747, 102, 50_000), 20044, None),
        ("copilot", "demo1", Tokens(), 10583, 128_000),
        ("aider", "success", Tokens(712, 20), 732, None),
    ],
)
def test_context_and_totals_are_kept_apart(
    tmp_path: Path,
    coder: str,
    case: str,
    tokens: Tokens,
    context: int | None,
    window: int | None,
) -> None:
    """What is in the context now is one thing, and what all requests used together another."""
    tally = replay(tmp_path, coder, case).tally
    assert (tally.tokens, tally.context, tally.window) == (tokens, context, window)


def test_a_thread_that_is_gone_on_with_counts_from_where_it_was(tmp_path: Path) -> None:
    """codex tells the totals of the whole thread, and so does qwen of its session."""
    before = replay(tmp_path, "codex", "resume-1").tally
    after = replay(tmp_path, "codex", "resume-2", session=before.session, used=before.tokens).tally
    assert after.session == before.session
    assert after.tokens == Tokens(30058 - 19951, 60 - 40)
    used = Tokens(49_700, 60)
    tally = replay(tmp_path, "qwen", "resume", session="x", used=used).tally
    assert tally.tokens == Tokens(69_638 - 49_700, 20)


def test_a_newer_claude_counts_the_session_and_an_older_one_the_run(tmp_path: Path) -> None:
    """Tokens and dollars of what was gone on with are counted once, by either."""
    before = replay(tmp_path, "claude", "latest-success").tally
    assert before.usd is not None
    newer = replay(
        tmp_path,
        "claude",
        "latest-resume",
        session=before.session,
        used=before.tokens,
        usd=before.usd,
    ).tally
    assert newer.session == before.session
    assert newer.tokens == Tokens(38219 - 25419, 60 - 40)
    assert newer.usd == pytest.approx(0.154076 - 0.102476)
    first = replay(tmp_path, "claude", "resume-1").tally
    assert first.usd is not None
    older = replay(
        tmp_path, "claude", "resume-2", session=first.session, used=first.tokens, usd=first.usd
    ).tally
    assert older.tokens == Tokens(19288, 20)
    assert older.usd == pytest.approx(0.09694)


def test_dollars_are_told_where_they_are_known(tmp_path: Path) -> None:
    """And where a price is not known, that is not 0 dollars."""
    assert replay(tmp_path, "claude", "success").tally.usd == pytest.approx(0.19325)
    for coder in ("codex", "opencode", "gemini", "qwen", "copilot", "aider"):
        assert replay(tmp_path, coder, "success").tally.usd is None


@pytest.mark.parametrize("coder", ["claude", "codex", "opencode", "gemini", "qwen", "copilot"])
def test_a_run_is_told_in_one_vocabulary(tmp_path: Path, coder: str) -> None:
    """It starts, calls a tool, has it back, says something, and ends."""
    events = replay(tmp_path, coder, "success").events
    said = [event.said for event in events]
    assert (
        said[0] is CoderEventKind.STARTED and said[-1] is CoderEventKind.ENDED and events[-1].final
    )
    started, ended = (
        next(event for event in events if event.said is kind)
        for kind in (CoderEventKind.TOOL_START, CoderEventKind.TOOL_END)
    )
    assert started.tool and "echo hello > hello.txt" in started.text
    assert started.call == ended.call and "add hello" in ended.text
    words = [event.text for event in events if event.said is CoderEventKind.TEXT]
    assert words[0] == "I will create the file."
    assert words[-1] == "Created and committed hello.txt."


def test_tries_are_told_while_they_are_made(tmp_path: Path) -> None:
    """So that a person, and the runner, see why nothing comes."""
    found = replay(tmp_path, "claude", "err401")
    assert [event.said for event in found.events[1:]] == [CoderEventKind.RETRYING] * 7
    assert found.tally.retrying and found.tally.failure is Failure.AUTH
    assert replay(tmp_path, "codex", "demo1").tally.seen == {Failure.LIMITED}
    assert not replay(tmp_path, "codex", "demo1").tally.retrying


def test_a_tool_that_is_at_work_is_known(tmp_path: Path) -> None:
    """By name, until it comes back."""
    found = replay(tmp_path, "codex", "sigkill-mcp")
    assert [tool.name for tool in found.tally.tools.values()] == ["gitfleet.ask_human"]
    assert "gitfleet.ask_human was still running" in found.judged.reason
    assert not replay(tmp_path, "codex", "mcp").tally.tools


def test_what_it_tried_for_ever_explains_more_than_a_time_out(tmp_path: Path) -> None:
    """A coder that was ended while its key was refused did not time out; one in a tool did."""
    assert replay(tmp_path, "claude", "err401").judged.failure is Failure.AUTH
    assert replay(tmp_path, "gemini", "err429-forever").judged.failure is Failure.LIMITED
    assert replay(tmp_path, "claude", "sigkill-bash").judged.failure is Failure.CRASHED


def test_a_limit_that_is_near_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """How much is used, and when it begins anew."""
    found = replay(tmp_path, "claude", "ratelimit-headers-oauth")
    limit = next(event for event in found.events if event.said is CoderEventKind.LIMIT)
    assert "93% used" in limit.text and limit.until is not None
    assert found.tally.until is None and found.judged.failure is None


def test_reasons_are_words_for_a_person(tmp_path: Path) -> None:
    """One line, without colours, and not a whole page."""
    for coder, case in CASES:
        reason = replay(tmp_path, coder, case).judged.reason
        assert len(reason) <= 400 and "\n" not in reason and "\x1b" not in reason, (coder, case)


def test_every_coder_that_was_run_is_known_by_the_versions_that_were() -> None:
    """`gitfleet doctor` tells whether an installed one is among them."""
    for name in {coder for coder, _ in CASES}:
        assert coder_of(name).versions
    assert set(registry.MODULES) - {coder for coder, _ in CASES} == {
        "agy",
        "cursor-agent",
        "shell",
    }
