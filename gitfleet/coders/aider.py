"""aider: `aider --message-file`, whose output is text for people.

- It exits with 0 whatever happened: a refused key, a context that is too long, Ctrl-C.
- It wraps its lines at 80 characters, so an error may span two of them.
- It keeps its histories in the run's folder, and makes no map of the repository, whose cache would
  lie in the worktree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gitfleet.coders.base import (
    LONGEST_TEXT,
    Account,
    Coder,
    CoderEvent,
    CoderEventKind,
    Job,
    Launch,
    LoginFile,
    NoSession,
    Reader,
    any_key,
    extra,
)
from gitfleet.coders.classify import classify, judge_of
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure

_FLAGS: Final = (
    *("--yes-always", "--no-show-model-warnings", "--no-check-update", "--no-analytics"),
    *("--no-pretty", "--no-stream", "--no-show-release-notes"),
    *("--no-detect-urls", "--no-gitignore", "--no-suggest-shell-commands", "--map-tokens", "0"),
    *("--no-attribute-author", "--no-attribute-committer"),
)
_SESSION: Final = re.compile(r"[0-9A-Za-z-]{1,100}")
_HISTORY: Final = "aider.chat.history.md"


def launch(job: Job) -> Launch:
    """Its prompt is a file; its session is identified by the folder of the run that started it."""
    argv = [job.settings.program or "aider", "--message-file", str(job.prompt), *_FLAGS]
    if job.model:
        openai = job.settings.base_url and "/" not in job.model
        argv += ["--model", f"openai/{job.model}" if openai else job.model]
    if job.settings.base_url:
        argv += ["--openai-api-base", job.settings.base_url]
    folder = job.run_dir
    if job.session:
        folder = _begun(job)
        argv.append("--restore-chat-history")
    argv += ["--chat-history-file", str(folder / _HISTORY)]
    argv += ["--input-history-file", str(job.run_dir / "aider.input.history")]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    if job.settings.base_url:
        env |= any_key(job, "OPENAI_API_KEY")
    env |= job.settings.env
    return Launch(argv=(*argv, *extra(job)), env=env)


def _begun(job: Job) -> Path:
    folder = job.run_dir.parent / job.session
    if not _SESSION.fullmatch(job.session) or not (folder / _HISTORY).is_file():
        raise NoSession(f"aider's history of {job.session} is not on this machine")
    return folder


_TOKENS: Final = re.compile(r"Tokens: (?P<counts>[\d.,kM]+ sent[^.]*?[\d.,kM]+ received)\.")
_COUNT: Final = re.compile(
    r"(?P<number>\d[\d.,]*)(?P<unit>[kM]?) (?P<kind>sent|cache write|cache hit|received)"
)
_COST: Final = re.compile(r"Cost: \$[\d.]+ message, \$(?P<usd>\d+(?:\.\d+)?) session")
_ERROR: Final = re.compile(r"litellm\.(?P<kind>\w+)")
_RETRY: Final = re.compile(r"Retrying in [\d.]+ seconds")
_UNITS: Final = {"": 1, "k": 1000, "M": 1_000_000}


class _AiderReading:
    """One run's output so far."""

    def __init__(self, session: str, told: int | None) -> None:
        self._session, self._window = session, told
        self._begun = self._replied = False
        self._tokens = Tokens()
        self._wrong: list[str] = []  # the lines of an error; it may continue on the next line

    def read(self, line: str) -> Iterator[CoderEvent]:
        line = line[:LONGEST_TEXT].strip()
        if not self._begun:
            self._begun = True
            yield CoderEvent(
                said=CoderEventKind.STARTED, session=self._session, window=self._window
            )
        if not line:
            return
        if _RETRY.search(line):
            yield self._error(CoderEventKind.RETRYING)
        elif _ERROR.search(line):
            self._wrong, self._replied = [line], False
            yield self._error(CoderEventKind.ERROR)
        elif found := _TOKENS.search(line):
            yield self._usage(found["counts"], line)
        elif self._wrong:  # the error continues, and no later event has cleared it
            self._wrong = [*self._wrong, line][:4]
            yield self._error(CoderEventKind.ERROR)
        else:
            yield CoderEvent(said=CoderEventKind.TEXT, text=line, final=self._replied)

    def _error(self, said: CoderEventKind) -> CoderEvent:
        words = " ".join(self._wrong)[:LONGEST_TEXT]
        failure = classify(words)
        if said is CoderEventKind.RETRYING:
            self._wrong = []
            failure = Failure.OVERLOADED if failure is Failure.CRASHED else failure
        return CoderEvent(said=said, text=words, failure=failure)

    def _usage(self, counts: str, line: str) -> CoderEvent:
        """A reply's usage. It comes after the reply; edits and commits follow."""
        self._replied, self._wrong = True, []
        told = {found["kind"]: _number(found) for found in _COUNT.finditer(counts)}
        read, written = told.get("cache hit", 0), told.get("cache write", 0)
        sent, received = told.get("sent", 0), told.get("received", 0)
        self._tokens = Tokens(
            input=self._tokens.input + max(0, sent - read - written),
            output=self._tokens.output + received,
            cache_read=self._tokens.cache_read + read,
            cache_write=self._tokens.cache_write + written,
        )
        cost = _COST.search(line)
        return CoderEvent(
            said=CoderEventKind.ENDED,
            tokens=self._tokens,
            context=sent + received,
            usd=float(cost["usd"]) if cost else None,
            final=True,
        )


def _number(found: re.Match[str]) -> int:
    try:
        return int(float(found["number"].replace(",", "")) * _UNITS[found["unit"]])
    except ValueError:
        return 0


def reader(job: Job) -> Reader:
    """A new reader for a run's output."""
    return _AiderReading(job.session or job.run_dir.name, job.settings.window).read


CODER: Final = Coder(
    "aider",
    program="aider",
    launch=launch,
    reader=reader,
    judge=judge_of("aider"),
    account=Account(
        install="pip install aider-chat",
        login="set the key of its model's provider, such as ANTHROPIC_API_KEY",
        files=(LoginFile("~/.aider", "oauth-keys.env"),),
        keys=(
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "GEMINI_API_KEY",
            "DEEPSEEK_API_KEY",
            "OPENROUTER_API_KEY",
        ),
    ),
    resumes=True,
    versions=("0.86.2",),
)
