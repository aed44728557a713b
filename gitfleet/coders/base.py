"""What a coder is to gitfleet: how it is started, what its output tells, how its end is judged.

A coder is a module with a few names, gathered in a `Coder`. It starts nothing itself: `launch` says
what to run, `reader` gives what turns the lines of one run's output into events, `judge` says why a
run failed, if it did. A reader depends on the lines alone, so that reading them again gives the
same events.
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

from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import Moment
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure, Role
from gitfleet.plugins import no_options
from gitfleet.process.launch import Exit

# Linux refuses an argument of 128 KiB, and says so in words nobody understands.
LONGEST_ARGUMENT: Final = 120_000
LONGEST_TEXT: Final = 20_000  # characters of one event that are kept; the raw output has them all


class Mcp(Struct, frozen=True, kw_only=True):
    """The MCP server that a coder is to offer its model."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}  # all it needs, the run's marker too: some coders pass on no more
    name: str = "gitfleet"
    timeout: int = 86_400  # seconds that one of its tools may take


class Job(Struct, frozen=True, kw_only=True):
    """What a coder is to do."""

    task: str
    title: str
    body: str  # the task's Markdown
    role: Role
    model: str
    prompt: Path  # a file with everything the coder is told
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
    """This job cannot be started as the task or the settings stand: `misconfigured`."""


class NoSession(Cannot):
    """The session to go on with is not here (any more): `no-session`. A fresh one can be begun."""


# What lets one of them do everything, by whichever of its own words.
_BYPASSES: Final = re.compile(
    r"dangerous|bypass|yolo|full-access|full-auto|allow-all|skip-permissions|^(?:-y|--force|--auto)$"
)


def extra(job: Job) -> tuple[str, ...]:
    """The words that the settings add. Raises Cannot where they would get round the permission."""
    for word in job.settings.args:
        if job.permission is not Permission.BYPASS and _BYPASSES.search(word):
            raise Cannot(
                f"its args hold {word!r}; that needs permission: bypass in fleet.yaml, and in"
                " permissions of this machine's config.yaml"
            )
    return job.settings.args


def any_key(job: Job, *names: str) -> dict[str, str]:
    """A key for a model that wants none, where its program does: only if nobody gives one."""
    given = {**os.environ, **job.settings.env}
    return {} if any(name in given for name in names) else {names[0]: "none"}


class CoderEventKind(StrEnum):
    """What an event of a coder tells: the one vocabulary of them all."""

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
    """One thing a coder said or did."""

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
    final: bool = False  # with this the run is over, as far as the coder says
    until: Moment | None = None  # when a limit resets
    denied: tuple[str, ...] = ()  # tools it may not use


class Tool(Struct, frozen=True):
    """A tool that is at work."""

    name: str
    since: float


_NONE: Final = Tokens()


@dataclass
class Tally:
    """What the events of one run come to. `take` them in order."""

    events: int = 0
    session: str = ""
    model: str = ""
    tokens: Tokens = _NONE
    context: int | None = None
    window: int | None = None
    usd: float | None = None
    tool_calls: int = 0
    tools: dict[str, Tool] = field(default_factory=dict)  # those at work, by their call
    denied: tuple[str, ...] = ()
    said: str = ""  # its last words
    error: str = ""  # the last thing that went wrong, in the coder's words
    failure: Failure | None = None  # what went wrong last, unless it worked on after it
    retrying: bool = False  # it says that it is trying again just now
    until: Moment | None = None
    final: bool = False  # it said that its run is over
    seen: frozenset[Failure] = frozenset()  # all that ever went wrong

    def take(self, event: CoderEvent, at: float = 0.0) -> None:
        """Add the next event; `at` is when it was heard, by whichever clock."""
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


# What shows that an error was overcome, and what may follow the last word.
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
    """What a coder judges its run by once the process has ended."""

    exit: Exit
    tally: Tally
    stdout: Path
    stderr: Path


class Judgement(Struct, frozen=True, kw_only=True):
    """Why a coder's run failed, by its own words and its exit. `failure` None: it ended well."""

    failure: Failure | None = None
    reason: str = ""
    until: Moment | None = None
    denied: tuple[str, ...] = ()  # tools it was not allowed, also if it ended well


class LoginFile(NamedTuple):
    """A file that a login leaves behind, in the folder that `variable` names, else in `folder`."""

    folder: str  # from the user's home on: ~/.claude
    name: str
    variable: str = ""


class Account(Struct, frozen=True, kw_only=True):
    """How to install a coder and log in, and the signs that somebody did.

    A sign is a file or a variable that is there. Its content is never looked at, so it may have
    expired; and where a coder keeps its login in the desktop's keyring there is none.
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
    speaks: bool = True  # it tells what it does; else each line is something said
    fresh: bool = False  # every attempt begins on a clean tip, not where the last one stopped
    resumes: bool = False  # it can go on with a session
    mcp: bool = False  # it can be given an MCP server
    account: Account | None = None  # None: it needs no login
    unfenced: bool = False  # it works only with `permission: bypass`
    versions: tuple[str, ...] = ()  # those known to work as the module says
    version_argv: tuple[str, ...] = ("--version",)  # after the program
    version_re: re.Pattern[str] = VERSION  # found in what that prints
    window: Callable[[str], int | None] = lambda _model: None  # by model, where no event tells
    # What stands outside of its output, asked now and then: events that change no other's meaning.
    gauge: Callable[[Job, Tally], Iterator[CoderEvent]] = lambda _job, _tally: iter(())
    # What is wrong with `options` of its settings; empty if nothing is.
    options: Callable[[Mapping[str, Any]], str] = no_options


def launch_of(coder: Coder, job: Job) -> Launch:
    """How to start it. Raises Cannot, also where its options in fleet.yaml are wrong."""
    if wrong := coder.options(job.settings.options):
        raise Cannot(f"coders.{coder.name}.options in fleet.yaml: {wrong}")
    return coder.launch(job)


def read_text(line: str) -> Iterator[CoderEvent]:
    """Output without structure: each line is something said."""
    if line.strip():
        yield CoderEvent(said=CoderEventKind.TEXT, text=line[:LONGEST_TEXT])


def text_reader(_job: Job) -> Reader:
    """For a program that speaks no protocol."""
    return read_text


def judge_exit(run: FinishedRun) -> Judgement:
    """By the exit status alone: all there is for a program that speaks no protocol."""
    ended = run.exit
    if ended.signal is not None:
        return _crashed(f"it was ended by signal {ended.signal}")
    if ended.code:
        return _crashed(f"exit status {ended.code}")
    return Judgement()


def _crashed(reason: str) -> Judgement:
    return Judgement(failure=Failure.CRASHED, reason=reason)
