"""A coder that somebody adds: its module. The other two files are the registry and its test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gitfleet.coders import jsonl
from gitfleet.coders.base import Coder, CoderEvent, CoderEventKind, Job, Launch, Reader, extra
from gitfleet.coders.classify import classify, judge_of


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input."""
    argv = (job.settings.program or "eighth", "--json", *extra(job))
    return Launch(argv=argv, env=job.settings.env, stdin=job.prompt)


def read(line: str) -> Iterator[CoderEvent]:
    """The events in one line."""
    found = jsonl.parse(line)
    words = jsonl.text(found, "words")
    match jsonl.dig(found, "what"):
        case "hello":
            yield CoderEvent(said=CoderEventKind.STARTED, session=jsonl.name(found, "id"))
        case "speech":
            yield CoderEvent(said=CoderEventKind.TEXT, text=words)
        case "bye":
            wrong = jsonl.dig(found, "ok") is not True
            failure = classify(words) if wrong else None
            yield CoderEvent(said=CoderEventKind.ENDED, text=words, failure=failure, final=True)


def reader(_job: Job) -> Reader:
    """Its lines need no memory."""
    return read


CODER: Final = Coder(
    "eighth", program="eighth", launch=launch, reader=reader, judge=judge_of("eighth")
)
