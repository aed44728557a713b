"""Several runners, one forge: one of those that can speak to it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet.board.clone_state import Clone
from gitfleet.forges import registry
from gitfleet.git.repo import find
from tests.cli.acting import Runner, add, gitfleet, running, wait_for
from tests.conftest import git, init
from tests.forges.fakes.github import GitHub
from tests.forges.fakes.server import TOKEN, FakeForge, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[FakeForge]:
    """A forge that serves a repository."""
    with serving(GitHub(init(tmp_path / "board.git", name="", bare=True))) as made:
        yield made
    assert not made.complaints


def _clones(forge: FakeForge, tmp_path: Path) -> list[Path]:
    """Two clones of one board, whose runners are called a-… and b-…."""
    first = init(tmp_path / "a", name="first")
    git("remote", "add", "origin", str(forge.bare), cwd=first)
    git("push", "-q", "origin", "main", cwd=first)
    gitfleet("init", cwd=first)
    (first / ".fleet" / "fleet.yaml").write_text(
        "format: 2\ntarget: main\nheartbeat: 1s\nlease: 6s\nroles: {work: {coder: shell}}\n"
        f"forge: {{kind: github, base_url: '{forge.url}', repository: ada/walks, poll: 1s}}\n"
    )
    git("commit", "--no-verify", "-qam", "Settings", cwd=first / ".fleet")
    add(first, "one", 'gitfleet ask "Which?" --wait 0s > answer.txt')
    git("push", "-q", "origin", "fleet", cwd=first)
    git("fetch", "-q", "origin", cwd=first)
    git("clone", "-q", str(forge.bare), "b", cwd=tmp_path)
    gitfleet("init", cwd=tmp_path / "b")
    for path in (first, tmp_path / "b"):
        Clone(find(path)).runner_name(path.name)
    return [first, tmp_path / "b"]


def test_who_has_a_token_does_it_though_its_name_comes_later(
    forge: FakeForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other one is silent about the token it lacks."""
    first, second = _clones(forge, tmp_path)
    monkeypatch.setenv(registry.TOKEN, TOKEN)
    with running(second) as able:
        able.until("pr-opened", "question=one-1")
        monkeypatch.delenv(registry.TOKEN)
        with running(first) as unable:
            unable.until("running")
            forge.comment(1, "bea", "This one")
            able.until("answered", "question=one-1")
            wait_for(lambda: forge.pull(1).state == "closed", "the end of the pull request")
            assert not unable.said("forge-delayed") and not unable.said("answered")
    assert len(forge.pulls) == 1 and len(forge.asked("^POST .*/comments")) == 1


def test_when_the_one_that_does_it_dies_another_goes_on(
    forge: FakeForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a lease; and nothing is done twice."""
    first, second = _clones(forge, tmp_path)
    monkeypatch.setenv(registry.TOKEN, TOKEN)
    leader = Runner(first)
    try:
        leader.until("pr-opened", "question=one-1")
        with running(second) as other:
            other.until("running")
            leader.process.kill()
            leader.join()
            forge.comment(1, "bea", "This one")
            other.until("answered", "question=one-1")
            wait_for(lambda: forge.pull(1).state == "closed", "the end of the pull request")
    finally:
        if leader.process.poll() is None:
            leader.process.kill()
            leader.join()
    assert len(forge.pulls) == 1 and len(forge.asked("^POST .*/comments")) == 1
