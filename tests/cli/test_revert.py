"""`gitfleet revert`: a new task that lands the opposite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.acting import add, board, gitfleet, kinds, refusal, show, work
from tests.conftest import git
from tests.lanes import sample


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a board."""
    return board(tmp_path / "repo")


def tree(project: Path, commit: str = "main") -> str:
    """The tree of a commit."""
    return git("rev-parse", f"{commit}^{{tree}}", cwd=project)


def test_what_landed_is_undone_through_the_same_pipeline(project: Path) -> None:
    """The tree is as it was before; reverting the revert brings the work back."""
    before = tree(project)
    add(project, "one", "echo 1 > one.txt", "--priority", "1", "--label", "demo")
    work(project)
    with_it = tree(project)
    merge = git("rev-parse", "main", cwd=project)
    done = gitfleet("revert", "one", cwd=project)
    assert done.stdout == "one-revert\n"
    text = show(project, "tasks/one-revert.md")
    assert text.startswith("---\ntitle: 'Revert: Do one'\n")
    assert "priority: 1\n" in text
    assert "depends_on" not in text
    assert f"\n```sh\ngit revert --no-edit -m 1 {merge}\n```" in text
    work(project)
    assert tree(project) == before
    assert kinds(project, "one-revert") == ["work", "validate", "landed"]
    assert gitfleet("revert", "one-revert", cwd=project).stdout == "one-revert-revert\n"
    work(project)
    assert tree(project) == with_it


def test_its_id_is_made_unique(project: Path) -> None:
    """An id that is taken stays whose it is."""
    long = "x" * 64
    add(project, long, "echo 1 > one.txt")
    work(project)
    ids = [gitfleet("revert", long, cwd=project).stdout.strip() for _ in range(2)]
    assert ids == [f"{'x' * 54}-revert", f"{'x' * 54}-revert-2"]


def submitted(project: Path, task: str, script: str) -> str:
    """Have work done that does not land by itself, since the target is dirty; its head."""
    add(project, task, script)
    (project / "README").write_text("somebody's edit\n")
    work(project, code=4)
    git("checkout", "-q", "README", cwd=project)
    return git("rev-parse", f"gitfleet/task/{task}", cwd=project)


TWO_COMMITS = """\
echo 1 >> README
git commit -qam first
echo 2 >> README
git commit -qam second"""


@pytest.mark.parametrize("how", sample(["merge", "fast-forward", "squash"], "merge"))
@pytest.mark.slow
def test_what_a_person_merged_by_hand_is_undone_commit_by_commit(project: Path, how: str) -> None:
    """However they brought it into the target."""
    before = tree(project)
    head = submitted(project, "one", TWO_COMMITS)
    if how == "squash":
        git("merge", "-q", "--squash", head, cwd=project)
        git("commit", "-qm", "squashed", cwd=project)
    else:
        git("merge", "-q", "--no-ff" if how == "merge" else "--ff-only", head, cwd=project)
    work(project)
    assert kinds(project, "one")[-1] == "landed"
    gitfleet("revert", "one", cwd=project)
    work(project)
    assert tree(project) == before


@pytest.mark.slow
def test_a_task_that_another_repaired_is_undone_with_its_repair(project: Path) -> None:
    """The rejected work landed with the task that fixed it; that landing is what is undone."""
    before = tree(project)
    fleet = project / ".fleet"
    (fleet / "fleet.yaml").write_text("format: 2\ntarget: main\nchecks: ['test ! -e bad']\n")
    git("commit", "--no-verify", "-qam", "a check", cwd=fleet)
    add(project, "one", "touch bad good")
    work(project, code=4)  # `shell` cannot make up a repair; a person says which
    with (fleet / "tasks" / "one-fix-1.md").open("a") as fixer:
        fixer.write("\n```sh\nrm bad\n```\n")
    git("commit", "--no-verify", "-qam", "how to repair it", cwd=fleet)
    gitfleet("retry", "one-fix-1", cwd=project)
    work(project)
    assert git("ls-tree", "--name-only", "main", cwd=project).split() == ["README", "good"]
    gitfleet("revert", "one", cwd=project)
    work(project)
    assert tree(project) == before


def test_where_nothing_landed_nothing_is_undone(project: Path) -> None:
    """One sentence, and no task."""
    add(project, "one", "true")
    assert "one has not landed" in refusal("revert", "one", cwd=project)
    gitfleet("close", "one", cwd=project)
    work(project)
    assert "one has not landed" in refusal("revert", "one", cwd=project)
    assert "there is no task 'two'" in refusal("revert", "two", cwd=project)


def test_a_landing_that_was_rewritten_away_is_told(project: Path) -> None:
    """The target does not hold it any more, so that there is nothing to undo."""
    add(project, "one", "touch one")
    work(project)
    git("reset", "-q", "--hard", "HEAD^", cwd=project)
    assert "is no longer in main" in refusal("revert", "one", cwd=project)
