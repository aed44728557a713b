"""The four ways in which model servers are spoken to: what a request offers, how an answer looks.

As much of each as the pinned command line agents ask for. Pure: a request's body goes in, the body
or the events of the answer come out.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

Json = dict[str, Any]
Offered = Mapping[str, Json]  # a tool's name -> the JSON Schema of its arguments
SseEvent = tuple[str, Any]  # its name ("": none) and its data


class ToolCall(NamedTuple):
    """A call as the client's own tools want it."""

    name: str
    arguments: Json


@dataclass(frozen=True)
class Reply:
    """What the model says in one turn. `spent` is tokens read and written."""

    model: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    spent: tuple[int, int] = (1, 1)
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:20])


class Dialect(NamedTuple):
    """One API. `path` is searched in the path of a request."""

    name: str
    path: re.Pattern[str]
    offered: Callable[[Json], Offered]
    whole: Callable[[Reply], Json]
    events: Callable[[Reply], Iterator[SseEvent]]
    refusal: Callable[[int, str], Json]


_KINDS: Final = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    403: ("permission_error", "PERMISSION_DENIED"),
    404: ("not_found_error", "NOT_FOUND"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    503: ("overloaded_error", "UNAVAILABLE"),
    529: ("overloaded_error", "UNAVAILABLE"),
}


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


# -- Anthropic Messages: claude


def _anthropic_offered(body: Json) -> Offered:
    return {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or ()}


def _anthropic_blocks(reply: Reply) -> list[Json]:
    said = [{"type": "text", "text": reply.text}] if reply.text else []
    return said + [
        {
            "type": "tool_use",
            "id": f"toolu_{reply.id}{n}",
            "name": call.name,
            "input": call.arguments,
        }
        for n, call in enumerate(reply.calls)
    ]


def _anthropic_whole(reply: Reply) -> Json:
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": _anthropic_blocks(reply),
        "stop_reason": "tool_use" if reply.calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": reply.spent[0],
            "output_tokens": reply.spent[1],
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def _anthropic_events(reply: Reply) -> Iterator[SseEvent]:
    whole = _anthropic_whole(reply)
    start = {**whole, "content": [], "stop_reason": None}

    def event(kind: str, **more: Any) -> SseEvent:
        return kind, {"type": kind, **more}

    yield event("message_start", message=start)
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, deltas = (
                {**block, "text": ""},
                [{"type": "text_delta", "text": word} for word in _words(block["text"])],
            )
        else:
            empty, deltas = (
                {**block, "input": {}},
                [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}],
            )
        yield event("content_block_start", index=index, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=stop, usage=whole["usage"])
    yield event("message_stop")


def _anthropic_refusal(status: int, message: str) -> Json:
    return {"type": "error", "error": {"type": _KINDS[status][0], "message": message}}


# -- OpenAI chat completions: opencode, aider


def _chat_offered(body: Json) -> Offered:
    found = [tool["function"] for tool in body.get("tools") or ()]
    return {function["name"]: function.get("parameters", {}) for function in found}


def _chat_calls(reply: Reply) -> list[Json]:
    return [
        {
            "id": f"call_{reply.id}{n}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for n, call in enumerate(reply.calls)
    ]


def _chat_head(reply: Reply) -> Json:
    return {"id": f"chatcmpl-{reply.id}", "created": 0, "model": reply.model}


def _chat_usage(reply: Reply) -> Json:
    read, written = reply.spent
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _chat_whole(reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = _chat_calls(reply)
    finish = "tool_calls" if reply.calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = _chat_usage(reply)
    return {**_chat_head(reply), "object": "chat.completion", "choices": [choice], "usage": usage}


def _chat_events(reply: Reply) -> Iterator[SseEvent]:
    head = {**_chat_head(reply), "object": "chat.completion.chunk"}

    def chunk(delta: Json, finish: str | None = None) -> SseEvent:
        return "", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for word in _words(reply.text):
        yield chunk({"content": word})
    for index, call in enumerate(_chat_calls(reply)):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, "tool_calls" if reply.calls else "stop")
    yield "", {**head, "choices": [], "usage": _chat_usage(reply)}
    yield "", "[DONE]"


def _openai_refusal(status: int, message: str) -> Json:
    kind = _KINDS[status][0]
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


# -- OpenAI Responses: codex


def _responses_offered(body: Json) -> Offered:
    found: dict[str, Json] = {}
    for tool in body.get("tools") or ():
        if tool.get("type") == "namespace":  # codex puts the tools of an MCP server into one
            for inner in tool["tools"]:
                found[f"{tool['name']}::{inner['name']}"] = inner.get("parameters", {})
        elif "name" in tool:
            found[tool["name"]] = tool.get("parameters", {})
    return found


def _responses_items(reply: Reply) -> list[Json]:
    items: list[Json] = []
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        items.append(
            {"type": "message", "id": f"msg_{reply.id}", "role": "assistant", "content": [part]}
        )
    for n, call in enumerate(reply.calls):
        space, _, name = call.name.rpartition("::")
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{reply.id}{n}",
                "call_id": f"call_{reply.id}{n}",
                "name": name,
                "arguments": json.dumps(call.arguments),
                **({"namespace": space} if space else {}),
            }
        )
    return [{**item, "status": "completed"} for item in items]


