"""Whatever a program prints, reading it never raises, and what it comes to is sane.

Any cut, any order, any bytes: a coder that is killed leaves half a line, two that write at once mix
theirs, a model prints what looks like an event.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.coders import registry
from gitfleet.coders.base import CoderEvent, CoderEventKind, FinishedRun, Job, Tally
from gitfleet.coders.jsonl import parse
from gitfleet.coders.stream import Stream
from gitfleet.execution.base import Exit
from gitfleet.model.event import Tokens
from tests.coders.kit import job
from tests.coders.replay import CASES, coder_of, output

_MANY: Final = 1 << 53
_NAMES: Final = sorted(set(registry.MODULES) - {"shell"})
_LINES: Final = {
    name: tuple(
        line
        for coder, case in CASES
        if coder == name
        for line in output(coder, case).splitlines(keepends=True)
    )
    for name in _NAMES
}
_OBJECTS: Final = {
    name: [found for line in lines if (found := parse(line.decode())) and len(line) < 2000]
    for name, lines in _LINES.items()
}
_ALL: Final = tuple(line for lines in _LINES.values() for line in lines)
_KEYS: Final = (
    *("type", "subtype", "event", "item", "message", "content", "part", "error", "usage", "result"),
    *("data", "id", "name", "tokens", "stats", "state", "tool_call", "modelUsage", "step_update"),
    *("input_tokens", "output_tokens", "status", "text", "permission_denials", "is_error"),
)
_VALUES: Final = (
    *("system", "init", "assistant", "user", "result", "tool_use", "tool_result", "success"),
    *("error", "turn.completed", "item.started", "item.completed", "step_finish", "text"),
    *("tool.execution_complete", "session.error", "step_update", "rate_limit_event"),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(_VALUES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=25,
)
made_up = json_values.map(lambda value: json.dumps(value).encode() + b"\n")


def _taken(made: Job, name: str, data: bytes, sizes: list[int]) -> tuple[list[CoderEvent], Tally]:
    stream = Stream(coder_of(name).reader(made))
    events: list[CoderEvent] = []
    start = 0
    for size in [*sizes, len(data)]:
        events += stream.feed(data[start : start + size])
        start += size
    return [*events, *stream.end()], stream.tally


def _sane(events: list[CoderEvent], tally: Tally) -> None:
    for tokens in (tally.tokens, *(event.tokens for event in events if event.tokens)):
        counts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
        assert all(isinstance(count, int) and count >= 0 for count in counts)
    for number in (tally.context, tally.window):
        assert number is None or 0 <= number < 5 * _MANY
    assert tally.usd is None or 0 <= tally.usd < _MANY * len(events)
    assert tally.events == len(events)
    starts = Counter(event.said for event in events)[CoderEventKind.TOOL_START]
    assert tally.tool_calls == starts and len(tally.tools) <= starts
    assert len(tally.session) <= 200 and "\n" not in tally.session
    msgspec.json.encode(events)  # no half characters: all of it can be written down


def _judged(folder: Path, name: str, tally: Tally, code: int | None, words: str) -> None:
    stdout, stderr = folder / "stdout", folder / "stderr"
    stdout.touch()
    stderr.write_text(words, errors="replace")
    ended = Exit(code, None if code is not None else 9, 1.8e9)
    evidence = FinishedRun(exit=ended, tally=tally, stdout=stdout, stderr=stderr)
    judged = coder_of(name).judge(evidence)
    assert judged == coder_of(name).judge(evidence)
    assert judged.failure is None or judged.reason


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("fuzz"), session="s", used=Tokens(10, 10))


@pytest.mark.parametrize("name", _NAMES)
@given(data=st.data())
def test_lines_in_any_order_cut_anywhere(made: Job, name: str, data: Any) -> None:
    """Its own lines and those of others, mixed, doubled and cut, in pieces of any size."""
    own = _LINES[name] or _ALL
    picked = data.draw(
        st.lists(st.sampled_from(own) | st.sampled_from(_ALL) | made_up, max_size=12)
    )
    whole = b"".join(picked)
    whole = whole[data.draw(st.integers(0, 80)) : len(whole) - data.draw(st.integers(0, 80))]
    sizes = data.draw(st.lists(st.integers(0, 4000), max_size=8))
    events, tally = _taken(made, name, whole, sizes)
    assert (events, tally) == _taken(made, name, whole, [])
    _sane(events, tally)
    code = data.draw(st.none() | st.integers(0, 255))
    _judged(made.run_dir, name, tally, code, data.draw(st.text(max_size=200)))


@pytest.mark.parametrize("name", _NAMES)
@given(data=st.data())
def test_any_bytes_at_all(made: Job, name: str, data: Any) -> None:
    """No text, no JSON, no line; or a line of which some bytes were spoilt."""
    line = data.draw(st.binary(max_size=300) | st.sampled_from(_LINES[name] or _ALL))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(line)))
        line = (
            line[:at] + data.draw(st.binary(max_size=3)) + line[at + data.draw(st.integers(0, 3)) :]
        )
    events, tally = _taken(made, name, line, data.draw(st.lists(st.integers(0, 50), max_size=5)))
    assert (events, tally) == _taken(made, name, line, [])
    _sane(events, tally)


@pytest.mark.parametrize("name", _NAMES)
@given(found=json_values, data=st.data())
def test_any_value_where_another_is_meant(made: Job, name: str, found: Any, data: Any) -> None:
    """A number where a text stands, a list where an object does, at every known place."""
    event = data.draw(st.sampled_from(_OBJECTS[name] or _OBJECTS["claude"]))
    for bent in _bent(event, found):
        _sane(*_taken(made, name, json.dumps(bent).encode(), []))


def _bent(event: Any, found: Any) -> Iterator[Any]:
    """The event with one of its values replaced, for each of them, however deep."""
    for key in event if isinstance(event, dict) else ():
        yield {**event, key: found}
        for inner in _bent(event[key], found):
            yield {**event, key: inner}
    for number, item in enumerate(event if isinstance(event, list) else ()):
        for inner in _bent(item, found):
            yield [*event[:number], inner, *event[number + 1 :]]


@pytest.mark.parametrize("name", _NAMES)
def test_lines_that_are_far_too_long_or_deep(made: Job, name: str) -> None:
    """Ten million characters, a hundred thousand brackets, a number of as many digits."""
    long = b"x" * 10_000_000
    for line in (
        long,
        b'{"type": "text", "part": {"text": "' + long + b'"}}',
        b'{"type": "assistant", "message": {"content": [{"type": "text", "text": "'
        + long
        + b'"}]}}',
        b'{"type":' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type": "result", "total_cost_usd": ' + b"9" * 100_000 + b"}",
        b'{"type": "result", "result": "\\ud83d", "total_cost_usd": NaN, "usage": -Infinity}',
    ):
        events, tally = _taken(made, name, line + b"\n", [])
        _sane(events, tally)
        assert all(len(event.text) <= 20_000 for event in events)
