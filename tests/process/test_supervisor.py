"""The supervisor of an attempt: it outlives the runner, keeps the limits, leaves nobody behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.execution.base import RunLimits
from gitfleet.execution.local import attach, renew
from gitfleet.process import supervisor
from gitfleet.process.procfs import alive, boot_seconds
from gitfleet.process.run import run
from gitfleet.run_dir import RunDir
from tests.process.kit import (
    FOREVER,
    PATIENCE,
    Mouth,
    Supervise,
    await_end,
    carriers,
    ended,
    python,
)

SMALL = 15 * 1024  # KiB


def test_it_is_small(supervise: Supervise) -> None:
    """Fifty attempts cost no gigabyte: one supervisor stays under 15 MB."""
    running = supervise("sleep", FOREVER)
    status = Path(f"/proc/{running.child.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    assert int(resident.split()[1]) < SMALL


def test_it_outlives_who_started_it(tmp_path: Path, run_dir: RunDir, marker: str) -> None:
    """The runner is killed; the coder does not notice, and its end is on record."""
    os.mkfifo(tmp_path / "gate")
    script = f"""
        import os, signal
        from pathlib import Path
        from gitfleet.execution.base import LaunchSpec
        from gitfleet.execution.local import start
        from gitfleet.run_dir import RunDir
        argv = ("sh", "-c", "echo begun; read -r word <gate; echo $word; exit 4")
        here, there = Path({str(tmp_path)!r}), Path({str(run_dir.path)!r})
        start(RunDir(there), LaunchSpec(argv, here, os.environ, {marker!r}))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(python(script), timeout=PATIENCE).code == -signal.SIGKILL
    running = attach(run_dir)
    assert running is not None and alive(running.child)
    (tmp_path / "gate").write_text("gone on\n")
    assert ended(running).code == 4
    assert (run_dir.path / "stdout").read_text() == "begun\ngone on\n"
    assert carriers(marker) == []


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (RunLimits(attempt=0.5, grace=0.5), supervisor.TIMED_OUT),
        (RunLimits(silence=0.5, grace=0.5), supervisor.SILENT),
        (RunLimits(lease=0.01, grace=0.5), supervisor.ABANDONED),
    ],
)
def test_limits_hold_without_a_runner(
    supervise: Supervise, marker: str, limits: RunLimits, why: str
) -> None:
    """Too long, too silent, or looked after by nobody for a lease: ended, and why is on record."""
    running = supervise("sleep", FOREVER, limits=limits)
    assert ended(running).why == why
    assert carriers(marker) == []


def test_the_lease_is_what_the_runner_says(supervise: Supervise, run_dir: RunDir) -> None:
    """The runner tells until when the claim is its own; it may be sooner than thought."""
    running = supervise("sleep", FOREVER, limits=RunLimits(lease=600, grace=0.5))
    renew(run_dir, boot_seconds() - 1)
    assert ended(running).why == supervisor.ABANDONED


def test_a_signal_ends_the_run_and_not_its_record(supervise: Supervise, marker: str) -> None:
    """Whoever ends the supervisor ends the coder in order: no orphan works on."""
    running = supervise("sleep", FOREVER)
    os.kill(running.child.pid, signal.SIGTERM)
    end = ended(running)
    assert (end.signal, end.why) == (signal.SIGTERM, supervisor.TOLD)
    assert carriers(marker) == []


def test_what_a_coder_leaves_running_is_ended_and_counted(
    supervise: Supervise, mouth: Mouth, marker: str
) -> None:
    """An exit of 0 with a job in the background: the job ends, and that there was one is known."""
    running = supervise("sh", "-c", 'sleep 600 & echo $! >"$MOUTH"; exit 0')
    job = mouth.pid()
    end = ended(running)
    assert end.code == 0 and end.running == 1
    await_end(job)
    assert carriers(marker) == []


def test_an_orphan_without_the_marker_in_a_session_of_its_own_is_ended(
    supervise: Supervise, mouth: Mouth
) -> None:
    """What has thrown off its environment, its session and its parent still comes to the
    supervisor, and ends with the run."""
    script = """
        import os
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                line = 'echo $$ >"$0"; exec sleep 600'
                os.execve("/bin/sh", ["sh", "-c", line, os.environ["MOUTH"]], {})
            os._exit(0)
        os.wait()
        os.execvp("sleep", ["sleep", "600"])
    """
    running = supervise(*python(script))
    orphan = mouth.pid()
    os.kill(running.child.pid, signal.SIGTERM)
    ended(running)
    await_end(orphan)


