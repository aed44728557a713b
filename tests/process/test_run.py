"""Short commands end, whatever they leave behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.process import run as running
from gitfleet.process.procfs import MARKER
from gitfleet.process.run import Completed, run
from tests.process.kit import FOREVER, PATIENCE, Mouth, await_end, carriers, is_gone


class TestRun:
    @pytest.fixture
    def ready(self, mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the timeout of `run` be over as soon as the command has said a line."""
        gather = running._gather

        def until_ready(streams: dict[int, bytearray], pidfd: int, seconds: float) -> bool:
            monkeypatch.setattr(running, "_gather", gather)
            mouth.line()
            return gather(streams, pidfd, 0)

        monkeypatch.setattr(running, "_gather", until_ready)

    def test_hands_back_what_a_command_said(self, tmp_path: Path) -> None:
        """Exit status, both outputs, directory, environment and input are passed on as they are."""
        script = 'pwd; echo "$WORD" >&2; cat; exit 3'
        env = {"PATH": os.environ["PATH"], "WORD": "hello"}
        done = run(["sh", "-c", script], cwd=tmp_path, env=env, input=b"in\0put", timeout=PATIENCE)
        assert done == Completed(
            ("sh", "-c", script), 3, f"{tmp_path}\nin\0put".encode(), b"hello\n", False
        )

    def test_without_input_a_command_reads_the_end(self) -> None:
        """A command that asks gets the end of file and never our terminal."""
        assert run(["cat"], timeout=PATIENCE).stdout == b""

    def test_much_in_and_out_does_not_block(self) -> None:
        """Input and output far beyond a pipe's size pass, on both streams."""
        much = b"x" * (3 << 20)
        done = run(["sh", "-c", "tee /proc/self/fd/2"], input=much, timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (much, much)

    def test_a_signal_is_a_negative_code(self) -> None:
        """A command that died of a signal is told from one that exited."""
        assert run(["sh", "-c", "kill -9 $$"], timeout=PATIENCE).code == -9

    def test_the_timeout_ends_a_polite_command(self, mouth: Mouth, ready: None) -> None:
        """After the timeout a command gets TERM, and what it says then still counts."""
        script = f'trap "echo bye; exit 5" TERM; echo >{mouth.path}; while :; do sleep 0.01; done'
        done = run(["sh", "-c", script], timeout=PATIENCE)
        assert (done.code, done.stdout, done.timed_out) == (5, b"bye\n", True)

    def test_the_timeout_ends_a_deaf_command_and_its_group(
        self, mouth: Mouth, ready: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a command that ignores TERM nor its children outlive the timeout."""
        monkeypatch.setattr(running, "HELPER_GRACE", 0.1)
        script = f'trap "" TERM; sleep {FOREVER} & echo "\n$!" >{mouth.path}; wait'
        done = run(["sh", "-c", script], timeout=PATIENCE)
        assert (done.code, done.timed_out) == (-signal.SIGKILL, True)
        await_end(mouth.pid())

    def test_a_grandchild_with_the_pipes_does_not_hold_us(self, mouth: Mouth, marker: str) -> None:
        """What the command wrote is there at its end, though a daemon keeps its stdout open."""
        script = f"setsid sleep {FOREVER} & echo $! >{mouth.path}; echo said"
        env = {**os.environ, MARKER: marker}
        done = run(["sh", "-c", script], env=env, timeout=PATIENCE)
        assert (done.code, done.stdout, done.timed_out) == (0, b"said\n", False)
        assert not is_gone(mouth.pid())

    def test_a_grandchild_that_floods_the_pipe_does_not_hold_us(self, marker: str) -> None:
        """A daemon that never stops writing does not keep us reading."""
        env = {**os.environ, MARKER: marker}
        done = run(["sh", "-c", "setsid yes & sleep 0.1"], env=env, timeout=PATIENCE)
        assert (done.code, done.timed_out) == (0, False)

    def test_the_timeout_does_not_wait_for_a_session_of_its_own(self, marker: str) -> None:
        """Out of reach of the group's signals, a grandchild still cannot delay the return."""
        env = {**os.environ, MARKER: marker}
        script = f"setsid sleep {FOREVER} & sleep {FOREVER}"
        began = time.monotonic()
        done = run(["sh", "-c", script], env=env, timeout=0.2)
        assert done.timed_out
        assert time.monotonic() - began < PATIENCE

    def test_an_interrupt_leaves_nothing_behind(
        self, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On Ctrl-C the command is killed before the interrupt goes on."""
        gather, calls = running._gather, []

        def interrupted(*args: object) -> bool:
            calls.append(args)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return gather(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(running, "_gather", interrupted)
        env = {**os.environ, MARKER: marker}
        with pytest.raises(KeyboardInterrupt):
            run(["sleep", FOREVER], env=env, timeout=PATIENCE)
        assert carriers(marker) == []

    def test_no_file_is_left_open(self) -> None:
        """A run gives back every file it opened, started or not."""
        before = len(list(Path("/proc/self/fd").iterdir()))
        run(["cat"], input=b"x", timeout=PATIENCE)
        with pytest.raises(FleetError):
            run(["no-such-program"], timeout=1)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
