"""A real runner, a real question, and a forge: the answer brings the task home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet import failpoints
from gitfleet.forges import registry
from gitfleet.model.change import Person
from tests.cli.acting import Runner, add, gitfleet, running, wait_for
from tests.conftest import git, init
from tests.forges.conftest import FORGES
from tests.forges.fakes.server import TOKEN, FakeForge, serving
from tests.forges.kit import edit

ASK = 'gitfleet ask "Which of the two?" --option JWT --option cookie --wait 0s > answer.txt'
BRANCH = "gitfleet/ask/one-1"


@pytest.fixture
def forge(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeForge]:
    """A forge that serves a repository; this machine has a token for it."""
    bare = init(tmp_path / "board.git", name="", bare=True)
    monkeypatch.setenv(registry.TOKEN, TOKEN)
    with serving(FORGES[getattr(request, "param", "github")](bare)) as made:
        yield made
    assert not made.complaints


@pytest.fixture
def here(forge: FakeForge, tmp_path: Path) -> Path:
    """A clone with a shared board, on which questions go to the forge."""
    clone = init(tmp_path / "clone", name="clone")
    git("remote", "add", "origin", str(forge.bare), cwd=clone)
    git("push", "-q", "origin", "main", cwd=clone)
    gitfleet("init", cwd=clone)
    window = clone / ".fleet"
    (window / "fleet.yaml").write_text(
        "format: 2\ntarget: main\nheartbeat: 1s\nroles: {work: {coder: shell}}\n"
        f"forge: {{kind: {forge.kind}, base_url: '{forge.url}',"
        " repository: ada/walks, poll: 1s}\n"
    )
    git("commit", "--no-verify", "-qam", "Settings", cwd=window)
    git("push", "-q", "origin", "fleet", cwd=clone)
    git("fetch", "-q", "origin", cwd=clone)
    return clone


def _asks(here: Path) -> None:
    add(here, "one", ASK)
    git("push", "-q", "origin", "fleet", cwd=here)


def _answer(here: Path) -> str:
    """What the task made of it; and the board's history keeps all rules."""
    git("fetch", "-q", "origin", cwd=here)
    root = git("rev-list", "--max-parents=0", "origin/fleet", cwd=here).split()[-1]
    gitfleet("fsck", "--range", f"{root}..origin/fleet", cwd=here)
    return git("show", "origin/main:answer.txt", cwd=here)


def _closed(forge: FakeForge) -> None:
    def closed() -> bool:
        with forge.lock:
            return forge.pull(1).state == "closed" and not forge.has(BRANCH)

    wait_for(closed, "the end of the pull request")


@pytest.mark.slow
@pytest.mark.parametrize("forge", sorted(FORGES), indirect=True)
def test_a_comment_brings_the_task_home_while_another_has_its_slot(
    forge: FakeForge, here: Path
) -> None:
    """One slot: who asks parks, the other one lands, and the answer is worked on."""
    _asks(here)
    add(here, "two", "echo two > two", "--priority", "4")
    with running(here, "--max", "1") as runner:
        runner.until("pr-opened", "question=one-1")
        runner.until("landed", "task=two")
        with forge.lock:
            (pull,) = forge.pulls
            assert pull.title == "Which of the two?" and "attempt 1" in pull.body
        forge.comment(1, "bea", "2")
        runner.until("answered", "question=one-1", "bea")
        runner.until("landed", "task=one")
        _closed(forge)
        assert not runner.said(TOKEN)
    assert _answer(here) == "cookie"
    thanks = [note.text for note in forge.pull(1).notes if "Thank you" in note.text]
    assert len(thanks) == 1 and f"{forge.url}/ada/walks/" in thanks[0] and "/commit/" in thanks[0]


@pytest.mark.slow
@pytest.mark.parametrize("forge", sorted(FORGES), indirect=True)
def test_an_edit_and_a_merge_bring_the_task_home(
    forge: FakeForge, here: Path, tmp_path: Path
) -> None:
    """What stands below the heading is the answer."""
    _asks(here)
    with running(here) as runner:
        runner.until("pr-opened", "question=one-1")
        bea = Person("Bea", "bea@example.org")
        edit(forge.bare, tmp_path / "edit", BRANCH, "questions/one-1.md", "JWT", bea)
        forge.merge(1)
        runner.until("landed", "task=one")
    assert _answer(here) == "JWT"


