"""A whole run ends, however its processes tried to leave it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gitfleet.execution.base import LaunchSpec
from gitfleet.process import kill as ending
from gitfleet.process.kill import kill_run
from gitfleet.process.procfs import MARKER, ProcessId, alive, poll
from gitfleet.process.run import run
from gitfleet.run_dir import RunDir
from tests.process.kit import (
    FOREVER,
    PATIENCE,
    Bare,
    Mouth,
    Start,
    carriers,
    ended,
    is_gone,
    python,
)


class TestEnd:
    def test_a_polite_child_says_goodbye(
        self, start: Start, run_dir: RunDir, mouth: Mouth, marker: str
    ) -> None:
        """TERM comes first, and the grace is not waited out when all have gone."""
        script = 'trap "echo bye; exit 0" TERM; echo >"$MOUTH"; while :; do sleep 0.01; done'
        running = start("sh", "-c", script)
        mouth.line()
        assert kill_run(running.child, marker, grace=PATIENCE * 10) == []
        assert ended(running).code == 0
        assert (run_dir.path / "stdout").read_text() == "bye\n"
        assert carriers(marker) == []

    @pytest.mark.parametrize("grace", [0, 0.2])
    def test_a_deaf_child_is_killed(
        self, start: Start, mouth: Mouth, marker: str, grace: float
    ) -> None:
        """Whoever ignores TERM is killed after the grace."""
        running = start("sh", "-c", f'trap "" TERM; echo >"$MOUTH"; sleep {FOREVER} & wait')
        mouth.line()
        assert kill_run(None, marker, grace=grace) == []
        assert ended(running).signal == signal.SIGKILL
        assert carriers(marker) == []

    def test_a_stopped_child_goes_on_to_end(
        self, start: Start, run_dir: RunDir, mouth: Mouth, marker: str
    ) -> None:
        """A stopped process gets its farewell too."""
        script = 'trap "exit 6" TERM; echo >"$MOUTH"; kill -STOP $$; while :; do sleep 0.01; done'
        running = start("sh", "-c", script)
        mouth.line()
        os.waitid(os.P_PID, running.child.pid, os.WSTOPPED)
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert ended(running).code == 6

    def test_a_session_of_its_own_is_no_way_out(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """A worker outside the leader's group and session is ended with it."""
        script = f'setsid sh -c "echo \\$\\$ >$MOUTH; exec sleep {FOREVER}" & wait'
        running = start("sh", "-c", script)
        worker = mouth.pid()
        assert os.getsid(worker) != running.child.pid
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert is_gone(worker)
        assert carriers(marker) == []

    def test_a_double_fork_is_no_way_out(self, start: Start, mouth: Mouth, marker: str) -> None:
        """A daemon that outlived its parents and holds stdout is ended, deaf or not."""
        script = f"""
            import os, signal, time
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    open(os.environ["MOUTH"], "w").write(f"{{os.getpid()}}\\n")
                    time.sleep({FOREVER})
                os._exit(0)
            os.wait()
        """
        running = start(*python(script))
        daemon = mouth.pid()
        assert ended(running).code == 0
        assert kill_run(running.child, marker, grace=0.1) == []
        assert is_gone(daemon)
        assert carriers(marker) == []

    def test_a_worker_without_its_leader_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """A worker that goes on in the group of a leader long gone and reaped is found."""
        running = start("sh", "-c", f'sleep {FOREVER} & echo $! >"$MOUTH"; exit 1')
        worker = mouth.pid()
        assert ended(running).code == 1
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert is_gone(worker)

    def test_a_leader_that_dies_first_does_not_save_its_worker(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """The leader dies of TERM at once; the worker that ignores it is still killed."""
        script = f"""
            (trap "" TERM; echo >"$MOUTH"; sleep {FOREVER}) &
            exec sleep {FOREVER}
        """
        running = start("sh", "-c", script)
        mouth.line()
        assert kill_run(running.child, marker, grace=0.2) == []
        assert ended(running).signal == signal.SIGTERM
        assert carriers(marker) == []

    def test_a_descendant_without_the_marker_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """Who cleared its environment and left the session is known by its parent."""
        script = f'env -i setsid sh -c "echo \\$\\$ >$MOUTH; exec sleep {FOREVER}" & wait'
        running = start("sh", "-c", script)
        stranger = mouth.pid()
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert is_gone(stranger)

    def test_an_orphan_without_the_marker_is_ended_with_its_session(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """Who cleared its environment and lost its parent is known by the session it stayed in."""
        script = f'(env -i sleep {FOREVER} & echo $! >"$MOUTH"); exec sleep {FOREVER}'
        running = start("sh", "-c", script)
        orphan = mouth.pid()
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert is_gone(orphan)

    def test_the_session_counts_after_its_leader_while_the_run_is_in_it(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """With the leader gone, a marked member vouches for the one beside it."""
        script = f"""
            sleep {FOREVER} &
            (env -i sleep {FOREVER} & echo $! >"$MOUTH")
        """
        running = start("sh", "-c", script)
        orphan = mouth.pid()
        ended(running)
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert is_gone(orphan)

    def test_who_forks_faster_than_we_look_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """Deaf processes that keep fleeing into new sessions are all caught."""
        script = """
            import os, signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            mouth = os.open(os.environ["MOUTH"], os.O_WRONLY)
            generation = 0
            while True:
                generation += 1
                time.sleep(0.003)
                if os.fork():
                    time.sleep(0.003)
                    os._exit(0)
                os.setsid()
                if generation == 5:
                    os.write(mouth, b"off\\n")
        """
        running = start(*python(script))
        assert mouth.line() == "off"
        assert kill_run(running.child, marker, grace=0.2) == []
        assert carriers(marker) == []

    def test_what_is_born_of_the_farewell_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """A process that TERM itself brings to life, in a session of its own, is found."""
        script = f"""
            trap 'setsid sh -c "trap : TERM; echo \\$\\$ >$MOUTH; exec sleep {FOREVER}" & exit' TERM
            echo >"$MOUTH"
            while :; do sleep 0.01; done
        """
        running = start("sh", "-c", script)
        mouth.line()
        assert kill_run(running.child, marker, grace=PATIENCE) == []
        assert carriers(marker) == []

    @pytest.mark.slow
    def test_more_than_can_be_held_at_a_time(
        self, start: Start, mouth: Mouth, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A crowd is ended in rounds, so that it cannot take all our files."""
        monkeypatch.setattr(ending, "_HELD_MAX", 4)
        script = f"""
            trap "" TERM
            for i in 1 2 3 4 5 6 7 8 9 10; do sleep {FOREVER} & done
            echo >"$MOUTH"
            wait
        """
        running = start("sh", "-c", script)
        mouth.line()
        assert kill_run(running.child, marker, grace=0) == []
        assert carriers(marker) == []

    def test_a_recycled_pid_is_never_signalled(self, start: Start, mouth: Mouth) -> None:
        """Neither the process that got the number later nor its group hears anything."""
        # Not a shell's trap: that is now and then missed while the shell starts something.
        script = (
            "import os, signal\n"
            "heard = {signal.SIGTERM, signal.SIGHUP, signal.SIGCONT}\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, heard)\n"
            "mouth = os.open(os.environ['MOUTH'], os.O_WRONLY)\n"
            "os.write(mouth, b'\\n')\n"
            "while signal.sigwait(heard):\n"
            "    os.write(mouth, b'hit\\n')\n"
        )
        running = start(sys.executable, "-c", script)
        mouth.line()
        past = ProcessId(running.child.pid, running.child.started + "1")
        assert kill_run(past, "another-run", grace=0) == []
        assert alive(running.child)
        os.kill(running.child.pid, signal.SIGHUP)
        assert mouth.line() == "hit"
        assert not poll([mouth._fd], 0)  # and only once

    def test_other_runs_go_on(
        self, start: Start, tmp_path: Path, run_dir: RunDir, marker: str
    ) -> None:
        """To end one run does not touch its neighbour."""
        ours = start("sleep", FOREVER)
        env = {"PATH": os.environ["PATH"]}
        other = Bare(
            LaunchSpec(("sleep", FOREVER), tmp_path, env, marker + "x"), tmp_path / "other"
        )
        try:
            assert kill_run(ours.child, marker, grace=PATIENCE) == []
            assert alive(other.child)
        finally:
            kill_run(other.child, marker + "x", grace=0)
            assert ended(other).signal in (signal.SIGTERM, signal.SIGKILL)
            other.close()

    def test_a_run_is_ended_by_its_marker_alone(self, start: Start, marker: str) -> None:
        """After a crash before child.json was written, the marker is enough."""
        running = start("sleep", FOREVER)
        assert kill_run(None, marker, grace=PATIENCE) == []
        assert ended(running).signal == signal.SIGTERM

    def test_nothing_to_end_is_no_error(self, marker: str) -> None:
        """A run that is over is ended."""
        assert kill_run(None, marker, grace=PATIENCE) == []

    def test_we_never_end_ourselves(self, marker: str) -> None:
        """Called from inside the run, it ends all the others and returns."""
        script = f"""
            import subprocess
            from gitfleet.process.kill import kill_run
            other = subprocess.Popen(["sleep", "{FOREVER}"])
            assert kill_run(None, "{marker}", grace=10) == []
            assert other.wait() == -15
            print("still here")
        """
        env = {**os.environ, MARKER: marker}
        done = run(python(script), env=env, timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (b"still here\n", b"")

    @pytest.mark.slow
    def test_what_does_not_die_is_told(
        self, start: Start, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who survives even KILL (in a broken file system, of another user) is handed back."""
        running = start("sleep", FOREVER)
        with monkeypatch.context() as patch:
            patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
            patch.setattr(ending, "_KILL_SECONDS", 0.01)
            assert kill_run(running.child, marker, grace=0) == [running.child]

    def test_no_file_is_left_open(self, start: Start, marker: str) -> None:
        """Every pidfd is given back."""
        running = start("sh", "-c", f"sleep {FOREVER} & sleep {FOREVER}")
        before = len(list(Path("/proc/self/fd").iterdir()))
        kill_run(running.child, marker, grace=PATIENCE)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
