"""Cursor's `cursor-agent`. Written from its documentation; untested.

- When it fails it exits with an error status and a message on standard error, without a `result`.
- Without `--force` it only proposes changes, so it needs `permission: bypass`.
- It reads MCP servers only from the project or the user's home, so it gets none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

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
    Reader,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, dig, inner, name, text
from gitfleet.model.config import Permission


def launch(job: Job) -> Launch:
    """Its prompt is an argument; its key comes from CURSOR_API_KEY or its own login."""
    if job.permission is not Permission.BYPASS:
        raise Cannot(
            "cursor-agent changes nothing without --force; allow it with coders.cursor-agent."
            "permission: bypass in fleet.yaml and permissions: {cursor-agent: bypass} in this"
            " machine's config.yaml"
        )
    prompt = job.prompt.read_text()
    if len(prompt.encode()) > LONGEST_ARGUMENT:
        raise Cannot(
            "the prompt is too long for an argument, and cursor-agent accepts nothing else"
        )
    argv = [job.settings.program or "cursor-agent", "-p", "--output-format", "stream-json"]
    argv.append("--force")
    if job.model:
        argv += ["--model", job.model]
    if job.session:
        argv += ["--resume", job.session]
    return Launch(argv=(*argv, *extra(job), prompt), env=job.settings.env)


def read(line: str) -> Iterator[CoderEvent]:
    """The events in one line."""
    found = jsonl.parse(line)
    if found is None:
        return
    match dig(found, "type"):
        case "system" if dig(found, "subtype") == "init":
            session, model = name(found, "session_id"), name(found, "model")
            yield CoderEvent(said=CoderEventKind.STARTED, session=session, model=model)
        case "assistant":
            yield from message_blocks.text_and_tools(found)
        case "thinking":
            yield CoderEvent(said=CoderEventKind.THINKING, text=text(found, "text"))
        case "tool_call":
            yield from _tool(found)
        case "result":
            failed = dig(found, "is_error") is True or dig(found, "subtype") != "success"
            words = message_blocks.complaint(found)
            yield CoderEvent(
                said=CoderEventKind.ENDED,
                text=words,
                session=name(found, "session_id"),
                failure=classify(words) if failed else None,
                final=True,
            )


def _tool(found: Object) -> Iterator[CoderEvent]:
    """`tool_call` holds one object, named after the tool: `shellToolCall: {args, result}`."""
    call, calls = name(found, "call_id"), inner(found, "tool_call")
    kind = next((str(key)[:100] for key in calls if isinstance(calls[key], dict)), "")
    tool = name(calls, kind, "name") or kind.removesuffix("ToolCall")
    if dig(found, "subtype") == "started":
        began = jsonl.brief(calls, kind, "args")
        yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)
    elif dig(found, "subtype") == "completed":
        result = inner(calls, kind, "result")
        denied = (tool,) if "rejected" in result or "permissionDenied" in result else ()
        told = text(result, "success", "content") or text(result, "error", "message")
        yield CoderEvent(
            said=CoderEventKind.TOOL_END, tool=tool, call=call, text=told, denied=denied
        )


def reader(_job: Job) -> Reader:
    """Its lines need no memory."""
    return read


CODER: Final = Coder(
    "cursor-agent",
    program="cursor-agent",
    launch=launch,
    reader=reader,
    judge=judge_of("cursor-agent"),
    account=Account(
        install="see https://cursor.com/cli",
        login="run `cursor-agent login`, or set CURSOR_API_KEY",
        files=(LoginFile("~/.config", "cursor/auth.json", "XDG_CONFIG_HOME"),),
        keys=("CURSOR_API_KEY", "CURSOR_AUTH_TOKEN"),
    ),
    unfenced=True,
    resumes=True,
)
