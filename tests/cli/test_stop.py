"""`gitfleet stop`: the runner of this clone, and no other process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitfleet.process.procfs import marked
from tests.cli.acting import add, board, events, gitfleet, nonce, refusal, running, wait_for
from tests.conftest import git


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a board."""
    return board(tmp_path / "repo")


def test_stop_lets_attempts_finish_and_claims_nothing_more(project: Path, tmp_path: Path) -> None:
    """What runs is finished; what is ready stays ready."""
    gate = tmp_path / "gate"
    add(project, "first", f"while [ ! -e '{gate}' ]; do sleep 0.05; done\ntouch first")
    with running(project, "--max", "1") as runner:
        runner.until(" claimed task=first")
        add(project, "second", "touch second")
        assert "claims no more tasks" in gitfleet("stop", cwd=project).stdout
        runner.until(" stopping")
        gate.touch()
        runner.until(" ended task=first", "outcome=submitted")
        assert runner.join() == 0
        assert not runner.said(" claimed task=second")


def test_stop_now_ends_attempts_and_waits_for_the_runner(project: Path) -> None:
    """Two signals that reach it as two: it drains and then ends what runs, well under the pause
    between its slow looks; the workspace is kept."""
    add(project, "slow", "echo ready\nsleep 600")
    with running(project) as runner:
        runner.until(" claimed task=slow")
        mark = wait_for(lambda: nonce(project, "slow"), "the claim")
        wait_for(lambda: marked(mark), "the script to run")
        done = gitfleet("stop", "--now", "--wait", cwd=project)
        assert done.stdout == "The runner has ended.\n"
        assert runner.join() == 0
        assert runner.said(" ending-attempts")
    assert marked(mark) == []
    assert events(project, "slow", "work")[0]["outcome"] == "interrupted"
    assert "gitfleet/task/slow" in git("worktree", "list", cwd=project)


def test_what_was_left_can_be_ended_without_a_runner(project: Path) -> None:
    """`stop --leave`, and then the person wants the agents to end after all."""
    add(project, "slow", "echo ready\nsleep 600")
    with running(project) as runner:
        runner.until(" claimed task=slow")
        mark = wait_for(lambda: nonce(project, "slow"), "the claim")
        wait_for(lambda: len(marked(mark)) > 1, "the script to run")
        assert "keep running for one lease" in gitfleet("stop", "--leave", cwd=project).stdout
        assert runner.join() == 0
    assert marked(mark)
    said = gitfleet("stop", "--now", cwd=project).stdout
    assert "Ended 1 attempt that ran without a runner." in said
    assert marked(mark) == []
    assert events(project, "slow", "work")[0]["outcome"] == "interrupted"
    assert "no runner is running" in refusal("stop", "--now", cwd=project)


def test_stop_does_not_do_two_things_at_once(project: Path) -> None:
    """To end the attempts and to leave them are opposites."""
    said = gitfleet("stop", "--now", "--leave", cwd=project, code=2)
    assert "pass only one" in said.stderr


def test_stop_says_when_there_is_no_runner(project: Path) -> None:
    """And never signals a process that only has the number of a dead runner."""
    assert "no runner is running" in refusal("stop", cwd=project)
    live = project / ".git" / "gitfleet" / "live.json"
    live.write_text(json.dumps({"pid": os.getpid(), "started": "another boot:1"}))
    assert "no runner is running" in refusal("stop", cwd=project)


def test_a_runner_is_stopped_although_its_board_is_gone(project: Path) -> None:
    """Somebody deleted the branch: the runner can still be told to end."""
    with running(project) as runner:
        runner.until(" running runner=")
        git("worktree", "remove", "--force", ".fleet", cwd=project)
        git("branch", "-qD", "fleet", cwd=project)
        gitfleet("stop", "--wait", cwd=project)
        runner.join()
