"""Processes as /proc shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.process import procfs
from gitfleet.process.procfs import (
    ProcessId,
    ProcessInfo,
    alive,
    boot_seconds,
    carries,
    marked,
    poll,
    variable,
)
from tests.process.kit import FOREVER, PATIENCE, Start, child_of, ended


class TestLooking:
    def test_a_zombie_is_not_alive(self, start: Start) -> None:
        """A child that ended and was not reaped yet does not run."""
        running = start("true")
        assert poll([running.fileno()], PATIENCE)
        assert not alive(running.child)
        ended(running)
        assert not alive(running.child)

    def test_a_recycled_pid_is_not_alive(self, start: Start) -> None:
        """The same number with another start is another process."""
        pid = start("sleep", FOREVER).child.pid
        assert not alive(ProcessId(pid, child_of(pid).started + "1"))

    def test_a_name_with_parentheses_is_read(self, tmp_path: Path, start: Start) -> None:
        """No program's name can shift the fields of its line in /proc."""
        odd = tmp_path / "a) Z 1 (b"
        odd.symlink_to("/bin/sleep")
        assert alive(start(str(odd), FOREVER).child)

    def test_a_marker_is_exact(self, start: Start, marker: str) -> None:
        """A run is not taken for one whose marker begins alike, or stands in another variable."""
        running = start("sleep", FOREVER, OTHER=f"GITFLEET_RUN={marker}x")
        assert marked(marker) == [running.child]
        assert marked(marker[:-1]) == []
        assert marked(marker + "x") == []

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
            assert running.child in marked(marker)

    def test_an_environment_not_laid_out_yet_is_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same moment, made to last: an empty environment is read again until it is final."""
        environ = tmp_path / "7" / "environ"
        environ.parent.mkdir()
        environ.write_bytes(b"")
        looks = iter(range(3))

        def read_process(pid: int) -> ProcessInfo:
            if next(looks) == 2:
                environ.write_bytes(b"A=1\0GITFLEET_RUN=m\0")
            return ProcessInfo(ProcessId(pid, "boot 1"), 1, pid, zombie=False, bare=False)

        monkeypatch.setattr(procfs, "PROC", tmp_path)
        monkeypatch.setattr(procfs, "read_process", read_process)
        assert carries(7, variable("m"))

    def test_a_process_without_an_environment_is_not_waited_for(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That it has none is told by /proc; another's exec is waited for."""
        running = start("env", "-i", "sleep", FOREVER)
        while (seen := procfs.read_process(running.child.pid)) and not seen.bare:
            assert procfs.alive(running.child)
        assert Path(f"/proc/{running.child.pid}/environ").read_bytes() == b""
        monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it was waited for"))
        assert not carries(running.child.pid, variable("m"))

    def test_boot_seconds_go_forward(self) -> None:
        """The clock counts from the start of the machine."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        assert uptime - 0.011 <= boot_seconds()  # uptime is rounded to hundredths