@pytest.mark.slow
@pytest.mark.parametrize("point", failpoints.PUBLISHING)
def test_killed_between_any_two_steps_it_ends_the_same(
    forge: FakeForge, here: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pull request, one answer, one word of thanks; and the branch is gone."""
    _asks(here)
    monkeypatch.setenv("GITFLEET_FAULT", point)
    runner = Runner(here)
    try:
        wait_for(lambda: forge.pulls, "the pull request")
        forge.comment(1, "bea", "cookie")
        assert runner.join() == -9
    finally:
        runner.process.kill()
    monkeypatch.delenv("GITFLEET_FAULT")
    with running(here) as again:
        wait_for(lambda: "answer.txt" in _files(here), "the landing")
        _closed(forge)
        again.until("running")
    assert _answer(here) == "cookie" and len(forge.pulls) == 1
    thanks = [note.text for note in forge.pull(1).notes if "Thank you" in note.text]
    assert len(thanks) == 1


def _files(here: Path) -> list[str]:
    return git("ls-tree", "--name-only", "main", cwd=here / "../board.git").split()


@pytest.mark.slow
def test_a_forge_that_is_down_holds_up_nothing_but_the_question(
    forge: FakeForge, here: Path
) -> None:
    """Other tasks land; the question is answered at hand; and all is told once."""
    forge.gone = True
    _asks(here)
    with running(here) as runner:
        runner.until("forge-delayed")
        add(here, "two", "echo two > two")
        runner.until("landed", "task=two")
        runner.until("needs-attention", "task=one")
        gitfleet("answer", "one-1", "--option", "1", cwd=here)
        runner.until("landed", "task=one")
        assert len([line for line in runner.lines if " forge-delayed " in line]) == 1
    assert _answer(here) == "JWT"


@pytest.mark.slow
def test_a_runner_without_the_library_works_on_and_says_so_once(
    forge: FakeForge, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install; and questions are answered at hand."""
    blocker = tmp_path / "without" / "httpx"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ModuleNotFoundError('no httpx here')\n")
    monkeypatch.setenv("PYTHONPATH", str(blocker.parent))
    _asks(here)
    with running(here) as runner:
        assert "pip install '.[forges]'" in runner.until("forge-delayed")
        runner.until("needs-attention", "task=one")
        gitfleet("answer", "one-1", "--option", "1", cwd=here)
        runner.until("landed", "task=one")
        assert len([line for line in runner.lines if " forge-delayed " in line]) == 1
    assert _answer(here) == "JWT" and not forge.requests


@pytest.mark.slow
def test_without_a_forge_the_branch_is_the_pull_request(
    forge: FakeForge, here: Path, tmp_path: Path
) -> None:
    """`none`: merging it by hand is the answer."""
    window = here / ".fleet"
    text = (window / "fleet.yaml").read_text().partition("forge:")[0]
    (window / "fleet.yaml").write_text(f"{text}forge: {{kind: none}}\n")
    git("commit", "--no-verify", "-qam", "No forge", cwd=window)
    git("push", "-q", "origin", "fleet", cwd=here)
    _asks(here)
    with running(here) as runner:
        wait_for(lambda: forge.has(BRANCH) or None, "the branch")
        bea = Person("Bea", "bea@example.org")
        work = edit(forge.bare, tmp_path / "edit", BRANCH, "questions/one-1.md", "JWT", bea)

        def merged() -> bool:
            git("fetch", "-q", "origin", cwd=work)
            git("checkout", "-q", "-B", "fleet", "origin/fleet", cwd=work)
            git("merge", "-q", "--no-edit", f"origin/{BRANCH}", cwd=work)
            return git("push", "origin", "fleet", cwd=work, check=False) is not None and (
                "## Answer" in git("show", "fleet:questions/one-1.md", cwd=forge.bare)
            )

        wait_for(merged, "the merge")
        runner.until("landed", "task=one")
        wait_for(lambda: not forge.has(BRANCH), "the end of the branch")
    assert _answer(here) == "JWT" and not forge.requests


def test_the_doctor_says_whether_this_machine_could_speak_to_it(
    forge: FakeForge, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forge, repository and where the token is from; or what that lacks, or that there is none."""

    def said(code: int = 0) -> dict[str, str]:
        done = gitfleet("doctor", "--json", cwd=here, code=code)
        found = next(one for one in json.loads(done.stdout) if one["about"] == "forge")
        assert TOKEN not in done.stdout
        return dict(found)

    found = said()
    assert found["level"] == "ok" and "ada/walks on 127.0.0.1" in found["what"]
    assert registry.TOKEN in found["what"]
    forge.may = {"read"}
    assert "the token lacks" in said(1)["what"]
    monkeypatch.delenv(registry.TOKEN)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    found = said(1)
    assert "no token" in found["what"] and "GITHUB_TOKEN" in found["remedy"]
