"""One table over all coders: what an error is, and what an end means."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitfleet.coders.base import CoderEvent, CoderEventKind, FinishedRun, Judgement, Tally
from gitfleet.coders.classify import classify, judge
from gitfleet.coders.reset_time import reset_at, reset_in
from gitfleet.execution.base import Exit
from gitfleet.model.states import Failure

_NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("prompt is too long: 208310 tokens > 200000 maximum", Failure.CONTEXT_FULL),
        ("This model's maximum context length is 8192 tokens", Failure.CONTEXT_FULL),
        ("the request exceeds the available context size, try increasing it", Failure.CONTEXT_FULL),
        ("input token count (1200000) exceeds the maximum number of tokens", Failure.CONTEXT_FULL),
        ("litellm.ContextWindowExceededError: too much", Failure.CONTEXT_FULL),
        ("Your input exceeds the context window of this model", Failure.CONTEXT_FULL),
        ("Credit balance is too low", Failure.LIMITED),
        ("You've hit your weekly limit · resets Nov 22, 9am", Failure.LIMITED),
        ("HTTP 402 Payment Required", Failure.LIMITED),
        ("insufficient_quota: check your plan and billing details", Failure.LIMITED),
        ('{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}', Failure.LIMITED),
        ("unexpected status 401 Unauthorized", Failure.AUTH),
        ("Missing environment variable: `OPENAI_API_KEY`.", Failure.AUTH),
        ("Not logged in · Please run /login", Failure.AUTH),
        ("OAuth token has expired", Failure.AUTH),
        ("Please set an Auth method in your settings.json", Failure.AUTH),
        ("set the GEMINI_API_KEY environment variable", Failure.AUTH),
        ("violates our Usage Policy", Failure.REFUSED),
        ("response was blocked: PROHIBITED_CONTENT", Failure.REFUSED),
        ("No conversation found with session ID: x", Failure.NO_SESSION),
        ("Error: Session not found", Failure.NO_SESSION),
        ("The model `gpt-9` does not exist or you do not have access to it", Failure.MISCONFIGURED),
        ("error: unknown option '--output-fromat'", Failure.MISCONFIGURED),
        ("error: unexpected argument '--foo' found", Failure.MISCONFIGURED),
        ("Error: Configuration is invalid at opencode.json", Failure.MISCONFIGURED),
        ("connect ECONNREFUSED 127.0.0.1:11434", Failure.OVERLOADED),
        ("status 529: overloaded_error", Failure.OVERLOADED),
        ("Connection refused", Failure.OVERLOADED),
        ("getaddrinfo EAI_AGAIN api.example.org", Failure.OVERLOADED),
        ("response exceeded the 64000 output token maximum", Failure.CRASHED),
        ("TypeError: undefined is not a function", Failure.CRASHED),
        ("", Failure.CRASHED),
    ],
)
def test_an_error_is_known_by_its_words(words: str, failure: Failure) -> None:
    """Those that services and coders use; what nobody knows is a crash."""
    assert classify(words) is failure


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (401, Failure.AUTH),
        (403, Failure.AUTH),
        (402, Failure.LIMITED),
        (429, Failure.LIMITED),
        (404, Failure.MISCONFIGURED),
        (413, Failure.CONTEXT_FULL),
        (500, Failure.OVERLOADED),
        (529, Failure.OVERLOADED),
        (400, Failure.CRASHED),
        (0, Failure.CRASHED),
    ],
)
def test_where_words_tell_nothing_the_status_does(status: int, failure: Failure) -> None:
    """And its own name for the error tells more than either."""
    assert classify("something", status) is failure
    assert classify("rate limit", status, "authentication_failed") is Failure.AUTH


def test_words_are_found_in_time_that_grows_with_them() -> None:
    """An error may be as long as a page, of whatever letters."""
    for piece in ("set the A", "status: ", "model ", "retry in 1m ", "_API_KEY ", "aaaa"):
        words = piece * (20_000 // len(piece))
        classify(words)
        reset_in(words, _NOW)


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("resets 4:05pm (UTC)", _NOW.replace(hour=16, minute=5)),
        ("resets 3pm (UTC)", _NOW.replace(hour=15, minute=0) + timedelta(days=1)),
        ("resets Nov 22, 9am (UTC)", _NOW.replace(day=22, hour=9, minute=0)),
        ("try again at Nov 22nd, 2026 4:08 PM (UTC)", _NOW.replace(day=22, hour=16, minute=8)),
        ("Please try again in 1.5s.", _NOW + timedelta(seconds=1.5)),
        ("Please retry in 34.07s", _NOW + timedelta(seconds=34.07)),
        ("try again in 6m0s", _NOW + timedelta(minutes=6)),
        ("Your quota will reset after 1h2m3s.", _NOW + timedelta(hours=1, minutes=2, seconds=3)),
        ("try again in 3 days, 4 hours", _NOW + timedelta(days=3, hours=4)),
        ("retry-after: 20 seconds", _NOW + timedelta(seconds=20)),
        ("try again in 250ms", _NOW + timedelta(milliseconds=250)),
        ("available at 2026-11-21T00:00:00Z", datetime(2026, 11, 21, tzinfo=UTC)),
        ("try again later", None),
        ("try again at 99:99pm (UTC)", None),
        ("resets Foo 99, 9am (UTC)", None),
        ("resets 2001-01-01T00:00:00Z", None),  # long ago
        ("try again in 900000 days", None),  # a misunderstanding
        ("resets 4pm (Nowhere/At_All)", None),
        ("", None),
    ],
)
def test_a_reset_is_read_out_of_words(words: str, moment: datetime | None) -> None:
    """As a span from when it was said, as the next such time of the day, or as a date."""
    found = reset_in(words, _NOW)
    if "Nowhere" in words:
        assert found is not None  # a zone that nobody knows is the machine's
    else:
        assert found == moment


def test_a_reset_in_seconds_since_1970_is_a_moment() -> None:
    """One that no calendar has is none."""
    assert reset_at(1795190713) == datetime(2026, 11, 20, 16, 5, 13, tzinfo=UTC)
    assert reset_at(None) is None and reset_at(1e300) is None and reset_at(float("nan")) is None


def _judge(
    folder: Path,
    coder: str,
    code: int | None,
    *said: CoderEvent,
    stderr: str = "",
    last: str = "stderr",
) -> Judgement:
    tally = Tally()
    for event in said:
        tally.take(event)
    out, err = folder / "stdout", folder / "stderr"
    out.write_text("x")
    err.write_text(stderr)
    os.utime(out if last == "stderr" else err, (1, 1))
    signal = 15 if code is None else None
    ended = Exit(code, signal, _NOW.timestamp())
    return judge(coder, FinishedRun(exit=ended, tally=tally, stdout=out, stderr=err))


_DONE = CoderEvent(said=CoderEventKind.ENDED, final=True)


@pytest.mark.parametrize(
    ("coder", "code", "failure"),
    [
        ("gemini", 41, Failure.AUTH),
        ("gemini", 42, Failure.NO_SESSION),
        ("gemini", 55, Failure.MISCONFIGURED),
        ("gemini", 145, Failure.AUTH),  # 401
        ("gemini", 147, Failure.AUTH),  # 403
        ("gemini", 148, Failure.MISCONFIGURED),  # 404
        ("gemini", 173, Failure.LIMITED),  # 429
        ("gemini", 244, Failure.OVERLOADED),  # 500
        ("gemini", 143, Failure.CRASHED),  # TERM
        ("claude", 145, Failure.CRASHED),  # which means nothing there
        ("claude", 41, Failure.CRASHED),
    ],
)
def test_an_exit_status_means_what_it_does_to_that_coder(
    tmp_path: Path, coder: str, code: int, failure: Failure
) -> None:
    """gemini ends with the HTTP status modulo 256, where it says nothing else."""
    assert _judge(tmp_path, coder, code).failure is failure


def test_an_exit_status_of_0_is_no_end(tmp_path: Path) -> None:
    """It has to say that it is done; and what it denied itself explains that it does not."""
    assert _judge(tmp_path, "claude", 0, _DONE).failure is None
    assert _judge(tmp_path, "claude", 0).failure is Failure.CRASHED
    denied = CoderEvent(said=CoderEventKind.TOOL_END, denied=("write",))
    judged = _judge(tmp_path, "opencode", 0, denied)
    assert judged.failure is Failure.DENIED and "write" in judged.reason


def test_an_exit_status_other_than_0_is_not_believed_of_opencode_alone(tmp_path: Path) -> None:
    """It keeps in mind an error that it got over; of others it is a bad end."""
    wrong = CoderEvent(said=CoderEventKind.ERROR, failure=Failure.CONTEXT_FULL, text="too long")
    going_on = CoderEvent(said=CoderEventKind.TEXT, text="fine")
    assert _judge(tmp_path, "opencode", 1, wrong, going_on, _DONE).failure is None
    assert _judge(tmp_path, "opencode", 1, wrong).failure is Failure.CONTEXT_FULL
    assert _judge(tmp_path, "opencode", 1, _DONE).failure is Failure.CRASHED
    assert _judge(tmp_path, "codex", 1, wrong, going_on, _DONE).failure is Failure.CRASHED


def test_standard_error_explains_a_bad_end(tmp_path: Path) -> None:
    """Its last line of trouble, not the frames of a stack behind it."""
    told = "noise\nError: Session not found\n    at run (file:1)\n    at main (file:2)\n{\n}\n"
    judged = _judge(tmp_path, "opencode", 1, stderr=told)
    assert judged.failure is Failure.NO_SESSION and judged.reason == "Error: Session not found"
    judged = _judge(tmp_path, "codex", 1, stderr="Error: it broke\n")
    assert judged.failure is Failure.CRASHED and judged.reason == "Error: it broke"


def test_standard_error_explains_an_end_from_outside_only_if_it_came_last(tmp_path: Path) -> None:
    """A limit that was got over an hour before is not why it was ended now."""
    told = "Attempt 3 failed with status 429. Retrying with backoff... _ApiError\n"
    assert _judge(tmp_path, "gemini", None, stderr=told).failure is Failure.LIMITED
    old = _judge(tmp_path, "gemini", None, stderr=told, last="stdout")
    assert old.failure is Failure.CRASHED and "signal 15" in old.reason
    wrong = "error: unknown option\n"  # and what is no waiting explains no such end at all
    assert _judge(tmp_path, "gemini", None, stderr=wrong).failure is Failure.CRASHED
    silent = 'level=ERROR message="stream error" error.error="AI_APICallError: Rate limit"\n'
    judged = _judge(tmp_path, "opencode", None, stderr=silent)
    assert judged.failure is Failure.LIMITED and judged.reason == "AI_APICallError: Rate limit"


def test_a_limit_is_told_with_its_end(tmp_path: Path) -> None:
    """From the event, else from the words, counted from when the run ended."""
    until = _NOW + timedelta(hours=3)
    event = CoderEvent(
        said=CoderEventKind.LIMIT, failure=Failure.LIMITED, until=until, text="rejected"
    )
    assert _judge(tmp_path, "claude", 1, event).until == until
    words = CoderEvent(said=CoderEventKind.ERROR, failure=Failure.LIMITED, text="try again in 5m0s")
    assert _judge(tmp_path, "claude", 1, words).until == _NOW + timedelta(minutes=5)
    auth = CoderEvent(said=CoderEventKind.ERROR, failure=Failure.AUTH, text="try again in 5m0s")
    assert _judge(tmp_path, "claude", 1, auth).until is None


def test_a_tool_that_had_not_come_back_is_named(tmp_path: Path) -> None:
    """With a good end and with a bad one."""
    tool = CoderEvent(said=CoderEventKind.TOOL_START, tool="Bash", call="1")
    assert "Bash was still running" in _judge(tmp_path, "claude", 0, tool, _DONE).reason
    assert "Bash was still running" in _judge(tmp_path, "claude", None, tool).reason


def test_files_that_are_gone_are_no_evidence(tmp_path: Path) -> None:
    """A run whose folder was swept is judged by the rest."""
    ended = Exit(1, None, _NOW.timestamp())
    missing = tmp_path / "missing"
    evidence = FinishedRun(exit=ended, tally=Tally(), stdout=missing, stderr=missing)
    assert judge("codex", evidence).reason == "exit status 1"


def test_a_reason_is_cut_between_words(tmp_path: Path) -> None:
    """Half a secret would be masked by nobody."""
    secret = "k" * 60
    event = CoderEvent(
        said=CoderEventKind.ERROR, failure=Failure.AUTH, text=f"{'word ' * 58}{secret} end"
    )
    reason = _judge(tmp_path, "codex", 1, event).reason
    assert len(reason) <= 302 and reason.endswith("word …") and "k" not in reason
    event = CoderEvent(said=CoderEventKind.ERROR, failure=Failure.AUTH, text="k" * 5000)
    assert _judge(tmp_path, "codex", 1, event).reason == "…"
