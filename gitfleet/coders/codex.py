"""Codex: `codex exec --json`.

- `error` events, and items of that type, are warnings and retries: `turn.failed` is final.
- Usage covers the whole thread, also a resumed one, so earlier usage is subtracted. The current
  context and the limits are only in its own session file (`gauge`).
- Its sandbox excludes the git folder of a linked worktree, and an MCP server gets no environment
  except the variables listed by name.
- With CODEX_HOME below the temporary folder no command in its sandbox works.
"""

from __future__ import annotations

import contextlib
import os
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
    Tally,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.coders.jsonl import Object, count, dig, flat, inner, name, number, objects, text
from gitfleet.coders.reset_time import reset_at
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_PROVIDER: Final = "gitfleet"
_MCP_SECONDS: Final = 120  # until its MCP server must be there
_TAIL: Final = 1 << 18  # bytes of its own file to search for the last count


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input; all settings are arguments."""
    argv = [job.settings.program or "codex", "exec"]
    if job.session:
        argv.append("resume")
    argv.append("--json")
    argv += _permission(job)
    if job.model:
        argv += _set("model", job.model)
    env: dict[str, str] = {}
    if job.settings.base_url:
        argv += _provider(job)
    if job.mcp is not None:
        argv += _mcp(job.mcp)
        env.update(job.mcp.env)
    argv += extra(job)
    if job.session:
        argv.append(job.session)
    return Launch(argv=(*argv, "-"), env={**env, **job.settings.env}, stdin=job.prompt)


def _set(key: str, value: object) -> list[str]:
    """A setting: JSON's strings, numbers and lists are valid TOML, too."""
    return ["-c", f"{key}={msgspec.json.encode(value).decode()}"]


def _permission(job: Job) -> list[str]:
    if job.permission is Permission.BYPASS:
        return ["--dangerously-bypass-approvals-and-sandbox"]
    roots = [str(path) for path in (*_git_folders(job.workspace), job.run_dir)]
    return [
        *_set("sandbox_mode", "workspace-write"),
        *_set("approval_policy", "never"),
        *_set("sandbox_workspace_write.writable_roots", roots),
    ]


def _git_folders(workspace: Path) -> Iterator[Path]:
    """Where a linked worktree commits to: its own git folder, and that of its repository."""
    link = workspace / ".git"
    if not link.is_file():
        return
    own = Path(link.read_text().strip().removeprefix("gitdir: "))
    yield own
    common = own / "commondir"
    if common.is_file():
        yield (own / common.read_text().strip()).resolve()


def _provider(job: Job) -> list[str]:
    provider: dict[str, object] = {
        "name": _PROVIDER,
        "base_url": job.settings.base_url or "",
        "wire_api": "responses",
    }
    if "OPENAI_API_KEY" in {**os.environ, **job.settings.env}:
        provider["env_key"] = "OPENAI_API_KEY"
    words = _set("model_provider", _PROVIDER)
    for key, value in provider.items():
        words += _set(f"model_providers.{_PROVIDER}.{key}", value)
    if job.settings.window:
        words += _set("model_context_window", job.settings.window)
    return words


def _mcp(mcp: Mcp) -> list[str]:
    """The server's variables are named here and given to codex: anyone can read arguments."""
    server = f"mcp_servers.{mcp.name}"
    return [
        *_set(f"{server}.command", mcp.argv[0]),
        *_set(f"{server}.args", list(mcp.argv[1:])),
        *_set(f"{server}.env_vars", list(mcp.env)),
        *_set(f"{server}.required", True),  # else it starts without a slow server
        *_set(f"{server}.startup_timeout_sec", _MCP_SECONDS),
        *_set(f"{server}.tool_timeout_sec", mcp.timeout),
        *_set(f"{server}.default_tools_approval_mode", "approve"),
    ]


class _CodexReading:
    """One run's output so far."""

    def __init__(self, job: Job) -> None:
        self._used = job.used if job.session else Tokens()

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        match dig(found, "type"):
            case "thread.started":
                yield CoderEvent(said=CoderEventKind.STARTED, session=name(found, "thread_id"))
            case "item.started" | "item.completed" | "item.updated":
                over = dig(found, "type") == "item.completed"
                yield from _item(inner(found, "item"), begun=dig(found, "type"), over=over)
            case "error":
                words = text(found, "message")
                yield CoderEvent(said=CoderEventKind.RETRYING, text=words, failure=_why(words))
            case "turn.failed":
                words = text(found, "error", "message")
                failure = classify(words)
                yield CoderEvent(said=CoderEventKind.ENDED, text=words, failure=failure, final=True)
            case "turn.completed":
                tokens = jsonl.less(_tokens(inner(found, "usage")), self._used)
                yield CoderEvent(said=CoderEventKind.ENDED, tokens=tokens, final=True)


