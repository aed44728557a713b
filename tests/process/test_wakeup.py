"""A flag to wait for."""

from __future__ import annotations

import os
from pathlib import Path

from gitfleet.process.procfs import poll
from gitfleet.process.wakeup import Wakeup


class TestWake:
    def test_set_after_close_hits_no_other_file(self, tmp_path: Path) -> None:
        """A late set does not write into the file that got the number next."""
        wake = Wakeup()
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
        wake = Wakeup()
        for _ in range(5):
            wake.set()
        assert poll([wake.fileno()], 0)
        wake.clear()
        wake.clear()
        assert not poll([wake.fileno()], 0)
        wake.close()
