"""`gitfleet` itself: what stands before the verbs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitfleet.cli.main import VERBS
from tests import warm
from tests.cli.acting import GITFLEET, gitfleet
from tests.conftest import init
from tests.lanes import sample


def test_a_misspelt_verb_is_answered_with_those_that_are_like_it(tmp_path: Path) -> None:
    """As a misspelt option is; what is like none, or draws on a terminal, is shown harmless."""
    said = gitfleet("lsit", cwd=tmp_path, code=2).stderr
    assert "No such command 'lsit'. Did you mean list or lint?" in said
    said = gitfleet("zzz\x1b[31m", cwd=tmp_path, code=2).stderr
    assert "No such command" in said and "\x1b" not in said


@pytest.mark.parametrize(("old", "new"), [("uninstall", "deinit"), ("release", "unhold")])
def test_a_renamed_verb_names_its_new_name(tmp_path: Path, old: str, new: str) -> None:
    """Whoever knows the old name, from a script or from memory, finds the new one at once."""
    assert f"renamed: gitfleet {new}" in gitfleet(old, cwd=tmp_path, code=2).stderr


@pytest.mark.parametrize("verb", sample(VERBS, "add", "run", "top"))
def test_each_verb_starts_in_an_interpreter_of_its_own(verb: str, tmp_path: Path) -> None:
    """It imports all that it needs by itself. Other tests start verbs where everything is imported
    already (`tests/warm.py`), and would not see what is missing."""
    command = [*GITFLEET, verb, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: gitfleet {verb} ")


@pytest.mark.parametrize(
    ("args", "status"),
    [(["--version"], 0), (["list"], 1), (["lsit"], 2), (["init", "--frob"], 2), (["init"], 0)],
)
def test_a_verb_says_the_same_however_it_is_started(
    tmp_path: Path, args: list[str], status: int
) -> None:
    """What `tests/warm.py` forks answers as `python -m gitfleet` does, word for word."""
    said = []
    for name in ("cold", "warm"):
        path = init(tmp_path / name / "repo", name="same")
        if name == "warm":
            done = warm.run(*args, cwd=path)
        else:
            command = [*GITFLEET, *args]
            done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
        words = done.stdout + done.stderr
        said.append((done.returncode, words.replace(str(path), "PATH")))
    assert said[0] == said[1] and said[0][0] == status
