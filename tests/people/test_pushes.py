"""A push from another clone into one whose window has the board checked out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.people.kit import BOB, SampleProject, git, script, task, tell


@pytest.fixture
def other(project: SampleProject, tmp_path: Path) -> Path:
    """Bob's clone, on the board's branch."""
    return project.clone_to(tmp_path / "bobs")


def commit(clone: Path, name: str, content: str) -> None:
    (clone / name).write_text(content)
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", f"Write {name}", cwd=clone, env=BOB)


def test_a_push_moves_the_window_along(project: SampleProject, other: Path) -> None:
    """git refuses it by default; here branch, index and files go together."""
    commit(other, "tasks/bob.md", task("Of Bob"))
    git("push", "-q", "origin", "fleet", cwd=other)
    assert (project.window / "tasks/bob.md").read_text() == task("Of Bob")
    project.clean()


def test_edits_left_open_stay(project: SampleProject, other: Path) -> None:
    """git's own updateInstead refuses as soon as anything is edited."""
    project.put({"tasks/a.md": task("A")})
    git("pull", "-q", "--rebase", cwd=other)
    project.write({"tasks/a.md": task("A, half"), "tasks/new.md": "half", "scratch": "x"})
    project.git("add", "tasks/new.md")
    commit(other, "tasks/bob.md", task("Of Bob"))
    git("push", "-q", "origin", "fleet", cwd=other)
    assert (project.window / "tasks/bob.md").exists()
    assert (project.window / "tasks/a.md").read_text() == task("A, half")
    assert project.git("status", "--porcelain").split() == (
        ["M", "tasks/a.md", "A", "tasks/new.md", "??", "scratch"]
    )


def test_a_push_over_an_edit_is_refused_and_told(project: SampleProject, other: Path) -> None:
    """Who pushes reads what is in the way and where the inbox branches are; nothing has changed."""
    project.put({"tasks/a.md": task("A")})
    git("pull", "-q", "--rebase", cwd=other)
    project.write({"tasks/a.md": task("A, half")})
    before = project.tip()
    commit(other, "tasks/a.md", task("A of Bob"))
    said = tell("git", "push", "-q", "origin", "fleet", cwd=other)
    assert said.status != 0 and "tasks/a.md; commit or stash them" in said.err
    assert "gitfleet/in/<name>" in said.err
    assert project.tip() == before
    assert (project.window / "tasks/a.md").read_text() == task("A, half")
    git("push", "-q", "origin", "HEAD:gitfleet/in/a-of-bob", cwd=other)


@pytest.mark.parametrize("setting", ["", "refuse", "true"])
def test_other_branches_are_refused_as_ever(
    project: SampleProject, other: Path, setting: str
) -> None:
    """main is checked out: git refuses a push to it, and does so still. A branch that is checked
    out nowhere may be pushed."""
    if setting:
        project.gitfleet("hooks", "remove")
        git("config", "receive.denyCurrentBranch", setting, cwd=project.path)
        script(project.path / ".git/hooks/push-to-checkout", "exec git read-tree -u -m HEAD $1")
        project.gitfleet("hooks", "install")
    git("switch", "-q", "main", cwd=other)
    commit(other, "more", "x")
    said = tell("git", "push", "-q", "origin", "main", cwd=other)
    assert said.status != 0 and "refusing to update the checked out branch main" in said.err
    git("push", "-q", "origin", "main:elsewhere", cwd=other)
    assert git("status", "--porcelain", cwd=project.path) == ""
    assert not (project.path / "more").exists()


def test_a_users_own_hook_goes_on(project: SampleProject, other: Path) -> None:
    """Who had updateInstead with a hook keeps both for every branch but the board's."""
    project.gitfleet("hooks", "remove")
    git("config", "receive.denyCurrentBranch", "updateInstead", cwd=project.path)
    hook = "echo theirs $# >&2; exec git read-tree -u -m HEAD $1"
    script(project.path / ".git/hooks/push-to-checkout", hook)
    for _ in range(2):
        project.gitfleet("hooks", "install")
    git("switch", "-q", "main", cwd=other)
    commit(other, "more", "x")
    said = tell("git", "push", "-q", "origin", "main", cwd=other)
    assert said.status == 0 and "theirs 1" in said.err
    assert (project.path / "more").exists()
    git("switch", "-q", "fleet", cwd=other)
    commit(other, "tasks/bob.md", task())
    said = tell("git", "push", "-q", "origin", "fleet", cwd=other)
    assert said.status == 0 and "theirs" not in said.err
    project.clean()