def _why(words: str) -> Failure:
    failure = classify(words)
    return Failure.OVERLOADED if failure is Failure.CRASHED else failure


def _item(item: Object, *, begun: object, over: bool) -> Iterator[CoderEvent]:
    kind, call = name(item, "type"), name(item, "id")
    if kind in ("agent_message", "reasoning"):
        said = CoderEventKind.TEXT if kind == "agent_message" else CoderEventKind.THINKING
        if over:
            yield CoderEvent(said=said, text=text(item, "text"))
    elif kind == "error":
        yield CoderEvent(said=CoderEventKind.ERROR, text=text(item, "message"))  # a warning
    elif kind in _TOOLS:
        tool = _TOOLS[kind]
        if kind == "mcp_tool_call":
            tool = f"{name(item, 'server')}.{name(item, 'tool')}"
        if begun == "item.started":
            yield CoderEvent(
                said=CoderEventKind.TOOL_START, tool=tool, call=call, text=_brief(item)
            )
        elif over:
            yield CoderEvent(
                said=CoderEventKind.TOOL_END, tool=tool, call=call, text=_outcome(item)
            )


_TOOLS: Final = {
    "command_execution": "shell",
    "file_change": "edit",
    "mcp_tool_call": "mcp",
    "web_search": "search",
}


def _brief(item: Object) -> str:
    changed = ", ".join(name(change, "path") for change in objects(item, "changes"))
    ran = jsonl.brief(item, "command") or jsonl.brief(item, "query")
    return changed[:300] or ran or jsonl.brief(item, "arguments")


def _outcome(item: Object) -> str:
    failed = text(item, "error", "message")
    return failed or text(item, "aggregated_output") or flat(item, "result", "content")


def _tokens(usage: Object) -> Tokens:
    """Its input includes cache reads and writes."""
    read, write = count(usage, "cached_input_tokens"), count(usage, "cache_write_input_tokens")
    return Tokens(
        input=max(0, count(usage, "input_tokens") - read - write),
        output=count(usage, "output_tokens"),
        cache_read=read,
        cache_write=write,
    )


def gauge(job: Job, tally: Tally) -> Iterator[CoderEvent]:
    """The context now, its window and the limits, from codex's own file of the session."""
    home = job.settings.env.get("CODEX_HOME") or os.environ.get("CODEX_HOME")
    folder = Path(home) if home else Path.home() / ".codex"
    session = tally.session
    if not session or not session.replace("-", "").isalnum():
        return
    with contextlib.suppress(LookupError):
        path = jsonl.newest(folder, f"sessions/*/*/*/rollout-*-{session}.jsonl")
        for line in reversed(jsonl.tail(path, _TAIL)):
            found = jsonl.parse(line)
            if dig(found, "payload", "type") == "token_count":
                yield from _gauged(inner(found, "payload"))
                return


def _gauged(payload: Object) -> Iterator[CoderEvent]:
    context = count(payload, "info", "last_token_usage", "total_tokens")
    if context:
        window = count(payload, "info", "model_context_window") or None
        yield CoderEvent(said=CoderEventKind.USAGE, context=context, window=window)
    primary = inner(payload, "rate_limits", "primary")
    used = number(primary, "used_percent")
    if used is not None:
        until = reset_at(number(primary, "resets_at"))
        yield CoderEvent(said=CoderEventKind.LIMIT, text=f"{used:.0f}% used", until=until)


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _CodexReading(job).read


CODER: Final = Coder(
    "codex",
    program="codex",
    launch=launch,
    reader=reader,
    judge=judge_of("codex"),
    account=Account(
        install="npm install -g @openai/codex",
        login="run `codex login`, or set CODEX_API_KEY",
        files=(LoginFile("~/.codex", "auth.json", "CODEX_HOME"),),
        keys=("CODEX_API_KEY",),
    ),
    resumes=True,
    mcp=True,
    versions=("0.169.0",),
    gauge=gauge,
)
