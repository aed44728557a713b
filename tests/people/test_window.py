"""`.fleet/`: a window on the board, in which people work while the board moves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitfleet.git import yield_to_commits
from tests.acceptance.fleetlab import until
from tests.conftest import git as plain_git
from tests.conftest import init
from tests.git.kit import SlowCommand
from tests.people.kit import ADA, SampleProject, git, repair_board, script, task, tell


@contextmanager
def busy(project: SampleProject) -> Iterator[None]:
    """Some git command of the person's holds the window's index."""
    lock = Path(git("rev-parse", "--absolute-git-dir", cwd=project.window)) / "index.lock"
    with lock.open("x"):
        yield
    lock.unlink()


@pytest.fixture
def behind(project: SampleProject) -> SampleProject:
    """The index was busy while a runner claimed `a`: the window lags behind the board."""
    project.put_by_hooks({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    with busy(project):
        project.claim("a")
    assert not (project.window / "claims/a.yaml").exists()
    assert project.git("status", "--porcelain") == "D  claims/a.yaml"
    return project


def test_files_move_along_and_edits_stay(project: SampleProject) -> None:
    """What a runner writes appears; unstaged, staged and untracked edits are as they were."""
    project.put_by_hooks({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    project.write({"tasks/a.md": task("A, edited"), "tasks/new.md": task("N"), "x": "mine"})
    project.git("add", "tasks/new.md")
    project.claim("b")
    assert (project.window / "claims/b.yaml").exists()
    assert project.git("status", "--porcelain").split("\n") == [
        "M tasks/a.md",  # of " M …", whose first blank `git()` strips
        "A  tasks/new.md",
        "?? x",
    ]
    assert project.put_by_hooks({}) and (project.window / "tasks/a.md").read_text() == task(
        "A, edited"
    )
    assert "claims/b.yaml" in project.files()
    assert project.broken() == []


def test_what_would_be_overwritten_is_refused_and_told(project: SampleProject) -> None:
    """Someone pushes a change to what is edited here: nothing is touched, and the person is told
    what to do; when they have done it the window arrives, with nothing of theirs lost."""
    project.put_by_hooks({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    old = project.tip()
    project.write({"tasks/a.md": task("A, as I want it")})
    project.change({"tasks/a.md": task("A, as others want it").encode()}, author=ADA)
    assert (project.window / "tasks/a.md").read_text() == task("A, as I want it")
    (refusal,) = project.store.keep_windows().values()
    restore = f"git restore --source={old[:12]} --staged --worktree -- tasks/a.md"
    assert f"tasks/a.md; copy them elsewhere, then `{restore}`; do not stash" in refusal.reason
    project.git(*restore.split()[1:])
    assert project.store.keep_windows() == {}
    assert (project.window / "tasks/a.md").read_text() == task("A, as others want it")
    project.clean()


def test_a_commit_from_behind_is_refused_and_catches_up(behind: SampleProject) -> None:
    """Seen: such a commit deleted a claim, with status 0. The hook refuses it, brings the files,
    keeps the edit, and the next commit is right."""
    said = behind.commit({"tasks/b.md": task("B, edited")})
    assert said.status == 1
    assert "the board moved while you worked; its new files are here now" in said.err
    assert "commit again" in said.err
    assert (behind.window / "claims/a.yaml").exists()
    behind.put_by_hooks({})
    assert {"claims/a.yaml", "tasks/b.md"} <= behind.files()
    assert behind.show("tasks/b.md") == task("B, edited").strip()
    assert behind.findings() == []
    behind.clean()


@pytest.mark.parametrize("form", [("-a",), ("--", "tasks/b.md")], ids=["all", "path"])
def test_a_commit_that_holds_the_index_is_refused_too(
    behind: SampleProject, form: tuple[str, ...]
) -> None:
    """`git commit -a` and `git commit PATH` hold the index's lock while hooks run, so the window
    cannot catch up just then: the remedy that is told works."""
    behind.write({"tasks/b.md": task("B, edited")})
    said = tell("git", "commit", "-q", "-m", "all", *form, cwd=behind.window)
    assert said.status == 1 and "commit without -a and without naming files" in said.err
    behind.git("add", "tasks/b.md")
    again = tell("git", "commit", "-q", "-m", "again", cwd=behind.window)
    assert again.status == 1 and "new files are here now" in again.err
    behind.git("commit", "-q", "-m", "now")
    assert "claims/a.yaml" in behind.files() and behind.findings() == []


def test_a_commit_from_behind_with_an_edit_in_the_way_says_what_to_do(
    behind: SampleProject,
) -> None:
    """The remedy names the very commands, and after them the commit is right."""
    with busy(behind):
        behind.change({"tasks/b.md": task("B of others").encode()}, author=ADA)
    said = behind.commit({"tasks/b.md": task("B of mine")})
    assert said.status == 1 and "copy them elsewhere, then `git restore --source=" in said.err
    command = said.err.split("`")[1].split()
    behind.git(*command[1:])
    assert behind.commit({}).status == 1  # which brings the new files
    behind.put_by_hooks({"tasks/b.md": task("B of both")})
    assert behind.show("tasks/b.md") == task("B of both").strip()
    assert "claims/a.yaml" in behind.files() and behind.findings() == []


@pytest.mark.parametrize("form", [(), ("-a",)], ids=["staged", "all"])
def test_a_slow_commit_does_not_undo_what_arrived_meanwhile(
    project: SampleProject, tmp_path: Path, form: tuple[str, ...]
) -> None:
    """Seen: git read the index of a window that lagged behind, the window caught up, and git wrote
    the old index back. Its commit would have removed what others had filed; the hook refuses it."""
    project.put_by_hooks({"tasks/a.md": task("A")})
    with busy(project):
        project.change({"tasks/new.md": task("N").encode()}, author=ADA)
    project.write({"tasks/b.md": task("B")})
    project.git("add", "tasks/b.md")
    command = ("commit", "-q", "-m", "slow", *form)
    with SlowCommand(tmp_path, project.window, *command) as commit:
        assert project.store.keep_windows() == {}
        status, said = commit.go_on()
    assert status == 1 and "new files are here now" in said and "commit again" in said
    project.git("commit", "-q", "-m", "again")
    assert {"tasks/new.md", "tasks/b.md"} <= project.files() and project.findings() == []
    project.clean()


def test_a_slow_commit_that_fails_leaves_a_window_that_follows(
    project: SampleProject, tmp_path: Path
) -> None:
    """Seen: the board moved during a commit, which wrote the old index back before git refused it.
    From then on the window took an old claim for an edit, and refused every commit."""
    project.put_by_hooks({"tasks/a.md": task("A")})
    project.claim("a", nonce="0001" * 8)
    project.write({"tasks/b.md": task("B")})
    project.git("add", "tasks/b.md")
    with SlowCommand(tmp_path, project.window, "commit", "-q", "-n", "-m", "slow") as commit:
        project.claim("a", nonce="0002" * 8)
        assert commit.go_on()[0] != 0
    project.change({"claims/a.yaml": None})
    assert not (project.window / "claims/a.yaml").exists()
    project.put_by_hooks({})
    project.clean()
    assert "tasks/b.md" in project.files()


def test_damage_past_the_hooks_is_repaired(behind: SampleProject) -> None:
    """With --no-verify the claim is gone; the runner puts it back, and fsck says so."""
    damage = behind.commit({"tasks/b.md": task("B, edited")}, "--no-verify")
    assert damage.status == 0 and "claims/a.yaml" not in behind.files()
    repair_board(behind.fleet())
    assert "claims/a.yaml" in behind.files()
    assert behind.show("tasks/b.md") == task("B, edited").strip()
    (told,) = behind.told("repaired")
    assert "files=claims/a.yaml" in told and 'author="Ada Author"' in told
    (finding,) = behind.findings()
    assert finding.repaired
    said = behind.gitfleet("fsck")
    assert said.status == 0 and "repaired invariant 2 claims/a.yaml" in said.out


@pytest.mark.slow
def test_a_running_runner_catches_up_and_repairs(project: SampleProject, tmp_path: Path) -> None:
    """The same with a real runner: the attempt whose claim was dropped is not lost, and lands."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    project.put_by_hooks(
        {"tasks/a.md": task("A", f"cat '{gate}'; touch made"), "tasks/b.md": task("B", hold=True)}
    )
    with busy(project):
        live = project.start("--until-idle")
        live.wait_for("checkout-behind")
        live.wait_for("claimed", task="a")
    project.write({"tasks/b.md": task("B, edited", hold=True)})
    until(lambda: project.store.keep_windows() == {}, what="the window to be free")
    project.git("rm", "-q", "claims/a.yaml")
    project.git("commit", "-q", "--no-verify", "-m", "gone")
    live.wait_for("repaired", files="claims/a.yaml")
    gate.write_text("go\n")
    ran = live.wait()
    assert ran.status == 0, live.told()
    assert "made" in project.files("main")
    assert project.broken() == []
    assert (project.window / "tasks/b.md").read_text() == task("B, edited", hold=True)


