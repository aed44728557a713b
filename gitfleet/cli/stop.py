"""`gitfleet stop`: stop the runner of this clone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

import click

from gitfleet.board.clone_state import Clone
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.git.repo import find
from gitfleet.model.durations import counted
from gitfleet.process.procfs import alive
from gitfleet.runner.attempt_thread import end_dead_attempts
from gitfleet.runner.drain import LEAVE


@click.command(
    "stop",
    cls=Verb,
    examples=(
        "gitfleet stop           # let running attempts finish",
        "gitfleet stop --now     # end them",
        "gitfleet stop --leave   # leave them to the next `gitfleet run`",
    ),
)
@click.option("--now", is_flag=True, help="End running attempts too, also those left by --leave.")
@click.option(
    "--leave",
    is_flag=True,
    help="End at once and leave attempts running; restart a runner within `lease`.",
)
@click.option("--wait", is_flag=True, help="Wait until the runner has ended.")
def command(now: bool, leave: bool, wait: bool) -> None:
    """Stop the runner of this clone: it claims nothing more and ends after its attempts."""
    if now and leave:
        raise click.UsageError("--now ends the attempts, --leave keeps them running: pass only one")
    fd = _runner()
    if fd is None and now and _end_left():
        return
    if fd is None:
        raise FleetError("no runner is running in this clone", remedy="`gitfleet run` starts one.")
    # Two different signals: the kernel merges two equal ones.
    numbers = [signal.SIGTERM, signal.SIGINT] if now else [LEAVE if leave else signal.SIGTERM]
    try:
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
        if wait:
            _ended(fd)
            click.echo("The runner has ended.")
        elif leave:
            click.echo("The runner is ending; its attempts keep running for one lease without it.")
        elif now:
            click.echo("The runner is ending its attempts.")
        else:
            click.echo("The runner claims no more tasks and ends when its attempts have ended.")
    finally:
        os.close(fd)


def _end_left() -> int:
    """End the attempts that a runner left to their supervisors; return their number."""
    session = open_session()
    with session.clone.only_runner():
        held = session.clone.pending_claims()
        if held:
            end_dead_attempts(fleet_of(session, EventLog(click.echo)))
            click.echo(f"Ended {counted(len(held), 'attempt')} that ran without a runner.")
        return len(held)


def _runner() -> int | None:
    """A pidfd of the live runner, which always means the same process; None if there is none."""
    child = Clone(find(Path.cwd())).running()
    if child is not None:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(child.pid)
            if alive(child):
                return fd
            os.close(fd)
    return None


def _ended(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()
