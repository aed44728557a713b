"""A board of format 1: read for ever, changed by nothing but its upgrade, and lost nowhere.

`board.fast-export` is what gitfleet made of it while it wrote format 1: every old key in open
tasks, holds that were released, failed attempts, a rejected task with its repair, an open question,
and finished tasks in done/.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.acting import add, board, files, gitfleet, kinds, running, show, work
from tests.conftest import git
from tests.template import copied

EXPORT = Path(__file__).with_name("board.fast-export")
TIP = "662cf32824786cc1f6a9c31472969432094f298d"
STATUSES = {
    "colour": ("asking", "Choose a colour"),
    "broken": ("failed", "Break: as it must"),
    "typo": ("invalid", "typo"),
    "login": ("ready", "Login with a key"),
    "later": ("waiting", "Later"),
    "loud": ("done", "Be loud"),
    "wave": ("done", "Wave"),
    "name": ("done", "Choose a name"),
    "hello": ("done", "Say hello"),
    "loud-fix-1": ("cancelled", "Fix: Be loud"),
    "gone": ("cancelled", "Give it up"),
}
NAMES = {
    "touches": "paths",
    "needs": "runs_on",
    "exclusive": "locks",
    "attempts": "max_attempts",
    "retry": "backoff",
    "first": "initial",
}


def load(path: Path, *options: str) -> Path:
    """A repository with the board in it."""
    git("init", "-q", "-b", "main", *options, str(path), cwd=path.parent)
    with EXPORT.open("rb") as export:
        subprocess.run(["git", "fast-import", "--quiet"], cwd=path, stdin=export, check=True)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A clone that has the board of format 1 and its window."""
    settings = Path(os.environ["XDG_CONFIG_HOME"]) / "gitfleet" / "config.yaml"
    settings.parent.mkdir()
    settings.write_text("labels: [linux]\n")
    return copied(tmp_path / "old", "format1", _make)


def _make(path: Path) -> None:
    load(path)
    git("reset", "-q", "--hard", "main", cwd=path)
    said = gitfleet("init", cwd=path).stdout
    assert "The board has format 1" in said and "gitfleet lint --fix" in said


def tasks(cwd: Path, *args: str) -> dict[str, tuple[str, str]]:
    rows = json.loads(gitfleet("list", "--all", "--json", *args, cwd=cwd).stdout)
    return {row["id"]: (row["status"], row["title"]) for row in rows}


def tip(cwd: Path) -> str:
    return git("rev-parse", "fleet", cwd=cwd)


def test_everything_of_it_is_read(old: Path) -> None:
    """Each task has its status and its title, in done/ as in tasks/, and what its keys say; an
    event is told under the name it has now, and lies where it lay."""
    assert tip(old) == TIP and tasks(old) == STATUSES
    hello = json.loads(gitfleet("show", "hello", "--json", cwd=old).stdout)
    assert hello["task"] == {
        "title": "Say hello",
        "paths": ["hello.txt"],
        "locks": ["greeting"],
        "runs_on": ["linux"],
        "max_attempts": 3,
    }
    assert [event["kind"] for event in hello["events"]] == [
        "hold", "unhold", "work", "validate", "landed"
    ]  # fmt: skip
    assert hello["events"][1]["name"] == "002-release-6d94.yaml"
    login = gitfleet("show", "login", cwd=old).stdout
    assert "gpu" in login and "*.key" in login
    assert gitfleet("log", "hello", cwd=old).returncode == 0
    assert "0 broken" in gitfleet("fsck", cwd=old).stdout
    assert "all 2 attempts used up" in gitfleet("list", cwd=old).stdout


def test_whoever_writes_is_told_what_to_do(old: Path) -> None:
    """One sentence and one command, by `run` and by each verb; nothing is written."""
    for args in (
        ("run", "--until-idle"),
        ("add", "Another", "--id", "another"),
        ("cancel", "login"),
        ("answer", "colour-1", "blue"),
        ("revert", "hello"),
    ):
        said = gitfleet(*args, cwd=old, code=1).stderr
        assert said.endswith(
            "gitfleet: the board has format 1, which this gitfleet only reads\n"
            "  Run `gitfleet lint --fix`: one commit brings the board to format 2.\n"
        )
    assert tip(old) == TIP
    lines = gitfleet("lint", cwd=old, code=1).stdout.splitlines()
    assert lines[0].startswith("fleet.yaml:2:9: warning: the board has format 1")
    assert "the board has format 1" in gitfleet("doctor", "--no-calls", cwd=old, code=1).stdout