def _responses_whole(reply: Reply) -> Json:
    read, written = reply.spent
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": reply.model,
        "output": _responses_items(reply),
        "error": None,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }


def _responses_events(reply: Reply) -> Iterator[SseEvent]:
    whole = _responses_whole(reply)
    number = itertools.count()

    def event(kind: str, **more: Any) -> SseEvent:
        return kind, {"type": kind, "sequence_number": next(number), **more}

    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    for index, item in enumerate(whole["output"]):
        where = {"output_index": index, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=index, item=_begun(item))
        if item["type"] == "message":
            for word in _words(reply.text):
                yield event("response.output_text.delta", **where, content_index=0, delta=word)
        else:
            yield event("response.function_call_arguments.delta", **where, delta=item["arguments"])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=whole)


def _begun(item: Json) -> Json:
    empty: Json = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**item, **empty, "status": "in_progress"}


# -- Gemini: gemini


def _gemini_offered(body: Json) -> Offered:
    return {
        function["name"]: function.get("parametersJsonSchema") or function.get("parameters", {})
        for tool in body.get("tools") or ()
        for function in tool.get("functionDeclarations", ())
    }


def _gemini_part(reply: Reply, parts: list[Json], *, end: bool = False) -> Json:
    read, written = reply.spent
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": parts}}
    answer: Json = {"candidates": [candidate], "modelVersion": reply.model, "responseId": reply.id}
    if end:
        candidate["finishReason"] = "STOP"
        counts = {"promptTokenCount": read, "candidatesTokenCount": written}
        answer["usageMetadata"] = {**counts, "totalTokenCount": read + written}
    return answer


def _gemini_calls(reply: Reply) -> list[Json]:
    return [
        {"functionCall": {"name": call.name, "args": call.arguments, "id": f"fc{reply.id}{n}"}}
        for n, call in enumerate(reply.calls)
    ]


def _gemini_whole(reply: Reply) -> Json:
    said: list[Json] = [{"text": reply.text}] if reply.text else []
    return _gemini_part(reply, said + _gemini_calls(reply), end=True)


def _gemini_events(reply: Reply) -> Iterator[SseEvent]:
    for word in _words(reply.text):
        yield "", _gemini_part(reply, [{"text": word}])
    if reply.calls:
        yield "", _gemini_part(reply, _gemini_calls(reply))
    yield "", _gemini_part(reply, [{"text": ""}], end=True)


def _gemini_refusal(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": _KINDS[status][1]}}


DIALECTS: Final = (
    Dialect(
        "anthropic",
        re.compile(r"/v1/messages$"),
        _anthropic_offered,
        _anthropic_whole,
        _anthropic_events,
        _anthropic_refusal,
    ),
    Dialect(
        "chat",
        re.compile(r"/chat/completions$"),
        _chat_offered,
        _chat_whole,
        _chat_events,
        _openai_refusal,
    ),
    Dialect(
        "responses",
        re.compile(r"/responses$"),
        _responses_offered,
        _responses_whole,
        _responses_events,
        _openai_refusal,
    ),
    Dialect(
        "gemini",
        re.compile(r":(?:stream)?generateContent$", re.IGNORECASE),
        _gemini_offered,
        _gemini_whole,
        _gemini_events,
        _gemini_refusal,
    ),
)
