"""What a coder is to gitfleet: how it is started, what its output tells, how its end is judged.

A coder is a module with a few names, gathered in a `Coder`. It starts nothing itself and keeps no
state: `launch` says what to run, `read` turns a line of output into events, `judge` looks at the
evidence when the process has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from gitfleet.model.config import CoderSettings
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome, Role
from gitfleet.process.start import Exit


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


class Launch(Struct, frozen=True, kw_only=True):
    """How to start it."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    stdin: Path | None = None


class Cannot(Exception):
    """This job cannot be started as the task or the settings stand: `misconfigured`."""


class Said(StrEnum):
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

    said: Said
    text: str = ""
    tool: str = ""
    session: str = ""
    tokens: Tokens | None = None  # of the whole attempt so far
    context: int | None = None  # tokens in the context now
    usd: float | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """What there is to judge an attempt by once its process has ended."""

    exit: Exit
    stdout: Path
    stderr: Path


class Judgement(Struct, frozen=True, kw_only=True):
    """What the evidence says. `outcome` None: it ended well, so look at what it did."""

    outcome: Outcome | None = None
    reason: str = ""


class Coder(NamedTuple):
    """One coder, as its module describes it."""

    name: str
    fresh: bool  # every attempt begins on a clean tip, not where the last one stopped
    launch: Callable[[Job], Launch]  # raises Cannot
    read: Callable[[str], Iterator[CoderEvent]]  # one line of standard output
    judge: Callable[[Evidence], Judgement]


def read_text(line: str) -> Iterator[CoderEvent]:
    """Output without structure: each line is something said."""
    if line.strip():
        yield CoderEvent(said=Said.TEXT, text=line)


def judge_exit(evidence: Evidence) -> Judgement:
    """By the exit status alone: all there is for a program that speaks no protocol."""
    ended = evidence.exit
    if ended.signal is not None:
        return Judgement(outcome=Outcome.FAILED, reason=f"it was ended by signal {ended.signal}")
    if ended.code:
        return Judgement(outcome=Outcome.FAILED, reason=f"exit status {ended.code}")
    return Judgement()
