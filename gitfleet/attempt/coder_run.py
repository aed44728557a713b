"""Run one coder to its end: started, watched, listened to, ended, judged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet import failpoints
from gitfleet.agent import outbox
from gitfleet.attempt import coder_session, mailbox
from gitfleet.attempt.context import Order, Underway
from gitfleet.attempt.environment import outbox_of
from gitfleet.attempt.monitor import Output, Vigil
from gitfleet.board.backend import Answer
from gitfleet.coders import registry
from gitfleet.coders.base import (
    Cannot,
    Coder,
    Evidence,
    Failure,
    Job,
    NoSession,
)
from gitfleet.errors import FleetError
from gitfleet.files import layout
from gitfleet.git.remote import Refused, Unreachable
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import seconds, spoken
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome
from gitfleet.plan import settle
from gitfleet.process import supervisor
from gitfleet.process.kill import end
from gitfleet.process.launch import Exit, Limits, Running, Spec, attach, start
from gitfleet.process.spawn import Short
from gitfleet.process.tail import end_of

_TICK: Final = 1.0  # seconds between looks at a running coder
GRACE: Final = 10.0  # seconds between TERM and KILL
_AT_ONCE: Final = 0.001  # a lease that is over; 0 would be none
_TIRED: Final = frozenset({Failure.LIMITED, Failure.OVERLOADED, Failure.AUTH})


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
    denied: tuple[str, ...] = ()  # tools it was not allowed to use


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
        (way.run_dir / "prompt.md").write_text(prompt)
        job = _job(way, workspace, coder, env)
        launch = coder.launch(job)
    except NoSession as error:
        return Ended(outcome=Outcome.FAILED, reason=str(error), failure=Failure.NO_SESSION)
    except Cannot as error:
        return Ended(outcome=Outcome.MISCONFIGURED, reason=str(error))
    whole = {**env, **launch.env}
    limits = _limits(way.order)
    if (left := way.fleet.leases.left(way.nonce, limits.lease)) is not None:
        limits = replace(limits, lease=max(_AT_ONCE, left))
    spec = Spec(launch.argv, workspace, whole, way.nonce, launch.stdin, limits)
    try:
        running = start(way.run_dir, spec)
    except Short as error:
        return Ended(outcome=Outcome.INTERRUPTED, reason=error.what)
    except FleetError as error:  # its program is not there, or cannot be run
        return Ended(outcome=Outcome.MISCONFIGURED, reason=error.what)
    failpoints.point("coder-started")
    return _attend(way, coder, job, running)


def go_on(way: Underway, *, workspace: Path, env: dict[str, str]) -> Ended:
    """Attend to the coder that another life of this runner started, or to how it ended meanwhile.

    Its output is read from its beginning, so that all that it told counts, and once.
    """
    running = attach(way.run_dir)
    if running is None:
        return Ended(outcome=Outcome.INTERRUPTED, reason="its runner died before it began")
    try:
        coder = find(way.order)
    except Cannot as error:  # it was taken out of fleet.yaml meanwhile
        end(running.child, way.nonce, grace=GRACE)
        return Ended(outcome=Outcome.MISCONFIGURED, reason=str(error))
    return _attend(way, coder, _job(way, workspace, coder, env), running)


def _limits(order: Order) -> Limits:
    """What the supervisor keeps by itself, whether a runner is there or not."""
    timeouts = order.board.settings.timeouts
    own = order.entry.task.timeout if order.entry.task else None
    longest = max(seconds(timeouts.silence), seconds(timeouts.tool))
    return Limits(
        attempt=seconds(own or timeouts.attempt),
        silence=longest + 2 * _TICK,  # what is stricter, and knows of tools, the runner keeps
        grace=GRACE,
        lease=seconds(order.board.settings.lease),
    )


def _attend(way: Underway, coder: Coder, job: Job, running: Running) -> Ended:
    """Follow a run until it ends, or must, and judge it."""
    way.live.doing = "working"
    output = Output(way.run_dir / "stdout", coder, job)
    lease = seconds(way.order.board.settings.lease)
    try:
        with way.fleet.leases.kept(way.nonce, way.run_dir, lease):
            why = _watch(way, running, output, Vigil(way, coder, job, running))
    finally:
        way.live.state = ""
        left = end(running.child, way.nonce, grace=GRACE)
        ended = running.wait(GRACE)
        running.close()
    failpoints.point("coder-ended")
    output.follow(way.live, end=True)
    if left:
        pids = ",".join(str(child.pid) for child in left)
        way.fleet.report.action("left-behind", task=way.task, pids=pids)
    return _judged(way, coder, ended or Exit(None, None, time.time()), why, output)


def _job(way: Underway, workspace: Path, coder: Coder, env: Mapping[str, str]) -> Job:
    order = way.order
    assert order.entry.task is not None
    name = order.claim.coder
    settings = order.board.settings.coders.get(name) or CoderSettings()
    # A board comes from elsewhere: it alone never opens a machine.
    allowed = way.fleet.machine.permissions.get(name, Permission.LEAST)
    session = coder_session.session_of(way.fleet, order)
    return Job(
        task=order.task,
        title=order.entry.task.title,
        body=order.entry.task.body,
        role=order.claim.role,
        model=order.claim.model,
        prompt=way.run_dir / "prompt.md",
        workspace=workspace,
        run_dir=way.run_dir,
        settings=settings,
        session=session.id,
        used=session.used,
        used_usd=session.usd,
        mcp=coder_session.server_of(order, env) if coder.mcp else None,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )


def _watch(way: Underway, running: Running, output: Output, vigil: Vigil) -> Ended | None:
    """Wait for the end of a run; if it must end before its time, why."""
    while True:
        if running.wait(_TICK, way.control.wake) is not None:
            return None
        stopped = way.control.stopped
        if stopped is not None:
            return Ended(outcome=stopped.outcome, reason=stopped.reason)
        output.follow(way.live)
        _hear(way)
        due = vigil.look(output.tally)
        if due is not None:
            return Ended(outcome=due[0], reason=due[1])


def _hear(way: Underway) -> None:
    """Take what the coder says; what cannot be written now must not end it, and is tried again."""
    name = f"outbox {way.nonce}"
    try:
        collect(way)
    except Exception as error:
        what = error.what if isinstance(error, FleetError) else repr(error)
        way.fleet.report.once(name, "error", task=way.task, doing="outbox", reason=what)
    else:
        way.fleet.report.settled(name)


def _of_supervisor(way: Underway, exit_: Exit) -> Ended | None:
    """What its supervisor says: why it ended the run, or nothing, if it died itself."""
    limits = _limits(way.order)
    match exit_.why:
        case supervisor.TIMED_OUT:
            reason = f"it took longer than {spoken(limits.attempt)}"
            return Ended(outcome=Outcome.TIMED_OUT, reason=reason)
        case supervisor.SILENT:
            reason = f"it was silent for {spoken(limits.silence)}"
            return Ended(outcome=Outcome.STALLED, reason=reason)
        case supervisor.ABANDONED:
            reason = f"no runner looked after it for {spoken(limits.lease)}"
            return Ended(outcome=Outcome.INTERRUPTED, reason=reason)
    if exit_.cut_short:
        return Ended(outcome=Outcome.INTERRUPTED, reason=exit_.cut_short)
    return None


def _judged(way: Underway, coder: Coder, exit_: Exit, why: Ended | None, output: Output) -> Ended:
    run_dir = way.run_dir
    tally = output.tally
    evidence = Evidence(
        exit=exit_, tally=tally, stdout=run_dir / "stdout", stderr=run_dir / "stderr"
    )
    judged = coder.judge(evidence)
    why = why or _of_supervisor(way, exit_)
    if why is not None and why.outcome in (Outcome.STALLED, Outcome.TIMED_OUT):
        # Silent because its service lets it wait: that is the coder's matter, not the task's.
        why = None if judged.failure in _TIRED else why
    reason = judged.reason
    if judged.outcome is not None:
        # Masked before it is cut: half a secret is one, too.
        mask = way.fleet.mask
        said = mask.tail(end_of(run_dir / "stderr", 2000 + mask.reach), 2000)
        tail = said.strip().splitlines()
        # What the table makes of standard error is in the reason already.
        own = judged.failure is Failure.CRASHED and tail and tail[-1] not in reason
        reason += f": {tail[-1][:300]}" if own else ""
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
        denied=judged.denied,
    )


def collect(way: Underway) -> None:
    """Take what a coder says onto the board, as it arrives: questions, notes, tasks it came across.

    A plan's tasks stay in the outbox until the plan is submitted: they are one commit with it.
    """
    mailbox.listen(way)
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
    failpoints.point("outbox-committed")
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