def test_the_environment_of_a_run_is_in_no_file(supervise: Supervise, run_dir: RunDir) -> None:
    """A secret that a coder needs is handed on, and never written down."""
    ended(supervise("sh", "-c", "test ${#TOKEN} = 12", TOKEN="s3cret-value"))
    assert json.loads((run_dir.path / "exit.json").read_text())["code"] == 0
    for path in run_dir.path.iterdir():
        assert b"s3cret-value" not in path.read_bytes(), path


def test_it_hears_no_ctrl_c_of_our_terminal(supervise: Supervise) -> None:
    """It leads a session of its own, and its coder another one."""
    pid = supervise("sleep", FOREVER).child.pid
    coder = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    assert (os.getsid(pid), os.getsid(coder)) == (pid, coder)


@pytest.mark.slow
def test_a_lease_that_cannot_be_read_is_not_longer(supervise: Supervise, run_dir: RunDir) -> None:
    """Who removes the file of the lease prolongs nothing: what the runner said last holds."""
    running = supervise("sleep", FOREVER, limits=RunLimits(lease=1, grace=0.5))
    (run_dir.path / "lease.json").unlink()
    assert ended(running).why == supervisor.ABANDONED


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ('echo $$ >"$MOUTH"; exec sleep 600', (None, signal.SIGTERM)),
        ('trap "exit 0" TERM; sleep 600 & echo $$ >"$MOUTH"; wait', (0, None)),
    ],
)
def test_a_service_manager_ends_all_at_once(
    supervise: Supervise, mouth: Mouth, script: str, how: tuple[int | None, int | None]
) -> None:
    """Coder and supervisor get the same signal, and the coder ends first: it did not fail, and
    where it says that all is well it was ended all the same."""
    running = supervise("sh", "-c", script)
    coder = mouth.pid()
    os.kill(running.child.pid, signal.SIGSTOP)
    os.kill(running.child.pid, signal.SIGTERM)
    os.kill(coder, signal.SIGTERM)
    await_end(coder)
    os.kill(running.child.pid, signal.SIGCONT)
    end = ended(running)
    assert (end.code, end.signal) == how
    assert end.why == supervisor.TOLD and end.cut_short


def test_the_end_is_written_down_when_there_is_room_again(
    supervise: Supervise, run_dir: RunDir, mouth: Mouth
) -> None:
    """A full disk, just when a coder ends: its exit status is not lost."""
    aside = run_dir.path / ".exit.json.new"
    aside.mkdir(parents=True)
    running = supervise("sh", "-c", 'echo $$ >"$MOUTH"; exit 4')
    await_end(mouth.pid())
    assert running.wait(2.5) is None and not (run_dir.path / "exit.json").exists()
    aside.rmdir()
    assert ended(running).code == 4


def test_who_cannot_be_introduced_does_not_run(
    supervise: Supervise, run_dir: RunDir, marker: str
) -> None:
    """A full disk, just when a coder was started: nobody would find it again, so it is ended."""
    (run_dir.path / ".child.json.new").mkdir(parents=True)
    with pytest.raises(FleetError):
        supervise("sleep", FOREVER)
    assert carriers(marker) == []


def test_no_other_user_reads_what_is_started(supervise: Supervise, run_dir: RunDir) -> None:
    """Arguments may hold a prompt: the files about a run are its owner's."""
    ended(supervise("true"))
    modes = {path.name: path.stat().st_mode & 0o077 for path in run_dir.path.iterdir()}
    assert set(modes) >= {"spec.json", "child.json", "exit.json", "stdout"}
    assert set(modes.values()) == {0}


def test_it_tells_when_it_began(supervise: Supervise, run_dir: RunDir) -> None:
    """By the clock that stands still while the machine sleeps: who looks after a run later counts
    its time as the supervisor does."""
    before = time.monotonic()
    supervise("sleep", FOREVER)
    again = attach(run_dir)
    assert again is not None and before <= again.began() <= time.monotonic()
    again.close()
