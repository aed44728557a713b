"""The names in an attempt's run directory, each of them once.

    spec.json child.json lease.json exit.json shim.txt     a process (`gitfleet.process.supervisor`)
    stdout stderr                                          its output
    setup-1.stdout check-2.exit.json target-1.stderr ...   the same of a set-up or a check
    1.stdout 1.exit.json ...                               the same of an earlier coder
    prompt.md outbox/ inbox/ attempt.json stdout.pace ...  the attempt

The standard library only: every supervisor imports it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path
from typing import Final

PROMPT: Final = "prompt.md"
STDOUT: Final = "stdout"
STDERR: Final = "stderr"
ERROR: Final = "error.txt"
# Commands that the settings or a task name; one of each kind has a number.
SETUP: Final = "setup"
CHECK: Final = "check"
TARGET: Final = "target"  # a check, on the target without the change
OUTPUT: Final = re.compile(rf"(?:({SETUP}|{CHECK}|{TARGET})-([0-9]{{1,6}})\.)?({STDOUT}|{STDERR})")
"""The name of an output: whose it is and its number (of the coder's neither), and which stream."""


class RunFiles:
    """The files of one process. Several processes may share a directory: of all but one, the names
    of the files begin with the name of the process."""

    __slots__ = ("name", "path")

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {self.name!r})"

    def _file(self, what: str) -> Path:
        return self.path / f"{self.name}{what}"

    @property
    def spec(self) -> Path:
        """The command to start, and its limits."""
        return self._file("spec.json")

    @property
    def child(self) -> Path:
        """The supervisor and the process; there once the process runs."""
        return self._file("child.json")

    @property
    def lease(self) -> Path:
        """Until when the claim is the runner's."""
        return self._file("lease.json")

    @property
    def exit(self) -> Path:
        """How it ended; there once nothing of it runs any more."""
        return self._file("exit.json")

    @property
    def stdout(self) -> Path:
        """Its standard output."""
        return self._file(STDOUT)

    @property
    def stderr(self) -> Path:
        """Its standard error."""
        return self._file(STDERR)

    @property
    def last_words(self) -> Path:
        """The standard error of the supervisor, for the case that it dies."""
        return self._file("shim.txt")


class RunDir(RunFiles):
    """An attempt's run directory. Its own process is the attempt's coder."""

    __slots__ = ()

    def __init__(self, path: Path) -> None:
        super().__init__(path)

    def command(self, kind: str, number: int) -> RunFiles:
        """The files of a set-up or a check."""
        return RunFiles(self.path, f"{kind}-{number}.")

    def set_aside(self) -> None:
        """Rename the files of a coder that has ended, so that another one can start as if it were
        the first."""
        numbers = (RunFiles(self.path, f"{number}.") for number in itertools.count(1))
        goal = next(files for files in numbers if not files.stdout.exists())
        for old, new in (
            (self.child, goal.child),
            (self.exit, goal.exit),
            (self.stdout, goal.stdout),
            (self.stderr, goal.stderr),
        ):
            with contextlib.suppress(FileNotFoundError):
                old.replace(new)

    @property
    def prompt(self) -> Path:
        """The prompt of the coder."""
        return self.path / PROMPT

    @property
    def outbox(self) -> Path:
        """The folder for files from the attempt."""
        return self.path / "outbox"

    @property
    def inbox(self) -> Path:
        """The folder for answers to the attempt."""
        return self.path / "inbox"

    @property
    def checkpoint(self) -> Path:
        """The state that a restarted runner needs to continue the attempt."""
        return self.path / "attempt.json"

    @property
    def timestamps(self) -> Path:
        """Sizes of the coder's output over time."""
        return self.path / "stdout.pace"

    @property
    def error(self) -> Path:
        """The traceback of an error of gitfleet that ended the attempt."""
        return self.path / ERROR

    @property
    def noted(self) -> Path:
        """Its time is that of the last notes that went to the board."""
        return self.path / "noted"

    @property
    def shared(self) -> Path:
        """Exists once the transcript is on the remote, or never will be."""
        return self.path / "transcript"

    def note(self, kind: str) -> Path:
        """A note that was taken out of the outbox and is not on the board yet."""
        return self.path / f"note-{kind}.md"
