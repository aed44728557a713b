"""Qwen Code: its events have claude's format.

- To 0.15 it exits with 0, "success" and no `is_error` although its key was refused: its text then
  starts with "[API Error:".
- A reply's usage is on its last block; its input includes the cache. The totals of a resumed
  session cover the whole session.
- Without a person it denies what is not allowed by name, so the shell and our own server are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from gitfleet.coders import jsonl, message_blocks
from gitfleet.coders.base import (
    LONGEST_ARGUMENT,
    Account,
    Cannot,
    Coder,
    CoderEvent,
    CoderEventKind,
    Job,
    Launch,
    LoginFile,
    Mcp,
    Reader,
    any_key,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, dig, flat, inner, name, text
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_ERROR: Final = "[API Error:"
_WINDOW: Final = 262_144


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input."""
    argv = [job.settings.program or "qwen", "--output-format", "stream-json"]
    if job.permission is Permission.BYPASS:
        argv += ["--approval-mode", "yolo"]
    else:
        argv += ["--approval-mode", "auto-edit", "--allowed-tools", "run_shell_command"]
        if job.mcp is not None:
            argv += ["--allowed-tools", f"mcp__{job.mcp.name}"]
    if job.model:
        argv += ["--model", job.model]
    env: dict[str, str] = {}
    if job.settings.base_url:
        argv += ["--auth-type", "openai"]
        env["OPENAI_BASE_URL"] = job.settings.base_url
        env |= any_key(job, "OPENAI_API_KEY")
    if job.mcp is not None:
        argv += ["--mcp-config", _mcp(job.mcp)]
        env |= job.mcp.env
    if job.session:
        argv += ["--resume", job.session]
    env |= job.settings.env
    return Launch(argv=(*argv, *extra(job)), env=env, stdin=job.prompt)


def _mcp(mcp: Mcp) -> str:
    """It gets our environment through qwen's own: anyone can read arguments."""
    server = {
        "command": mcp.argv[0],
        "args": list(mcp.argv[1:]),
        "trust": True,
        "timeout": mcp.timeout * 1000,
    }
    told = msgspec.json.encode({"mcpServers": {mcp.name: server}}).decode()
    if len(told) > LONGEST_ARGUMENT:
        raise Cannot("the command of the MCP server is too long for an argument")
    return told


class _QwenReading:
    """One run's output so far."""

    def __init__(self, job: Job) -> None:
        self._used = job.used if job.session else Tokens()
        self._seen = Tokens()
        self._window = job.settings.window

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        match dig(found, "type"):
            case "system" if dig(found, "subtype") == "init":
                session, model = name(found, "session_id"), name(found, "model")
                size = self._window or window(model)
                yield CoderEvent(
                    said=CoderEventKind.STARTED, session=session, model=model, window=size
                )
            case "assistant":
                yield from self._assistant(found)
            case "user":
                yield from message_blocks.ended(found)
            case "result":
                yield self._result(found)

    def _assistant(self, found: Object) -> Iterator[CoderEvent]:
        words = flat(found, "message", "content")
        if words.startswith(_ERROR):
            yield CoderEvent(said=CoderEventKind.ERROR, text=words, failure=_why(words))
            return
        yield from message_blocks.text_and_tools(found)
        usage = _tokens(inner(found, "message", "usage"))
        if usage.total:
            self._seen = jsonl.plus(self._seen, usage)
            yield CoderEvent(said=CoderEventKind.USAGE, tokens=self._seen, context=usage.total)

    def _result(self, found: Object) -> CoderEvent:
        told = _tokens(inner(found, "usage"))
        tokens, _ = jsonl.of_this_run(told, self._used, self._seen)
        words = text(found, "result")
        failed = dig(found, "is_error") is True or words.startswith(_ERROR)
        words = message_blocks.complaint(found) if failed else words
        return CoderEvent(
            said=CoderEventKind.ENDED,
            text=words,
            session=name(found, "session_id"),
            tokens=max(tokens, self._seen, key=lambda one: one.total),
            denied=message_blocks.denied(found),
            failure=_why(words, text(found, "subtype")) if failed else None,
            final=True,
        )


def _why(words: str, kind: str = "") -> Failure:
    """The error; its message starts with the HTTP status: "[API Error: 401 bad key]"."""
    first = words.removeprefix(_ERROR).split()[:1]
    status = int(first[0]) if first and first[0].isascii() and first[0].isdigit() else 0
    return classify(words, status if status < 600 else 0, kind)


def _tokens(usage: Object) -> Tokens:
    told = message_blocks.tokens(usage)
    own = max(0, told.input - told.cache_read)
    return Tokens(input=own, output=told.output, cache_read=told.cache_read)


def window(model: str) -> int | None:
    """By the model's name."""
    return _WINDOW if model.startswith(("qwen3", "coder-model")) else None


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _QwenReading(job).read


CODER: Final = Coder(
    "qwen",
    program="qwen",
    launch=launch,
    reader=reader,
    judge=judge_of("qwen"),
    account=Account(
        install="npm install -g @qwen-code/qwen-code",
        login="run `qwen` and type `/auth`, or set OPENAI_API_KEY",
        files=(LoginFile("~/.qwen", "oauth_creds.json"), LoginFile("~/.qwen", ".env")),
        keys=("OPENAI_API_KEY",),
    ),
    resumes=True,
    mcp=True,
    versions=("0.15.10", "0.24.4"),
    window=window,
)
