"""Run the checks of a task in a worktree. An exit status of 0 means that one passed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gitfleet.attempt import check_commands
from gitfleet.attempt.coder_run import GRACE
from gitfleet.attempt.context import AttemptContext
from gitfleet.execution.base import LaunchSpec
from gitfleet.model.event import Check
from gitfleet.process.tail import end_of
from gitfleet.run_dir import RunFiles

_TAIL: Final = 3000  # bytes of a failed check's output kept on the board


class Stopped(Exception):
    """The attempt is to end; no more checks are run."""


def run(
    ctx: AttemptContext,
    commands: Sequence[str],
    workspace: Path,
    env: Mapping[str, str],
    *,
    limit: float,
    name: str,
) -> tuple[Check, ...]:
    """Run each command with `sh -c`, one after the other, each at most `limit` seconds.

    All are run, so that one repair can mend all that fails. `name` begins the names of the files
    that hold their output. Raises Stopped if the attempt is told to end.
    """
    return tuple(
        _one(ctx, command, workspace, env, limit, ctx.run_dir.command(name, number))
        for number, command in enumerate(commands, 1)
    )


def _one(
    ctx: AttemptContext,
    command: str,
    workspace: Path,
    env: Mapping[str, str],
    limit: float,
    files: RunFiles,
) -> Check:
    ctx.live.doing = f"checking: {command}"
    began = time.monotonic()
    spec = LaunchSpec(
        ("sh", "-c", command), workspace, env, ctx.nonce, limits=check_commands.limits(limit)
    )
    running = ctx.project.executor.start(files, spec)
    try:
        ended = running.wait(limit, ctx.cancel.wake)
    finally:
        ctx.project.executor.end(running, ctx.nonce, grace=GRACE)
        running.wait(GRACE)
        running.close()
    if ended is None and ctx.cancel.stopped is not None:
        raise Stopped
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
    """The end of a file of output. Masked before it is cut: half a secret is one, too."""
    mask = ctx.project.mask
    return mask.tail(end_of(path, _TAIL + mask.reach), _TAIL)
