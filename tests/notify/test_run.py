"""A real runner tells people, and its coders do not get to see through what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet.forges.registry import TOKEN
from gitfleet.model.secrets import NOTIFY_URLS
from tests.cli.acting import add, gitfleet, running, work
from tests.conftest import git
from tests.notify.sink import Sink, sink


@pytest.fixture
def service() -> Iterator[Sink]:
    """A service that takes messages."""
    with sink() as made:
        yield made


def _board(path: Path) -> Path:
    gitfleet("init", cwd=path)
    window = path / ".fleet"
    (window / "fleet.yaml").write_text(
        "format: 2\ntarget: main\nroles: {work: {coder: shell}}\nmax_attempts: 1\n"
        "notify: [question, failed, landed, idle]\n"
    )
    git("commit", "--no-verify", "-qam", "Settings", cwd=window)
    return path


@pytest.mark.slow
def test_a_runner_tells_what_happens_once_each(
    repo_path: Path, service: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What landed, what failed, that nothing is left; nothing again after a restart; and what
    happened while the service was down, later."""
    monkeypatch.setenv(NOTIFY_URLS, service.url)
    monkeypatch.setenv(TOKEN, "t0ken-of-the-forge")
    here = _board(repo_path)
    work(here)
    add(here, "old", "echo old > old")
    work(here)
    add(here, "spy", "env > seen")
    add(here, "bad", "exit 3")
    lines = work(here, code=4)
    assert "s3cret" not in "\n".join(lines)
    with running(here):  # what the end of a runner had no time for goes out after the next start
        service.until(lambda: len(service.got) >= 5)
    assert sorted(service.titles) == [
        "bad needs attention: failed",
        "nothing is left to do",
        "nothing is left to do",
        "old landed on main",
        "spy landed on main",
    ]
    told = len(service.got)
    work(here, code=4)
    assert len(service.got) == told
    seen = git("show", "main:seen", cwd=here)
    assert NOTIFY_URLS not in seen and TOKEN not in seen and "GITFLEET_TASK=spy" in seen
    service.down = True
    add(here, "late", "echo late > late")
    work(here, code=4)
    assert len(service.got) == told
    service.down = False
    with running(here):
        service.until(lambda: "late landed on main" in service.titles)
    assert service.titles.count("late landed on main") == 1
    assert git("grep", "-c", "s3cret", "fleet", "main", cwd=here, check=False) == ""


@pytest.mark.slow
def test_a_runner_without_the_means_works_on_and_says_so_once(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it an address or the library."""
    here = _board(repo_path)
    add(here, "spy", "env > seen")
    lines = work(here)
    waits = [line for line in lines if " notifications-delayed " in line]
    assert len(waits) == 1 and "notify.urls" in waits[0]
    monkeypatch.setenv(NOTIFY_URLS, "json://127.0.0.1:9")
    blocker = here.parent / "without" / "apprise"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ModuleNotFoundError('no apprise here')\n")
    monkeypatch.setenv("PYTHONPATH", str(blocker.parent))
    add(here, "more", "echo more > more")
    lines = work(here)
    waits = [line for line in lines if " notifications-delayed " in line]
    assert len(waits) == 1 and "pip install '.[notify]'" in waits[0]
    assert any(" landed " in line and "task=more" in line for line in lines)
