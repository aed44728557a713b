"""`gitfleet demo`: the real pipeline, in a world of its own, whatever the person's looks like."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from gitfleet.demo import captions, reviewer, tasks
from tests.conftest import git
from tests.lanes import sample

DEMO: Final = (sys.executable, "-P", "-m", "gitfleet", "demo")
# Each of these breaks a git command that meets it.
HOSTILE: Final = """\
[commit]
\tgpgsign = true
[tag]
\tgpgsign = true
[gpg]
\tprogram = /bin/false
[core]
\thooksPath = {hooks}
\tautocrlf = true
\teditor = /bin/false
\tattributesFile = {hooks}/attributes
[init]
\tdefaultBranch = trunk
\ttemplateDir = {hooks}
[user]
\tuseConfigOnly = true
[merge]
\tff = only
[diff]
\tnoprefix = true
\texternal = /bin/false
[alias]
\tcommit = !false
"""


class Played(NamedTuple):
    """A demo that has ended."""

    status: int
    output: str
    project: Path


def _hostile(world: Path) -> dict[str, str]:
    """An environment and a configuration in which little works."""
    hooks = world / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "commit-msg", "post-checkout", "reference-transaction", "pre-push"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (world / "gitfleet").mkdir()
    (world / "gitfleet" / "config.yaml").write_text("coders: [none-of-these]\n")
    (world / "gitconfig").write_text(HOSTILE.format(hooks=hooks))
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": str(world),
        "GIT_CONFIG_GLOBAL": str(world / "gitconfig"),
        "GIT_DIR": "/nonexistent",
        "GIT_INDEX_FILE": "/nonexistent/index",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "true",
        "GITFLEET_TASK": "somebody-elses",
        "GITFLEET_OUTBOX": "/nonexistent",
        "GITFLEET_NO_FSYNC": "1",
        "LC_ALL": "C",
    }


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """One demo in a hostile world and a directory with an awkward name, kept to look at."""
    place = tmp_path_factory.mktemp("demo") / "it's a dir, $(x) é"
    done = subprocess.run(
        [*DEMO, "--keep", "--dir", str(place)],
        env=_hostile(tmp_path_factory.mktemp("world") / "hostile"),
        capture_output=True,
        encoding="utf-8",
        timeout=400,
        check=False,
    )
    return Played(done.returncode, done.stdout + done.stderr, place / "words")


@pytest.mark.slow
def test_every_task_becomes_what_the_demo_says_in_a_hostile_world(played: Played) -> None:
    """Nobody's signing, hooks, aliases, templates, variables or identity reach the demo."""
    assert played.status == 0, played.output
    assert f"All {len(tasks.PROMISES)} tasks are done, as promised. It took " in played.output


@pytest.mark.slow
def test_what_happens_is_told_as_it_happens(played: Played) -> None:
    """Each turn of the plot has its line, with the task it is about."""
    for task, sentence in (
        ("fix-slug", "LANDED on main as"),
        ("add-license", "FAILED: exit status 1: the mirror"),
        ("name-python", "CONFLICT: it conflicts with main in CHANGELOG.md"),
        ("reading-time", "REJECTED: It contains a debug print."),
        (tasks.REPAIR, "LANDED on main as"),
    ):
        assert re.search(rf"^ +[0-9.]+ s  {task} +{sentence}", played.output, re.MULTILINE), task


@pytest.mark.slow
def test_it_ends_with_the_board_the_graph_and_the_way_home(played: Played) -> None:
    """Who has seen it knows what became of every task, and what to type next."""
    after = played.output.partition("$ gitfleet list --all")[2]
    for task in (*tasks.TASKS, tasks.REPAIR):
        assert task in after.partition("$ git log --graph")[0], task
    assert after.count("Merge ") == len(tasks.TASKS)
    assert "gitfleet init" in after
    assert str(played.project) in after


