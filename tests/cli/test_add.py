"""`gitfleet add`: a task on the board, or in an attempt's outbox."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitfleet.agent import outbox
from gitfleet.files import codec
from tests.cli.acting import GITFLEET, board, gitfleet, refusal, show
from tests.conftest import git


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a board."""
    return board(tmp_path / "repo")


def test_a_task_is_filed_with_all_that_was_said(project: Path) -> None:
    """One commit by the person who asked; the window shows it."""
    done = gitfleet(
        *("add", "Fix: the login", "--id", "fix-login", "--depends-on", "base", "--priority", "1"),
        *("--label", "web", "--coder", "shell", "--model", "opus", "--check", "true && true"),
        *("--paths", "src/**", "--role", "work", "--hold"),
        cwd=project,
        input="Do it.\n\nWell.",
    )
    assert done.stdout == "fix-login\n"
    text = show(project, "tasks/fix-login.md")
    task, problems = codec.read_task(text.encode(), "tasks/fix-login.md")
    assert problems == ()
    assert task is not None
    assert (task.title, task.depends_on, task.priority) == ("Fix: the login", ("base",), 1)
    assert (task.labels, task.coder, task.model) == (("web",), "shell", "opus")
    assert (task.checks, task.paths, task.hold) == (("true && true",), ("src/**",), True)
    assert task.body == "Do it.\n\nWell."  # `git show` took the last line end, not we
    log = git("log", "-1", "--format=%an|%cn|%s", "fleet", cwd=project)
    assert log == "Ada Author|Ada Author|Add fix-login: Fix: the login"
    assert (project / ".fleet" / "tasks" / "fix-login.md").read_text().endswith("Well.\n")
    assert git("status", "--porcelain", cwd=project / ".fleet") == ""


def test_the_id_is_made_from_the_title(project: Path) -> None:
    """And a random suffix, so that two of one title are two tasks."""
    ids = {gitfleet("add", "Größe ändern!", cwd=project).stdout.strip() for _ in range(2)}
    assert len(ids) == 2
    assert all(name.startswith("grosse-andern-") for name in ids)


def test_what_cannot_be_done_as_it_stands_is_filed_and_told(project: Path) -> None:
    """A coder that nobody knows and a need that is nowhere are warned of; the id stands alone."""
    args = ("--id", "one", "--coder", "shel", "--depends-on", "nowhere")
    done = gitfleet("add", "One", *args, cwd=project)
    assert done.stdout == "one\n"
    assert "warning: no coder is called shel" in done.stderr
    assert "warning: it depends on nowhere, which is not on the board" in done.stderr
    body = "```sh\ntrue\n```\n"
    done = gitfleet("add", "Two", "--id", "two", "--coder", "shell", cwd=project, input=body)
    assert (done.stdout, done.stderr) == ("two\n", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("x", "--id", "Not An Id"), "is not a valid id"),
        (("a\nb",), "title"),
        (("",), "title"),
        (("x", "--coder", "no coder"), "coder"),
        (("x", "--id", "con"), "is not a valid id"),
    ],
)
def test_what_would_be_invalid_is_not_filed(
    project: Path, args: tuple[str, ...], words: str
) -> None:
    """One sentence, and the board as it was."""
    tip = git("rev-parse", "fleet", cwd=project)
    assert words in refusal("add", *args, cwd=project)
    assert git("rev-parse", "fleet", cwd=project) == tip


def test_an_id_that_is_taken_stays_whose_it_is(project: Path) -> None:
    """The second one is told."""
    gitfleet("add", "One", "--id", "one", cwd=project)
    assert "the id one is taken" in refusal("add", "Two", "--id", "one", cwd=project)


@pytest.mark.parametrize("data", [b"caf\xe9", b"x" * 300_000])
def test_a_body_that_is_no_text_or_too_much_is_refused(project: Path, data: bytes) -> None:
    """In a sentence, not with a traceback."""
    done = subprocess.run(
        [*GITFLEET, "add", "x"], cwd=project, input=data, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"gitfleet: standard input: ")


def test_inside_an_attempt_it_goes_to_the_outbox(project: Path, tmp_path: Path) -> None:
    """Whole or not at all; the board is not touched."""
    box = tmp_path / "outbox"
    box.mkdir()
    env = {"GITFLEET_OUTBOX": str(box), "GITFLEET_ROLE": "work"}
    tip = git("rev-parse", "fleet", cwd=project)
    gitfleet("add", "Found it", "--id", "found", cwd=project, input="body", env=env)
    named = gitfleet("add", "Found more", cwd=project, env=env).stdout.strip()
    letters = [x for x in outbox.tasks(box, "a-task") if isinstance(x, outbox.FiledTask)]
    assert {letter.addition.id for letter in letters} == {"found", named}
    assert sorted(path.name for path in box.iterdir()) == sorted(
        ["task-found.md", f"task-{named}.md"]
    )
    assert git("rev-parse", "fleet", cwd=project) == tip
    assert "is taken" in refusal("add", "x", "--id", "found", cwd=project, env=env)
    gone = {"GITFLEET_OUTBOX": str(tmp_path / "gone")}
    assert "cannot write to" in refusal("add", "x", cwd=project, env=gone)


def test_without_a_board_it_says_how_to_make_one(repo_path: Path) -> None:
    """The remedy is the next command."""
    assert "gitfleet init" in refusal("add", "x", cwd=repo_path)
