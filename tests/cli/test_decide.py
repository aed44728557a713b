"""The verbs by which a person decides: retry, cancel, hold, unhold, close."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.board.clone_state import PendingClaim
from gitfleet.process.procfs import marked
from tests.cli import looking
from tests.cli.acting import (
    add,
    board,
    events,
    files,
    gitfleet,
    kinds,
    nonce,
    refusal,
    running,
    show,
    wait_for,
    work,
)
from tests.conftest import git

# Writes, commits, says so, and then sleeps in three kinds of process until somebody ends it.
SLEEPER = """\
echo committed > committed.txt
git add -A
git commit -q -m half
echo loose > loose.txt
setsid sleep 600 &
(sleep 600 &)
echo ready
sleep 600"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a board."""
    return board(tmp_path / "repo")


def workspaces() -> list[Path]:
    """Every workspace on this (isolated) machine."""
    from gitfleet.board.clone_state import state_home

    return sorted((state_home() / "gitfleet").glob("*/*"))


def sleeping(project: Path, task: str) -> str:
    """Wait until the script of the attempt sleeps; the attempt's nonce."""

    def ready() -> bool:
        runs = (project / ".git" / "gitfleet" / "runs" / task).glob("*/stdout")
        return any("ready" in path.read_text() for path in runs)

    wait_for(ready, f"{task} to say ready")
    return nonce(project, task)


@pytest.mark.parametrize(("verb", "status"), [("cancel", "cancelled"), ("close", "done")])
def test_cancel_and_close_end_a_running_attempt_at_once(
    project: Path, verb: str, status: str
) -> None:
    """Nothing of a task that nobody wants any more runs on; what it had done is saved."""
    add(project, "slow", SLEEPER)
    with running(project) as runner:
        runner.until(" claimed task=slow")
        mark = sleeping(project, "slow")
        assert marked(mark)
        said = gitfleet(verb, "slow", "--reason", "not needed", cwd=project).stdout
        assert "its runner ends the running attempt" in said
        runner.until(" ended task=slow", "outcome=cancelled")
        wait_for(lambda: not workspaces(), "the workspace to be removed")
        assert marked(mark) == []
        if verb == "close":
            wait_for(lambda: kinds(project, "slow")[-1] == "closed", "the runner to close it")
        assert runner.stop() == 0
    assert events(project, "slow", "work")[0]["outcome"] == "cancelled"
    assert events(project, "slow", verb)[0]["reason"] == "not needed"
    assert files(project, "claims") == ["claims/.gitkeep"]
    saved = "refs/gitfleet/salvage/slow/uncommitted"
    assert git("show", f"{saved}:loose.txt", cwd=project) == "loose"
    assert git("show", f"{saved}:committed.txt", cwd=project) == "committed"
    assert git("ls-tree", "--name-only", "main", cwd=project) == "README"
    assert f"slow is already {status}" in refusal("cancel", "slow", cwd=project)


def test_hold_lets_a_running_attempt_go_on_and_keeps_it_from_landing(
    project: Path, tmp_path: Path
) -> None:
    """On hold the work is finished, and nothing of it lands until it is released."""
    gate = tmp_path / "gate"
    add(project, "held", f"echo ready\nwhile [ ! -e '{gate}' ]; do sleep 0.05; done\ntouch new")
    add(project, "other", "touch other")
    with running(project, "--until-idle") as runner:
        runner.until(" claimed task=held")
        sleeping(project, "held")
        said = gitfleet("hold", "held", cwd=project).stdout
        assert "continues, but nothing of it lands" in said
        assert "held is already on hold" in refusal("hold", "held", cwd=project)
        gate.touch()
        runner.until(" ended task=held", "outcome=submitted")
        assert runner.join() == 0
        assert not runner.said(" landed task=held")
    assert "new" not in git("ls-tree", "--name-only", "main", cwd=project).split()
    said = gitfleet("unhold", "held", cwd=project).stdout
    assert said == "held is submitted: work done; waiting for checks and review\n"
    work(project)
    assert "new" in git("ls-tree", "--name-only", "main", cwd=project).split()
    assert kinds(project, "held") == ["hold", "work", "unhold", "validate", "landed"]


