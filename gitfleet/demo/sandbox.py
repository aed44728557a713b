"""The demo's own small world: a directory, an environment, and how to run a command in them.

Nothing of the person's configuration reaches in: the environment is made from a short list, HOME
and the XDG directories lie inside, and git reads one settings file that is written here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gitfleet.demo import project, tasks
from gitfleet.errors import FleetError

# Variables that a program needs to start, and none that changes its behaviour.
_KEPT: Final = (
    "PATH",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
    "TZ",
    "GITFLEET_NO_FSYNC",
)
_GIT: Final = "[user]\n\tname = You\n\temail = you@example.org\n[init]\n\tdefaultBranch = main\n"
_LIMIT: Final = 240.0  # seconds for the runner; it needs about ten
_GRACE: Final = 20.0  # seconds that a stopped runner gets


@dataclass
class Sandbox:
    """The demo's files, all under `root`."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        """The demo project's checkout."""
        return self.root / "words"

    def build(self) -> None:
        """Create the sandbox and, in it, the project as a git repository with one commit."""
        for name in ("home", "config", "state", "cache", "runtime", "tmp", "meet"):
            (self.root / name).mkdir(mode=0o700)
        (self.root / "gitconfig").write_text(_GIT)
        reviewer = Path(__file__).with_name("reviewer.py")
        (self.root / "reviewer.py").write_bytes(reviewer.read_bytes())
        self.env = self._environment()
        for name, text in project.FILES.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.run("git", "init", "-q", "-b", "main", ".")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "A small package with a failing test")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        own = {
            "HOME": "home",
            "XDG_CONFIG_HOME": "config",
            "XDG_STATE_HOME": "state",
            "XDG_CACHE_HOME": "cache",
            "XDG_RUNTIME_DIR": "runtime",
            "TMPDIR": "tmp",
            "DEMO_MEET": "meet",
            "GIT_CONFIG_GLOBAL": "gitconfig",
        }
        inside = {name: str(self.root / folder) for name, folder in own.items()}
        return {**kept, **inside, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}

    def write_board(self) -> None:
        """Write the settings and the tasks into .fleet/ and commit them, as a person does."""
        fleet = self.project / ".fleet"
        text = tasks.settings(sys.executable, self.root / "reviewer.py")
        (fleet / "fleet.yaml").write_text(text, encoding="utf-8")
        for task, body in tasks.TASKS.items():
            (fleet / "tasks" / f"{task}.md").write_text(body, encoding="utf-8")
        self.run("git", "-C", ".fleet", "add", "-A")
        self.run("git", "-C", ".fleet", "commit", "-q", "-m", "Six tasks")

    # -- commands

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; its output and errors are one text."""
        try:
            return subprocess.run(
                _argv(argv),
                cwd=self.project,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            raise FleetError(f"{argv[0]} is not installed", remedy="Install it.") from None

    def run(self, *argv: str) -> str:
        """The same for a command that must succeed; FleetError with its output if it does not."""
        done = self.attempt(*argv)
        if done.returncode != 0:
            raise FleetError(
                f"`{' '.join(argv[:3])} …` failed in the demo: {done.stdout.strip()}",
                remedy="`gitfleet doctor` shows what this machine lacks.",
            )
        return done.stdout

    def follow(self, *argv: str) -> Generator[str, None, None]:
        """Run a command and yield its lines as they arrive; closing the iterator ends the command.

        FleetError if its exit status is not 0 or it takes too long.
        """
        child = subprocess.Popen(
            _argv(argv),
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us: we stop the command, and wait
        )
        late = threading.Event()

        def stop() -> None:
            late.set()
            _end(child)

        timer = threading.Timer(_LIMIT, stop)
        timer.daemon = True
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                yield line.rstrip("\n")
            status = child.wait()
        finally:
            timer.cancel()
            _end(child)
            assert child.stdout is not None
            child.stdout.close()
        if late.is_set():
            raise FleetError(f"the runner did not end within {_LIMIT:g} seconds")
        if status != 0:
            raise FleetError(f"`{' '.join(argv)}` ended with exit status {status}")


def _argv(argv: tuple[str, ...]) -> list[str]:
    """Replace `gitfleet` and `python` by those that run the demo, independent of PATH.

    -P: gitfleet must not be imported from the current directory.
    """
    match argv:
        case ("gitfleet", *rest):
            return [sys.executable, "-P", "-m", "gitfleet", *rest]
        case ("python", *rest):
            return [sys.executable, *rest]
    return list(argv)


def _end(child: subprocess.Popen[str]) -> None:
    """End a runner as two Ctrl-C would, so that it ends its attempts; then kill it."""
    if child.poll() is not None:
        return
    # Two different signals: two equal ones sent together may arrive as one.
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
