"""Run checks in a fresh worktree of a commit. Exit status 0 means passed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gitfleet.attempt import check_commands, workspace
from gitfleet.attempt.context import AttemptContext
from gitfleet.attempt.environment import environment, scratch
from gitfleet.execution.base import LaunchSpec
from gitfleet.model.durations import seconds
from gitfleet.model.event import Check
from gitfleet.plan.outcome import StopRequest
from gitfleet.process.kill import GRACE
from gitfleet.process.tail import end_of
from gitfleet.run_dir import RunFiles

SETUP: Final = "workspace.setup"  # the name of the check that a failing set-up counts as
_TAIL: Final = 3000  # bytes of a failed check's output kept on the board


def run_on(
    ctx: AttemptContext, commit: str, commands: Sequence[str], kind: str
) -> tuple[Check, ...] | StopRequest:
    """Set up a worktree of a commit and run each command in it, one after the other.

    Every check runs, so that one fix task can repair all failures, unless the attempt is told to
    end. A failing set-up counts as a single failed check. `kind` is the prefix of the output files'
    names.
    """
    path = workspace.check_out(ctx.project, ctx.task, commit)
    with scratch(ctx.nonce) as tmp:
        env = environment(ctx.project, ctx.claimed, ctx.run_dir, tmp)
        why = workspace.fill(ctx, path, env)
        if why and ctx.cancel.stopped is not None:
            return ctx.cancel.stopped
        if why:
            return (Check(command=SETUP, exit_code=1, tail=why),)
        ran: list[Check] = []
        for number, command in enumerate(commands, 1):
            one = _run_one(ctx, command, path, env, ctx.run_dir.command(kind, number))
            if isinstance(one, StopRequest):
                return one
            ran.append(one)
    return tuple(ran)


def _run_one(
    ctx: AttemptContext, command: str, path: Path, env: Mapping[str, str], files: RunFiles
) -> Check | StopRequest:
    ctx.live.doing = f"checking: {command}"
    began, limit = time.monotonic(), seconds(ctx.claimed.board.settings.checks_timeout)
    spec = LaunchSpec(
        ("sh", "-c", command), path, env, ctx.nonce, limits=check_commands.limits(limit)
    )
    running = ctx.project.executor.start(files, spec)
    try:
        ended = running.wait(limit, ctx.cancel.wake)
    finally:
        ctx.project.executor.end(running, ctx.nonce, grace=GRACE)
        running.wait(GRACE)
        running.close()
    if ended is None and ctx.cancel.stopped is not None:
        return ctx.cancel.stopped
    ended = check_commands.outcome_of(command, ended)
    code = -9 if ended is None else (ended.code if ended.code is not None else -(ended.signal or 0))
    took = round(time.monotonic() - began, 1)
    tail = ""
    if code != 0:
        out, err = (_tail(ctx, path) for path in (files.stdout, files.stderr))
        late = f"(ended after {limit:g}s)" if ended is None else ""
        tail = "\n".join(part for part in (out.strip(), err.strip(), late) if part)
    return Check(command=command, exit_code=code, seconds=took, tail=tail)


def _tail(ctx: AttemptContext, path: Path) -> str:
    """The end of an output file. Masked before it is cut: even half a secret must not appear."""
    mask = ctx.project.mask
    return mask.tail(end_of(path, _TAIL + mask.reach), _TAIL)