def test_a_hold_is_released_while_the_attempt_still_runs(project: Path, tmp_path: Path) -> None:
    """`unhold` looks at the hold, not at what happens to be under way."""
    gate = tmp_path / "gate"
    add(project, "held", f"echo ready\nwhile [ ! -e '{gate}' ]; do sleep 0.05; done\ntouch new")
    with running(project, "--until-idle") as runner:
        runner.until(" claimed task=held")
        gitfleet("hold", "held", cwd=project)
        assert gitfleet("unhold", "held", cwd=project).stdout.startswith("held is working")
        gate.touch()
        runner.until(" landed task=held")
        runner.join()


TEXT = b"""\
---
title:   Fix   it      # odd spacing stays
# a comment above
hold: true   # until Monday
priority: 1\r
x-mine: [1,2]
---
hold: true is also a line of the body
no newline at the end"""


def test_unhold_takes_the_line_out_and_leaves_every_other_byte(project: Path) -> None:
    """A person's file is never written anew."""
    path = project / ".fleet" / "tasks" / "fix.md"
    path.write_bytes(TEXT)
    window = project / ".fleet"
    git("-c", "core.autocrlf=false", "add", "-A", cwd=window)
    git("commit", "--no-verify", "-q", "-m", "Fix it", cwd=window)
    before = git("cat-file", "blob", "fleet:tasks/fix.md", cwd=project)
    assert gitfleet("unhold", "fix", cwd=project).stdout.startswith("fix is ready")
    after = git("cat-file", "blob", "fleet:tasks/fix.md", cwd=project)
    assert after == before.replace("hold: true   # until Monday\n", "", 1)
    assert "hold: true   #" not in path.read_text()
    assert kinds(project, "fix") == []
    assert git("log", "-1", "--format=%an %s", "fleet", cwd=project) == "Ada Author Unhold fix"


def test_unhold_undoes_both_kinds_of_hold_in_one_commit(project: Path) -> None:
    """The line and the event hold it together; one `unhold` frees it."""
    add(project, "two", "true")
    gitfleet("hold", "two", cwd=project)
    window = project / ".fleet"
    file = window / "tasks" / "two.md"
    file.write_text(file.read_text().replace("coder: shell\n", "coder: shell\nhold: true\n"))
    git("commit", "--no-verify", "-qam", "hold", cwd=window)
    commits = git("rev-list", "--count", "fleet", cwd=project)
    gitfleet("unhold", "two", cwd=project)
    assert "hold" not in show(project, "tasks/two.md")
    assert kinds(project, "two") == ["hold", "unhold"]
    assert int(git("rev-list", "--count", "fleet", cwd=project)) == int(commits) + 1


def test_one_commit_a_task_and_a_sentence_for_each_that_failed(project: Path) -> None:
    """What is wrong with one id keeps no other from being done, and is told."""
    for task in ("one", "two"):
        add(project, task, "true")
    commits = int(git("rev-list", "--count", "fleet", cwd=project))
    done = gitfleet("cancel", "one", "nosuch", "two", "one", cwd=project, code=1)
    assert done.stdout.splitlines() == [
        f"{task} is cancelled (`gitfleet retry {task}` undoes that)" for task in ("one", "two")
    ]
    assert "there is no task 'nosuch'" in done.stderr
    assert "1 of 3 tasks unchanged" in done.stderr
    assert int(git("rev-list", "--count", "fleet", cwd=project)) == commits + 2
    log = git("log", "-1", "--format=%s|%an|%ae|%B", "fleet", cwd=project)
    assert log.startswith("Cancel two|Ada Author|ada@example.org|")
    assert "Gitfleet-Runner" not in log


