"""Run one coder to its end: start it, follow it, take in what it files, and end it at a limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from gitfleet import failpoints
from gitfleet.agent import outbox
from gitfleet.attempt import coder_session, mailbox
from gitfleet.attempt.context import AttemptContext, ClaimedTask, Project
from gitfleet.attempt.monitor import Monitor, OutputFollower
from gitfleet.board.backend import TxnStatus
from gitfleet.coders import registry
from gitfleet.coders.base import (
    Cannot,
    Coder,
    FinishedRun,
    Job,
    Judgement,
    NoSession,
    Tally,
    launch_of,
)
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.execution.base import Exit, LaunchSpec, RunLimits, Running
from gitfleet.files import layout
from gitfleet.git.remote import RemoteRejected, Unreachable
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.durations import seconds
from gitfleet.model.states import Failure
from gitfleet.plan.liveness import LimitHit, abandoned_for, silent_for, too_long
from gitfleet.plan.outcome import CoderRun, ProcessExit, StopRequest
from gitfleet.plan.transitions import add_tasks, on_landing
from gitfleet.process import supervisor
from gitfleet.process.kill import GRACE
from gitfleet.process.spawn import ResourceShortage
from gitfleet.process.tail import end_of

_TICK: Final = 1.0  # seconds between checks of a running coder
_AT_ONCE: Final = 0.001  # a lease that has ended; 0 would mean none


def find_coder(project: Project, claimed: ClaimedTask) -> Coder:
    """The coder of an attempt. Raises Cannot if no working coder has that name."""
    name, described = claimed.claim.coder, claimed.board.settings.coders
    listed = project.machine.plugins
    coder = registry.find(name, described, listed)
    if coder is None:
        why = registry.absence(name, described, listed)
        raise Cannot(why.one_line if why else f"the coder {name} is no longer configured")
    return coder


def run_coder(
    ctx: AttemptContext, *, workspace: Path, prompt: str, env: dict[str, str]
) -> CoderRun:
    """Run the claim's coder in a workspace until it ends or must be ended.

    Leaves no process behind.
    """
    try:
        coder = find_coder(ctx.project, ctx.claimed)
        ctx.run_dir.prompt.write_text(prompt)
        job = _job(ctx, workspace, coder, env)
        launch = launch_of(coder, job)
    except NoSession as error:
        return CoderRun(failure=Failure.NO_SESSION, said=str(error))
    except Cannot as error:
        return CoderRun(failure=Failure.MISCONFIGURED, said=str(error))
    whole = {**env, **launch.env}
    limits = _limits(ctx.claimed)
    if (left := ctx.project.leases.left(ctx.nonce, limits.lease)) is not None:
        limits = replace(limits, lease=max(_AT_ONCE, left))
    spec = LaunchSpec(launch.argv, workspace, whole, ctx.nonce, launch.stdin, limits)
    try:
        running = ctx.project.executor.start(ctx.run_dir, spec)
    except ResourceShortage as error:
        return CoderRun(fault=error.what)
    except FleetError as error:  # its program is missing, or cannot be run
        return CoderRun(failure=Failure.MISCONFIGURED, said=error.what)
    failpoints.point("coder-started")
    return _attend(ctx, coder, job, running)


def attach_to_coder(ctx: AttemptContext, *, workspace: Path, env: dict[str, str]) -> CoderRun:
    """Follow a coder that an earlier run of this runner started, or take how it ended meanwhile.

    Its output is read from the start, so that all of it counts, and only once.
    """
    running = ctx.project.executor.attach(ctx.run_dir)
    if running is None:
        return CoderRun(fault="its runner died before it started")
    try:
        coder = find_coder(ctx.project, ctx.claimed)
    except Cannot as error:  # it was removed from fleet.yaml meanwhile
        ctx.project.executor.end(running, ctx.nonce, grace=GRACE)
        return CoderRun(failure=Failure.MISCONFIGURED, said=str(error))
    return _attend(ctx, coder, _job(ctx, workspace, coder, env), running)


def _limits(claimed: ClaimedTask) -> RunLimits:
    """The limits that the supervisor enforces, with or without a runner."""
    timeouts = claimed.board.settings.timeouts
    own = claimed.entry.task.timeout if claimed.entry.task else None
    longest = max(seconds(timeouts.silence), seconds(timeouts.tool))
    return RunLimits(
        attempt=seconds(own or timeouts.attempt),
        silence=longest + 2 * _TICK,  # the runner enforces stricter limits, which know about tools
        grace=GRACE,
        lease=seconds(claimed.board.settings.lease),
    )


def _attend(ctx: AttemptContext, coder: Coder, job: Job, running: Running) -> CoderRun:
    """Follow a run until it ends or must be ended; return everything observed."""
    ctx.live.doing = "working"
    output = OutputFollower(ctx.run_dir, coder, job)
    executor, lease = ctx.project.executor, seconds(ctx.claimed.board.settings.lease)
    try:
        with ctx.project.leases.kept(ctx.nonce, partial(executor.renew, ctx.run_dir), lease):
            why = _watch(ctx, running, output, Monitor(ctx, coder, job, running))
    finally:
        ctx.live.state = ""
        left = executor.end(running, ctx.nonce, grace=GRACE)
        ended = running.wait(GRACE)
        running.close()
    failpoints.point("coder-ended")
    output.follow(ctx.live, end=True)
    if left:
        ctx.project.report.action(Action.ORPHANS_KILLED, task=ctx.task, pids=",".join(left))
    return _seen(ctx, coder, ended or Exit(None, None, time.time()), why, output.tally)


def _job(ctx: AttemptContext, workspace: Path, coder: Coder, env: Mapping[str, str]) -> Job:
    claimed = ctx.claimed
    assert claimed.entry.task is not None
    name = claimed.claim.coder
    settings = claimed.board.settings.coders.get(name) or CoderSettings()
    # A board comes from elsewhere: alone it never permits anything on a machine.
    allowed = ctx.project.machine.permissions.get(name, Permission.LEAST)
    session = coder_session.session_of(ctx.project, claimed)
    return Job(
        task=claimed.task,
        title=claimed.entry.task.title,
        body=claimed.entry.task.body,
        role=claimed.claim.role,
        model=claimed.claim.model,
        prompt=ctx.run_dir.prompt,
        workspace=workspace,
        run_dir=ctx.run_dir.path,
        settings=settings,
        session=session.id,
        used=session.used,
        used_usd=session.usd,
        mcp=coder_session.server_of(claimed, env) if coder.mcp else None,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )


def _watch(
    ctx: AttemptContext, running: Running, output: OutputFollower, monitor: Monitor
) -> StopRequest | LimitHit | None:
    """Wait for the end of a run; if it must end early, return why."""
    while True:
        if running.wait(_TICK, ctx.cancel.wake) is not None:
            return None
        stopped = ctx.cancel.stopped
        if stopped is not None:
            return stopped
        output.follow(ctx.live)
        _hear(ctx)
        due = monitor.look(output.tally)
        if due is not None:
            return due


def _hear(ctx: AttemptContext) -> None:
    """Take the coder's messages; an error in writing them does not end it, and is retried."""
    name = f"outbox {ctx.nonce}"
    try:
        collect(ctx)
    except Exception as error:
        what = error.what if isinstance(error, FleetError) else repr(error)
        ctx.project.report.once(name, Action.ERROR, task=ctx.task, doing="outbox", reason=what)
    else:
        ctx.project.report.settled(name)


