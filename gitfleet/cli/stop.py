"""`gitfleet stop`: tell the runner of this clone to stop."""

from __future__ import annotations

import os
import select
import signal

import click

from gitfleet.cli.session import open_session
from gitfleet.errors import FleetError


@click.command("stop")
@click.option("--now", is_flag=True, help="End running attempts too, as a second Ctrl-C would.")
@click.option("--wait", is_flag=True, help="Return when it has ended.")
def command(now: bool, wait: bool) -> None:
    """Tell the runner of this clone to claim nothing more and to end when its attempts have."""
    child = open_session().clone.running()
    if child is None:
        raise FleetError("no runner is at work in this clone")
    fd = os.pidfd_open(child.pid)
    try:
        for _ in range(2 if now else 1):
            signal.pidfd_send_signal(fd, signal.SIGTERM)
        if wait:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            poll.poll()
            click.echo("The runner has ended.")
        else:
            click.echo(
                "The runner ends its attempts now."
                if now
                else "The runner claims nothing more, and ends when its attempts have."
            )
    except ProcessLookupError:
        click.echo("The runner has ended.")
    finally:
        os.close(fd)
