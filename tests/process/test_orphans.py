"""Orphans come to us and are collected."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from gitfleet.process.orphans import reap_orphans
from gitfleet.process.run import run
from tests.process.kit import PATIENCE, python


class TestOrphans:
    def test_orphans_come_to_us_and_are_reaped(self, tmp_path: Path, marker: str) -> None:
        """A subreaper collects what its attempts left behind, and no status that is waited for."""
        script = f"""
            import os, subprocess
            from pathlib import Path
            from gitfleet.process.kill import subreaper
            from gitfleet.process.procfs import poll
            from gitfleet.process.orphans import reap_orphans
            from tests.process.kit import Bare
            from gitfleet.execution.base import LaunchSpec

            subreaper()
            here = Path({str(tmp_path)!r})
            env = {{"PATH": os.environ["PATH"]}}
            argv = ("sh", "-c", "(setsid sleep 0 & echo $!) ; exit 7")
            running = Bare(LaunchSpec(argv, here, env, {marker!r}), here)
            theirs = subprocess.Popen(["sh", "-c", "exit 8"])
            assert poll([running.fileno()], 60)
            orphan = int((here / "stdout").read_text())
            assert poll([os.pidfd_open(orphan)], 60)
            assert poll([os.pidfd_open(theirs.pid)], 60)

            assert reap_orphans(known={{orphan}}) == 0
            assert reap_orphans() == 1
            assert not Path(f"/proc/{{orphan}}").exists()
            assert reap_orphans() == 0
            assert running.wait(0).code == 7
            assert theirs.wait() == 8

            print("done")
        """
        root = str(Path(__file__).parents[2])
        env = {**os.environ, "PYTHONPATH": root}
        done = run(python(script), env=env, timeout=PATIENCE)
        assert (done.stdout, done.stderr) == (b"done\n", b"")

    def test_no_status_is_stolen_from_another_thread(self) -> None:
        """However often orphans are reaped, each helper's own status arrives."""
        over = threading.Event()

        def reap() -> None:
            while not over.is_set():
                reap_orphans()

        thread = threading.Thread(target=reap)
        thread.start()
        try:
            codes = {run(["sh", "-c", "exit 3"], timeout=PATIENCE).code for _ in range(40)}
        finally:
            over.set()
            thread.join()
        assert codes == {3}