@pytest.mark.slow
def test_a_commit_with_the_editor_open_fails_and_the_next_is_right(
    project: SampleProject, tmp_path: Path
) -> None:
    """The board moves while the message is written: git refuses, nothing is lost."""
    project.put_by_hooks({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    opened, go = tmp_path / "opened", tmp_path / "go"
    os.mkfifo(go)
    editor = script(tmp_path / "editor", f"echo Words > \"$1\"; touch '{opened}'; cat '{go}'")
    project.write({"tasks/b.md": task("B, edited")})
    project.git("add", "-A")
    commit = subprocess.Popen(
        ["git", "commit", "-q"],
        cwd=project.window,
        env={**os.environ, "GIT_EDITOR": str(editor)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(opened.exists, what="the editor")
    project.claim("a")
    go.write_text("go\n")
    _, stderr = commit.communicate(timeout=60)
    assert commit.returncode != 0 and "cannot lock ref" in stderr
    assert {"claims/a.yaml", "tasks/b.md"} <= project.files()
    project.put_by_hooks({})
    assert project.show("tasks/b.md") == task("B, edited").strip()
    assert "claims/a.yaml" in project.files() and project.findings() == []


def test_a_window_without_its_git_file_is_no_window(project: SampleProject) -> None:
    """A folder whose `.git` is gone lies in the main worktree: nothing there is touched."""
    project.put_by_hooks({"tasks/a.md": task("A")})
    (project.window / ".git").unlink()
    before = plain_git("status", "--porcelain", cwd=project.path)
    project.claim("a")
    assert project.store.keep_windows() == {}
    assert plain_git("status", "--porcelain", cwd=project.path) == before
    assert not (project.window / "claims/a.yaml").exists()


def test_a_runner_gives_way_to_a_commit(project: SampleProject, tmp_path: Path) -> None:
    """While a commit's hooks run the board stands still, so that git does not refuse the commit;
    when it is through the runner goes on."""
    project.put_by_hooks({"tasks/a.md": task("A")})
    go, here = tmp_path / "go", tmp_path / "here"
    os.mkfifo(go)
    hook = script(tmp_path / "hooks/commit-msg", f"touch '{here}'; cat '{go}' > /dev/null")
    git("config", "--global", "core.hooksPath", str(hook.parent), cwd=project.path)
    project.write({"tasks/b.md": task("B")})
    project.git("add", "-A")
    commit = subprocess.Popen(["git", "commit", "-qm", "B"], cwd=project.window)
    until(here.exists, what="the hook")
    yield_to_commits.mark(project.repo).touch()  # the machine may be slow
    claiming = threading.Thread(target=project.claim, args=("a",))
    claiming.start()
    go.write_text("go\n")
    assert commit.wait(60) == 0
    claiming.join(60)
    assert {"tasks/b.md", "claims/a.yaml"} <= project.files()
    assert not yield_to_commits.mark(project.repo).exists() and project.findings() == []


@pytest.mark.slow
def test_nobody_holds_up_the_runner(project: SampleProject) -> None:
    """A mark that stays (a commit that was killed, a loop of commits) costs one short wait."""
    project.put_by_hooks({"tasks/a.md": task("A")})
    patience = yield_to_commits.YieldToCommits(project.repo)
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            yield_to_commits.mark(project.repo).touch()
            stop.wait(0.01)

    marking = threading.Thread(target=loop)
    yield_to_commits.mark(project.repo).touch()
    marking.start()
    began = time.monotonic()
    patience.give_way(project.store.tip)
    waited = time.monotonic() - began
    for _ in range(100):
        patience.give_way(project.store.tip)
    again = time.monotonic() - began - waited
    stop.set()
    marking.join()
    assert waited >= yield_to_commits.LONGEST
    assert again < yield_to_commits.LONGEST


@pytest.mark.slow
def test_init_and_deinit_take_care_of_the_hooks(tmp_path: Path) -> None:
    """Nobody has to know of `gitfleet hooks`."""
    path = init(tmp_path / "fresh", name="fresh")
    config = (path / ".git/config").read_text()
    run = (sys.executable, "-P", "-m", "gitfleet")
    said = tell(*run, "init", cwd=path)
    assert said.status == 0 and "rejects invalid tasks" in said.out
    (path / ".fleet/tasks/a.md").write_text("nothing\n")
    git("add", "-A", cwd=path / ".fleet")
    assert tell("git", "commit", "-qm", "x", cwd=path / ".fleet").status == 1
    git("rm", "-qf", "tasks/a.md", cwd=path / ".fleet")
    said = tell(*run, "deinit", cwd=path)
    assert said.status == 0 and "push-to-checkout" in said.out, said.err
    assert (path / ".git/config").read_text().split() == config.split()
    assert not (path / ".git/hooks/push-to-checkout").exists()
