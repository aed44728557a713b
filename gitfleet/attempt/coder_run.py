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
from gitfleet.attempt.context import AttemptContext, ClaimedTask
from gitfleet.attempt.environment import outbox_of
from gitfleet.attempt.monitor import Monitor, OutputFollower
from gitfleet.board.backend import TxnStatus
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
from gitfleet.event_log import Action
from gitfleet.files import layout
from gitfleet.git.remote import RemoteRejected, Unreachable
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import seconds, spoken
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome
from gitfleet.plan.transitions import add_tasks, on_landing
from gitfleet.process import supervisor
from gitfleet.process.kill import kill_run
from gitfleet.process.launch import Exit, LaunchSpec, RunLimits, Running, attach, start
from gitfleet.process.spawn import ResourceShortage
from gitfleet.process.tail import end_of

_TICK: Final = 1.0  # seconds between looks at a running coder
GRACE: Final = 10.0  # seconds between TERM and KILL
_AT_ONCE: Final = 0.001  # a lease that is over; 0 would be none
_TIRED: Final = frozenset({Failure.LIMITED, Failure.OVERLOADED, Failure.AUTH})


class CoderEnd(Struct, frozen=True, kw_only=True):
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


def find_coder(claimed: ClaimedTask) -> Coder:
    """The coder of an attempt; Cannot if there is none of that name."""
    coder = registry.find(claimed.claim.coder, claimed.board.settings.coders)
    if coder is None:
        raise Cannot(f"no coder is called {claimed.claim.coder!r}; describe it in fleet.yaml")
    return coder


def run_coder(
    ctx: AttemptContext, *, workspace: Path, prompt: str, env: dict[str, str]
) -> CoderEnd:
    """Run the claim's coder in a workspace until it ends, or must. Leaves no process behind."""
    try:
        coder = find_coder(ctx.claimed)
        (ctx.run_dir / "prompt.md").write_text(prompt)
        job = _job(ctx, workspace, coder, env)
        launch = coder.launch(job)
    except NoSession as error:
        return CoderEnd(outcome=Outcome.FAILED, reason=str(error), failure=Failure.NO_SESSION)
    except Cannot as error:
        return CoderEnd(outcome=Outcome.MISCONFIGURED, reason=str(error))
    whole = {**env, **launch.env}
    limits = _limits(ctx.claimed)
    if (left := ctx.project.leases.left(ctx.nonce, limits.lease)) is not None:
        limits = replace(limits, lease=max(_AT_ONCE, left))
    spec = LaunchSpec(launch.argv, workspace, whole, ctx.nonce, launch.stdin, limits)
    try:
        running = start(ctx.run_dir, spec)
    except ResourceShortage as error:
        return CoderEnd(outcome=Outcome.INTERRUPTED, reason=error.what)
    except FleetError as error:  # its program is not there, or cannot be run
        return CoderEnd(outcome=Outcome.MISCONFIGURED, reason=error.what)
    failpoints.point("coder-started")
    return _attend(ctx, coder, job, running)


def attach_to_coder(ctx: AttemptContext, *, workspace: Path, env: dict[str, str]) -> CoderEnd:
    """Attend to the coder that another life of this runner started, or to how it ended meanwhile.

    Its output is read from its beginning, so that all that it told counts, and once.
    """
    running = attach(ctx.run_dir)
    if running is None:
        return CoderEnd(outcome=Outcome.INTERRUPTED, reason="its runner died before it began")
    try:
        coder = find_coder(ctx.claimed)
    except Cannot as error:  # it was taken out of fleet.yaml meanwhile
        kill_run(running.child, ctx.nonce, grace=GRACE)
        return CoderEnd(outcome=Outcome.MISCONFIGURED, reason=str(error))
    return _attend(ctx, coder, _job(ctx, workspace, coder, env), running)


def _limits(claimed: ClaimedTask) -> RunLimits:
    """What the supervisor keeps by itself, whether a runner is there or not."""
    timeouts = claimed.board.settings.timeouts
    own = claimed.entry.task.timeout if claimed.entry.task else None
    longest = max(seconds(timeouts.silence), seconds(timeouts.tool))
    return RunLimits(
        attempt=seconds(own or timeouts.attempt),
        silence=longest + 2 * _TICK,  # what is stricter, and knows of tools, the runner keeps
        grace=GRACE,
        lease=seconds(claimed.board.settings.lease),
    )


def _attend(ctx: AttemptContext, coder: Coder, job: Job, running: Running) -> CoderEnd:
    """Follow a run until it ends, or must, and judge it."""
    ctx.live.doing = "working"
    output = OutputFollower(ctx.run_dir / "stdout", coder, job)
    lease = seconds(ctx.claimed.board.settings.lease)
    try:
        with ctx.project.leases.kept(ctx.nonce, ctx.run_dir, lease):
            why = _watch(ctx, running, output, Monitor(ctx, coder, job, running))
    finally:
        ctx.live.state = ""
        left = kill_run(running.child, ctx.nonce, grace=GRACE)
        ended = running.wait(GRACE)
        running.close()
    failpoints.point("coder-ended")
    output.follow(ctx.live, end=True)
    if left:
        pids = ",".join(str(child.pid) for child in left)
        ctx.project.report.action(Action.ORPHANS_KILLED, task=ctx.task, pids=pids)
    return _judged(ctx, coder, ended or Exit(None, None, time.time()), why, output)


