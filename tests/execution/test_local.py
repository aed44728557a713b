"""A run is started, waited for, and found again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from gitfleet.execution.base import LaunchSpec
from gitfleet.execution.local import attach, exit_of, load
from gitfleet.process.kill import kill_run
from gitfleet.process.procfs import MARKER, alive, poll
from gitfleet.process.wakeup import Wakeup
from gitfleet.run_dir import RunDir
from tests.acceptance.fleetlab import until
from tests.process.kit import FOREVER, PATIENCE, Supervise, carriers, ended


class TestStart:
    def test_writes_down_who_it_started(
        self, supervise: Supervise, run_dir: RunDir, marker: str
    ) -> None:
        """Another process finds the child, its marker and its program in the run directory."""
        running = supervise("sleep", FOREVER)
        assert load(run_dir) == (running.child, marker)
        told = json.loads((run_dir.path / "child.json").read_text())
        assert told == {
            "pid": running.child.pid,
            "started": running.child.started,
            "coder": told["coder"],
            "began": told["began"],
            "argv0": "sleep",
            "marker": marker,
        }
        assert alive(running.child)
        assert exit_of(run_dir) is None

    def test_output_and_input_are_files(
        self, supervise: Supervise, run_dir: RunDir, tmp_path: Path
    ) -> None:
        """The child reads its file, sees its whole environment, and appends to its outputs."""
        (tmp_path / "in").write_text("word\n")
        script = f'cat; echo "$OWN:${MARKER}" >&2'
        for _ in range(2):
            ended(supervise("sh", "-c", script, stdin=tmp_path / "in", OWN="own"))
        _, marker = load(run_dir) or (None, None)
        assert (run_dir.path / "stdout").read_text() == "word\n" * 2
        assert (run_dir.path / "stderr").read_text() == f"own:{marker}\n" * 2

    def test_lives_in_a_session_of_its_own(self, supervise: Supervise) -> None:
        """A Ctrl-C in our terminal does not reach it."""
        running = supervise("sleep", FOREVER)
        assert os.getsid(running.child.pid) == running.child.pid

    def test_inherits_no_file_of_ours(self, supervise: Supervise, run_dir: RunDir) -> None:
        """A child holds its three files and nothing that would keep a lock of ours."""
        with Path(os.devnull).open() as file:
            os.set_inheritable(file.fileno(), True)
            ended(supervise("ls", "/proc/self/fd"))
        assert len((run_dir.path / "stdout").read_text().split()) == 4  # and the directory it lists

    def test_several_share_a_directory(self, supervise: Supervise, run_dir: RunDir) -> None:
        """A name keeps apart what several children leave in one directory."""
        one = supervise("sh", "-c", "echo one; exit 1", name="check-1.")
        assert ended(one).code == 1
        two = supervise("sh", "-c", "echo two; exit 2", name="check-2.")
        assert ended(two).code == 2
        assert (run_dir.path / "check-1.stdout").read_text() == "one\n"
        loaded = load(run_dir.command("check", 2))
        assert loaded is not None
        assert loaded[0] == two.child
        assert exit_of(run_dir.command("check", 2)) == ended(two)
        assert exit_of(run_dir) is None

    def test_a_second_start_forgets_the_first_end(
        self, supervise: Supervise, run_dir: RunDir
    ) -> None:
        """The exit of an earlier child is never taken for that of the one that runs."""
        ended(supervise("true"))
        supervise("sleep", FOREVER)
        assert exit_of(run_dir) is None

    def test_the_representation_hides_the_environment(self, tmp_path: Path) -> None:
        """A spec in a log shows no secret."""
        spec = LaunchSpec(("claude",), tmp_path, {"TOKEN": "s3cret"}, "m")
        assert "s3cret" not in repr(spec)
        assert "claude" in repr(spec)

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "{}", '{"pid": "1"}', '{"pid": -1, "started": "", "marker": ""}']
    )
    def test_broken_records_are_none(self, tmp_path: Path, content: str) -> None:
        """What cannot be read is as good as absent."""
        (tmp_path / "child.json").write_text(content)
        (tmp_path / "exit.json").write_text(content)
        assert load(RunDir(tmp_path)) is None
        assert exit_of(RunDir(tmp_path)) is None


class TestAttach:
    def test_another_runner_goes_on_with_a_run(self, supervise: Supervise, run_dir: RunDir) -> None:
        """Who did not start it waits for it as well, and learns how it ended."""
        supervise("sh", "-c", "sleep 0.1; exit 5").close()
        again = attach(run_dir)
        assert again is not None and ended(again).code == 5

    def test_what_ended_meanwhile_tells_how(self, supervise: Supervise, run_dir: RunDir) -> None:
        """A run that ended with no runner there is judged by what its supervisor wrote down."""
        before = ended(supervise("sh", "-c", "exit 6"))
        again = attach(run_dir)
        assert again is not None and again.wait(0) == before and before.code == 6

    def test_nothing_is_known_of_nothing(self, tmp_path: Path) -> None:
        """An attempt that never began cannot be gone on with."""
        assert attach(RunDir(tmp_path)) is None


class TestWait:
    @pytest.mark.parametrize(
        ("script", "code", "number"), [("exit 7", 7, None), ("kill -15 $$", None, 15)]
    )
    def test_tells_how_it_ended(
        self,
        supervise: Supervise,
        run_dir: RunDir,
        script: str,
        code: int | None,
        number: int | None,
    ) -> None:
        """The end is handed back, recorded, and the same when asked again; no zombie remains."""
        began = time.time()
        running = supervise("sh", "-c", script)
        end = ended(running)
        assert (end.code, end.signal) == (code, number)
        assert began <= end.at <= time.time()
        assert exit_of(run_dir) == end == running.wait(0)
        assert not Path(f"/proc/{running.child.pid}").exists()
        running.close()
        assert running.wait(0) == end

    def test_a_timeout_is_none(self, supervise: Supervise) -> None:
        """A child that runs on has no end."""
        running = supervise("sleep", FOREVER)
        assert running.wait(0) is None
        assert running.wait(0.01) is None

    def test_a_wake_ends_the_waiting(self, supervise: Supervise) -> None:
        """Another thread gets a waiter out of an endless wait, and it stays out until cleared."""
        running, wake = supervise("sleep", FOREVER), Wakeup()
        thread = threading.Thread(target=wake.set)
        thread.start()
        assert running.wait(None, wake) is None
        assert running.wait(None, wake) is None
        thread.join()
        wake.clear()
        assert running.wait(0.01, wake) is None
        wake.close()

    def test_an_end_counts_more_than_a_wake(self, supervise: Supervise) -> None:
        """A child that ended is seen even by a waiter that is woken at the same time."""
        running, wake = supervise("true"), Wakeup()
        assert poll([running.fileno()], PATIENCE)
        wake.set()
        assert running.wait(None, wake) is not None
        wake.close()

    def test_many_threads_get_one_end(self, supervise: Supervise) -> None:
        """Whoever waits gets the same end, though only one of them can reap."""
        running, ends = supervise("sh", "-c", "exit 9"), []
        threads = [
            threading.Thread(target=lambda: ends.append(running.wait(PATIENCE))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ends) == 8
        assert set(ends) == {running.wait(0)}

    def test_a_supervisor_that_was_killed_leaves_an_unknown_end(
        self, supervise: Supervise, marker: str
    ) -> None:
        """Nobody was there to see how the run ended, and nobody guesses; it is still found."""
        running = supervise("sleep", FOREVER)
        os.kill(running.child.pid, signal.SIGKILL)
        assert (ended(running).code, ended(running).signal) == (None, None)
        until(lambda: len(carriers(marker)) == 1)  # for a moment of its exec it has no environment
        assert kill_run(running.child, marker, grace=0) == []
        assert carriers(marker) == []

    def test_a_closed_handle_is_not_waited_for(self, supervise: Supervise) -> None:
        """To wait on a handle that was given back is a mistake, not an endless wait."""
        running = supervise("sleep", FOREVER)
        running.close()
        running.close()
        with pytest.raises(ValueError, match="closed"):
            running.wait(None)
