"""Run one coder to its end: started, watched, listened to, ended, judged."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet import faults
from gitfleet.coders import registry
from gitfleet.coders.base import (
    Cannot,
    Coder,
    CoderEvent,
    Evidence,
    Failure,
    Job,
    NoSession,
    Tally,
)
from gitfleet.coders.stream import Stream
from gitfleet.errors import FleetError
from gitfleet.files import layout
from gitfleet.git.remote import Refused, Unreachable
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import seconds, spoken
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome
from gitfleet.plan import settle
from gitfleet.process.end import end
from gitfleet.process.output import end_of
from gitfleet.process.start import Exit, Running, Spec, start
from gitfleet.swap import Answer
from gitfleet.work import hearing, outbox, resuming
from gitfleet.work.environment import outbox_of
from gitfleet.work.fleet import Live, Order, Underway
from gitfleet.work.pace import Pace

_TICK: Final = 1.0  # seconds between looks at the output of a running coder
GRACE: Final = 10.0  # seconds between TERM and KILL
_CHUNK: Final = 1 << 18
_AT_ONCE: Final = 1 << 20  # bytes of output read between two looks at the limits
_AT_END: Final = 64 << 20  # and when it has ended


class Ended(Struct, frozen=True, kw_only=True):
    """How a coder's run ended. `outcome` None: well, as far as it shows."""

    outcome: Outcome | None = None
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    session: str = ""
    tokens: Tokens = Tokens()
    usd: float = 0.0
    tool_calls: int = 0
    failure: Failure | None = None
    until: datetime | None = None  # when a limit resets, where it is known


class Limits(Struct, frozen=True):
    """How long a run may take and be silent, in seconds."""

    attempt: float
    silence: float


def limits_of(order: Order) -> Limits:
    """The limits of an attempt: the task's own, else those of the settings."""
    timeouts = order.board.settings.timeouts
    own = order.entry.task.timeout if order.entry.task else None
    return Limits(seconds(own or timeouts.attempt), seconds(timeouts.silence))


class Output:
    """Follows a growing file and turns its whole lines into events and what they come to."""

    def __init__(self, path: Path, coder: Coder, job: Job) -> None:
        self._path, self._coder, self._job = path, coder, job
        self._at = 0
        self._stream = Stream(coder.reader(job))
        self._pace = Pace(path.parent)

    @property
    def tally(self) -> Tally:
        """What all events so far come to."""
        return self._stream.tally

    def follow(self, live: Live, *, end: bool = False) -> None:
        """Read what came since the last call."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            if file.seek(0, 2) < self._at:
                # The coder may cut its own output short; a file that shrank begins again.
                self._at, self._stream = 0, Stream(self._coder.reader(self._job))
            file.seek(self._at)
            # Bounded, so that whoever writes faster than we read outruns no limit of time.
            stop = self._at + (_AT_END if end else _AT_ONCE)
            while file.tell() < stop and (chunk := file.read(_CHUNK)):
                self._note(self._stream.feed(chunk, time.monotonic()), live)
            self._at = file.tell()
            self._pace.note(self._at, end=end)
        if end:
            self._note(self._stream.end(time.monotonic()), live)
        for event in self._coder.gauge(self._job, self.tally):
            self.tally.take(event, time.monotonic())

    def _note(self, events: Iterator[CoderEvent], live: Live) -> None:
        for event in events:
            live.heard = time.monotonic()
            if event.text.strip():
                live.lines.append(event.text.strip().splitlines()[-1][:300])
        tally = self.tally
        live.tokens, live.context, live.window = tally.tokens, tally.context or 0, tally.window or 0


def find(order: Order) -> Coder:
    """The coder of an attempt; Cannot if there is none of that name."""
    coder = registry.find(order.claim.coder, order.board.settings.coders)
    if coder is None:
        raise Cannot(f"no coder is called {order.claim.coder!r}; describe it in fleet.yaml")
    return coder


def run(way: Underway, *, workspace: Path, prompt: str, env: dict[str, str]) -> Ended:
    """Run the claim's coder in a workspace until it ends, or must. Leaves no process behind."""
    try:
        coder = find(way.order)
        job = _job(way, workspace, prompt, coder, env)
        launch = coder.launch(job)
    except NoSession as error:
        return Ended(outcome=Outcome.FAILED, reason=str(error), failure=Failure.NO_SESSION)
    except Cannot as error:
        return Ended(outcome=Outcome.MISCONFIGURED, reason=str(error))
    spec = Spec(launch.argv, workspace, {**env, **launch.env}, way.nonce, launch.stdin)
    try:
        running = start(way.run_dir, spec)
    except FleetError as error:  # its program is not there, or cannot be run
        return Ended(outcome=Outcome.MISCONFIGURED, reason=error.what)
    faults.point("coder-started")
    way.live.doing = "working"
    output = Output(way.run_dir / "stdout", coder, job)
    try:
        why = _watch(way, running, output)
    finally:
        left = end(running.child, way.nonce, grace=GRACE)
        ended = running.wait(GRACE)
        running.close()
    faults.point("coder-ended")
    output.follow(way.live, end=True)
    if left:
        pids = ",".join(str(child.pid) for child in left)
        way.fleet.report.action("left-behind", task=way.task, pids=pids)
    return _judged(way, coder, ended or Exit(None, None, time.time()), why, output)