@pytest.mark.slow
def test_the_kept_project_is_real(played: Played) -> None:
    """It is a repository with a green target, a clean checkout, and no worktree left over."""
    assert git("status", "--porcelain", cwd=played.project) == ""
    assert git("rev-list", "--count", "--merges", "main", cwd=played.project) == "6"
    trees = git("worktree", "list", "--porcelain", cwd=played.project)
    assert trees.count("worktree ") == 2  # the checkout and .fleet/


@pytest.mark.slow
def test_the_proof_finds_what_is_not_as_promised(played: Played, tmp_path: Path) -> None:
    """A board and a target that differ from the promise are found, each with a sentence."""
    copy = tmp_path / "copy"
    git("clone", "-q", "--no-hardlinks", str(played.project), str(copy), cwd=tmp_path)
    git("checkout", "-q", "-b", "fleet", "origin/fleet", cwd=copy)
    git("rm", "-q", "-r", "log/count-words", cwd=copy)
    git("commit", "-q", "-m", "forget", cwd=copy)
    git("checkout", "-q", "main", cwd=copy)
    git("rm", "-q", "LICENSE", cwd=copy)
    git("commit", "-q", "-m", "forget", cwd=copy)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gitfleet.demo.verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "count-words: it is ready, not done" in done.stdout
    assert "LICENSE on main does not contain the line" in done.stdout


@pytest.mark.parametrize("number", sample([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
@pytest.mark.slow
def test_ended_early_it_takes_all_away(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or TERM in the middle: the runner has ended and the directory is gone."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(DEMO, env=env, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "attempt 1 starts" in line:
                break
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(120) == (130 if number is signal.SIGINT else 128 + number)
    assert list(tmp_path.iterdir()) == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in running.stdout


def test_it_wants_a_directory_with_nothing_in_it(tmp_path: Path) -> None:
    """What lies in a directory already is somebody's, and stays."""
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run(
        [*DEMO, "--dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"{tmp_path} is not empty" in done.stderr
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            '2026-11-20T15:00:00Z ended task=a role=work outcome=failed reason="a \\"b\\""',
            ("a", 'FAILED: a "b"; retried after a pause'),
        ),
        ("2026-11-20T15:00:00Z landed task=a target=main merge=1f", ("a", "LANDED on main as 1f")),
        ("2026-11-20T15:00:00Z new-thing task=a b=c", ("a", "new-thing task=a b=c")),
        ("2026-11-20T15:00:00Z landed task=a", ("a", "landed task=a")),
        ("no line of a log", ("", "no line of a log")),
        ("2026-11-20T15:00:00Z target-red target=main", None),
    ],
)
def test_a_log_line_is_told_in_words_or_as_it_stands(
    line: str, told: tuple[str, str] | None
) -> None:
    """What has words is told in them; nothing that is new is lost."""
    assert captions.caption(line, "/usr/bin/python3") == told


def test_the_reviewer_finds_a_print_where_it_stands(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's name is data: the repair names the file, whatever its name holds."""
    name = "it's $(touch hacked).py"
    (repo_path / name).write_text("x = 1\n")
    git("add", "-A", cwd=repo_path)
    git("commit", "-q", "-m", "base", cwd=repo_path)
    base = git("rev-parse", "HEAD", cwd=repo_path)
    (repo_path / name).write_text('x = 1\ny = 2\n    print("left")\nz = 3\n')
    git("commit", "-q", "-a", "-m", "work", cwd=repo_path)
    monkeypatch.chdir(repo_path)
    monkeypatch.setenv("GITFLEET_BASE", base)
    found = reviewer.findings()
    assert found == [(name, 3)]
    fix = reviewer.verdict(found)["fix"]
    assert isinstance(fix, dict)
    script = fix["body"].partition("```sh\n")[2].partition("```")[0]
    subprocess.run(["sh", "-e", "-c", script], cwd=repo_path, check=True)
    assert (repo_path / name).read_text() == "x = 1\ny = 2\nz = 3\n"
    assert not (repo_path / "hacked").exists()
