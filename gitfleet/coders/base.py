"""The interface of a coder: how it starts, what its output means, why its run failed.

A coder is a module with a few names, gathered in a `Coder`. It starts nothing itself: `launch` says
what to run, `reader` returns a function that turns the lines of one run's output into events,
`judge` says why a run failed, if it did. A reader depends on the lines alone, so that reading them
again gives the same events.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import Struct

from gitfleet.execution.base import Exit
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import Moment
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure, Role
from gitfleet.plugins import no_options

# Linux refuses an argument of 128 KiB with an obscure message.
LONGEST_ARGUMENT: Final = 120_000
LONGEST_TEXT: Final = 20_000  # characters of one event; the raw output has them all


class Mcp(Struct, frozen=True, kw_only=True):
    """The MCP server that a coder offers its model."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}  # complete, with the run's marker: some coders pass on nothing else
    name: str = "gitfleet"
    timeout: int = 86_400  # seconds that one of its tools may take


class Job(Struct, frozen=True, kw_only=True):
    """What a coder should do."""

    task: str
    title: str
    body: str  # the task's Markdown
    role: Role
    model: str
    prompt: Path  # a file with the whole prompt
    workspace: Path
    run_dir: Path
    settings: CoderSettings
    session: str = ""  # the coder's own session to resume; empty: a fresh one
    used: Tokens = Tokens()  # what that session had used before this run
    used_usd: float = 0.0
    mcp: Mcp | None = None
    permission: Permission = Permission.LEAST


class Launch(Struct, frozen=True, kw_only=True):
    """How to start it."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    stdin: Path | None = None


class Cannot(Exception):
    """This job cannot start with the task or settings as they are: `misconfigured`."""


class NoSession(Cannot):
    """The session to resume does not exist here: `no-session`. A fresh one can start."""


# Options that allow one of them everything, in its own words.
_BYPASSES: Final = re.compile(
    r"dangerous|bypass|yolo|full-access|full-auto|allow-all|skip-permissions|^(?:-y|--force|--auto)$"
)


def extra(job: Job) -> tuple[str, ...]:
    """The arguments that the settings add. Raises Cannot if they would bypass the permission."""
    for word in job.settings.args:
        if job.permission is not Permission.BYPASS and _BYPASSES.search(word):
            raise Cannot(
                f"its args contain {word!r}; that needs permission: bypass in fleet.yaml, and in"
                " permissions of this machine's config.yaml"
            )
    return job.settings.args


def any_key(job: Job, *names: str) -> dict[str, str]:
    """A dummy API key, only if none is set: the CLI insists on one, a local model does not."""
    given = {**os.environ, **job.settings.env}
    return {} if any(name in given for name in names) else {names[0]: "none"}


class CoderEventKind(StrEnum):
    """The kinds of events, one vocabulary for all coders."""

    STARTED = "started"
    TEXT = "text"
    THINKING = "thinking"
    TOOL_START = "tool_start"
    TOOL_END = "tool_end"
    USAGE = "usage"
    RETRYING = "retrying"
    LIMIT = "limit"
    ERROR = "error"
    ENDED = "ended"


class CoderEvent(Struct, frozen=True, kw_only=True):
    """One event of a coder's run."""

    said: CoderEventKind
    text: str = ""
    tool: str = ""
    call: str = ""  # pairs a tool_start with its tool_end
    session: str = ""
    model: str = ""
    tokens: Tokens | None = None  # of this run so far
    context: int | None = None  # tokens in the context now
    window: int | None = None  # tokens that fit into it
    usd: float | None = None  # of this run so far
    failure: Failure | None = None
    final: bool = False  # the coder says that this ends its run
    until: Moment | None = None  # when a limit resets
    denied: tuple[str, ...] = ()  # tools it may not use


class Tool(Struct, frozen=True):
    """A running tool."""

    name: str
    since: float


_NONE: Final = Tokens()


@dataclass
class Tally:
    """The totals of one run's events. `take` them in order."""

    events: int = 0
    session: str = ""
    model: str = ""
    tokens: Tokens = _NONE
    context: int | None = None
    window: int | None = None
    usd: float | None = None
    tool_calls: int = 0
    tools: dict[str, Tool] = field(default_factory=dict)  # the running ones, by call
    denied: tuple[str, ...] = ()
    said: str = ""  # its last text
    error: str = ""  # the last error, in the coder's words
    failure: Failure | None = None  # the last failure, unless it continued after it
    retrying: bool = False  # it is retrying now
    until: Moment | None = None
    final: bool = False  # it reported the end of its run
    seen: frozenset[Failure] = frozenset()  # every failure so far

    def take(self, event: CoderEvent, at: float = 0.0) -> None:
        """Add the next event; `at` is when it was read, by any clock."""
        self.events += 1
        self.session = event.session or self.session
        self.model = event.model or self.model
        self._count(event)
        self._follow(event, at)
        self._fail(event)

    def _count(self, event: CoderEvent) -> None:
        if event.tokens is not None:
            self.tokens = event.tokens
        if event.context is not None:
            self.context = event.context
        if event.window is not None:
            self.window = event.window
        if event.usd is not None:
            self.usd = event.usd
        self.denied = tuple(dict.fromkeys((*self.denied, *event.denied)))

    def _follow(self, event: CoderEvent, at: float) -> None:
        if event.said is CoderEventKind.TOOL_START:
            self.tool_calls += 1
            self.tools[event.call or f"#{self.tool_calls}"] = Tool(event.tool, at)
        elif event.said is CoderEventKind.TOOL_END:
            self.tools.pop(event.call or next(reversed(self.tools), ""), None)
        elif event.said is CoderEventKind.TEXT and event.text.strip():
            self.said = event.text

    def _fail(self, event: CoderEvent) -> None:
        self.retrying = event.said is CoderEventKind.RETRYING or (
            self.retrying and event.said in (CoderEventKind.USAGE, CoderEventKind.LIMIT)
        )
        if event.failure is not None:
            self.seen |= {event.failure}
            self.failure, self.until = event.failure, event.until or self.until
            self.error = event.text or self.error
        elif event.said in _WORKING or event.final:
            self.failure = None
        self.final = event.final or (self.final and event.said in _AFTERWORDS)


