"""`gitfleet doctor`: one line a finding, with a remedy where something is not well."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gitfleet.process.procfs import marked
from tests.cli.acting import add, gitfleet, running
from tests.conftest import git


@pytest.fixture
def project(repo_path: Path) -> Path:
    """A repository with a board that has a coder and a check."""
    gitfleet("init", "--check", "true", cwd=repo_path)
    return repo_path


def settings(project: Path, text: str) -> None:
    """Commit other settings."""
    (project / ".fleet" / "fleet.yaml").write_text(f"format: 2\ntarget: main\n{text}")
    git("commit", "--no-verify", "-qam", "settings", cwd=project / ".fleet")


def examine(project: Path, *, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The findings that are not ok, about -> finding; and `all` of them."""
    done = gitfleet("doctor", "--json", cwd=project, code=code, env=env)
    found = json.loads(done.stdout)
    assert all(f.keys() <= {"level", "about", "what", "remedy"} for f in found)
    assert all(f["remedy"] for f in found if f["level"] == "problem")
    return {"all": found, **{f["about"]: f for f in found if f["level"] != "ok"}}


def test_a_healthy_clone_has_no_warning(project: Path, tmp_path: Path) -> None:
    """Everything that was looked at is told in a line of its own."""
    settings(project, "checks: ['true']\nroles: {work: {coder: shell}}\n")
    for name in ("gitfleet", "git-fleet"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = gitfleet("doctor", cwd=project, env=env)
    lines = done.stdout.splitlines()
    unwell = [line for line in lines if not line.startswith("ok ")]
    assert [line for line in unwell if " disk: " not in line] == []
    about = [line.split()[1].rstrip(":") for line in lines]
    for word in (
        *("git", "command", "repository", "identity", "board", "target", "checks", "coder"),
        *("machine", "disk", "watcher", "locks", "window", "runner"),
    ):
        assert word in about


def test_each_thing_that_is_wrong_is_found(project: Path) -> None:
    """With one remedy each, and exit status 1."""
    settings(
        project,
        "roles: {work: {coder: mine}, validate: {coder: unheard-of}}\n"
        "coders: {mine: {argv: [no-such-program, '{prompt}']}}\n",
    )
    fleet = project / ".fleet"
    text = (fleet / "fleet.yaml").read_text()
    (fleet / "fleet.yaml").write_text(text.replace("target: main", "target: nosuch"))
    (fleet / "tasks" / "bad.md").write_text("---\ntitel: x\n---\n")
    (fleet / "tasks" / "far.md").write_text("---\ntitle: x\nbase: far-away\ncoder: odd\n---\n")
    (fleet / "claims" / "far.yaml").write_text("nonsense\n")
    git("add", "-A", cwd=fleet)
    git("commit", "--no-verify", "-qm", "all kinds of mistakes", cwd=fleet)
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "gitfleet" / "config.yaml"
    config.parent.mkdir()
    config.write_text("concurrency: many\n")
    lock = project / ".git" / "packed-refs.lock"
    lock.touch()
    os.utime(lock, (time.time() - 99, time.time() - 99))
    found = examine(project, code=1)
    told = [f"{f['level']} {f['about']}: {f['what']}" for f in found["all"]]

    def one(*words: str) -> bool:
        return any(all(word in line for word in words) for line in told)

    assert one("problem target: work lands on nosuch")
    assert one("warning target: far lands on far-away")
    assert one("problem coder: role validate names unheard-of")
    assert one("problem coder: mine (role work) is no-such-program")
    assert one("warning coder: task far names odd")
    assert one("warning board: tasks/bad.md:2:1: unknown key 'titel'")
    assert one("problem board: claims/far.yaml:1:1")
    assert one("warning checks: none, so work")
    assert one("problem machine:", "config.yaml:1:")
    assert one("problem locks:", "packed-refs.lock is ")


def test_outside_of_a_repository_it_says_so(tmp_path: Path) -> None:
    """The first thing that is wrong, and no traceback."""
    found = examine(tmp_path, code=1)
    assert "is not in a git repository" in found["git"]["what"]


def test_without_a_board_the_rest_is_still_examined(repo_path: Path) -> None:
    """A clone that is not set up yet can be checked before."""
    found = examine(repo_path, code=1)
    assert "there is no board" in found["board"]["what"]
    assert {"disk", "watcher", "identity"} <= {f["about"] for f in found["all"]}


def test_a_person_that_git_does_not_know_is_a_problem(project: Path) -> None:
    """Nothing could be decided or filed."""
    git("config", "user.useConfigOnly", "true", cwd=project)
    env = {"GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": ""}
    assert "who you are" in examine(project, code=1, env=env)["identity"]["what"]


def test_the_window_is_told_when_it_does_not_show_the_board(project: Path) -> None:
    """Edits nobody sees, another branch, gone: each is a warning with its command."""
    window = project / ".fleet"
    (window / "tasks" / "new.md").write_text("---\ntitle: x\n---\n")
    assert "tasks/new.md" in examine(project)["window"]["what"]
    git("checkout", "-q", "--detach", cwd=window)
    assert "on no branch" in examine(project)["window"]["what"]
    git("worktree", "remove", "--force", ".fleet", cwd=project)
    assert "gitfleet init" in examine(project)["window"]["remedy"]


def test_a_window_that_lags_behind_is_told(project: Path) -> None:
    """Edits in the way keep the files from following the board."""
    fleet = project / ".fleet"
    add(project, "one", "true", "--hold")
    (fleet / "tasks" / "one.md").write_text("an edit\n")
    gitfleet("unhold", "one", cwd=project)
    assert "behind the board" in examine(project)["window"]["what"]


def test_a_runner_is_seen_alive_or_dead(project: Path) -> None:
    """By its process, not by what it left."""
    with running(project) as runner:
        runner.until(" running runner=")
        told = [f["what"] for f in examine(project)["all"] if f["about"] == "runner"]
        assert f"process {runner.process.pid}" in told[0]
    held = project / ".git" / "gitfleet" / "held" / f"{'0' * 32}.json"
    held.parent.mkdir(exist_ok=True)
    fields = {"nonce": "0" * 32, "task": "one", "role": "work", "attempt": 1}
    held.write_text(json.dumps(fields))
    assert (
        "died, or stopped with --leave, while it worked on one"
        in examine(project)["runner"]["what"]
    )


def test_a_coder_that_this_machine_does_not_let_run_is_told(project: Path) -> None:
    """It is the machine's owner who says what may run on it."""
    settings(project, "checks: ['true']\nroles: {work: {coder: shell}}\n")
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "gitfleet" / "config.yaml"
    config.parent.mkdir()
    config.write_text("coders: [another]\n")
    assert "does not allow" in examine(project)["coder"]["what"]


def test_text_of_others_cannot_draw_on_the_terminal(project: Path) -> None:
    """Names of files and keys come from whoever can push."""
    name = "a\x1b[2Jb"
    (project / ".fleet" / "tasks" / f"{name}.md").write_text("---\ntitle: x\n---\n")
    git("add", "-A", cwd=project / ".fleet")
    git("commit", "--no-verify", "-qm", "odd", cwd=project / ".fleet")
    done = gitfleet("doctor", cwd=project)
    assert "\x1b" not in done.stdout


# -- coders


def coder(tmp_path: Path, name: str, script: str) -> str:
    """A program that people would call a coder; its path."""
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def mine(project: Path, program: str) -> None:
    """A board on which that program does the work."""
    coders = f"coders: {{mine: {{argv: ['{program}', '{{prompt_file}}']}}}}\n"
    settings(project, f"checks: ['true']\nroles: {{work: {{coder: mine}}}}\n{coders}")


def test_a_coder_is_called_as_an_attempt_calls_it(project: Path, tmp_path: Path) -> None:
    """In a worktree of the target, in the environment of attempts; nothing of it stays."""
    seen = tmp_path / "seen"
    mine(project, coder(tmp_path, "agent", f'env > "{seen}"; pwd >> "{seen}"; cat "$1"; ls'))
    before = git("worktree", "list", cwd=project)
    told = [f["what"] for f in examine(project)["all"] if f["about"] == "coder"]
    assert any("mine (role work) answered in" in what for what in told)
    env = seen.read_text()
    for name in ("GITFLEET_RUN=", "GITFLEET_OUTBOX=", "GIT_AUTHOR_NAME=mine", "TMPDIR="):
        assert f"\n{name}" in env
    workspace = Path(env.splitlines()[-1])
    assert not workspace.exists() and workspace.parent.name.startswith("repo-")
    assert git("worktree", "list", cwd=project) == before
    assert git("branch", "--list", "gitfleet/*", cwd=project) == ""
    marker = next(line for line in env.splitlines() if line.startswith("GITFLEET_RUN="))
    assert not marked(marker.partition("=")[2])


def test_no_calls_means_none(project: Path, tmp_path: Path) -> None:
    """A call costs, and a person may be offline."""
    mine(project, coder(tmp_path, "agent", f"touch '{tmp_path}/called'"))
    done = gitfleet("doctor", "--no-calls", cwd=project)
    assert f"mine (role work) is {tmp_path}/agent" in done.stdout
    assert not (tmp_path / "called").exists()


def test_without_calls_nothing_is_started_that_the_board_names(
    project: Path, tmp_path: Path
) -> None:
    """Whoever can write the board may be anyone; to look at a clone must be safe."""
    program = coder(tmp_path, "claude", f"touch '{tmp_path}/called'; echo 1.0.0")
    coders = f"coders: {{claude: {{program: '{program}'}}}}\n"
    settings(project, f"checks: ['true']\nroles: {{work: {{coder: claude}}}}\n{coders}")
    done = gitfleet("doctor", "--no-calls", cwd=project)
    assert f"claude (role work) is {program}" in done.stdout
    assert not (tmp_path / "called").exists()


def test_a_version_that_is_not_known_is_told(project: Path, tmp_path: Path) -> None:
    """It may work; who sees odd ends knows where to look."""
    coder(tmp_path, "claude", "echo '0.0.1 (Claude Code)'")
    settings(project, "checks: ['true']\nroles: {work: {coder: claude}}\n")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = gitfleet("doctor", "--no-calls", "--json", cwd=project, env=env)
    told = [f for f in json.loads(done.stdout) if f["about"] == "coder"]
    assert [f["level"] for f in told] == ["ok", "warning"]
    assert "version 0.0.1 is not a known one: " in told[1]["what"]


@pytest.mark.parametrize(
    ("case", "level", "kind", "remedy"),
    [
        ("no-key", "problem", "auth", "Log in with it"),
        ("err400-credit", "warning", "limited", "tasks wait"),
        ("err500-max0", "warning", "overloaded", "can reach its"),
    ],
)
def test_what_keeps_a_coder_from_answering_is_told_with_what_to_do(
    project: Path, tmp_path: Path, case: str, level: str, kind: str, remedy: str
) -> None:
    """As the coder's own module judges it; what passes by itself is no problem."""
    recorded = Path(__file__).parent.parent / "coders" / "transcripts" / "claude" / f"{case}.jsonl"
    version = '[ "$1" = --version ] && echo 2.1.197 && exit'
    coder(tmp_path, "claude", f"{version}\ncat '{recorded}'; exit 1")
    settings(project, "checks: ['true']\nroles: {work: {coder: claude}}\n")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    found = examine(project, code=1 if level == "problem" else 0, env=env)["coder"]
    assert found["level"] == level and f"did not answer ({kind})" in found["what"]
    assert remedy in found["remedy"]


def test_a_coder_that_fails_is_told_with_its_last_words(project: Path, tmp_path: Path) -> None:
    """And without the secrets of the environment that are in them."""
    mine(project, coder(tmp_path, "agent", 'echo "who is $SOME_TOKEN?" >&2; exit 3'))
    found = examine(project, env={"SOME_TOKEN": "s3cr3t-0123456789"})["coder"]
    assert "mine (role work) did not answer: exit status 3: who is <masked>?" in found["what"]


def test_a_coder_that_does_not_end_is_ended(project: Path, tmp_path: Path) -> None:
    """With all it started, after the time it has."""
    run = tmp_path / "run"
    script = f"setsid sleep 1000 & echo $GITFLEET_RUN >'{run}'; echo busy >&2; exec sleep 1000"
    mine(project, coder(tmp_path, "agent", script))
    done = gitfleet("doctor", "--seconds", "1", "--json", cwd=project)
    (told,) = [f for f in json.loads(done.stdout) if "had not ended" in f["what"]]
    assert told["level"] == "warning" and "busy" in told["what"]
    assert not marked(run.read_text().strip())