def _limit_of(ctx: AttemptContext, ended: Exit) -> LimitHit | None:
    """The limit for which the supervisor ended the run, if it did."""
    limits = _limits(ctx.claimed)
    match ended.why:
        case supervisor.TIMED_OUT:
            return too_long(limits.attempt)
        case supervisor.SILENT:
            return silent_for(limits.silence)
        case supervisor.ABANDONED:
            return abandoned_for(limits.lease)
    return None


def _said(ctx: AttemptContext, judged: Judgement) -> str:
    """The coder's own words on its failure; for a crash the last line of standard error."""
    if judged.failure is not Failure.CRASHED:
        return judged.reason
    # Masked before it is cut: even half a secret must not appear.
    mask = ctx.project.mask
    said = mask.tail(end_of(ctx.run_dir.stderr, 2000 + mask.reach), 2000)
    last = next(iter(said.strip().splitlines()[-1:]), "")
    # The reason already contains what the coder's table recognises in standard error.
    return f"{judged.reason}: {last[:300]}" if last and last not in judged.reason else judged.reason


def _seen(
    ctx: AttemptContext, coder: Coder, ended: Exit, why: StopRequest | LimitHit | None, tally: Tally
) -> CoderRun:
    """Everything observed about a run that ended. `why`: the runner's reason for ending it."""
    stdout, stderr = ctx.run_dir.stdout, ctx.run_dir.stderr
    judged = coder.judge(FinishedRun(exit=ended, tally=tally, stdout=stdout, stderr=stderr))
    return CoderRun(
        exit=ProcessExit(code=ended.code, signal=ended.signal, cut_short=ended.cut_short),
        stop=why if isinstance(why, StopRequest) else None,
        limit=why if isinstance(why, LimitHit) else _limit_of(ctx, ended),
        failure=judged.failure,
        said=_said(ctx, judged),
        until=judged.until,
        denied=judged.denied,
        session=tally.session,
        tokens=tally.tokens,
        usd=tally.usd or 0.0,
        tool_calls=tally.tool_calls,
    )


def collect(ctx: AttemptContext) -> None:
    """Put a coder's questions, notes and filed tasks onto the board as they arrive.

    A plan's tasks stay in the outbox until the plan is submitted: they are one commit with it.
    """
    mailbox.poll(ctx)
    if on_landing.is_plan(ctx.claimed.entry):
        return
    filed_tasks = read_filed_tasks(ctx)
    if not filed_tasks:
        return
    additions = [filed.addition for filed in filed_tasks]
    try:
        result = ctx.project.store.transact(
            lambda board, now: add_tasks.file_additions(
                board, task=ctx.task, nonce=ctx.nonce, additions=additions
            )
        )
    except (Unreachable, RemoteRejected):
        return  # an unreachable remote ends no attempt: next time, or together with its end
    if result.status is TxnStatus.UNKNOWN:
        return
    failpoints.point("outbox-committed")
    if result.won and result.change is not None:
        for path in result.change.files:
            ctx.project.report.action(Action.ADDED, task=layout.place(path).task, source=ctx.task)
    for filed in filed_tasks:
        outbox.take_out(filed)


def read_filed_tasks(ctx: AttemptContext) -> list[outbox.FiledTask]:
    """The tasks in the outbox; unreadable files are set aside and logged."""
    filed_tasks = []
    mask = ctx.project.mask
    for found in outbox.tasks(ctx.run_dir.outbox, ctx.task):
        filed = outbox.masked(mask, found)
        if isinstance(filed, outbox.FiledTask):
            filed_tasks.append(filed)
            continue
        outbox.set_aside(filed)
        ctx.project.report.once(
            f"refused {filed.path}",
            Action.REFUSED,
            task=ctx.task,
            file=filed.path.name,
            reason=filed.reason,
        )
    return filed_tasks
