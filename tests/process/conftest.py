from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitfleet.execution.base import LaunchSpec, RunLimits
from gitfleet.execution.local import LocalRun
from gitfleet.execution.local import start as start_run
from gitfleet.process.kill import kill_run
from gitfleet.run_dir import RunDir, RunFiles
from tests.process.kit import (
    PATIENCE,
    Bare,
    Mouth,
    Start,
    Supervise,
    carriers,
)


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
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run")


def _spec(argv: tuple[str, ...], tmp_path: Path, marker: str, env: dict[str, str]) -> LaunchSpec:
    whole = {"PATH": os.environ["PATH"], "MOUTH": str(tmp_path / "mouth"), **env}
    return LaunchSpec(argv, tmp_path, whole, marker)


@pytest.fixture
def start(run_dir: RunDir, tmp_path: Path, marker: str) -> Iterator[Start]:
    """Start a command with nobody above it; it is ended, reaped and closed after the test."""
    started: list[Bare] = []

    def start(*argv: str, **env: str) -> Bare:
        started.append(Bare(_spec(argv, tmp_path, marker, env), run_dir.path))
        return started[-1]

    yield start
    for running in started:
        kill_run(running.child, marker, grace=0)
        if running.fileno() >= 0:
            running.wait(PATIENCE)
            running.close()


@pytest.fixture
def supervise(run_dir: RunDir, tmp_path: Path, marker: str) -> Iterator[Supervise]:
    """Start a command as an attempt is; it is ended, reaped and closed after the test."""
    started: list[LocalRun] = []

    def supervise(
        *argv: str,
        name: str = "",
        stdin: Path | None = None,
        limits: RunLimits | None = None,
        **env: str,
    ) -> LocalRun:
        spec = _spec(argv, tmp_path, marker, env)
        spec = replace(spec, stdin=stdin, limits=limits or RunLimits(grace=1.0))
        started.append(start_run(RunFiles(run_dir.path, name), spec))
        return started[-1]

    yield supervise
    for running in started:
        kill_run(running.child, marker, grace=0)
        if running.fileno() >= 0:
            running.wait(PATIENCE)
            running.close()