# Kinds that show that an error was overcome, and kinds that may follow the last text.
_WORKING: Final = frozenset(
    {
        CoderEventKind.TEXT,
        CoderEventKind.THINKING,
        CoderEventKind.TOOL_START,
        CoderEventKind.TOOL_END,
    }
)
_AFTERWORDS: Final = frozenset(
    {CoderEventKind.USAGE, CoderEventKind.LIMIT, CoderEventKind.TOOL_END}
)


class FinishedRun(Struct, frozen=True, kw_only=True):
    """The evidence for `judge` once the process has ended."""

    exit: Exit
    tally: Tally
    stdout: Path
    stderr: Path


class Judgement(Struct, frozen=True, kw_only=True):
    """Why a coder's run failed, by its own words and its exit. `failure` None: it succeeded."""

    failure: Failure | None = None
    reason: str = ""
    until: Moment | None = None
    denied: tuple[str, ...] = ()  # tools it was denied, also if it succeeded


class LoginFile(NamedTuple):
    """A file that a login leaves behind, in the folder that `variable` names, else in `folder`."""

    folder: str  # from the user's home on: ~/.claude
    name: str
    variable: str = ""


class Account(Struct, frozen=True, kw_only=True):
    """How to install a coder and log in, and the signs of a login.

    A sign is an existing file or variable. Its content is never read, so it may have expired; a
    coder that keeps its login in the desktop's keyring leaves no sign.
    """

    install: str  # a command, or where to find one
    login: str  # what to do, with commands in backquotes
    files: tuple[LoginFile, ...] = ()
    keys: tuple[str, ...] = ()  # environment variables


Reader = Callable[[str], Iterator[CoderEvent]]
"""Turns one line of output into events. It may remember; it never raises."""

VERSION: Final = re.compile(r"\d+(?:\.\d+){1,3}(?:[-+][\w.+-]*\w)?")


class Coder(NamedTuple):
    """One coder, as its module describes it."""

    name: str
    program: str  # found on PATH; empty: each job names its own
    launch: Callable[[Job], Launch]  # raises Cannot
    reader: Callable[[Job], Reader]  # a new one for each run
    judge: Callable[[FinishedRun], Judgement]
    speaks: bool = True  # it reports events; else each line is text
    fresh: bool = False  # every attempt starts on a clean tip, not where the last one stopped
    resumes: bool = False  # it can resume a session
    mcp: bool = False  # it accepts an MCP server
    account: Account | None = None  # None: it needs no login
    unfenced: bool = False  # it works only with `permission: bypass`
    versions: tuple[str, ...] = ()  # versions known to work as the module says
    version_argv: tuple[str, ...] = ("--version",)  # after the program
    version_re: re.Pattern[str] = VERSION  # searched in its output
    window: Callable[[str], int | None] = lambda _model: None  # by model, if no event reports it
    # Facts outside of its output, read now and then: events that change no other event's meaning.
    gauge: Callable[[Job, Tally], Iterator[CoderEvent]] = lambda _job, _tally: iter(())
    # The problem with `options` of its settings; empty if there is none.
    options: Callable[[Mapping[str, Any]], str] = no_options


def launch_of(coder: Coder, job: Job) -> Launch:
    """How to start it. Raises Cannot, also for wrong options in fleet.yaml."""
    if wrong := coder.options(job.settings.options):
        raise Cannot(f"coders.{coder.name}.options in fleet.yaml: {wrong}")
    return coder.launch(job)


def read_text(line: str) -> Iterator[CoderEvent]:
    """Plain-text output: each line is text."""
    if line.strip():
        yield CoderEvent(said=CoderEventKind.TEXT, text=line[:LONGEST_TEXT])


def text_reader(_job: Job) -> Reader:
    """For a program without an event protocol."""
    return read_text


def judge_exit(run: FinishedRun) -> Judgement:
    """By the exit status alone, for a program without an event protocol."""
    ended = run.exit
    if ended.signal is not None:
        return _crashed(f"it was ended by signal {ended.signal}")
    if ended.code:
        return _crashed(f"exit status {ended.code}")
    return Judgement()


def _crashed(reason: str) -> Judgement:
    return Judgement(failure=Failure.CRASHED, reason=reason)
