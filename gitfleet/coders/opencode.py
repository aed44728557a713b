"""opencode: `opencode run --format json`.

- It reports a tool when that has ended, and a step when it is over; the last step's reason is its
  only end.
- It is silent while it retries; its log on standard error is not, so that is switched on.
- A tool that its rules leave to a person is refused without one, and it stops at once, with 0. So
  no rule asks: access outside the project is denied, and it continues without.
- It finds a session only from the folder where it was made; from another one it hangs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gitfleet.coders import jsonl
from gitfleet.coders.base import (
    Account,
    Coder,
    CoderEvent,
    CoderEventKind,
    Job,
    Launch,
    LoginFile,
    Reader,
    any_key,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, count, dig, inner, name, number, text
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_CONFIG: Final = "OPENCODE_CONFIG_CONTENT"
_PROVIDER: Final = "gitfleet"
_WINDOW: Final = 128_000  # of an unknown model
_OUTPUT: Final = 8192


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input; all settings are in one variable."""
    argv = [job.settings.program or "opencode", "run", "--format", "json"]
    argv += ["--print-logs", "--log-level", "ERROR"]
    if job.permission is Permission.BYPASS:
        argv.append("--auto")
    if job.model:
        argv += ["-m", f"{_PROVIDER}/{job.model}" if job.settings.base_url else job.model]
    if job.session:
        argv += ["--session", job.session]
    env = {"OPENCODE_DISABLE_AUTOUPDATE": "1", **job.settings.env}
    if job.settings.base_url:
        env.setdefault("OPENCODE_DISABLE_MODELS_FETCH", "1")
        env |= any_key(job, "OPENAI_API_KEY")
    env[_CONFIG] = msgspec.json.encode(_config(job)).decode()
    return Launch(argv=(*argv, *extra(job)), env=env, stdin=job.prompt)


def _config(job: Job) -> dict[str, Any]:
    settings = jsonl.parse(job.settings.env.get(_CONFIG) or "{}") or {}
    machines = jsonl.parse(os.environ.get(_CONFIG) or "{}") or {}
    own: dict[str, Any] = {"autoupdate": False, "share": "disabled"}
    if job.permission is Permission.LEAST:
        own["permission"] = _least(job)
    if job.settings.base_url:
        own |= _provider(job)
    if job.mcp is not None:
        set_to = count(settings, "experimental", "mcp_timeout")
        milliseconds = set_to or job.mcp.timeout * 1000
        server = {
            "type": "local",
            "command": list(job.mcp.argv),
            "environment": dict(job.mcp.env),
            "timeout": milliseconds,
        }
        own["mcp"] = {job.mcp.name: server}
        own["experimental"] = {"mcp_timeout": milliseconds}
    return _merged(_merged(machines, settings), own)


def _least(job: Job) -> dict[str, Any]:
    """The project and the run's own folders; the last matching rule counts."""
    folders = (tempfile.gettempdir(), str(job.run_dir))
    outside = {"*": "deny", **{f"{folder}/*": "allow" for folder in folders}}
    return {"edit": "allow", "bash": "allow", "webfetch": "allow", "external_directory": outside}


def _provider(job: Job) -> dict[str, Any]:
    """One provider with OpenAI's protocol; it reads its key from the environment."""
    limit = {"context": job.settings.window or _WINDOW, "output": _OUTPUT}
    model = job.model or "default"
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": _PROVIDER,
        "options": {"baseURL": job.settings.base_url, "apiKey": "{env:OPENAI_API_KEY}"},
        "models": {model: {"name": model, "limit": limit}},
    }
    whole = f"{_PROVIDER}/{model}"
    return {"provider": {_PROVIDER: provider}, "model": whole, "small_model": whole}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both together; the other wins."""
    both = dict(one)
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(both.get(key), Mapping):
            both[key] = _merged(both[key], value)
        else:
            both[key] = value
    return both


class _OpencodeReading:
    """One run's output so far."""

    def __init__(self, job: Job) -> None:
        self._session = ""
        self._tokens, self._usd = Tokens(), 0.0
        self._window = job.settings.window or (_WINDOW if job.settings.base_url else None)

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        session = name(found, "sessionID")
        if session and session != self._session:
            self._session = session
            yield CoderEvent(said=CoderEventKind.STARTED, session=session, window=self._window)
        part = inner(found, "part")
        match dig(found, "type"):
            case "text":
                yield CoderEvent(said=CoderEventKind.TEXT, text=text(part, "text"))
            case "reasoning":
                yield CoderEvent(said=CoderEventKind.THINKING, text=text(part, "text"))
            case "tool_use":
                yield from _tool(part)
            case "step_finish":
                yield self._step(part)
            case "error":
                yield _error(inner(found, "error"))

    def _step(self, part: Object) -> CoderEvent:
        used = Tokens(
            input=count(part, "tokens", "input"),
            output=count(part, "tokens", "output") + count(part, "tokens", "reasoning"),
            cache_read=count(part, "tokens", "cache", "read"),
            cache_write=count(part, "tokens", "cache", "write"),
        )
        self._tokens = jsonl.plus(self._tokens, used)
        self._usd += number(part, "cost") or 0.0
        reason = text(part, "reason")
        over = reason != "tool-calls"
        words, failure = _CUT.get(reason, ("", None))
        return CoderEvent(
            said=CoderEventKind.ENDED if over else CoderEventKind.USAGE,
            text=words,
            tokens=self._tokens,
            context=used.total or None,
            usd=self._usd or None,  # 0 for a model without a price
            failure=failure,
            final=over,
        )


_CUT: Final[Mapping[str, tuple[str, Failure | None]]] = {
    "length": ("its reply was cut off at the maximum length", Failure.CRASHED),
    "content-filter": ("the model's filter stopped it", Failure.REFUSED),
}
_DENIED: Final = ("rejected permission", "rule which prevents you", "unavailable tool")


def _tool(part: Object) -> Iterator[CoderEvent]:
    tool, call = name(part, "tool"), name(part, "callID")
    state = inner(part, "state")
    began = text(state, "title") or jsonl.brief(state, "input")
    yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)
    wrong = text(state, "input", "error") if tool == "invalid" else text(state, "error")
    told = wrong or text(state, "output")
    denied: tuple[str, ...] = ()
    if any(words in wrong for words in _DENIED):
        denied = (name(state, "input", "tool") or tool,)
    yield CoderEvent(said=CoderEventKind.TOOL_END, tool=tool, call=call, text=told, denied=denied)


def _error(error: Object) -> CoderEvent:
    kind, words = name(error, "name"), text(error, "data", "message")
    failure = classify(words, count(error, "data", "statusCode"), kind)
    return CoderEvent(said=CoderEventKind.ERROR, text=words or kind, failure=failure)


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _OpencodeReading(job).read


CODER: Final = Coder(
    "opencode",
    program="opencode",
    launch=launch,
    reader=reader,
    judge=judge_of("opencode"),
    account=Account(
        install="npm install -g opencode-ai",
        login="run `opencode auth login`, or set a key such as OPENAI_API_KEY",
        files=(LoginFile("~/.local/share", "opencode/auth.json", "XDG_DATA_HOME"),),
        keys=(
            "OPENCODE_API_KEY",
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "GEMINI_API_KEY",
            "OPENROUTER_API_KEY",
        ),
    ),
    resumes=True,
    mcp=True,
    versions=("1.18.33",),
)