def test_retry_undoes_cancel_and_failed(project: Path) -> None:
    """A task that was given up, or that failed too often, is tried as if for the first time."""
    add(project, "bad", "test -e ../../../never && touch x", "--priority", "0")
    window = project / ".fleet"
    settings = window / "fleet.yaml"
    settings.write_text(settings.read_text() + "max_attempts: 1\n")
    git("commit", "--no-verify", "-qam", "one attempt", cwd=window)
    work(project, code=4)
    assert gitfleet("retry", "bad", cwd=project).stdout.startswith("bad is ready")
    gitfleet("cancel", "bad", cwd=project)
    assert gitfleet("retry", "bad", "--reason", "again", cwd=project).stdout.startswith(
        "bad is ready"
    )
    assert kinds(project, "bad") == ["work", "retry", "cancel", "retry"]


def test_what_makes_no_sense_is_refused_in_a_sentence(project: Path) -> None:
    """Each verb says what is wrong, and what to do; nothing is written."""
    add(project, "one", "true")
    tip = git("rev-parse", "fleet", cwd=project)
    assert "is not on hold, it is ready" in refusal("unhold", "one", cwd=project)
    assert "cannot be shown" in refusal("close", "one", "--reason", "a\x1b[2Jb", cwd=project)
    (project / ".fleet" / "tasks" / "Bad Name.md").write_text("---\ntitle: x\n---\n")
    assert gitfleet("cancel", cwd=project, code=2).stderr.startswith("Usage:")
    assert git("rev-parse", "fleet", cwd=project) == tip
    git("add", "-A", cwd=project / ".fleet")
    git("commit", "--no-verify", "-qm", "a bad name", cwd=project / ".fleet")
    assert "is not a valid task name" in refusal("hold", "Bad Name", cwd=project)


def test_a_reason_is_one_line_on_the_board(project: Path) -> None:
    """Whatever white space it came with."""
    add(project, "one", "true")
    gitfleet("close", "one", "--reason", " by\n\thand ", cwd=project)
    assert events(project, "one", "close")[0]["reason"] == "by hand"
    assert git("log", "-1", "--format=%s", "fleet", cwd=project) == "Close one: by hand"


def test_what_depends_on_a_closed_task_goes_on(project: Path) -> None:
    """Closed by hand is done; the runner writes what follows from it."""
    add(project, "one", "sleep 600")
    add(project, "two", "touch two", "--depends-on", "one")
    gitfleet("close", "one", cwd=project)
    lines = work(project)
    assert any(" landed task=two" in line for line in lines)
    assert kinds(project, "one") == ["close", "closed"]


def test_an_agent_inside_its_attempt_decides_nothing(project: Path) -> None:
    """The verbs of people refuse an attempt of this very repository, and leave others alone."""
    add(project, "one", "true")
    box = {"GITFLEET_OUTBOX": str(project / ".git" / "gitfleet" / "runs" / "one" / "outbox")}
    for verb in ("retry", "cancel", "hold", "unhold", "close", "revert"):
        said = refusal(verb, "one", cwd=project, env=box)
        assert "is for people, and this is an attempt" in said
    elsewhere = {"GITFLEET_OUTBOX": str(project.parent / "elsewhere")}
    gitfleet("hold", "one", cwd=project, env=elsewhere)


def test_nobody_decides_without_a_name(project: Path) -> None:
    """A decision has an author; where git knows none, that is said."""
    add(project, "one", "true")
    git("config", "user.useConfigOnly", "true", cwd=project)
    env = {"GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": ""}
    assert "git does not know who you are" in refusal("cancel", "one", cwd=project, env=env)


@pytest.mark.parametrize("verb", ["cancel", "close"])
def test_who_decides_while_no_runner_is_there_hears_when_the_attempt_ends(
    tmp_path: Path, verb: str
) -> None:
    """Of a runner that died, or left its agents at work, nothing is promised for now."""
    lab = looking.Lab(tmp_path / "repo")
    lab.commit({"tasks/one.md": looking.task("One")})
    claim = lab.claim("one")
    held = PendingClaim(nonce=claim.nonce, task="one", role=claim.role, attempt=claim.attempt)
    lab.clone.note_pending(held)
    said = gitfleet(verb, "one", cwd=lab.path).stdout
    assert "no runner is running here: the next `gitfleet run` ends the running" in said
