"""Processes that `tests/warm.py` forks are like those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests import warm
from tests.acceptance.fleetlab import until
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


def test_what_is_started_by_path_is_forked_too(repo_path: Path) -> None:
    """git's hooks and agents start `sys.executable -P -m gitfleet`: the fork has their input,
    arguments, environment and directory, and its output and status are theirs."""
    assert warm.run("init", cwd=repo_path).returncode == 0
    gitfleet = [sys.executable, "-P", "-m", "gitfleet"]
    env = {**os.environ, "GIT_AUTHOR_NAME": "Bea"}
    done = subprocess.run(
        [*gitfleet, "add", "Größer"], cwd=repo_path, env=env, input=b"than\nit was\n",
        capture_output=True, check=True,
    )  # fmt: skip
    task = done.stdout.decode().split()[0]
    assert "than\nit was" in git("show", f"fleet:tasks/{task}.md", cwd=repo_path)
    assert git("log", "-1", "--format=%an", "fleet", cwd=repo_path) == "Bea"
    failed = subprocess.run(
        [*gitfleet, "show", "nothing"], cwd=repo_path, capture_output=True, check=False
    )
    assert failed.returncode == 1 and failed.stderr.startswith(b"gitfleet: ")
    code = "import sys; print(sys.argv[1:], sys.executable)"
    argv = [sys.executable, "-c", code, "-P", "a b"]
    done = subprocess.run(argv, capture_output=True, check=True)
    assert done.stdout.decode() == f"['-P', 'a b'] {warm.PYTHON}\n"


def test_a_fork_ends_with_the_process_that_was_started(repo_path: Path) -> None:
    """An attempt that is killed leaves no `gitfleet` behind."""
    assert warm.run("init", cwd=repo_path).returncode == 0
    read, write = os.pipe()
    read_inode = os.fstat(read).st_ino
    argv = [sys.executable, "-P", "-m", "gitfleet", "add", "A title"]
    with subprocess.Popen(argv, cwd=repo_path, stdin=read, stdout=subprocess.PIPE) as started:
        os.close(read)
        until(lambda: _has_open(read_inode, but=started.pid), what="the fork to have its input")
        started.kill()
        assert started.stdout is not None
        assert started.stdout.read() == b""  # both have closed it
    os.close(write)


def _has_open(inode: int, but: int) -> bool:
    """Whether another process than ours and that one reads this pipe."""
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) not in (os.getpid(), but):
            with suppress(OSError):
                if (folder / "fd" / "0").stat().st_ino == inode:
                    return True
    return False
