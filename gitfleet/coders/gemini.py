"""Gemini CLI: `gemini -p`, its events as stream-json.

- Its exit status is the HTTP status of the last error modulo 256. A signal in the middle makes it
  exit with 0; only the missing `result` shows it.
- Its totals are sums over requests: the current context is only in its own session file (`gauge`).
- Without a person it has no shell unless a rule of its policy allows it. Ours does, for this run.
- It reads MCP servers only from its home, or from machine settings that root must own. So a run has
  a home of its own, in which everything but the settings is a link to the user's.
- It restarts itself as a child and then ignores TERM, unless told not to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from gitfleet.coders import jsonl
from gitfleet.coders.base import (
    LONGEST_TEXT,
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
from gitfleet.coders.jsonl import Object, count, dig, inner, name, text
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens

_HOME: Final = "GEMINI_CLI_HOME"
_FOLDER: Final = ".gemini"
_KEPT: Final = ("tmp", "history")  # files of earlier runs that later ones need: sessions
_WINDOW: Final = 1_048_576
_SHORT: Final = 8  # characters of a session's id in the name of its file
_TAIL: Final = 1 << 20  # bytes of that file to search for the last count
_DENIED: Final = frozenset({"policy_violation", "tool_not_registered"})
# Edits need no rule in this mode; the shell and our own server's tools do.
_POLICY: Final = """\
[[rule]]
toolName = "run_shell_command"
decision = "allow"
priority = 900
allowRedirection = true

[[rule]]
toolName = "mcp_{server}_*"
decision = "allow"
priority = 900
"""


def launch(job: Job) -> Launch:
    """Its prompt comes on standard input; settings and policy are files of the run."""
    argv = [job.settings.program or "gemini", "--output-format", "stream-json", "--skip-trust"]
    if job.permission is Permission.BYPASS:
        argv += ["--approval-mode", "yolo"]
    else:
        argv += ["--approval-mode", "auto_edit", "--policy", str(_policy(job))]
    if job.model:
        argv += ["-m", job.model]
    if job.session:
        argv += ["--resume", job.session]
    env = {"GEMINI_CLI_NO_RELAUNCH": "true"}
    if job.settings.base_url:
        env["GOOGLE_GEMINI_BASE_URL"] = job.settings.base_url
    env |= job.settings.env
    env[_HOME] = str(_home(job))
    return Launch(argv=(*argv, *extra(job)), env=env, stdin=job.prompt)


def _policy(job: Job) -> Path:
    path = job.run_dir / "gemini-policy.toml"
    path.write_text(_POLICY.format(server=job.mcp.name if job.mcp else "gitfleet"))
    return path


def _home(job: Job) -> Path:
    user = _user(job)
    for name_ in _KEPT:
        (user / name_).mkdir(parents=True, exist_ok=True)
    home = job.run_dir / "gemini-home"
    own = home / _FOLDER
    own.mkdir(parents=True, exist_ok=True)
    for path in user.iterdir():
        link = own / path.name
        if path.name != "settings.json" and path.suffix != ".tmp" and not link.is_symlink():
            link.symlink_to(path)
    settings = own / "settings.json"
    settings.touch(mode=0o600)
    settings.write_bytes(msgspec.json.encode(_settings(job, user / "settings.json")))
    return home


def _user(job: Job) -> Path:
    told = job.settings.env.get(_HOME) or os.environ.get(_HOME)
    return (Path(told) if told else Path.home()) / _FOLDER


def _settings(job: Job, user: Path) -> dict[str, Any]:
    """The user's settings plus our server."""
    settings: dict[str, Any] = {}
    if user.is_file():
        settings = dict(jsonl.parse(user.read_text("utf-8", "replace")) or {})
    if "GEMINI_API_KEY" in {**os.environ, **job.settings.env}:
        # With a base URL it would otherwise assume a gateway, and refuse.
        auth = {"auth": {"selectedType": "gemini-api-key"}}
        if not dig(settings, "security", "auth", "selectedType"):
            settings["security"] = {**inner(settings, "security"), **auth}
    if job.mcp is not None:
        server = _server(job.mcp)
        settings["mcpServers"] = {**inner(settings, "mcpServers"), job.mcp.name: server}
    return settings


