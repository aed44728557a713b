"""Claude Code: `claude -p`, its events as stream-json.

- `subtype` is "success" even with `is_error` true, so only the latter counts.
- The last message's usage is the current context; its output tokens are those at its start, so
  totals come from the end. Versions differ in whether the totals include the resumed session.
- `--resume` knows a session only in the folder where it was made, and forgets the model's `[1m]`.
- As root, bypassing permissions needs IS_SANDBOX=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gitfleet.coders import jsonl, message_blocks
from gitfleet.coders.base import (
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
from gitfleet.coders.jsonl import Object, count, dig, flat, inner, name, number, text
from gitfleet.coders.reset_time import reset_at
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_TOOLS: Final = "Bash,Edit,Write,NotebookEdit,WebFetch,WebSearch"
_MCP_SECONDS: Final = 120  # for our MCP server to start and list its tools
_BASH_SECONDS: Final = 3600  # the longest for one command; its own default is ten minutes
_MCP_CONNECT_SECONDS: Final = 60  # for the connection to it
_SMALL: Final = ("claude-3", "claude-haiku-4", "claude-sonnet-", "claude-opus-4")


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input; the MCP server is in a file of the run."""
    argv = [job.settings.program or "claude", "-p", "--output-format", "stream-json", "--verbose"]
    argv += _permission(job)
    if job.model:
        argv += ["--model", job.model]
    if job.mcp is not None:
        argv += ["--mcp-config", str(_mcp_file(job.run_dir, job.mcp)), "--strict-mcp-config"]
    if job.session:
        argv += ["--resume", job.session]
    return Launch(argv=(*argv, *extra(job)), env=_env(job), stdin=job.prompt)


def _permission(job: Job) -> list[str]:
    if job.permission is Permission.BYPASS:
        sandbox = job.settings.env.get("IS_SANDBOX") or os.environ.get("IS_SANDBOX")
        if os.geteuid() == 0 and sandbox != "1":
            raise Cannot(
                "claude refuses permission: bypass as root; set IS_SANDBOX: '1'"
                " in coders.claude.env if this machine is a sandbox, or remove permission: bypass"
            )
        return ["--permission-mode", "bypassPermissions"]
    tools = f"{_TOOLS},mcp__{job.mcp.name}" if job.mcp else _TOOLS
    return ["--permission-mode", "acceptEdits", "--allowedTools", tools]


def _mcp_file(folder: Path, mcp: Mcp) -> Path:
    server = {"command": mcp.argv[0], "args": list(mcp.argv[1:]), "env": dict(mcp.env)}
    path = folder / "mcp.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode({"mcpServers": {mcp.name: server}}))
    return path


def _env(job: Job) -> dict[str, str]:
    env = {
        "DISABLE_AUTOUPDATER": "1",
        "BASH_MAX_TIMEOUT_MS": str(_BASH_SECONDS * 1000),
        "ENABLE_TOOL_SEARCH": "false",  # a newer version would hide the MCP server's tools
    }
    if job.mcp is not None:
        env["MCP_TOOL_TIMEOUT"] = str(job.mcp.timeout * 1000)
        # By default it starts without a server that does not answer within five seconds, which
        # a busy machine may not manage.
        env["MCP_CONNECTION_NONBLOCKING"] = "0"
        env["MCP_TIMEOUT"] = str(_MCP_SECONDS * 1000)
        env["MCP_CONNECT_TIMEOUT_MS"] = str(_MCP_CONNECT_SECONDS * 1000)
    if job.settings.base_url:
        env["ANTHROPIC_BASE_URL"] = job.settings.base_url
        env |= any_key(job, "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")
        if job.model:  # the one model behind it does the small things, too
            env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = job.model
    return {**env, **job.settings.env}


