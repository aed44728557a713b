"""Google Antigravity's `agy`. Written from its documentation; untested.

- From 1.1.15 on its prompt comes on standard input, as an event; `-p` would be one argument.
- It ends a run after five minutes unless told otherwise.
- Without a person it denies tools that need a permission, and still reports success.
- It reads MCP servers only from a file in the user's home, so it gets none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gitfleet.coders import jsonl
from gitfleet.coders.base import (
    Account,
    Cannot,
    Coder,
    CoderEvent,
    CoderEventKind,
    Job,
    Launch,
    LoginFile,
    Reader,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, count, dig, inner, name, text
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens

_HOURS: Final = 24  # the runner's own limits are shorter
_SPEECH: Final = frozenset({"agent_response", "planner_response"})
_SILENT: Final = frozenset({"user_input", "system_message", "checkpoint", ""})
_DENIED: Final = ("permission", "denied", "not allowed", "rejected")


def launch(job: Job) -> Launch:
    """It works unattended only with `permission: bypass`."""
    if job.permission is not Permission.BYPASS:
        raise Cannot(
            "agy denies its tools without a person; allow them with"
            " coders.agy.permission: bypass in"
            " fleet.yaml and permissions: {agy: bypass} in this machine's config.yaml"
        )
    argv = [job.settings.program or "agy", "--input-format", "stream-json"]
    argv += ["--output-format", "stream-json", "--dangerously-skip-permissions"]
    argv += ["--print-timeout", f"{_HOURS}h"]
    if job.model:
        argv += ["--model", job.model]
    if job.session:
        argv += ["--conversation", job.session]
    env = {"AGY_CLI_DISABLE_AUTO_UPDATE": "T", **job.settings.env}
    return Launch(argv=(*argv, *extra(job)), env=env, stdin=_spoken(job))


def _spoken(job: Job) -> Path:
    """The prompt as the single event of its input."""
    words = [{"type": "text", "text": job.prompt.read_text()}]
    event = {"event": "user", "message": {"role": "user", "content": words}}
    path = job.run_dir / "agy-input.jsonl"
    path.write_bytes(msgspec.json.encode(event) + b"\n")
    return path


class _AgyReading:
    """One run's output so far."""

    def __init__(self) -> None:
        self._tools: set[str] = set()

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        match dig(found, "event"):
            case "init":
                model = name(found, "init", "model")
                session = name(found, "conversation_id") or name(found, "init", "conversation_id")
                yield CoderEvent(said=CoderEventKind.STARTED, session=session, model=model)
            case "step_update":
                yield from self._step(inner(found, "step_update"))
            case "result":
                yield self._result(inner(found, "result"))

    def _step(self, step: Object) -> Iterator[CoderEvent]:
        kind, state = name(step, "step_type"), text(step, "state")
        if kind in _SPEECH:
            if words := text(step, "text_delta"):
                yield CoderEvent(said=CoderEventKind.TEXT, text=words)
        elif kind not in _SILENT:
            tool = name(step, "tool_name") or kind
            call = f"{count(step, 'step_index')} {tool}"
            yield from self._tool(step, tool, call, state)

    def _tool(self, step: Object, tool: str, call: str, state: str) -> Iterator[CoderEvent]:
        if call not in self._tools:
            self._tools.add(call)
            began = jsonl.brief(step, "tool_info")
            yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)
        if state in ("DONE", "ERROR"):
            words = text(step, "error") or text(step, "message") or text(step, "text_delta")
            denied: tuple[str, ...] = ()
            if state == "ERROR" and any(word in words.lower() for word in _DENIED):
                denied = (tool,)
            yield CoderEvent(
                said=CoderEventKind.TOOL_END, tool=tool, call=call, text=words, denied=denied
            )

    def _result(self, result: Object) -> CoderEvent:
        usage = inner(result, "usage")
        read = count(usage, "cache_read_tokens")
        tokens = Tokens(
            input=max(0, count(usage, "input_tokens") - read),
            output=count(usage, "output_tokens"),
            cache_read=read,
        )
        failed = text(result, "status") != "SUCCESS"
        words = text(result, "error") or text(result, "error", "message") if failed else ""
        return CoderEvent(
            said=CoderEventKind.ENDED,
            text=words or text(result, "response"),
            session=name(result, "conversation_id"),
            tokens=tokens if tokens.total else None,
            failure=classify(words or text(result, "response")) if failed else None,
            final=True,
        )


def reader(_job: Job) -> Reader:
    """A new reader for a run's output."""
    return _AgyReading().read


CODER: Final = Coder(
    "agy",
    program="agy",
    launch=launch,
    reader=reader,
    judge=judge_of("agy"),
    account=Account(
        install="see https://antigravity.google/download",
        login="run `agy` and sign in",
        files=(LoginFile("~/.gemini/antigravity-cli", "antigravity-oauth-token"),),
    ),
    unfenced=True,
    resumes=True,
)
