"""The first screen of README.md, as somebody types it who has a coding agent and a project."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.acting import gitfleet
from tests.conftest import git

README = Path(__file__).parents[2] / "README.md"
# What aider prints and does, without a model: it edits a file and tells its tokens.
_AGENT = """\
#!/bin/sh
[ "$1" = --version ] && echo "aider 0.86.2" && exit
echo 'def log_in(address): return "+" in address' > login.py
echo "The address may hold a + now."
echo "Tokens: 712 sent, 20 received."
"""


def _typed(name: str) -> list[list[str]]:
    """The commands of gitfleet in a block of README, each in words."""
    found = re.search(rf"^<!-- {name} -->\n```sh\n(.+?)^```$", README.read_text(), re.M | re.S)
    assert found
    lines = [shlex.split(line, comments=True) for line in found[1].splitlines()]
    assert all(words[0] == "gitfleet" for words in lines)
    return [words[1:] for words in lines]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one coding agent, which has a key."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "aider"
    program.write_text(_AGENT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")


def test_from_init_to_the_morning(agent: None, repo_path: Path) -> None:
    """Three commands, a night, and everything there is to look at: no file is edited."""
    (repo_path / "test_it.py").write_text("def test_it(): import login\n")
    git("add", "-A", cwd=repo_path)
    git("commit", "-qm", "a test that waits for its module", cwd=repo_path)
    init, add, run = _typed("story")
    said = gitfleet(*init, "--check", f"{sys.executable} -c 'import login'", cwd=repo_path).stdout
    assert "Coder: aider, logged in ($OPENAI_API_KEY)." in said
    assert gitfleet(*add, cwd=repo_path).stdout == "fix-login\n"
    assert run == ["run"]
    gitfleet("run", "--until-idle", cwd=repo_path)
    assert "login.py" in git("ls-tree", "--name-only", "main", cwd=repo_path)
    told = {words[0]: gitfleet(*words, cwd=repo_path).stdout for words in _typed("morning")}
    assert set(told) == {"list", "questions", "show", "log", "runners"}
    assert re.search(r"^done +fix-login ", told["list"], re.M)
    assert "aider" in told["show"]
    assert "may hold a +" in told["log"]


def test_it_says_what_is_needed_and_never_more(agent: None) -> None:
    """The first screen names what must be there, and promises nothing that is not so."""
    text = README.read_text()
    first = text.partition("```mermaid")[0]
    assert "needs only git and Python" in first
    assert "pipx install ." in first
    assert "nothing but git" not in text
    assert text.index("gitfleet init") < text.index("<!-- demo -->")
