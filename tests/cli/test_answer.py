"""`gitfleet questions` and `gitfleet answer`: what a person sees and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.acting import board, gitfleet, refusal, show
from tests.conftest import git

_ONE = """\
---
task: one
asked: '2026-11-20T15:00:00Z'
by: {runner: box, coder: claude, attempt: 2}
options: [JWT, session cookie]
---
## Question
Which of the two?
\x1b[31mSay.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A board on which `one` asks and `two` waits for it."""
    repo_path = board(tmp_path / "repo")
    gitfleet("add", "First", "--id", "one", cwd=repo_path)
    gitfleet("add", "Second", "--id", "two", "--depends-on", "one", cwd=repo_path)
    window = repo_path / ".fleet"
    (window / "questions" / "one-1.md").write_text(_ONE)
    git("add", "-A", cwd=window)
    git("commit", "--no-verify", "-q", "-m", "A question", cwd=window)
    return repo_path


def test_open_questions_are_shown_with_what_waits_for_them(project: Path) -> None:
    """Text, numbered options, how long, what is behind; nothing that draws on a terminal."""
    said = gitfleet("questions", cwd=project).stdout
    for word in ("one-1  First", "1 behind it: two", "Which of the two?", "2) session cookie"):
        assert word in said
    assert "\x1b" not in said and "waits " in said


def test_for_programs_every_key_is_there(project: Path) -> None:
    """The same as JSON."""
    (row,) = json.loads(gitfleet("questions", "--json", cwd=project).stdout)
    assert row.pop("seconds") > 0
    assert row == {
        "name": "one-1",
        "task": "one",
        "title": "First",
        "text": "Which of the two?\n\x1b[31mSay.",
        "options": ["JWT", "session cookie"],
        "asked": "2026-11-20T15:00:00Z",
        "by": {"runner": "box", "coder": "claude", "attempt": 2},
        "running": False,
        "behind": ["two"],
        "branch": "gitfleet/ask/one-1",
    }


def test_an_answer_is_a_commit_of_who_gives_it(project: Path) -> None:
    """One commit, by the person; the question's own text stays, and nothing waits any more."""
    said = gitfleet("answer", "one", "--option", "2", cwd=project).stdout
    assert said.startswith("one-1 is answered. one is ready")
    assert show(project, "questions/one-1.md") == f"{_ONE}\n## Answer\nsession cookie"
    assert git("log", "-1", "--format=%an: %s", "fleet", cwd=project) == (
        "Ada Author: Answer one-1: session cookie"
    )
    assert gitfleet("questions", cwd=project).stdout == "No open questions.\n"
    assert json.loads(gitfleet("questions", "--json", cwd=project).stdout) == []


def test_the_second_answer_stands_under_the_first(project: Path) -> None:
    """And who gave it is told so."""
    gitfleet("answer", "one-1", "JWT", cwd=project)
    said = gitfleet("answer", "one-1", "the cookie", cwd=project).stdout
    assert said.startswith("one-1 was already answered; yours is a remark below it.")
    assert show(project, "questions/one-1.md").endswith(
        "## Answer\nJWT\n\n<!-- Ada Author <ada@example.org> answered later:\nthe cookie\n-->"
    )


def test_an_answer_is_written_in_an_editor(project: Path, tmp_path: Path) -> None:
    """What stands below the heading when it is closed; nothing written, nothing answered."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\ncat "$1" > seen\nprintf "JWT\\nsigned\\n" >> "$1"\n')
    editor.chmod(0o755)
    gitfleet("answer", "one", "--edit", cwd=project, env={"VISUAL": str(editor)})
    *_, heading, hint = (project / "seen").read_text().splitlines()
    assert heading == "## Answer" and "save and close" in hint
    assert show(project, "questions/one-1.md") == f"{_ONE}\n## Answer\nJWT\nsigned"
    said = refusal("answer", "one-1", "--edit", cwd=project, env={"VISUAL": "true"})
    assert "nothing was written" in said


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("one",), 2, "give TEXT"),
        (("one", "x", "--option", "1"), 2, "give only one of TEXT, --option, --edit"),
        (("one", "--option", "3"), 1, "1 to 2"),
        (("one", " "), 1, "is empty"),
        (("two", "x"), 1, "two has no open question"),
        (("nosuch", "x"), 1, "gitfleet questions"),
    ],
)
def test_what_is_no_answer_is_refused(
    project: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    """With what to do instead; nothing is written."""
    before = git("rev-parse", "fleet", cwd=project)
    assert words in gitfleet("answer", *args, cwd=project, code=code).stderr
    assert git("rev-parse", "fleet", cwd=project) == before


def test_an_agent_does_not_answer_itself(project: Path) -> None:
    """The verb is for people; an attempt asks."""
    env = {"GITFLEET_OUTBOX": str(project / ".git" / "gitfleet" / "runs" / "x" / "outbox")}
    said = refusal("answer", "one", "x", cwd=project, env=env)
    assert "for people" in said and "gitfleet ask" in said


def test_show_tells_how_to_answer(project: Path) -> None:
    """The next step of a task that asks is the verb, or the file."""
    window = project / ".fleet"
    event = window / "log" / "one" / "001-work-abcd.yaml"
    event.parent.mkdir(parents=True)
    event.write_text(
        "runner: box\nnonce: '00000000000000000000000000000001'\nattempt: 1\noutcome: asked\n"
        "reason: it asks\nstarted: '2026-11-20T15:00:00Z'\nended: '2026-11-20T15:00:00Z'\n"
    )
    git("add", "-A", cwd=window)
    git("commit", "-q", "--no-verify", "-m", "It asked", cwd=window)
    said = gitfleet("show", "one", cwd=project).stdout
    assert "gitfleet answer one-1 TEXT" in said and "questions/one-1.md" in said