def _server(mcp: Mcp) -> dict[str, Any]:
    return {
        "command": mcp.argv[0],
        "args": list(mcp.argv[1:]),
        "env": dict(mcp.env),
        "trust": True,
        "timeout": mcp.timeout * 1000,
    }


class _GeminiReading:
    """One run's output so far."""

    def __init__(self, told: int | None) -> None:
        self._window = told
        self._pieces: list[str] = []  # of its current text, a word at a time
        self._tools: dict[str, str] = {}

    def read(self, line: str) -> Iterator[CoderEvent]:
        found = jsonl.parse(line)
        if found is None:
            return
        kind = dig(found, "type")
        if kind == "message" and dig(found, "role") == "assistant":
            self._pieces.append(text(found, "content"))
            if dig(found, "delta") is not True or len(self._pieces) > 500:
                yield from self._said()
            return
        yield from self._said()
        match kind:
            case "init":
                session, model = name(found, "session_id"), name(found, "model")
                size = self._window or window(model)
                yield CoderEvent(
                    said=CoderEventKind.STARTED, session=session, model=model, window=size
                )
            case "tool_use":
                tool, call = name(found, "tool_name"), name(found, "tool_id")
                self._tools[call] = tool
                began = jsonl.brief(found, "parameters")
                yield CoderEvent(said=CoderEventKind.TOOL_START, tool=tool, call=call, text=began)
            case "tool_result":
                yield self._ended(found)
            case "error":
                words = text(found, "message")
                failure = classify(words) if text(found, "severity") == "error" else None
                yield CoderEvent(said=CoderEventKind.ERROR, text=words, failure=failure)
            case "result":
                yield _result(found)

    def _said(self) -> Iterator[CoderEvent]:
        if self._pieces:
            yield CoderEvent(said=CoderEventKind.TEXT, text="".join(self._pieces)[:LONGEST_TEXT])
            self._pieces = []

    def _ended(self, found: Object) -> CoderEvent:
        call = name(found, "tool_id")
        tool = self._tools.pop(call, "")
        denied = (tool,) if tool and text(found, "error", "type") in _DENIED else ()
        told = text(found, "error", "message") or text(found, "output")
        return CoderEvent(
            said=CoderEventKind.TOOL_END, tool=tool, call=call, text=told, denied=denied
        )


def _result(found: Object) -> CoderEvent:
    stats = inner(found, "stats")
    read, whole = count(stats, "cached"), count(stats, "input_tokens")
    tokens = Tokens(
        input=max(0, whole - read),
        output=max(count(stats, "output_tokens"), count(stats, "total_tokens") - whole),
        cache_read=read,
    )
    failed = text(found, "status") != "success"
    words = text(found, "error", "message") or text(found, "error", "type")
    return CoderEvent(
        said=CoderEventKind.ENDED,
        text=words,
        tokens=tokens if tokens.total else None,
        failure=classify(words) if failed else None,
        final=True,
    )


def window(model: str) -> int | None:
    """All of its models have the same window; other models are unknown."""
    return _WINDOW if model.startswith(("gemini-", "auto")) else None


def gauge(job: Job, tally: Tally) -> Iterator[CoderEvent]:
    """The context now, from gemini's own file of the session."""
    session = tally.session
    if len(session) < _SHORT or not session.replace("-", "").isalnum():
        return
    with contextlib.suppress(LookupError):
        path = jsonl.newest(_user(job), f"tmp/*/chats/session-*-{session[:_SHORT]}.jsonl")
        for line in reversed(jsonl.tail(path, _TAIL)):
            found = jsonl.parse(line)
            if used := count(found, "tokens", "total"):
                yield CoderEvent(said=CoderEventKind.USAGE, context=used)
                return


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _GeminiReading(job.settings.window).read


CODER: Final = Coder(
    "gemini",
    program="gemini",
    launch=launch,
    reader=reader,
    judge=judge_of("gemini"),
    account=Account(
        install="npm install -g @google/gemini-cli",
        login="run `gemini` and choose a login, or set GEMINI_API_KEY",
        files=(
            LoginFile("~", f"{_FOLDER}/oauth_creds.json", _HOME),
            LoginFile("~", f"{_FOLDER}/.env", _HOME),
        ),
        keys=("GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
    ),
    resumes=True,
    mcp=True,
    versions=("0.61.0",),
    window=window,
    gauge=gauge,
)
