"""GitHub Copilot CLI: `copilot -p`, its events as JSON.

- It reports no token totals; the current context is in its tool events.
- `session.error` is final; it retries after `model.call_failure`.
- It reports its session only in its last line, so a fresh one gets an id from us.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

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
    Mcp,
    Reader,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, count, dig, flat, inner, name, number, text
from gitfleet.model.config import Permission
from gitfleet.model.states import Failure


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input; the MCP server is in a file of the run."""
    argv = [job.settings.program or "copilot", "--output-format", "json", "--no-auto-update"]
    if job.permission is Permission.BYPASS:
        argv.append("--allow-all-tools")
    else:
        tools = ["shell", "write", *([job.mcp.name] if job.mcp else [])]
        argv += [word for tool in tools for word in ("--allow-tool", tool)]
    if job.model:
        argv += ["--model", job.model]
    if job.mcp is not None:
        argv += ["--additional-mcp-config", f"@{_mcp_file(job.run_dir, job.mcp)}"]
    argv += ["--resume", job.session] if job.session else ["--session-id", _fresh(job)]
    return Launch(argv=(*argv, *extra(job)), env=_env(job), stdin=job.prompt)


def _fresh(job: Job) -> str:
    """The id of a fresh session: that of its run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"gitfleet:{job.run_dir.name}:{job.task}"))


def _mcp_file(folder: Path, mcp: Mcp) -> Path:
    server = {
        "type": "local",
        "command": mcp.argv[0],
        "args": list(mcp.argv[1:]),
        "env": dict(mcp.env),
        "tools": ["*"],
        "timeout": mcp.timeout * 1000,
    }
    path = folder / "mcp.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode({"mcpServers": {mcp.name: server}}))
    return path


def _env(job: Job) -> dict[str, str]:
    env = {"COPILOT_AUTO_UPDATE": "false"}
    if job.settings.base_url:
        env["COPILOT_PROVIDER_BASE_URL"] = job.settings.base_url
        if job.model:
            env["COPILOT_MODEL"] = job.model
    return {**env, **job.settings.env}


class _CopilotReading:
    """One run's output so far."""

    def __init__(self, session: str, told: int | None) -> None:
        self._session, self._window = session, told
        self._tools: dict[str, str] = {}
        self._wrong: tuple[str, Failure] | None = None

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        data = inner(found, "data")
        match dig(found, "type"):
            case "session.tools_updated":
                model = name(data, "model")
                yield CoderEvent(said=CoderEventKind.STARTED, session=self._session, model=model)
            case "assistant.message":
                if words := text(data, "content"):
                    yield CoderEvent(said=CoderEventKind.TEXT, text=words)
            case "assistant.reasoning":
                yield CoderEvent(said=CoderEventKind.THINKING, text=text(data, "content"))
            case "tool.execution_start":
                tool, call = name(data, "toolName"), name(data, "toolCallId")
                self._tools[call] = tool
                began = jsonl.brief(data, "arguments")
                yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)
            case "tool.execution_complete":
                yield self._ended(data)
            case "model.call_failure":
                yield _failing(data)
            case "session.error":
                yield self._error(data)
            case "result":
                yield self._result(found)

    def _ended(self, data: Object) -> CoderEvent:
        call = name(data, "toolCallId")
        tool = self._tools.pop(call, "")
        denied = (tool,) if tool and text(data, "error", "code") == "denied" else ()
        metrics = inner(data, "toolTelemetry", "metrics")
        return CoderEvent(
            said=CoderEventKind.TOOL_END,
            tool=tool,
            call=call,
            text=text(data, "error", "message") or flat(data, "result", "content"),
            context=count(metrics, "context_current_tokens") or None,
            window=self._window or count(metrics, "context_token_limit") or None,
            denied=denied,
        )

    def _error(self, data: Object) -> CoderEvent:
        words = text(data, "message")
        failure = classify(words, count(data, "statusCode"), text(data, "errorType"))
        self._wrong = (words, failure)
        return CoderEvent(said=CoderEventKind.ERROR, text=words, failure=failure)

    def _result(self, found: Object) -> CoderEvent:
        failed = number(found, "exitCode") != 0
        words, failure = self._wrong or ("", Failure.CRASHED)
        session = name(found, "sessionId")
        return CoderEvent(
            said=CoderEventKind.ENDED,
            text=words if failed else "",
            session=session,
            failure=failure if failed else None,
            final=True,
        )


def _failing(data: Object) -> CoderEvent:
    status, words = count(data, "statusCode"), text(data, "errorMessage")
    failure = classify(words, status)
    if failure is Failure.CRASHED:
        failure = Failure.OVERLOADED
    return CoderEvent(
        said=CoderEventKind.RETRYING, text=f"{status or ''} {words}".strip(), failure=failure
    )


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _CopilotReading(job.session or _fresh(job), job.settings.window).read


CODER: Final = Coder(
    "copilot",
    program="copilot",
    launch=launch,
    reader=reader,
    judge=judge_of("copilot"),
    account=Account(
        install="npm install -g @github/copilot",
        login="run `copilot` and type `/login`, or set COPILOT_GITHUB_TOKEN",
        files=(
            LoginFile("~/.copilot", "config.json", "COPILOT_HOME"),
            LoginFile("~/.config/gh", "hosts.yml", "GH_CONFIG_DIR"),
        ),
        keys=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "COPILOT_PROVIDER_BASE_URL"),
    ),
    resumes=True,
    mcp=True,
    versions=("1.0.102",),
)
