"""Processes that `tests/warm.py` forks are like those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.conftest import git


def test_input_arguments_environment_and_directory_arrive(repo_path: Path) -> None:
    """Each child has its own: nothing of one command is left for the next."""
    assert warm.run("init", cwd=repo_path).returncode == 0
    for name in ("Ada", "Bea"):
        env = {**os.environ, "GIT_AUTHOR_NAME": name, "GIT_COMMITTER_NAME": name}
        done = warm.run("add", f"Of {name}", cwd=repo_path, env=env, input=f"By {name}, größer\n")
        assert done.returncode == 0, done.stderr
        task = done.stdout.split()[0]
        assert f"By {name}, größer" in git("show", f"fleet:tasks/{task}.md", cwd=repo_path)
        assert git("log", "-1", "--format=%an", "fleet", cwd=repo_path) == name


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)],
)
def test_a_signal_ends_it_as_it_ends_any_process(
    repo_path: Path, number: signal.Signals, status: int
) -> None:
    """Signals are blocked while it forks; one that was sent in that moment arrives afterwards."""
    assert warm.run("init", cwd=repo_path).returncode == 0
    read, write = os.pipe()
    try:
        made = warm.start("add", "A title", cwd=repo_path, stdin=read)
        with pytest.raises(subprocess.TimeoutExpired):
            made.wait(0.05)
        made.send_signal(number)
        assert made.wait(60) == status
        assert made.poll() == status
    finally:
        os.close(read)
        os.close(write)


def test_what_an_interpreter_reads_at_its_start_counts(tmp_path: Path) -> None:
    """With other variables for Python a fresh one is started, so that they take effect."""
    (tmp_path / "click.py").write_text("raise SystemExit(77)\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert warm.run("--version", cwd=tmp_path, env=env).returncode == 77
    assert warm.run("--version", cwd=tmp_path).returncode == 0
