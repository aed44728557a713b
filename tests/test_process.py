from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitfleet import process
from gitfleet.errors import FleetError
from gitfleet.process import Child, Exit, Running, Spec, Wake

PATIENCE = 60.0  # seconds before a test that waits for an event fails; never a measure of speed
FOREVER = "600"  # seconds a process sleeps that is to be ended by us


class Mouth:
    """A fifo through which processes under test say that they are ready."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # Open for both, so that it is never at its end while nobody speaks.
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._heard = b""

    def line(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._heard:
            assert process._poll([self._fd], deadline - time.monotonic()), "nobody spoke"
            self._heard += os.read(self._fd, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def pid(self) -> int:
        return int(self.line())

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def mouth(tmp_path: Path) -> Iterator[Mouth]:
    mouth = Mouth(tmp_path / "mouth")
    yield mouth
    mouth.close()


@pytest.fixture
def marker() -> Iterator[str]:
    """A marker of its own for each test; whatever a failed test leaves behind is killed."""
    marker = uuid.uuid4().hex
    yield marker
    for pid in carriers(marker):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


Start = Callable[..., Running]


@pytest.fixture
def start(run_dir: Path, tmp_path: Path, marker: str) -> Iterator[Start]:
    """Start a command as an attempt; it is ended, reaped and closed after the test."""
    started: list[Running] = []

    def start(*argv: str, name: str = "", stdin: Path | None = None, **env: str) -> Running:
        whole = {"PATH": os.environ["PATH"], "MOUTH": str(tmp_path / "mouth"), **env}
        spec = Spec(argv, tmp_path, whole, marker, stdin)
        started.append(process.start(run_dir, spec, name=name))
        return started[-1]

    yield start
    for running in started:
        process.end(running.child, marker, grace=0)
        if running.fileno() >= 0:
            running.wait(PATIENCE)
            running.close()


def carriers(marker: str) -> list[int]:
    """The pids of all that carry the marker, found without the module under test."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"GITFLEET_RUN={marker}".encode() in environ.split(b"\0"):
                found.append(int(entry.name))
    return found


