"""What cannot be started says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.execution.local import load
from gitfleet.process import atomic_json
from gitfleet.process.run import run
from gitfleet.run_dir import RunDir
from tests.process.kit import FOREVER, Supervise, carriers


class TestNotStarted:
    def test_a_missing_program_is_named(self) -> None:
        """The person reads which program is missing, and what to do."""
        with pytest.raises(FleetError, match="no-such-program") as error:
            run(["no-such-program"], timeout=1)
        assert "Install" in error.value.remedy

    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        """A missing directory is not mistaken for a missing program."""
        with pytest.raises(FleetError, match="directory") as error:
            run(["true"], cwd=tmp_path / "gone", timeout=1)
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
            run([str(script)], timeout=1)

    def test_too_long_an_argument_says_what_to_do(self) -> None:
        """A prompt beyond the kernel's limit for one argument is an error for a person."""
        with pytest.raises(FleetError, match="standard input"):
            run(["true", "x" * (1 << 18)], timeout=1)

    @pytest.mark.parametrize("argv", [[], ["true", "a\0b"]])
    def test_impossible_arguments_are_a_known_error(self, argv: list[str]) -> None:
        """What no kernel takes is refused with a sentence as well."""
        with pytest.raises(FleetError):
            run(argv, timeout=1)

    def test_an_attempt_that_cannot_start_leaves_no_record(
        self, supervise: Supervise, run_dir: RunDir
    ) -> None:
        """No child.json speaks of a child that never was."""
        with pytest.raises(FleetError, match="no-such-program"):
            supervise("no-such-program")
        assert load(run_dir) is None

    def test_a_missing_input_is_named(self, supervise: Supervise, tmp_path: Path) -> None:
        """The file that was to be the input is named where it is missing."""
        with pytest.raises(FleetError) as error:
            supervise("cat", stdin=tmp_path / "gone")
        assert error.value.where == str(tmp_path / "gone")

    def test_a_child_that_cannot_be_recorded_is_killed(
        self, supervise: Supervise, marker: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk at the start leaves no process that nobody knows of."""

        def full(*args: object, **keys: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(atomic_json, "write", full)
        with pytest.raises(OSError, match="No space"):
            supervise("sleep", FOREVER)
        assert carriers(marker) == []
