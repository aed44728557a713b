"""Messages of blocks: the event format that claude introduced and others adopted."""

from __future__ import annotations

from collections.abc import Iterator

from gitfleet.coders.base import CoderEvent, CoderEventKind
from gitfleet.coders.jsonl import Object, brief, count, dig, flat, name, objects, text
from gitfleet.model.event import Tokens


def text_and_tools(found: Object) -> Iterator[CoderEvent]:
    """The texts, thoughts and tool calls in an `assistant` line."""
    for block in objects(found, "message", "content"):
        match dig(block, "type"):
            case "text":
                yield CoderEvent(said=CoderEventKind.TEXT, text=text(block, "text"))
            case "thinking":
                yield CoderEvent(said=CoderEventKind.THINKING, text=text(block, "thinking"))
            case "tool_use":
                tool, call = name(block, "name"), name(block, "id")
                began = brief(block, "input")
                yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)


def ended(found: Object) -> Iterator[CoderEvent]:
    """The tools that return in a `user` line."""
    for block in objects(found, "message", "content"):
        if dig(block, "type") == "tool_result":
            call, told = name(block, "tool_use_id"), flat(block, "content")
            yield CoderEvent(said=CoderEventKind.TOOL_END, call=call, text=told)


def denied(found: Object) -> tuple[str, ...]:
    """The tools that a `result` line lists as denied."""
    names = (name(item, "tool_name") for item in objects(found, "permission_denials"))
    return tuple(dict.fromkeys(filter(None, names)))


def complaint(found: Object) -> str:
    """The error in a `result` line, worded for a person."""
    errors = dig(found, "errors")
    listed = [text(error) for error in errors] if isinstance(errors, list) else []
    words = "; ".join(error for error in listed if not error.startswith("[ede_diagnostic]"))
    told = text(found, "error", "message") or text(found, "result") or words
    return told or text(found, "terminal_reason") or text(found, "subtype")


def tokens(usage: Object) -> Tokens:
    """A `usage` as Anthropic counts: input does not include the cache."""
    return Tokens(
        input=count(usage, "input_tokens"),
        output=count(usage, "output_tokens"),
        cache_read=count(usage, "cache_read_input_tokens"),
        cache_write=count(usage, "cache_creation_input_tokens"),
    )