class _ClaudeReading:
    """One run's output so far."""

    def __init__(self, job: Job) -> None:
        self._resumed, self._used, self._used_usd = bool(job.session), job.used, job.used_usd
        self._model = job.model
        self._window = self._told = job.settings.window  # it does not know a local model's
        self._messages: dict[str, Tokens] = {}  # usage of each; every block repeats it
        self._seen = Tokens()  # all of them together
        self._wrong = ("", Failure.CRASHED)  # the last error; the end repeats it with less detail

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        match dig(found, "type"):
            case "system":
                yield from self._system(found)
            case "assistant":
                yield from self._assistant(found)
            case "user":
                yield from message_blocks.ended(found)
            case "rate_limit_event":
                yield _limit(inner(found, "rate_limit_info"))
            case "result":
                yield self._result(found)

    def _system(self, found: Object) -> Iterator[CoderEvent]:
        kind = text(found, "subtype")
        if kind == "init":
            self._model = name(found, "model") or self._model
            self._window = self._told or window(self._model)
            session, model = name(found, "session_id"), self._model
            yield CoderEvent(
                said=CoderEventKind.STARTED, session=session, model=model, window=self._window
            )
        elif kind == "api_retry":
            status, error = count(found, "error_status"), text(found, "error")
            attempt, most = count(found, "attempt"), count(found, "max_retries")
            what = f"{error} {status or ''}".strip()
            failure = classify(what, status, error)
            if failure is Failure.CRASHED:
                failure = Failure.OVERLOADED
            yield CoderEvent(
                said=CoderEventKind.RETRYING,
                text=f"{what}: try {attempt} of {most}",
                failure=failure,
            )

    def _assistant(self, found: Object) -> Iterator[CoderEvent]:
        message = inner(found, "message")
        if name(message, "model") == "<synthetic>":  # an error, worded for a person
            words = flat(message, "content")
            failure = classify(words, 0, text(found, "error"), text(message, "stop_reason"))
            self._wrong = (words, failure)
            yield CoderEvent(said=CoderEventKind.ERROR, text=words, failure=failure)
            return
        own = not name(found, "parent_tool_use_id")  # not of a subagent
        yield from message_blocks.text_and_tools(found)
        usage = message_blocks.tokens(inner(message, "usage"))
        if usage.total:
            self._note(name(message, "id"), usage)
            yield CoderEvent(
                said=CoderEventKind.USAGE,
                tokens=self._seen,
                context=usage.total if own else None,
            )

    def _note(self, message: str, usage: Tokens) -> None:
        before = self._messages.get(message, Tokens()) if message else Tokens()
        self._messages[message] = usage
        self._seen = jsonl.plus(jsonl.less(self._seen, before), usage)

    def _result(self, found: Object) -> CoderEvent:
        tokens, over = self._totals(found)
        usd = number(found, "total_cost_usd")
        if usd is not None and over:
            usd = max(0.0, usd - self._used_usd)
        failed = dig(found, "is_error") is True
        words = message_blocks.complaint(found) if failed else ""
        return CoderEvent(
            said=CoderEventKind.ENDED,
            text=words or text(found, "result"),
            session=name(found, "session_id"),
            tokens=tokens,
            usd=usd,
            window=self._window_of(found),
            denied=message_blocks.denied(found),
            failure=self._failure(found, words) if failed else None,
            final=True,
        )

    def _failure(self, found: Object, words: str) -> Failure:
        if words and words == self._wrong[0]:
            return self._wrong[1]
        kinds = (text(found, key) for key in ("terminal_reason", "subtype", "stop_reason"))
        return classify(words, count(found, "api_error_status"), *kinds)

    def _totals(self, found: Object) -> tuple[Tokens | None, bool]:
        last = message_blocks.tokens(inner(found, "usage"))
        seen = max(self._seen, last, key=lambda tokens: tokens.total)
        told = Tokens()
        for used in _values(inner(found, "modelUsage")):
            told = jsonl.plus(told, _model_tokens(used))
        if told.total < seen.total:  # it reports none, or less than its own messages did
            return (seen, False) if seen.total else (None, False)
        return jsonl.of_this_run(told, self._used if self._resumed else Tokens(), seen)

    def _window_of(self, found: Object) -> int | None:
        used = inner(found, "modelUsage")
        own = inner(used, self._model) or max(
            _values(used), key=lambda model: count(model, "inputTokens"), default=used
        )
        return self._told or count(own, "contextWindow") or self._window


def _values(found: Object) -> list[Object]:
    return [value for value in found.values() if isinstance(value, dict)]


def _model_tokens(used: Object) -> Tokens:
    return Tokens(
        input=count(used, "inputTokens"),
        output=count(used, "outputTokens"),
        cache_read=count(used, "cacheReadInputTokens"),
        cache_write=count(used, "cacheCreationInputTokens"),
    )


def _limit(info: Object) -> CoderEvent:
    """The use of a subscription; a limit only if it says that it rejects."""
    used = number(info, "utilization")
    told = f" {used:.0%} used" if used is not None and used < 100 else ""
    rejected = text(info, "status") == "rejected"
    return CoderEvent(
        said=CoderEventKind.LIMIT,
        text=f"{name(info, 'rateLimitType')} limit: {name(info, 'status')}{told}",
        failure=Failure.LIMITED if rejected else None,
        until=reset_at(number(info, "resetsAt")),
    )


def window(model: str) -> int | None:
    """By the model's name, until its first result reports it; too small a guess would do harm."""
    if model.endswith("[1m]") or model.startswith("claude-opus-5"):
        return 1_000_000
    return 200_000 if model.startswith(_SMALL) else None


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _ClaudeReading(job).read


CODER: Final = Coder(
    "claude",
    program="claude",
    launch=launch,
    reader=reader,
    judge=judge_of("claude"),
    account=Account(
        install="npm install -g @anthropic-ai/claude-code",
        login="run `claude` and type `/login`, or set ANTHROPIC_API_KEY",
        files=(LoginFile("~/.claude", ".credentials.json", "CLAUDE_CONFIG_DIR"),),
        keys=(
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
        ),
    ),
    resumes=True,
    mcp=True,
    versions=("2.1.197", "2.1.329"),
    window=window,
)
