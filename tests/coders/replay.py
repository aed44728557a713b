"""A transcript read and judged as the runner would have done it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from gitfleet.coders import registry
from gitfleet.coders.base import Coder, CoderEvent, FinishedRun, Job, Judgement, Tally
from gitfleet.coders.stream import Stream
from gitfleet.execution.base import Exit
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.outcome import CoderRun, Evidence, ProcessExit, WorkFacts, decide
from tests.coders.kit import job

FOLDER: Final = Path(__file__).parent / "transcripts"
# When the runs were made; a reset that tells a time of the day is the next one after it.
NONE: Final = Tokens()
WORKED: Final = WorkFacts(head="a" * 40, commits=1, paths=("a.txt",))
AT: Final = datetime(2026, 11, 20, 15, 30, tzinfo=UTC).timestamp()


class Replay(Struct, frozen=True, kw_only=True):
    """What came of it."""

    events: tuple[CoderEvent, ...]
    tally: Tally
    exit: Exit
    judged: Judgement

    @property
    def verdict(self) -> str:
        """In the words of tests/coders/expected.py."""
        judged, ended = self.judged, ProcessExit(code=self.exit.code, signal=self.exit.signal)
        run = CoderRun(exit=ended, failure=judged.failure, said=judged.reason)
        outcome = decide(Evidence(role=Role.WORK, run=run, work=WORKED)).outcome
        if outcome is Outcome.SUBMITTED:
            return f"ok, denied {' '.join(judged.denied)}" if judged.denied else "ok"
        until = f" until {judged.until.strftime('%Y-%m-%dT%H:%M:%SZ')}" if judged.until else ""
        return f"{outcome}{until}: {judged.failure}"


CASES: Final = tuple((path.parent.name, path.stem) for path in sorted(FOLDER.glob("*/*.jsonl")))
"""Every transcript: its coder and its name."""


def output(coder: str, case: str) -> bytes:
    """What that run printed."""
    return (FOLDER / coder / f"{case}.jsonl").read_bytes()


def record(coder: str, case: str) -> dict[str, Any]:
    """How that run was started and how it ended."""
    found: dict[str, Any] = json.loads((FOLDER / coder / f"{case}.run.json").read_text())
    return found


def coder_of(name: str) -> Coder:
    """The coder of that name."""
    coder = registry.find(name, {})
    assert coder is not None
    return coder


def read(coder: Coder, made: Job, data: bytes) -> tuple[tuple[CoderEvent, ...], Tally]:
    """All events of an output, and what they come to."""
    stream = Stream(coder.reader(made))
    events = (*stream.feed(data), *stream.end())
    return events, stream.tally


def replay(
    folder: Path,
    name: str,
    case: str,
    *,
    session: str = "",
    used: Tokens = NONE,
    usd: float = 0,
) -> Replay:
    """Read and judge a transcript."""
    coder, data, run = coder_of(name), output(name, case), record(name, case)
    made = job(folder, session=session, used=used, used_usd=usd)
    events, tally = read(coder, made, data)
    stdout, stderr = folder / "stdout", folder / "stderr"
    stdout.write_bytes(data)
    stderr.write_text(run["stderr"] or "")
    os.utime(stdout, (AT - 10, AT - 10))  # what it said last, it said on standard error
    os.utime(stderr, (AT, AT))
    code = run["rc"]
    ended = Exit(code if code >= 0 else None, -code if code < 0 else None, AT)
    judged = coder.judge(FinishedRun(exit=ended, tally=tally, stdout=stdout, stderr=stderr))
    return Replay(events=events, tally=tally, exit=ended, judged=judged)