def _job(ctx: AttemptContext, workspace: Path, coder: Coder, env: Mapping[str, str]) -> Job:
    claimed = ctx.claimed
    assert claimed.entry.task is not None
    name = claimed.claim.coder
    settings = claimed.board.settings.coders.get(name) or CoderSettings()
    # A board comes from elsewhere: it alone never opens a machine.
    allowed = ctx.project.machine.permissions.get(name, Permission.LEAST)
    session = coder_session.session_of(ctx.project, claimed)
    return Job(
        task=claimed.task,
        title=claimed.entry.task.title,
        body=claimed.entry.task.body,
        role=claimed.claim.role,
        model=claimed.claim.model,
        prompt=ctx.run_dir / "prompt.md",
        workspace=workspace,
        run_dir=ctx.run_dir,
        settings=settings,
        session=session.id,
        used=session.used,
        used_usd=session.usd,
        mcp=coder_session.server_of(claimed, env) if coder.mcp else None,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )


def _watch(
    ctx: AttemptContext, running: Running, output: OutputFollower, vigil: Monitor
) -> CoderEnd | None:
    """Wait for the end of a run; if it must end before its time, why."""
    while True:
        if running.wait(_TICK, ctx.cancel.wake) is not None:
            return None
        stopped = ctx.cancel.stopped
        if stopped is not None:
            return CoderEnd(outcome=stopped.outcome, reason=stopped.reason)
        output.follow(ctx.live)
        _hear(ctx)
        due = vigil.look(output.tally)
        if due is not None:
            return CoderEnd(outcome=due[0], reason=due[1])


def _hear(ctx: AttemptContext) -> None:
    """Take what the coder says; what cannot be written now must not end it, and is tried again."""
    name = f"outbox {ctx.nonce}"
    try:
        collect(ctx)
    except Exception as error:
        what = error.what if isinstance(error, FleetError) else repr(error)
        ctx.project.report.once(name, Action.ERROR, task=ctx.task, doing="outbox", reason=what)
    else:
        ctx.project.report.settled(name)


def _of_supervisor(ctx: AttemptContext, exit_: Exit) -> CoderEnd | None:
    """What its supervisor says: why it ended the run, or nothing, if it died itself."""
    limits = _limits(ctx.claimed)
    match exit_.why:
        case supervisor.TIMED_OUT:
            reason = f"it took longer than {spoken(limits.attempt)}"
            return CoderEnd(outcome=Outcome.TIMED_OUT, reason=reason)
        case supervisor.SILENT:
            reason = f"it was silent for {spoken(limits.silence)}"
            return CoderEnd(outcome=Outcome.STALLED, reason=reason)
        case supervisor.ABANDONED:
            reason = f"no runner looked after it for {spoken(limits.lease)}"
            return CoderEnd(outcome=Outcome.INTERRUPTED, reason=reason)
    if exit_.cut_short:
        return CoderEnd(outcome=Outcome.INTERRUPTED, reason=exit_.cut_short)
    return None


def _judged(
    ctx: AttemptContext, coder: Coder, exit_: Exit, why: CoderEnd | None, output: OutputFollower
) -> CoderEnd:
    run_dir = ctx.run_dir
    tally = output.tally
    evidence = Evidence(
        exit=exit_, tally=tally, stdout=run_dir / "stdout", stderr=run_dir / "stderr"
    )
    judged = coder.judge(evidence)
    why = why or _of_supervisor(ctx, exit_)
    if why is not None and why.outcome in (Outcome.STALLED, Outcome.TIMED_OUT):
        # Silent because its service lets it wait: that is the coder's matter, not the task's.
        why = None if judged.failure in _TIRED else why
    reason = judged.reason
    if judged.outcome is not None:
        # Masked before it is cut: half a secret is one, too.
        mask = ctx.project.mask
        said = mask.tail(end_of(run_dir / "stderr", 2000 + mask.reach), 2000)
        tail = said.strip().splitlines()
        # What the table makes of standard error is in the reason already.
        own = judged.failure is Failure.CRASHED and tail and tail[-1] not in reason
        reason += f": {tail[-1][:300]}" if own else ""
    return CoderEnd(
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


def collect(ctx: AttemptContext) -> None:
    """Take what a coder says onto the board, as it arrives: questions, notes, tasks it came across.

    A plan's tasks stay in the outbox until the plan is submitted: they are one commit with it.
    """
    mailbox.poll(ctx)
    if on_landing.is_plan(ctx.claimed.entry):
        return
    letters = read_filed_tasks(ctx)
    if not letters:
        return
    additions = [letter.addition for letter in letters]
    try:
        result = ctx.project.store.transact(
            lambda board, now: add_tasks.file_additions(
                board, task=ctx.task, nonce=ctx.nonce, additions=additions
            )
        )
    except (Unreachable, RemoteRejected):
        return  # a remote that is away ends no attempt: next time, or together with its end
    if result.status is TxnStatus.UNKNOWN:
        return
    failpoints.point("outbox-committed")
    if result.won and result.change is not None:
        for path in result.change.files:
            ctx.project.report.action(Action.ADDED, task=layout.place(path).task, source=ctx.task)
    for letter in letters:
        outbox.take_out(letter)


def read_filed_tasks(ctx: AttemptContext) -> list[outbox.FiledTask]:
    """The tasks in the outbox; what says nothing is set aside, and told."""
    letters = []
    mask = ctx.project.mask
    for found in outbox.tasks(outbox_of(ctx.run_dir), ctx.task):
        letter = outbox.masked(mask, found)
        if isinstance(letter, outbox.FiledTask):
            letters.append(letter)
            continue
        outbox.set_aside(letter)
        ctx.project.report.once(
            f"refused {letter.path}",
            Action.REFUSED,
            task=ctx.task,
            file=letter.path.name,
            reason=letter.reason,
        )
    return letters