@pytest.mark.slow
def test_a_person_may_go_on_committing_in_its_words(old: Path) -> None:
    """Until it is fixed, an edit with a former key is valid, and so is one with a new key."""
    path = old / ".fleet" / "tasks" / "gone.md"
    for line in ("exclusive: [silence]", "locks: [silence]"):
        path.write_text(f"---\ntitle: Give it up\n{line}\n---\n")
        git("commit", "-qam", line, cwd=old / ".fleet")
    assert tasks(old) == STATUSES


def test_the_fix_is_one_commit_that_changes_keys_alone(old: Path) -> None:
    """Of open files only; what is in done/ and in the log stays byte for byte. By the person who
    asked, and doing it again changes nothing."""
    before = {path: show(old, path) for path in files(old)}
    said = gitfleet("lint", "--fix", cwd=old, code=1).stdout.splitlines()
    assert said[0] == (
        "fleet.yaml: attempts → max_attempts, retry → backoff, first → initial, format 2"
    )
    assert "tasks/login.md: touches → paths, needs → runs_on" in said[5]
    assert [line for line in said if "problem" in line] == ["44 files: 1 problem, 2 warnings"]
    assert git("log", "-2", "--format=%H %an %s", "fleet", cwd=old).splitlines() == [
        f"{tip(old)} Ada Author Rename keys to those of format 2",
        f"{TIP} {git('log', '-1', '--format=%an %s', TIP, cwd=old)}",
    ]
    after = {path: show(old, path) for path in files(old)}
    differ = {path for path in before if before[path] != after[path]}
    assert before.keys() == after.keys()
    assert differ == {"fleet.yaml"} | {
        f"tasks/{task}.md"
        for task in ("broken", "colour", "gone", "later", "login", "loud-fix-1", "typo")
    }
    for path in differ:
        undone = after[path].replace("format: 2", "format: 1")
        for word, new in NAMES.items():
            undone = undone.replace(new, word)
        assert undone == before[path]
    assert git("status", "--porcelain", cwd=old / ".fleet") == ""
    assert tasks(old) == STATUSES
    again = gitfleet("lint", "--fix", cwd=old, code=1).stdout.splitlines()
    assert again[0] == "All keys have their newest names."
    assert tip(old) == git("rev-parse", "HEAD", cwd=old / ".fleet")
    assert git("rev-parse", "fleet~1", cwd=old) == TIP


def test_after_the_fix_the_past_is_read_as_before(old: Path) -> None:
    """Old commits, finished tasks and their events, and the check of the whole history."""
    gitfleet("lint", "--fix", cwd=old, code=1)
    assert tasks(old, "--at", "fleet~1") == STATUSES
    now = json.loads(gitfleet("show", "login", "--json", cwd=old).stdout)
    assert now["task"]["max_attempts"] == 4 and now["task"]["locks"] == ["touches", "needs"]
    assert "0 broken" in gitfleet("fsck", cwd=old).stdout
    assert kinds(old, "later") == ["hold", "release", "hold", "release"]
    assert gitfleet("unhold", "later", cwd=old, code=1).stderr.startswith("gitfleet: later is not")


@pytest.mark.slow
def test_a_runner_works_on_the_fixed_board(old: Path) -> None:
    """What was asked, tried and put off in format 1 goes on from where it was."""
    gitfleet("lint", "--fix", cwd=old, code=1)
    gitfleet("answer", "colour-1", "--option", "1", cwd=old)
    gitfleet("cancel", "typo", cwd=old)
    gitfleet("retry", "broken", cwd=old)
    lines = work(old, code=4)
    assert any(" landed task=colour " in line for line in lines)
    assert any("broken" in line and "attempt=6" in line for line in lines)
    assert kinds(old, "broken")[-3:] == ["retry", "work", "work"]
    assert "0 broken" in gitfleet("fsck", cwd=old).stdout


