"""`gitfleet ask`, `note` and `progress`: an attempt speaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.acting import gitfleet, refusal, wait_for


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of an attempt."""
    for name in ("outbox", "inbox"):
        (tmp_path / name / ".asked").mkdir(parents=True)
        monkeypatch.setenv(f"GITFLEET_{name.upper()}", str(tmp_path / name))
    (tmp_path / "outbox" / ".asked").rmdir()
    return tmp_path / "outbox"


class Asking:
    """`gitfleet ask` under way, and the runner's part."""

    def __init__(self, box: Path, *args: str) -> None:
        self.box, self.inbox = box, box.parent / "inbox"
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "gitfleet", "ask", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.letter = wait_for(lambda: next(box.glob("question-*.md"), None), "the question")
        self.text = self.letter.read_text()

    def receive(self, what: str) -> None:
        key = self.letter.name.removeprefix("question-").removesuffix(".md")
        (self.inbox / ".asked" / f".{key}").write_text(what)
        (self.inbox / ".asked" / f".{key}").replace(self.inbox / ".asked" / f"{key}.json")

    def end(self) -> tuple[int, str, str]:
        out, err = self._popen.communicate(timeout=60)
        return self._popen.returncode, out, err


def test_an_answer_in_time_is_what_it_prints(box: Path) -> None:
    """And nothing else, so that a script can use it."""
    (box.parent / "inbox" / "one-1.md").write_text("## Question\nQ\n\n## Answer\nJWT\n")
    asking = Asking(box, "Which?", "--option", "JWT", "--option", "no", "--wait", "10m")
    assert asking.text == '---\noptions: ["JWT", "no"]\n---\n## Question\nWhich?\n'
    asking.receive('{"question": "one-1"}')
    assert asking.end() == (0, "JWT\n", "")
    assert not list(box.glob(".parked-*"))


@pytest.mark.parametrize(("args", "status"), [((), 0), (("--wait", "0s"), 5)])
def test_without_an_answer_it_says_what_is_to_be_done(
    box: Path, args: tuple[str, ...], status: int
) -> None:
    """Recorded under which name, note where you are, stop; who waited can tell by the status."""
    asking = Asking(box, "Which?", *args)
    asking.receive('{"question": "one-1"}')
    code, out, err = asking.end()
    assert (code, out) == (status, "")
    for word in ("recorded as one-1", "gitfleet note plan", "stop"):
        assert word in err
    assert len(list(box.glob(".parked-*"))) == 1


def test_a_refused_question_is_an_error(box: Path) -> None:
    """In the runner's words."""
    asking = Asking(box, "Which?", "--wait", "10m")
    asking.receive('{"refused": "the question is empty"}')
    code, _, err = asking.end()
    assert code == 1 and "the question is empty" in err


def test_what_is_said_on_standard_input(box: Path, tmp_path: Path) -> None:
    """Long notes are no arguments."""
    gitfleet("note", "plan", cwd=tmp_path, input="A\nB\n")
    gitfleet("note", "knowledge", "C", cwd=tmp_path)
    gitfleet("progress", "half way", cwd=tmp_path)
    said = {path.name: path.read_text() for path in box.iterdir()}
    assert said == {
        "note-plan.md": "A\nB\n",
        "note-knowledge.md": "C\n",
        "progress.txt": "half way\n",
    }


@pytest.mark.parametrize(
    "args", [("ask", "Which?"), ("note", "plan", "x"), ("progress", "x"), ("mcp",)]
)
def test_outside_of_an_attempt_nobody_listens(args: tuple[str, ...], tmp_path: Path) -> None:
    """A person is told what to use instead."""
    assert "inside an attempt" in refusal(*args, cwd=tmp_path)


def test_a_wait_that_is_none_is_refused_before_anything_is_asked(box: Path, tmp_path: Path) -> None:
    """Not asked and then complained about."""
    assert "not a duration" in refusal("ask", "Which?", "--wait", "soon", cwd=tmp_path)
    assert list(box.iterdir()) == []


@pytest.mark.parametrize("args", [("note", "plan", "x"), ("progress", "x"), ("ask", "")])
def test_an_attempts_word_costs_no_time(box: Path, args: tuple[str, ...]) -> None:
    """Nothing is imported that only a repository, a board or a broken file needs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitfleet", *args],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert {"gitfleet", "click"} <= imported
    heavy = {"pygit2", "yaml", "msgspec", "watchdog", "jsonschema", "rich", "asyncio", "mcp"}
    assert imported & (heavy | {"pathspec", "subprocess"}) == set()
