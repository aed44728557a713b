"""`gitfleet deinit`: out of a clone with everything but the branch."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from gitfleet.board.clone_state import state_home
from gitfleet.process.procfs import marked
from tests.cli.acting import (
    add,
    events,
    files,
    gitfleet,
    nonce,
    refusal,
    running,
    wait_for,
    work,
)
from tests.conftest import git


def snapshot(path: Path) -> dict[str, bytes]:
    """Every file of a git directory that is no object, log or hook sample."""
    skipped = ("objects/", "logs/", "hooks/")
    found = {str(p.relative_to(path)): p for p in path.rglob("*") if p.is_file()}
    return {
        name: p.read_bytes() for name, p in sorted(found.items()) if not name.startswith(skipped)
    }


@pytest.fixture
def project(repo_path: Path) -> Path:
    """A repository with a board."""
    gitfleet("init", cwd=repo_path)
    return repo_path


def test_a_clone_is_as_it_was_but_for_the_branch(repo_path: Path) -> None:
    """Settings, exclude file, window, state: byte for byte as before `init`."""
    before = snapshot(repo_path / ".git")
    gitfleet("init", "--branch", "fleet-board", cwd=repo_path)
    gitfleet("deinit", cwd=repo_path)
    after = snapshot(repo_path / ".git")
    tip = after.pop("refs/heads/fleet-board")
    assert tip
    assert after == before
    assert not (repo_path / ".fleet").exists()
    assert git("worktree", "list", cwd=repo_path).count("\n") == 0


def test_settings_of_the_person_stay_theirs(repo_path: Path) -> None:
    """What they had set before is set back; what they set since is left alone."""
    git("config", "merge.directoryRenames", "conflict", cwd=repo_path)
    exclude = repo_path / ".git" / "info" / "exclude"
    exclude.write_bytes(b"*.o\n/caf\xe9\nno-end")
    gitfleet("init", cwd=repo_path)
    gitfleet("init", cwd=repo_path)
    assert git("config", "merge.directoryRenames", cwd=repo_path) == "false"
    gitfleet("deinit", cwd=repo_path)
    assert git("config", "merge.directoryRenames", cwd=repo_path) == "conflict"
    assert exclude.read_bytes() == b"*.o\n/caf\xe9\nno-end\n"
    gitfleet("init", cwd=repo_path)
    git("config", "merge.directoryRenames", "true", cwd=repo_path)
    gitfleet("deinit", cwd=repo_path)
    assert git("config", "merge.directoryRenames", cwd=repo_path) == "true"


def test_uncommitted_edits_in_the_window_are_named_and_nothing_is_removed(project: Path) -> None:
    """`--force` saves them first."""
    (project / ".fleet" / "tasks" / "new task.md").write_text("---\ntitle: x\n---\n")
    (project / ".fleet" / "fleet.yaml").write_text("format: 2\n")
    said = refusal("deinit", cwd=project)
    assert "fleet.yaml" in said
    assert "tasks/new task.md" in said
    assert (project / ".fleet" / "tasks" / "new task.md").exists()
    assert git("config", "merge.directoryRenames", cwd=project) == "false"
    done = gitfleet("deinit", "--force", "--branches", cwd=project)
    ref = "refs/gitfleet/salvage/board/uncommitted"
    assert ref in done.stdout
    assert git("show", f"{ref}:tasks/new task.md", cwd=project).endswith("title: x\n---")


def test_workspaces_go_and_what_is_in_them_is_saved(project: Path) -> None:
    """Task branches stay and are named, and go only where that is asked for."""
    add(project, "bad", "touch loose\nexit 1")
    fleet = project / ".fleet"
    (fleet / "fleet.yaml").write_text("format: 2\ntarget: main\nmax_attempts: 1\n")
    git("commit", "--no-verify", "-qam", "one attempt", cwd=fleet)
    work(project, code=4)
    done = gitfleet("deinit", cwd=project / ".fleet").stdout
    assert "refs/heads/gitfleet/task/bad" in done
    ref = "refs/gitfleet/salvage/bad/uncommitted"
    assert git("show", f"{ref}:loose", cwd=project) == ""
    assert not (state_home() / "gitfleet").exists()
    assert not (project / ".git" / "gitfleet").exists()
    tip = git("rev-parse", "fleet", cwd=project)
    done = gitfleet("deinit", "--branches", cwd=project).stdout
    assert f"Deleted {ref}" in done
    left = git("for-each-ref", "--format=%(refname)", cwd=project).split()
    assert left == ["refs/heads/fleet", "refs/heads/main"]
    assert git("rev-parse", "fleet", cwd=project) == tip


def test_a_branch_that_somebody_has_checked_out_is_not_deleted(
    project: Path, tmp_path: Path
) -> None:
    """Their worktree would be left without one."""
    add(project, "one", "touch one")
    work(project)
    git("worktree", "add", "-q", str(tmp_path / "mine"), "gitfleet/task/one", cwd=project)
    done = gitfleet("deinit", "--branches", cwd=project).stdout
    assert "refs/heads/gitfleet/task/one" in done
    assert git("rev-parse", "gitfleet/task/one", cwd=tmp_path / "mine")


def test_while_a_runner_is_live_nothing_is_removed(project: Path) -> None:
    """It says who is at work."""
    with running(project) as runner:
        runner.until(" running runner=")
        said = refusal("deinit", cwd=project)
        assert f"process {runner.process.pid}" in said
        assert json.loads((project / ".git" / "gitfleet" / "live.json").read_text())
        assert (project / ".fleet").exists()
    gitfleet("deinit", cwd=project)


def test_what_a_dead_runner_left_is_settled_first(project: Path) -> None:
    """Its processes end, its claim goes with an event: nobody else ever could."""
    add(project, "slow", "sleep 600")
    with running(project) as runner:
        runner.until(" claimed task=slow")
        mark = nonce(project, "slow")
        wait_for(lambda: marked(mark), "the script to run")
        os.kill(runner.process.pid, signal.SIGKILL)
        runner.join()
    gitfleet("deinit", cwd=project)
    assert marked(mark) == []
    assert files(project, "claims") == ["claims/.gitkeep"]
    assert events(project, "slow", "work")[0]["outcome"] == "interrupted"


def test_twice_is_harmless(project: Path) -> None:
    """And a repository that never had any of it is told so."""
    gitfleet("deinit", cwd=project)
    assert gitfleet("deinit", cwd=project).stdout == "The board is kept: branch fleet.\n"
    git("branch", "-qD", "fleet", cwd=project)
    assert gitfleet("deinit", cwd=project).stdout == "gitfleet was not set up in this clone.\n"


def test_a_board_that_was_taken_out_comes_back_with_init(project: Path) -> None:
    """The branch is all there is to keep."""
    add(project, "one", "touch one")
    gitfleet("deinit", cwd=project)
    gitfleet("init", cwd=project)
    assert (project / ".fleet" / "tasks" / "one.md").exists()