def _job(way: Underway, workspace: Path, prompt: str, coder: Coder, env: Mapping[str, str]) -> Job:
    order = way.order
    assert order.entry.task is not None
    path = way.run_dir / "prompt.md"
    path.write_text(prompt)
    name = order.claim.coder
    settings = order.board.settings.coders.get(name) or CoderSettings()
    # A board comes from elsewhere: it alone never opens a machine.
    allowed = way.fleet.machine.permissions.get(name, Permission.LEAST)
    session = resuming.session_of(way.fleet, order)
    return Job(
        task=order.task,
        title=order.entry.task.title,
        body=order.entry.task.body,
        role=order.claim.role,
        model=order.claim.model,
        prompt=path,
        workspace=workspace,
        run_dir=way.run_dir,
        settings=settings,
        session=session.id,
        used=session.used,
        used_usd=session.usd,
        mcp=resuming.server_of(order, env) if coder.mcp else None,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )


def _watch(way: Underway, running: Running, output: Output) -> Ended | None:
    """Wait for the end of a run; if it must end before its time, why."""
    limits = limits_of(way.order)
    began = heard = time.monotonic()
    grown = -1
    while True:
        left = min(began + limits.attempt, heard + limits.silence) - time.monotonic()
        if running.wait(max(0.0, min(_TICK, left)), way.control.wake) is not None:
            return None
        if way.control.stopped is not None:
            return Ended(outcome=way.control.stopped.outcome, reason=way.control.stopped.reason)
        now = time.monotonic()
        size = _size(way.run_dir)
        if size != grown:
            grown, heard, way.live.heard = size, now, now
        output.follow(way.live)
        collect(way)
        if now - began >= limits.attempt:
            reason = f"it took longer than {spoken(limits.attempt)}"
            return Ended(outcome=Outcome.TIMED_OUT, reason=reason)
        if now - heard >= limits.silence:
            reason = f"it was silent for {spoken(limits.silence)}"
            return Ended(outcome=Outcome.STALLED, reason=reason)


def _size(run_dir: Path) -> int:
    """By size, not by time of change: the clock may jump."""
    total = 0
    for name in ("stdout", "stderr"):
        with contextlib.suppress(FileNotFoundError):
            total += (run_dir / name).stat().st_size
    return total


def _judged(way: Underway, coder: Coder, exit_: Exit, why: Ended | None, output: Output) -> Ended:
    run_dir = way.run_dir
    tally = output.tally
    evidence = Evidence(
        exit=exit_, tally=tally, stdout=run_dir / "stdout", stderr=run_dir / "stderr"
    )
    judged = coder.judge(evidence)
    reason = judged.reason
    if judged.outcome is not None:
        # Masked before it is cut: half a secret is one, too.
        mask = way.fleet.mask
        said = mask.tail(end_of(run_dir / "stderr", 2000 + mask.reach), 2000)
        tail = said.strip().splitlines()
        reason += f": {tail[-1][:300]}" if tail else ""
    return Ended(
        outcome=why.outcome if why else judged.outcome,
        reason=why.reason if why else reason,
        exit_code=exit_.code,
        signal=exit_.signal,
        session=tally.session,
        tokens=tally.tokens,
        usd=tally.usd or 0.0,
        tool_calls=tally.tool_calls,
        failure=None if why else judged.failure,
        until=None if why else judged.until,
    )


def collect(way: Underway) -> None:
    """Take what a coder says onto the board, as it arrives: questions, notes, tasks it came across.

    A plan's tasks stay in the outbox until the plan is submitted: they are one commit with it.
    """
    hearing.listen(way)
    if settle.is_plan(way.order.entry):
        return
    letters = read_letters(way)
    if not letters:
        return
    additions = [letter.addition for letter in letters]
    try:
        result = way.fleet.store.transact(
            lambda board, now: settle.file_additions(
                board, task=way.task, nonce=way.nonce, additions=additions
            )
        )
    except (Unreachable, Refused):
        return  # a remote that is away ends no attempt: next time, or together with its end
    if result.answer is Answer.UNKNOWN:
        return
    faults.point("outbox-committed")
    if result.won and result.change is not None:
        for path in result.change.files:
            way.fleet.report.action("added", task=layout.place(path).task, source=way.task)
    for letter in letters:
        outbox.take_out(letter)


def read_letters(way: Underway) -> list[outbox.Letter]:
    """The tasks in the outbox; what says nothing is set aside, and told."""
    letters = []
    mask = way.fleet.mask
    for found in outbox.tasks(outbox_of(way.run_dir), way.task):
        letter = outbox.masked(mask, found)
        if isinstance(letter, outbox.Letter):
            letters.append(letter)
            continue
        outbox.set_aside(letter)
        way.fleet.report.once(
            f"refused {letter.path}",
            "refused",
            task=way.task,
            file=letter.path.name,
            reason=letter.reason,
        )
    return letters
