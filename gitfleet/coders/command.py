"""A coder without code: any program, described in fleet.yaml under `coders`.

    coders:
      mine: {argv: [mycli, --json, --prompt-file, "{prompt_file}"]}

`{prompt_file}`, `{prompt}`, `{model}`, `{workspace}` and `{task}` are replaced inside a word. No
shell reads the words. Where none of them names the prompt, it comes on standard input.

With `events: json` it tells in gitfleet's own words what it does, one event a line:

    {"said": "tool_start", "tool": "build", "call": "1"}
    {"said": "usage", "tokens": {"input": 1200, "output": 30}, "context": 1230, "window": 32000}
    {"said": "error", "failure": "limited", "until": "2026-12-01T09:00:00Z", "text": "Come later."}
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gitfleet.coders import jsonl
from gitfleet.coders.base import (
    LONGEST_ARGUMENT,
    Cannot,
    Coder,
    CoderEvent,
    CoderEventKind,
    Job,
    Launch,
    Reader,
    read_text,
)
from gitfleet.coders.classify import judge_told
from gitfleet.model.config import EventsAs, PromptBy
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_PLACE: Final = re.compile(r"\{(prompt_file|prompt|model|workspace|task)\}")


def launch(job: Job) -> Launch:
    """The described command with its placeholders filled in."""
    if not job.settings.argv:
        raise Cannot("it has no argv in fleet.yaml")
    prompt = job.prompt.read_text()
    values = {
        "prompt_file": str(job.prompt),
        "prompt": prompt,
        "model": job.model,
        "workspace": str(job.workspace),
        "task": job.task,
    }
    argv = [_PLACE.sub(lambda found: values[found[1]], word) for word in job.settings.argv]
    by = job.settings.prompt
    if by is None:
        told = any("{prompt" in word for word in job.settings.argv)
        by = PromptBy.FILE if told else PromptBy.STDIN
    elif by is PromptBy.ARGUMENT and not any("{prompt}" in word for word in job.settings.argv):
        argv.append(prompt)
    if any(len(word.encode()) > LONGEST_ARGUMENT for word in argv):
        raise Cannot("the prompt is too long for an argument; use {prompt_file}, or prompt: stdin")
    stdin = job.prompt if by is PromptBy.STDIN else None
    return Launch(argv=tuple(argv), env=job.settings.env, stdin=stdin)


def reader(job: Job) -> Reader:
    """A reader for the format that the settings name."""
    if job.settings.events is EventsAs.JSON:
        return _read_events
    return read_text if job.settings.events is EventsAs.TEXT else _read_nothing


def _read_nothing(_line: str) -> Iterator[CoderEvent]:
    return iter(())


def _read_events(line: str) -> Iterator[CoderEvent]:
    """The event in a line; any other line is text."""
    found = jsonl.parse(line)
    try:
        said = CoderEventKind(jsonl.name(found, "said"))
    except ValueError:
        yield from read_text(line)
        return
    yield CoderEvent(
        said=said,
        text=jsonl.text(found, "text"),
        tool=jsonl.name(found, "tool"),
        call=jsonl.name(found, "call"),
        session=jsonl.name(found, "session"),
        model=jsonl.name(found, "model"),
        tokens=_tokens(jsonl.inner(found, "tokens")),
        context=jsonl.count(found, "context") or None,
        window=jsonl.count(found, "window") or None,
        usd=jsonl.number(found, "usd"),
        failure=_failure(jsonl.name(found, "failure")),
        final=jsonl.dig(found, "final") is True,
        until=_moment(jsonl.name(found, "until")),
        denied=tuple(filter(None, [jsonl.name(found, "denied")])),
    )


def _tokens(told: jsonl.Object) -> Tokens | None:
    counts = {field: jsonl.count(told, field) for field in Tokens.__struct_fields__}
    return Tokens(**counts) if any(counts.values()) else None


def _failure(name: str) -> Failure | None:
    return Failure(name) if name in frozenset(Failure) else None


def _moment(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def named(name: str, events: EventsAs = EventsAs.TEXT) -> Coder:
    """The described coder of that name."""
    speaks = events is EventsAs.JSON
    return Coder(name, program="", launch=launch, reader=reader, judge=judge_told, speaks=speaks)


CODER: Final = named("command")
