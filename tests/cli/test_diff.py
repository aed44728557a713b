"""`gitfleet diff`: what a task changed, as git shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitfleet.model.states import Outcome
from tests.cli.acting import gitfleet, refusal
from tests.cli.looking import Lab, on_terminal, task
from tests.conftest import git


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two tasks nobody has tried."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    return lab


def test_a_task_is_followed_from_nothing_to_its_landing(lab: Lab) -> None:
    """Nothing yet; what is on its branch while it works; what it submitted; what landed, and no
    more than that, wherever the task's files lie."""
    none = gitfleet("diff", "a", cwd=lab.path)
    assert none.stdout == "" and "it has no attempts" in none.stderr
    claim = lab.claim("a")
    none = gitfleet("diff", "a", cwd=lab.path)
    assert none.stdout == "" and "has changed nothing" in none.stderr
    head = lab.work("a", {"a.txt": "from a\n"})
    working = lab.say("diff", "a")
    assert "+from a" in working and working.startswith("diff --git")
    lab.end("a", claim, Outcome.SUBMITTED, head=head)
    assert lab.say("diff", "a") == working

    (lab.path / "other.txt").write_text("other\n")
    git("add", "-A", cwd=lab.path)
    git("commit", "-q", "-m", "other", cwd=lab.path)
    assert lab.say("diff", "a") == working  # from where it began, not from the target of today
    git("reset", "-q", "--hard", "HEAD~1", cwd=lab.path)

    lab.land("a", head)
    lab.archive("a")
    git("branch", "-q", "-D", "gitfleet/task/a", cwd=lab.path)
    assert lab.say("diff", "a") == working
    assert "a.txt | 1 +" in lab.say("diff", "a", "--stat")
    told = json.loads(lab.say("diff", "a", "--json"))
    assert told["id"] == "a" and told["files"] == ["a.txt"]
    assert json.loads(lab.say("diff", "b", "--json"))["files"] == []
    assert json.loads(lab.say("log", "b", "--json")) == []
    assert [one["attempt"] for one in json.loads(lab.say("log", "a", "--json"))][:1] == [1]


def test_what_a_person_merged_by_hand_is_told_apart(lab: Lab) -> None:
    """Then `merge` is just the target's tip, and its last change may be somebody else's."""
    claim = lab.claim("a")
    head = lab.work("a", {"a.txt": "from a\n"})
    lab.end("a", claim, Outcome.SUBMITTED, head=head)
    git("merge", "-q", "--ff-only", "gitfleet/task/a", cwd=lab.path)
    git("commit", "-q", "--allow-empty", "-m", "more", cwd=lab.path)
    tip = git("rev-parse", "main", cwd=lab.path)
    lab.land("a", head, merge=tip)
    done = gitfleet("diff", "a", cwd=lab.path)
    assert "+from a" in done.stdout and "by hand" in done.stderr


def test_git_shows_it_as_the_person_has_it(lab: Lab) -> None:
    """Colours on a terminal, and settings such as diff.external; never a pager that waits."""
    claim = lab.claim("a")
    head = lab.work("a", {"a.txt": "".join(f"{n}\n" for n in range(300))})
    lab.end("a", claim, Outcome.SUBMITTED, head=head)
    env = {"GIT_PAGER": "cat >/dev/null; echo paged", "PAGER": "false"}
    said = on_terminal(lab.path, "diff", "a", env=env)
    assert "\x1b[32m+" in said and "paged" not in said
    git("config", "diff.noprefix", "true", cwd=lab.path)
    assert "diff --git a.txt a.txt" in lab.say("diff", "a")


def test_the_repository_is_the_one_that_is_asked_about(lab: Lab) -> None:
    """A hook that starts us has GIT_DIR set to its own repository."""
    claim = lab.claim("a")
    lab.work("a", {"a.txt": "from a\n"})
    env = {"GIT_DIR": "/nonexistent", "GIT_INDEX_FILE": "/nonexistent/index"}
    assert "+from a" in gitfleet("diff", "a", cwd=lab.path, env=env).stdout
    assert claim.base == git("rev-parse", "main", cwd=lab.path)


def test_a_commit_that_is_not_here_is_one_sentence(lab: Lab) -> None:
    """The board may come from another clone, the work not yet."""
    claim = lab.claim("a")
    lab.end("a", claim, Outcome.SUBMITTED, head="ab" * 20)
    assert "not in this clone" in refusal("diff", "a", cwd=lab.path)
    assert "did you mean" in refusal("diff", "aa", cwd=lab.path)