@pytest.mark.slow
def test_a_shared_board_is_fixed_on_its_remote(old: Path, tmp_path: Path) -> None:
    """The fix is there at once; a clone that has not seen it yet has nothing left to fix, and
    its runner starts."""
    bare = load(tmp_path / "bare.git", "--bare")
    for name in ("ann", "ben"):
        git("clone", "-q", str(bare), name, cwd=tmp_path)
        gitfleet("init", cwd=tmp_path / name)
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    gitfleet("lint", "--fix", cwd=ann, code=1)
    assert "format: 2" in show(bare, "fleet.yaml") and tip(ann) == tip(bare)
    assert tip(ben) == TIP
    said = gitfleet("lint", "--fix", cwd=ben, code=1).stdout.splitlines()
    assert said[0] == "All keys have their newest names."
    assert git("rev-list", "--count", f"{TIP}..fleet", cwd=bare) == "1"
    with running(ben) as runner:
        runner.until(" running ")


def number(path: Path) -> None:
    """A person's commit that sets the number of an older format, as an old template would."""
    window = path / ".fleet"
    (window / "fleet.yaml").write_text("# ours\nformat: 1 # yet\ntarget: main\n")
    git("commit", "-qam", "Settings", cwd=window)


@pytest.mark.parametrize("args", [("run", "--until-idle"), ("add", "Another", "--id", "another")])
def test_a_board_without_former_names_needs_no_fix(tmp_path: Path, args: tuple[str, ...]) -> None:
    """Whoever writes to it sets the number, in a commit of that person's that changes nothing
    else, and goes on with what was asked."""
    path = board(tmp_path / "p")
    number(path)
    assert "Bring the board to format 2" in gitfleet(*args, cwd=path, code=None).stderr
    assert show(path, "fleet.yaml") == "# ours\nformat: 2 # yet\ntarget: main"
    raised = git(
        "log", "-1", "--grep=format 2", "--format=%an%n%B", "--name-only", "fleet", cwd=path
    ).splitlines()
    assert raised[0] == "Ada Author" and raised[-1] == "fleet.yaml"
    assert not any(line.startswith("Gitfleet-Runner") for line in raised)
    assert "0 broken" in gitfleet("fsck", cwd=path).stdout


def test_a_claim_keeps_the_number(tmp_path: Path) -> None:
    """A runner of an older version would not understand the board any more while it works, so a
    person decides when to upgrade."""
    path, gate = board(tmp_path / "p"), tmp_path / "gate"
    os.mkfifo(gate)
    add(path, "slow", f"read line < '{gate}'")
    with running(path) as runner:
        runner.until(" claimed task=slow")
        number(path)
        assert "gitfleet lint --fix" in gitfleet("hold", "slow", cwd=path, code=1).stderr
        assert "format: 1" in show(path, "fleet.yaml")
        gate.write_text("go\n")
        runner.until(" ended task=slow")


def heartbeat(clone: Path, name: str, at: datetime, **known: object) -> None:
    """A runner's last heartbeat on the remote; `known` is what only newer runners write."""
    told = {"format": 1, "at": at.isoformat(), "host": "box", "attempts": [], **known}
    blob = git("hash-object", "-w", "--stdin", cwd=clone, input=json.dumps(told))
    tree = git("mktree", cwd=clone, input=f"100644 blob {blob}\theartbeat.json\n")
    commit = git("commit-tree", tree, "-m", "beat", cwd=clone)
    git("push", "-qf", "origin", f"{commit}:refs/gitfleet/runners/{name}", cwd=clone)


@pytest.mark.parametrize("args", [("lint", "--fix"), ("run", "--until-idle"), ("hold", "t")])
def test_nobody_upgrades_a_board_under_an_older_runner(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    """It would remove the events that it does not know. A runner of today's, and one that has
    been silent for a lease, are in nobody's way."""
    bare = tmp_path / "bare.git"
    git("init", "-q", "--bare", str(bare), cwd=tmp_path)
    path = board(tmp_path / "p")
    add(path, "t", "true", "--hold")
    git("remote", "add", "origin", str(bare), cwd=path)
    number(path)
    git("push", "-q", "origin", "fleet", cwd=path)
    heartbeat(path, "box-1", datetime.now(UTC))
    refused = gitfleet(*args, cwd=path, code=1).stderr
    assert "a runner that does not know format 2 is at work: box-1 on box" in refused
    assert "format: 1" in show(bare, "fleet.yaml")
    heartbeat(path, "box-1", datetime.now(UTC) - timedelta(minutes=6))
    heartbeat(path, "box-2", datetime.now(UTC), board_format=2)
    gitfleet(*args, cwd=path, code=None)
    assert "format: 2" in show(bare, "fleet.yaml")