def test_updateinstead_without_a_hook_goes_on(project: SampleProject, other: Path) -> None:
    """Then git itself updates a clean checkout and refuses one with edits; with our hook there it
    asks us, and we do the same."""
    project.gitfleet("hooks", "remove")
    git("config", "receive.denyCurrentBranch", "updateInstead", cwd=project.path)
    project.gitfleet("hooks", "install")
    git("switch", "-q", "main", cwd=other)
    commit(other, "more", "x")
    git("push", "-q", "origin", "main", cwd=other)
    assert (project.path / "more").read_text() == "x"
    (project.path / "README").write_text("edited\n")
    commit(other, "again", "y")
    said = tell("git", "push", "-q", "origin", "main", cwd=other)
    assert said.status != 0 and "has changes" in said.err
    assert not (project.path / "again").exists()


def test_who_lets_pushes_through_is_not_meddled_with(project: SampleProject, other: Path) -> None:
    """receive.denyCurrentBranch=ignore: the setting stays, the window catches up."""
    project.gitfleet("hooks", "remove")
    git("config", "receive.denyCurrentBranch", "ignore", cwd=project.path)
    said = project.gitfleet("hooks", "install")
    assert "is ignore: pushes into this clone behave as that setting says" in said.out
    commit(other, "tasks/bob.md", task())
    git("push", "-q", "origin", "fleet", cwd=other)
    assert project.commit({"tasks/a.md": task()}).status == 1  # it lags: refused, caught up
    project.put({})
    assert {"tasks/a.md", "tasks/bob.md"} <= project.files()


@pytest.mark.slow
def test_with_a_runner_at_work(project: SampleProject, other: Path) -> None:
    """What is pushed is taken up; what the runner wrote meanwhile makes the push fail as pushes
    do, and after a pull it goes."""
    live = project.start()
    for number in range(3):
        commit(other, f"tasks/t{number}.md", task(f"T{number}", f"touch made{number}"))
        while tell("git", "push", "-q", "origin", "fleet", cwd=other).status != 0:
            git("pull", "-q", "--rebase", cwd=other, env=BOB)
        live.wait_for("landed", task=f"t{number}")
    ran = live.stop()
    assert ran.status == 0
    assert {"made0", "made1", "made2"} <= project.files("main")
    assert project.broken() == []
    project.clean()


def test_a_forced_push_does_not_take_the_board_back(project: SampleProject, other: Path) -> None:
    """It would drop what runners wrote meanwhile, and for a moment the window's files would be
    behind the branch while git has yet to move it: a commit right then would undo what came."""
    commit(other, "tasks/bob.md", task())
    project.put({"tasks/a.md": task("A")})
    project.claim("a")
    before = project.tip()
    said = tell("git", "push", "-q", "--force", "origin", "fleet", cwd=other)
    assert said.status != 0 and "the board has moved" in said.err
    assert "git pull --rebase" in said.err.replace("\nremote:", "")
    assert project.tip() == before and (project.window / "claims/a.yaml").exists()
    project.clean()


def test_a_bare_repository_with_a_window(project: SampleProject, tmp_path: Path) -> None:
    """Where most pushes go; a worktree elsewhere shows the board there."""
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(project.path), str(bare), cwd=tmp_path)
    git("remote", "remove", "origin", cwd=bare)
    git("worktree", "add", "-q", str(tmp_path / "board"), "fleet", cwd=bare)
    assert project.gitfleet("hooks", "install", at=bare).status == 0
    clone = tmp_path / "clone"
    git("clone", "-q", "-b", "fleet", str(bare), str(clone), cwd=tmp_path)
    commit(clone, "tasks/bob.md", task())
    git("push", "-q", "origin", "fleet", cwd=clone)
    assert (tmp_path / "board/tasks/bob.md").exists()
    assert git("status", "--porcelain", cwd=tmp_path / "board") == ""
