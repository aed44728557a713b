"""`gitfleet run`: the daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import click
import msgspec

from gitfleet.cli.support.coder_checks import absence
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import CliSession, open_session
from gitfleet.cli.support.verb import CODER, TASK, Verb
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.model.config import RoleSettings, Settings
from gitfleet.plan.coder_choice import named_by
from gitfleet.process.kill import subreaper
from gitfleet.runner.drain import LEAVE
from gitfleet.runner.loop import Runner
from gitfleet.runner.options import Options


@click.command(
    "run",
    cls=Verb,
    examples=(
        "gitfleet run",
        "gitfleet run --until-idle --max 2    # for cron: end when nothing is left",
        "gitfleet run --coder codex --model gpt-5",
        "gitfleet run --once fix-login",
    ),
)
@click.option("--until-idle", is_flag=True, help="End when nothing is left to do.")
@click.option(
    "--once",
    metavar="ID",
    type=TASK,
    help="Only this task; end when it is done or stuck.",
)
@click.option("--max", "slots", type=click.IntRange(1, 1000), help="Maximum parallel attempts.")
@click.option(
    "--coder", type=CODER, metavar="NAME", help="Coder for tasks that name none, in this run only."
)
@click.option("--model", metavar="NAME", help="Model for tasks that name none, in this run only.")
def command(
    until_idle: bool, once: str | None, slots: int | None, coder: str | None, model: str | None
) -> int:
    """Run the fleet: claim tasks, run a coder on each, check, merge, close.

    The first Ctrl-C (or SIGTERM) lets running attempts finish; the second ends them. A runner
    that was killed picks its attempts up again when it is restarted.

    --coder and --model come before the roles of fleet.yaml, and after what a task names itself.
    The validator stays as it is.
    """
    session = open_session()
    session.raise_format()
    default = _default(session.store.board().settings, coder, model)
    if once is not None and session.store.board().get(once) is None:
        raise FleetError(f"there is no open task {once!r}", remedy="`gitfleet list` shows them.")
    options = Options(until_idle=until_idle, once=once, slots=slots, default=default)
    if sys.stdout.isatty():
        from gitfleet.cli.support.live_table import shown  # noqa: PLC0415 - rich is for terminals only

        with shown() as (report, attach):
            runner = _runner(session, report, options)
            attach(runner)
            return _run(runner)
    report = EventLog(lambda line: print(line, flush=True))
    return _run(_runner(session, report, options))


def _default(settings: Settings, coder: str | None, model: str | None) -> RoleSettings | None:
    """The run's coder and model for tasks that name none; FleetError if there is no such coder."""
    if coder is None and model is None:
        return None
    if coder is not None and (error := absence(coder, settings)):
        raise error
    if coder is None and not named_by(settings.roles.work):
        raise FleetError(
            "--model needs a coder, and fleet.yaml names none",
            remedy="Add --coder NAME, or set roles.work.coder in fleet.yaml.",
        )
    try:
        return msgspec.convert({"coder": coder, "model": model}, RoleSettings)
    except msgspec.ValidationError:
        raise click.UsageError("--model takes one word, without spaces") from None


def _runner(session: CliSession, report: EventLog, options: Options) -> Runner:
    return Runner(fleet_of(session, report), options)


def _run(runner: Runner) -> int:
    subreaper()
    with _signals(runner):
        return runner.run()


# A terminal that disappears acts like a first Ctrl-C: running attempts finish, none starts; unless
# the run should outlive it, as under `nohup`.
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def _signals(runner: Runner) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        runner.signalled()

    def leave(_number: int, _frame: FrameType | None) -> None:
        runner.told_to_leave()

    outlived = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    old = {number: signal.signal(number, handle) for number in _ENDINGS if number not in outlived}
    old[LEAVE] = signal.signal(LEAVE, leave)
    try:
        with _woken_by_signals(runner):
            yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _woken_by_signals(runner: Runner) -> Iterator[None]:
    """Wake the loop at every signal, no matter which thread receives it.

    While one signal is pending for the main thread, the kernel gives the next one to another
    thread; Python records it but leaves the main thread asleep in its poll, up to half a minute.
    """
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(read, True)

    def pass_on() -> None:
        while os.read(read, 64):
            runner.wake.set()

    thread = threading.Thread(target=pass_on, name="signals", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)
        thread.join()
        os.close(read)