def is_gone(pid: int) -> bool:
    """Whether nothing runs under that number (a zombie that its parent forgot does not run)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b") ")[2][:1] in b"ZX"


def await_end(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert process._poll([fd], PATIENCE), f"{pid} runs on"
    os.close(fd)


def child_of(pid: int) -> Child:
    seen = process._look_at(pid)
    assert seen is not None
    return seen.child


def ended(running: Running) -> Exit:
    end = running.wait(PATIENCE)
    assert end is not None
    return end


def python(script: str) -> tuple[str, ...]:
    return sys.executable, "-c", textwrap.dedent(script)


class TestRun:
    @pytest.fixture
    def ready(self, mouth: Mouth, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the timeout of `run` be over as soon as the command has said a line."""
        gather = process._gather

        def until_ready(streams: dict[int, bytearray], pidfd: int, seconds: float) -> bool:
            monkeypatch.setattr(process, "_gather", gather)
            mouth.line()
            return gather(streams, pidfd, 0)

        monkeypatch.setattr(process, "_gather", until_ready)

    def test_hands_back_what_a_command_said(self, tmp_path: Path) -> None:
        """Exit status, both outputs, directory, environment and input are passed on as they are."""
        script = 'pwd; echo "$WORD" >&2; cat; exit 3'
        env = {"PATH": os.environ["PATH"], "WORD": "hello"}
        done = process.run(
            ["sh", "-c", script], cwd=tmp_path, env=env, input=b"in\0put", timeout=PATIENCE
        )
        assert done == process.Completed(
            ("sh", "-c", script), 3, f"{tmp_path}\nin\0put".encode(), b"hello\n", False
        )

    def test_without_input_a_command_reads_the_end(self) -> None:
        """A command that asks gets the end of file and never our terminal."""
        assert process.run(["cat"], timeout=PATIENCE).stdout == b""

    def test_much_in_and_out_does_not_block(self) -> None:
        """Input and output far beyond a pipe's size pass, on both streams."""
        much = b"x" * (3 << 20)
        done = process.run(["sh", "-c", "tee /proc/self/fd/2"], input=much, timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (much, much)

    def test_a_signal_is_a_negative_code(self) -> None:
        """A command that died of a signal is told from one that exited."""
        assert process.run(["sh", "-c", "kill -9 $$"], timeout=PATIENCE).code == -9

    def test_the_timeout_ends_a_polite_command(self, mouth: Mouth, ready: None) -> None:
        """After the timeout a command gets TERM, and what it says then still counts."""
        script = f'trap "echo bye; exit 5" TERM; echo >{mouth.path}; while :; do sleep 0.01; done'
        done = process.run(["sh", "-c", script], timeout=PATIENCE)
        assert (done.code, done.stdout, done.timed_out) == (5, b"bye\n", True)

    def test_the_timeout_ends_a_deaf_command_and_its_group(
        self, mouth: Mouth, ready: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither a command that ignores TERM nor its children outlive the timeout."""
        monkeypatch.setattr(process, "_HELPER_GRACE", 0.1)
        script = f'trap "" TERM; sleep {FOREVER} & echo "\n$!" >{mouth.path}; wait'
        done = process.run(["sh", "-c", script], timeout=PATIENCE)
        assert (done.code, done.timed_out) == (-signal.SIGKILL, True)
        await_end(mouth.pid())

    def test_a_grandchild_with_the_pipes_does_not_hold_us(self, mouth: Mouth, marker: str) -> None:
        """What the command wrote is there at its end, though a daemon keeps its stdout open."""
        script = f"setsid sleep {FOREVER} & echo $! >{mouth.path}; echo said"
        env = {**os.environ, process.MARKER: marker}
        done = process.run(["sh", "-c", script], env=env, timeout=PATIENCE)
        assert (done.code, done.stdout, done.timed_out) == (0, b"said\n", False)
        assert not is_gone(mouth.pid())

    def test_a_grandchild_that_floods_the_pipe_does_not_hold_us(self, marker: str) -> None:
        """A daemon that never stops writing does not keep us reading."""
        env = {**os.environ, process.MARKER: marker}
        done = process.run(["sh", "-c", "setsid yes & sleep 0.1"], env=env, timeout=PATIENCE)
        assert (done.code, done.timed_out) == (0, False)

    def test_the_timeout_does_not_wait_for_a_session_of_its_own(self, marker: str) -> None:
        """Out of reach of the group's signals, a grandchild still cannot delay the return."""
        env = {**os.environ, process.MARKER: marker}
        script = f"setsid sleep {FOREVER} & sleep {FOREVER}"
        began = time.monotonic()
        done = process.run(["sh", "-c", script], env=env, timeout=0.2)
        assert done.timed_out
        assert time.monotonic() - began < PATIENCE

    def test_an_interrupt_leaves_nothing_behind(
        self, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On Ctrl-C the command is killed before the interrupt goes on."""
        gather, calls = process._gather, []

        def interrupted(*args: object) -> bool:
            calls.append(args)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return gather(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(process, "_gather", interrupted)
        env = {**os.environ, process.MARKER: marker}
        with pytest.raises(KeyboardInterrupt):
            process.run(["sleep", FOREVER], env=env, timeout=PATIENCE)
        assert carriers(marker) == []

    def test_no_file_is_left_open(self) -> None:
        """A run gives back every file it opened, started or not."""
        before = len(list(Path("/proc/self/fd").iterdir()))
        process.run(["cat"], input=b"x", timeout=PATIENCE)
        with pytest.raises(FleetError):
            process.run(["no-such-program"], timeout=1)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestNotStarted:
    def test_a_missing_program_is_named(self) -> None:
        """The person reads which program is missing, and what to do."""
        with pytest.raises(FleetError, match="no-such-program") as error:
            process.run(["no-such-program"], timeout=1)
        assert "Install" in error.value.remedy

    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        """A missing directory is not mistaken for a missing program."""
        with pytest.raises(FleetError, match="directory") as error:
            process.run(["true"], cwd=tmp_path / "gone", timeout=1)
        assert error.value.where == str(tmp_path / "gone")

    @pytest.mark.parametrize(
        ("content", "mode", "says"),
        [
            ("#!/no/such/interpreter\n", 0o755, "interpreter"),
            ("#!/bin/sh\n", 0o644, "chmod"),
            ("no first line\n", 0o755, "#!/bin/sh"),
        ],
    )
    def test_a_broken_script_says_why(
        self, tmp_path: Path, content: str, mode: int, says: str
    ) -> None:
        """Each way in which a script cannot be started has a remedy of its own."""
        script = tmp_path / "script"
        script.write_text(content)
        script.chmod(mode)
        with pytest.raises(FleetError, match=says):
            process.run([str(script)], timeout=1)

    def test_too_long_an_argument_says_what_to_do(self) -> None:
        """A prompt beyond the kernel's limit for one argument is an error for a person."""
        with pytest.raises(FleetError, match="standard input"):
            process.run(["true", "x" * (1 << 18)], timeout=1)

    @pytest.mark.parametrize("argv", [[], ["true", "a\0b"]])
    def test_impossible_arguments_are_a_known_error(self, argv: list[str]) -> None:
        """What no kernel takes is refused with a sentence as well."""
        with pytest.raises(FleetError):
            process.run(argv, timeout=1)

    def test_an_attempt_that_cannot_start_leaves_no_record(
        self, start: Start, run_dir: Path
    ) -> None:
        """No child.json speaks of a child that never was."""
        with pytest.raises(FleetError, match="no-such-program"):
            start("no-such-program")
        assert process.load(run_dir) is None

    def test_a_missing_input_is_named(self, start: Start, tmp_path: Path) -> None:
        """The file that was to be the input is named where it is missing."""
        with pytest.raises(FleetError) as error:
            start("cat", stdin=tmp_path / "gone")
        assert error.value.where == str(tmp_path / "gone")

    def test_a_child_that_cannot_be_recorded_is_killed(
        self, start: Start, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk at the start leaves no process that nobody knows of."""

        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(process, "_write_json", full)
        with pytest.raises(OSError, match="No space"):
            start("sleep", FOREVER)
        assert carriers(marker) == []


class TestStart:
    def test_writes_down_who_it_started(self, start: Start, run_dir: Path, marker: str) -> None:
        """Another process finds the child, its marker and its program in the run directory."""
        running = start("sleep", FOREVER)
        assert process.load(run_dir) == (running.child, marker)
        assert json.loads((run_dir / "child.json").read_text()) == {
            "pid": running.child.pid,
            "started": running.child.started,
            "argv0": "sleep",
            "marker": marker,
        }
        assert process.alive(running.child)
        assert process.exit_of(run_dir) is None

    def test_output_and_input_are_files(self, start: Start, run_dir: Path, tmp_path: Path) -> None:
        """The child reads its file, sees its whole environment, and appends to its outputs."""
        (tmp_path / "in").write_text("word\n")
        script = f'cat; echo "$OWN:${process.MARKER}" >&2'
        for _ in range(2):
            ended(start("sh", "-c", script, stdin=tmp_path / "in", OWN="own"))
        _, marker = process.load(run_dir) or (None, None)
        assert (run_dir / "stdout").read_text() == "word\n" * 2
        assert (run_dir / "stderr").read_text() == f"own:{marker}\n" * 2

    def test_lives_in_a_session_of_its_own(self, start: Start) -> None:
        """A Ctrl-C in our terminal does not reach it."""
        running = start("sleep", FOREVER)
        assert os.getsid(running.child.pid) == running.child.pid

    def test_inherits_no_file_of_ours(self, start: Start, run_dir: Path) -> None:
        """A child holds its three files and nothing that would keep a lock of ours."""
        with Path(os.devnull).open() as file:
            os.set_inheritable(file.fileno(), True)
            ended(start("ls", "/proc/self/fd"))
        assert len((run_dir / "stdout").read_text().split()) == 4  # and the directory it lists

    def test_several_share_a_directory(self, start: Start, run_dir: Path) -> None:
        """A name keeps apart what several children leave in one directory."""
        one = start("sh", "-c", "echo one; exit 1", name="check-1.")
        two = start("sh", "-c", "echo two; exit 2", name="check-2.")
        assert (ended(one).code, ended(two).code) == (1, 2)
        assert (run_dir / "check-1.stdout").read_text() == "one\n"
        loaded = process.load(run_dir, name="check-2.")
        assert loaded is not None
        assert loaded[0] == two.child
        assert process.exit_of(run_dir, name="check-2.") == ended(two)
        assert process.exit_of(run_dir) is None

    def test_a_second_start_forgets_the_first_end(self, start: Start, run_dir: Path) -> None:
        """The exit of an earlier child is never taken for that of the one that runs."""
        ended(start("true"))
        start("sleep", FOREVER)
        assert process.exit_of(run_dir) is None

    def test_the_representation_hides_the_environment(self, tmp_path: Path) -> None:
        """A spec in a log shows no secret."""
        spec = Spec(("claude",), tmp_path, {"TOKEN": "s3cret"}, "m")
        assert "s3cret" not in repr(spec)
        assert "claude" in repr(spec)

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "{}", '{"pid": "1"}', '{"pid": -1, "started": "", "marker": ""}']
    )
    def test_broken_records_are_none(self, tmp_path: Path, content: str) -> None:
        """What cannot be read is as good as absent."""
        (tmp_path / "child.json").write_text(content)
        (tmp_path / "exit.json").write_text(content)
        assert process.load(tmp_path) is None
        assert process.exit_of(tmp_path) is None


class TestWait:
    @pytest.mark.parametrize(
        ("script", "code", "number"), [("exit 7", 7, None), ("kill -15 $$", None, 15)]
    )
    def test_tells_how_it_ended(
        self, start: Start, run_dir: Path, script: str, code: int | None, number: int | None
    ) -> None:
        """The end is handed back, recorded, and the same when asked again; no zombie remains."""
        began = time.time()
        running = start("sh", "-c", script)
        end = ended(running)
        assert (end.code, end.signal) == (code, number)
        assert began <= end.at <= time.time()
        assert process.exit_of(run_dir) == end == running.wait(0)
        assert not Path(f"/proc/{running.child.pid}").exists()
        running.close()
        assert running.wait(0) == end

    def test_a_timeout_is_none(self, start: Start) -> None:
        """A child that runs on has no end."""
        running = start("sleep", FOREVER)
        assert running.wait(0) is None
        assert running.wait(0.01) is None

    def test_a_wake_ends_the_waiting(self, start: Start) -> None:
        """Another thread gets a waiter out of an endless wait, and it stays out until cleared."""
        running, wake = start("sleep", FOREVER), Wake()
        thread = threading.Thread(target=wake.set)
        thread.start()
        assert running.wait(None, wake) is None
        assert running.wait(None, wake) is None
        thread.join()
        wake.clear()
        assert running.wait(0.01, wake) is None
        wake.close()

    def test_an_end_counts_more_than_a_wake(self, start: Start) -> None:
        """A child that ended is seen even by a waiter that is woken at the same time."""
        running, wake = start("true"), Wake()
        assert process._poll([running.fileno()], PATIENCE)
        wake.set()
        assert running.wait(None, wake) is not None
        wake.close()

    def test_many_threads_get_one_end(self, start: Start) -> None:
        """Whoever waits gets the same end, though only one of them can reap."""
        running, ends = start("sh", "-c", "exit 9"), []
        threads = [
            threading.Thread(target=lambda: ends.append(running.wait(PATIENCE))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ends) == 8
        assert set(ends) == {running.wait(0)}

    def test_a_stolen_status_is_an_unknown_end(self, start: Start) -> None:
        """If somebody else reaped our child, its end is known and its status is not guessed."""
        running = start("sh", "-c", "exit 3")
        os.waitpid(running.child.pid, 0)
        assert (ended(running).code, ended(running).signal) == (None, None)

    def test_the_record_precedes_the_reaping(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the end cannot be written down it is not lost: the next wait sees it again."""
        running = start("sh", "-c", "exit 4")
        with monkeypatch.context() as patch:

            def full(*args: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(process, "_write_json", full)
            with pytest.raises(OSError, match="No space"):
                running.wait(PATIENCE)
        assert ended(running).code == 4

    def test_a_closed_handle_is_not_waited_for(self, start: Start) -> None:
        """To wait on a handle that was given back is a mistake, not an endless wait."""
        running = start("sleep", FOREVER)
        running.close()
        running.close()
        with pytest.raises(ValueError, match="closed"):
            running.wait(None)


class TestWake:
    def test_set_after_close_hits_no_other_file(self, tmp_path: Path) -> None:
        """A late set does not write into the file that got the number next."""
        wake = Wake()
        number = wake.fileno()
        wake.close()
        other = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        try:
            assert other == number  # the lowest free number is given out
            wake.set()
            wake.clear()
            wake.close()
            assert os.fstat(other).st_size == 0
        finally:
            os.close(other)

    def test_set_and_clear_count_nothing(self) -> None:
        """Set often and cleared once, it is down; cleared twice, nothing blocks."""
        wake = Wake()
        for _ in range(5):
            wake.set()
        assert process._poll([wake.fileno()], 0)
        wake.clear()
        wake.clear()
        assert not process._poll([wake.fileno()], 0)
        wake.close()


class TestLooking:
    def test_a_zombie_is_not_alive(self, start: Start) -> None:
        """A child that ended and was not reaped yet does not run."""
        running = start("true")
        assert process._poll([running.fileno()], PATIENCE)
        assert not process.alive(running.child)
        ended(running)
        assert not process.alive(running.child)

    def test_a_recycled_pid_is_not_alive(self, start: Start) -> None:
        """The same number with another start is another process."""
        pid = start("sleep", FOREVER).child.pid
        assert not process.alive(Child(pid, child_of(pid).started + "1"))

    def test_a_name_with_parentheses_is_read(self, tmp_path: Path, start: Start) -> None:
        """No program's name can shift the fields of its line in /proc."""
        odd = tmp_path / "a) Z 1 (b"
        odd.symlink_to("/bin/sleep")
        assert process.alive(start(str(odd), FOREVER).child)

    def test_a_marker_is_exact(self, start: Start, marker: str) -> None:
        """A run is not taken for one whose marker begins alike, or stands in another variable."""
        running = start("sleep", FOREVER, OTHER=f"GITFLEET_RUN={marker}x")
        assert process.marked(marker) == [running.child]
        assert process.marked(marker[:-1]) == []
        assert process.marked(marker + "x") == []

    def test_a_process_in_the_middle_of_an_exec_is_found(
        self, start: Start, tmp_path: Path, marker: str
    ) -> None:
        """While an exec replaces it, a process reads as if it had no environment."""
        script = tmp_path / "script"
        script.write_text(
            f'[ $1 -ge 1000 ] && exec sleep {FOREVER}; exec sh "$0" $(($1 + 1))',
        )
        running = start("sh", str(script), "0")
        while Path(f"/proc/{running.child.pid}/comm").read_text() != "sleep\n":
            assert running.child in process.marked(marker)

    def test_an_environment_not_laid_out_yet_is_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same moment, made to last: an empty environment is read again until it is final."""
        environ = tmp_path / "7" / "environ"
        environ.parent.mkdir()
        environ.write_bytes(b"")
        looks = iter([True, True, False])

        def look_at(pid: int) -> process._Seen:
            in_exec = next(looks)
            if not in_exec:
                environ.write_bytes(b"A=1\0GITFLEET_RUN=m\0")
            return process._Seen(Child(pid, "boot 1"), 1, pid, False, in_exec)

        monkeypatch.setattr(process, "_PROC", tmp_path)
        monkeypatch.setattr(process, "_look_at", look_at)
        assert process._carries(7, process._variable("m"))

    def test_boot_seconds_go_forward(self) -> None:
        """The clock counts from the start of the machine."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        assert uptime - 0.011 <= process.boot_seconds()  # uptime is rounded to hundredths


class TestEnd:
    def test_a_polite_child_says_goodbye(
        self, start: Start, run_dir: Path, mouth: Mouth, marker: str
    ) -> None:
        """TERM comes first, and the grace is not waited out when all have gone."""
        script = 'trap "echo bye; exit 0" TERM; echo >"$MOUTH"; while :; do sleep 0.01; done'
        running = start("sh", "-c", script)
        mouth.line()
        assert process.end(running.child, marker, grace=PATIENCE * 10) == []
        assert ended(running).code == 0
        assert (run_dir / "stdout").read_text() == "bye\n"
        assert carriers(marker) == []

    @pytest.mark.parametrize("grace", [0, 0.2])
    def test_a_deaf_child_is_killed(
        self, start: Start, mouth: Mouth, marker: str, grace: float
    ) -> None:
        """Whoever ignores TERM is killed after the grace."""
        running = start("sh", "-c", f'trap "" TERM; echo >"$MOUTH"; sleep {FOREVER} & wait')
        mouth.line()
        assert process.end(running.child, marker, grace=grace) == []
        assert ended(running).signal == signal.SIGKILL
        assert carriers(marker) == []

    def test_a_stopped_child_goes_on_to_end(
        self, start: Start, run_dir: Path, mouth: Mouth, marker: str
    ) -> None:
        """A stopped process gets its farewell too."""
        script = 'trap "exit 6" TERM; echo >"$MOUTH"; kill -STOP $$; while :; do sleep 0.01; done'
        running = start("sh", "-c", script)
        mouth.line()
        os.waitid(os.P_PID, running.child.pid, os.WSTOPPED)
        assert process.end(running.child, marker, grace=PATIENCE) == []
        assert ended(running).code == 6

    def test_a_session_of_its_own_is_no_way_out(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """A worker outside the leader's group and session is ended with it."""
        script = f'setsid sh -c "echo \\$\\$ >$MOUTH; exec sleep {FOREVER}" & wait'
        running = start("sh", "-c", script)
        worker = mouth.pid()
        assert os.getsid(worker) != running.child.pid
        assert process.end(running.child, marker, grace=PATIENCE) == []
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
        assert process.end(running.child, marker, grace=0.1) == []
        assert is_gone(daemon)
        assert carriers(marker) == []

    def test_a_worker_without_its_leader_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """A worker that goes on in the group of a leader long gone and reaped is found."""
        running = start("sh", "-c", f'sleep {FOREVER} & echo $! >"$MOUTH"; exit 1')
        worker = mouth.pid()
        assert ended(running).code == 1
        assert process.end(running.child, marker, grace=PATIENCE) == []
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
        assert process.end(running.child, marker, grace=0.2) == []
        assert ended(running).signal == signal.SIGTERM
        assert carriers(marker) == []

    def test_a_descendant_without_the_marker_is_ended(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """Who cleared its environment and left the session is known by its parent."""
        script = f'env -i setsid sh -c "echo \\$\\$ >$MOUTH; exec sleep {FOREVER}" & wait'
        running = start("sh", "-c", script)
        stranger = mouth.pid()
        assert process.end(running.child, marker, grace=PATIENCE) == []
        assert is_gone(stranger)

    def test_an_orphan_without_the_marker_is_ended_with_its_session(
        self, start: Start, mouth: Mouth, marker: str
    ) -> None:
        """Who cleared its environment and lost its parent is known by the session it stayed in."""
        script = f'(env -i sleep {FOREVER} & echo $! >"$MOUTH"); exec sleep {FOREVER}'
        running = start("sh", "-c", script)
        orphan = mouth.pid()
        assert process.end(running.child, marker, grace=PATIENCE) == []
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
        assert process.end(running.child, marker, grace=PATIENCE) == []
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
        assert process.end(running.child, marker, grace=0.2) == []
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
        assert process.end(running.child, marker, grace=PATIENCE) == []
        assert carriers(marker) == []

    def test_more_than_can_be_held_at_a_time(
        self, start: Start, mouth: Mouth, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A crowd is ended in rounds, so that it cannot take all our files."""
        monkeypatch.setattr(process, "_HELD_MAX", 4)
        script = f"""
            trap "" TERM
            for i in 1 2 3 4 5 6 7 8 9 10; do sleep {FOREVER} & done
            echo >"$MOUTH"
            wait
        """
        running = start("sh", "-c", script)
        mouth.line()
        assert process.end(running.child, marker, grace=0) == []
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
        past = Child(running.child.pid, running.child.started + "1")
        assert process.end(past, "another-run", grace=0) == []
        assert process.alive(running.child)
        os.kill(running.child.pid, signal.SIGHUP)
        assert mouth.line() == "hit"
        assert not process._poll([mouth._fd], 0)  # and only once

    def test_other_runs_go_on(
        self, start: Start, tmp_path: Path, run_dir: Path, marker: str
    ) -> None:
        """To end one run does not touch its neighbour."""
        ours = start("sleep", FOREVER)
        env = {"PATH": os.environ["PATH"]}
        other = process.start(
            tmp_path / "other", Spec(("sleep", FOREVER), tmp_path, env, marker + "x")
        )
        try:
            assert process.end(ours.child, marker, grace=PATIENCE) == []
            assert process.alive(other.child)
        finally:
            process.end(other.child, marker + "x", grace=0)
            assert ended(other).signal in (signal.SIGTERM, signal.SIGKILL)
            other.close()

    def test_a_run_is_ended_by_its_marker_alone(self, start: Start, marker: str) -> None:
        """After a crash before child.json was written, the marker is enough."""
        running = start("sleep", FOREVER)
        assert process.end(None, marker, grace=PATIENCE) == []
        assert ended(running).signal == signal.SIGTERM

    def test_nothing_to_end_is_no_error(self, marker: str) -> None:
        """A run that is over is ended."""
        assert process.end(None, marker, grace=PATIENCE) == []

    def test_we_never_end_ourselves(self, marker: str) -> None:
        """Called from inside the run, it ends all the others and returns."""
        script = f"""
            import subprocess
            from gitfleet import process
            other = subprocess.Popen(["sleep", "{FOREVER}"])
            assert process.end(None, "{marker}", grace=10) == []
            assert other.wait() == -15
            print("still here")
        """
        env = {**os.environ, process.MARKER: marker}
        done = process.run(python(script), env=env, timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (b"still here\n", b"")

    def test_what_does_not_die_is_told(
        self, start: Start, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who survives even KILL (in a broken file system, of another user) is handed back."""
        running = start("sleep", FOREVER)
        with monkeypatch.context() as patch:
            patch.setattr(signal, "pidfd_send_signal", lambda *_: None)
            patch.setattr(process, "_KILL_SECONDS", 0.01)
            assert process.end(running.child, marker, grace=0) == [running.child]

    def test_no_file_is_left_open(self, start: Start, marker: str) -> None:
        """Every pidfd is given back."""
        running = start("sh", "-c", f"sleep {FOREVER} & sleep {FOREVER}")
        before = len(list(Path("/proc/self/fd").iterdir()))
        process.end(running.child, marker, grace=PATIENCE)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestOrphans:
    def test_orphans_come_to_us_and_are_reaped(self, tmp_path: Path, marker: str) -> None:
        """A subreaper collects what its attempts left behind, and no status that is waited for."""
        script = f"""
            import os, subprocess
            from pathlib import Path
            from gitfleet import process

            process.subreaper()
            here = Path({str(tmp_path)!r})
            env = {{"PATH": os.environ["PATH"]}}
            argv = ("sh", "-c", "(setsid sleep 0 & echo $!) ; exit 7")
            running = process.start(here, process.Spec(argv, here, env, {marker!r}))
            theirs = subprocess.Popen(["sh", "-c", "exit 8"])
            assert process._poll([running.fileno()], 60)
            orphan = int((here / "stdout").read_text())
            assert process._poll([os.pidfd_open(orphan)], 60)
            assert process._poll([os.pidfd_open(theirs.pid)], 60)

            assert process.reap_orphans(known={{orphan}}) == 0
            assert process.reap_orphans() == 1
            assert not Path(f"/proc/{{orphan}}").exists()
            assert process.reap_orphans() == 0
            assert running.wait(0).code == 7
            assert theirs.wait() == 8

            given_up = process.start(here, process.Spec(("true",), here, env, {marker!r}))
            assert process._poll([given_up.fileno()], 60)
            given_up.close()
            assert process.reap_orphans() == 1
            print("done")
        """
        done = process.run(python(script), timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (b"done\n", b"")

    def test_no_status_is_stolen_from_another_thread(self) -> None:
        """However often orphans are reaped, each helper's own status arrives."""
        over = threading.Event()

        def reap() -> None:
            while not over.is_set():
                process.reap_orphans()

        thread = threading.Thread(target=reap)
        thread.start()
        try:
            codes = {process.run(["sh", "-c", "exit 3"], timeout=PATIENCE).code for _ in range(40)}
        finally:
            over.set()
            thread.join()
        assert codes == {3}


class TestWatching:
    def test_growth_is_the_newest_output(self, tmp_path: Path) -> None:
        """Either stream counts as a sign of life; without any there was none."""
        assert process.last_growth(tmp_path) == 0
        for name, at in (("stdout", 1000.5), ("stderr", 2000.25), ("x.stdout", 9000)):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (at, at))
        assert process.last_growth(tmp_path) == 2000.25
        assert process.last_growth(tmp_path, name="x.") == 9000

    @pytest.mark.parametrize(
        ("content", "limit", "shown"),
        [
            (b"", 10, ""),
            (b"one\ntwo\n", 100, "one\ntwo\n"),
            (b"one\ntwo\n", 8, "one\ntwo\n"),
            (b"one\ntwo\n", 6, "two\n"),
            (b"one\ntwo\n", 4, "two\n"),
            (b"one\ntwo\n", 3, "wo\n"),
            (b"one\ntwo\n", 0, ""),
            (b"one long line", 4, "line"),
            ("ää".encode(), 3, "ä"),
            (b"\xff\xfe", 10, "\ufffd\ufffd"),
        ],
    )
    def test_a_tail_shows_whole_lines(
        self, tmp_path: Path, content: bytes, limit: int, shown: str
    ) -> None:
        """A tail begins with a line where it can, with a character where it cannot."""
        (tmp_path / "file").write_bytes(content)
        assert process.tail(tmp_path / "file", limit) == shown

    def test_a_tail_of_nothing_is_empty(self, tmp_path: Path) -> None:
        """A file that is not there yet has said nothing."""
        assert process.tail(tmp_path / "gone", 10) == ""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
    @given(
        text=st.text(st.sampled_from("ab\nä€\U0001f600")),
        limit=st.integers(min_value=0, max_value=40),
    )
    def test_a_tail_is_the_end_of_the_text(self, tmp_path: Path, text: str, limit: int) -> None:
        """Whatever is cut, what is shown is the text's own end, within the limit."""
        (tmp_path / "file").write_bytes(text.encode())
        shown = process.tail(tmp_path / "file", limit)
        assert text.endswith(shown)
        assert len(shown.encode()) <= limit
