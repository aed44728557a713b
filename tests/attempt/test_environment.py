"""The environment of an attempt: whose work it is, where it may speak, nobody to ask."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitfleet.attempt.context import ClaimedTask, Project
from gitfleet.attempt.environment import environment, scratch
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store, utc_now
from gitfleet.event_log import EventLog
from gitfleet.git.repo import find
from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.config import Settings
from gitfleet.model.states import Role
from gitfleet.plan.scheduler import Assignment
from gitfleet.run_dir import RunDir
from tests.conftest import git

NONCE = "0123456789abcdef" * 2


def _environment(repo_path: Path, *, sign: bool = False) -> dict[str, str]:
    repo = find(repo_path)
    fleet = Project(
        repo=repo,
        clone=Clone(repo),
        store=Store(repo),
        report=EventLog(lambda _line: None),
        runner="box-1",
        default_target="main",
        workspaces=WorkspacePool(repo),
    )
    claim = Claim(
        runner="box-1",
        nonce=NONCE,
        role=Role.WORK,
        attempt=2,
        coder="shell",
        model="",
        task_blob="a" * 40,
        base="b" * 40,
        branch="gitfleet/task/one",
        at=utc_now(),
    )
    order = ClaimedTask(
        board=Board(settings=Settings(format=2, sign=sign), entries={}),
        entry=Entry(id="one"),
        assignment=Assignment(task="one", role=Role.WORK, coder="shell", model="", target="main"),
        claim=claim,
        claimed_at=0.0,
    )
    return environment(fleet, order, RunDir(repo_path / "run"), repo_path / "tmp")


def test_git_is_redirected_nowhere_and_asks_nobody(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would send git elsewhere is left out, and no editor or prompt comes up."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, "/elsewhere")
    env = _environment(repo_path)
    assert not {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"} & env.keys()
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["GIT_OPTIONAL_LOCKS"] == "0"
    done = subprocess.run(
        ["git", "commit", "--allow-empty"], cwd=repo_path, env=env, capture_output=True, check=False
    )
    assert done.returncode != 0, "an editor with nothing to say must not make a commit"


def test_who_did_it_can_be_told(repo_path: Path) -> None:
    """The coder is the author; the committer's address tells the very attempt."""
    env = _environment(repo_path)
    commit = ["git", "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(commit, cwd=repo_path, env=env, check=True)
    said = git("log", "-1", "--format=%an|%cn|%ce", cwd=repo_path)
    assert said == f"shell|shell (gitfleet)|{NONCE[:16]}@gitfleet.invalid"


def test_git_knows_a_name_for_it(repo_path: Path) -> None:
    """Where it knew none, aider would write one into the repository's settings."""
    for key, value in (("user.name", "shell"), ("user.email", "shell@gitfleet.invalid")):
        asked = ["git", "config", "--get", key]
        told = subprocess.run(
            asked, cwd=repo_path, env=_environment(repo_path), capture_output=True, check=True
        )
        assert told.stdout.decode().strip() == value


def test_nothing_is_signed_unless_the_settings_say_so(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's commit.gpgsign would ask for a passphrase; other settings from outside stay."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.abbrev")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "12")
    git("config", "commit.gpgsign", "true", cwd=repo_path)

    def sign(env: dict[str, str]) -> str:
        done = subprocess.run(
            ["git", "config", "commit.gpgsign"],
            cwd=repo_path,
            env=env,
            capture_output=True,
            check=False,
        )
        return done.stdout.decode().strip()

    env = _environment(repo_path)
    assert sign(env) == "false"
    assert env["GIT_CONFIG_VALUE_0"] == "12" and env["GIT_CONFIG_COUNT"] == "5"
    assert sign(_environment(repo_path, sign=True)) == "true"


def test_it_knows_its_task_and_where_to_speak(repo_path: Path) -> None:
    """The contract's variables, and a `gitfleet` that runs as we do."""
    env = _environment(repo_path)
    assert (env["GITFLEET_TASK"], env["GITFLEET_ATTEMPT"], env["GITFLEET_ROLE"]) == (
        "one",
        "2",
        "work",
    )
    assert env["GITFLEET_RUN"] == NONCE
    assert env["GITFLEET_OUTBOX"] == str(repo_path / "run" / "outbox")
    first = Path(env["PATH"].partition(":")[0])
    assert [path.name for path in first.iterdir()] == ["gitfleet"]
    said = subprocess.run(
        ["gitfleet", "--version"], env=env, capture_output=True, text=True, check=False
    )
    assert said.stdout.startswith("gitfleet ")


def test_its_scratch_folder_goes_with_it(repo_path: Path) -> None:
    """TMPDIR is the attempt's own, private, and removed."""
    with scratch(NONCE) as tmp:
        assert tmp.stat().st_mode & 0o077 == 0
        (tmp / "x").touch()
    assert not tmp.exists()
