"""`gitfleet init`: in any repository, once or twice, or one sentence why not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.acting import add, files, gitfleet, refusal, show, work
from tests.conftest import git
from tests.conftest import init as new_repository


def refs(path: Path) -> str:
    """Every ref with its id, and the settings: what a refusal must leave as it was."""
    listed = git("for-each-ref", cwd=path)
    return f"{listed}\n{git('config', '--local', '--list', cwd=path)}"


def commit(path: Path, name: str, text: str = "") -> None:
    """A file, committed on whatever branch is checked out."""
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)
    git("add", "-A", cwd=path)
    git("commit", "-qm", name, cwd=path)


def clone(origin: Path, path: Path, *options: str) -> Path:
    """A clone, by the ordinary way."""
    git("clone", "-q", *options, f"file://{origin}", str(path), cwd=origin)
    return path


# -- what it makes


def test_it_makes_a_board_and_shows_it(repo_path: Path) -> None:
    """Branch, window, settings; the project's own `git status` stays clean."""
    done = gitfleet("init", cwd=repo_path).stdout
    assert "The board is the branch fleet, shown in .fleet/." in done
    assert "Work lands on main." in done
    assert "untested" in done
    folders = ("claims", "done", "log", "notes", "prompts", "questions", "tasks")
    kept = {f"{folder}/.gitkeep" for folder in folders}
    assert set(files(repo_path)) == {".gitattributes", "fleet.yaml", *kept}
    assert show(repo_path, ".gitattributes") == "* text eol=lf"
    assert "target: main" in (repo_path / ".fleet" / "fleet.yaml").read_text()
    assert git("status", "--porcelain", cwd=repo_path) == ""
    assert git("config", "merge.directoryRenames", cwd=repo_path) == "false"
    assert git("log", "-1", "--format=%an", "fleet", cwd=repo_path) == "Ada Author"


def test_twice_is_harmless(repo_path: Path) -> None:
    """The second time changes no ref and no setting, and says the same."""
    first = gitfleet("init", cwd=repo_path).stdout
    before = refs(repo_path)
    exclude = (repo_path / ".git" / "info" / "exclude").read_text()
    assert gitfleet("init", cwd=repo_path).stdout == first
    assert refs(repo_path) == before
    assert (repo_path / ".git" / "info" / "exclude").read_text() == exclude
    done = gitfleet("init", "--target", "other", cwd=repo_path).stdout
    assert done.startswith("--target changes nothing: the board already exists.")


def test_two_clones_that_init_separately_have_one_root(tmp_path: Path) -> None:
    """The first commit is the same bytes everywhere, so that their histories are one."""
    roots = set()
    for name in ("a", "b"):
        path = new_repository(tmp_path / name, name=name)
        git("config", "user.name", name, cwd=path)
        gitfleet("init", cwd=path)
        roots.add(git("rev-list", "--max-parents=0", "fleet", cwd=path))
    assert len(roots) == 1


@pytest.mark.parametrize("name", ["größe und mehr", 'it\'s $HOME; "x"'])
def test_a_path_with_odd_characters_is_a_path(tmp_path: Path, name: str) -> None:
    """From `init` to a landed task."""
    path = new_repository(tmp_path / name / "repo sitory", name="odd")
    gitfleet("init", cwd=path)
    add(path, "one", "touch 'öne two'")
    work(path)
    assert (path / "öne two").exists()
    assert git("status", "--porcelain", cwd=path) == ""
    gitfleet("deinit", cwd=path)


def test_from_a_subdirectory_the_window_is_at_the_top(repo_path: Path) -> None:
    """Wherever one stands in the project."""
    commit(repo_path, "src/deep/file")
    gitfleet("init", cwd=repo_path / "src" / "deep")
    assert (repo_path / ".fleet" / "fleet.yaml").exists()
    gitfleet("init", cwd=repo_path / ".fleet" / "tasks")


def test_from_a_linked_worktree_the_window_is_in_the_main_one(
    repo_path: Path, tmp_path: Path
) -> None:
    """Work lands on the branch of where one stands."""
    git("worktree", "add", "-q", "-b", "feature", str(tmp_path / "linked"), cwd=repo_path)
    gitfleet("init", cwd=tmp_path / "linked")
    assert "target: feature" in show(repo_path, "fleet.yaml")
    assert (repo_path / ".fleet" / "fleet.yaml").exists()
    assert not (tmp_path / "linked" / ".fleet").exists()


def test_a_bare_repository_has_a_board_and_no_window(repo_path: Path, tmp_path: Path) -> None:
    """It says how to see the board; work lands there all the same."""
    bare = clone(repo_path, tmp_path / "bare.git", "--bare")
    done = gitfleet("init", cwd=bare).stdout
    assert "git worktree add ../board fleet" in done
    assert "Work lands on main." in done
    add(bare, "one", "touch one")
    work(bare)
    assert git("ls-tree", "--name-only", "main", cwd=bare).split() == ["README", "one"]


def test_no_hook_of_the_person_runs(repo_path: Path) -> None:
    """What an orchestrator checks out is not their doing."""
    hook = repo_path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ntouch "$(git rev-parse --git-common-dir)/ran"\n')
    hook.chmod(0o755)
    gitfleet("init", cwd=repo_path)
    assert not (repo_path / ".git" / "ran").exists()


# -- where work lands


def test_the_current_branch_is_the_target(tmp_path: Path) -> None:
    """`master` is as good a name as any."""
    git("init", "-q", "-b", "master", str(tmp_path / "r"), cwd=tmp_path)
    commit(tmp_path / "r", "README")
    gitfleet("init", cwd=tmp_path / "r")
    assert "target: master" in show(tmp_path / "r", "fleet.yaml")


def test_the_default_branch_of_origin_comes_first(repo_path: Path, tmp_path: Path) -> None:
    """Whatever is checked out here; if it is not here, the command that makes it is shown."""
    mine = clone(repo_path, tmp_path / "mine")
    git("switch", "-qc", "feature", cwd=mine)
    git("branch", "-qD", "main", cwd=mine)
    assert "git branch main origin/main" in refusal("init", cwd=mine)
    git("branch", "-q", "main", "origin/main", cwd=mine)
    gitfleet("init", cwd=mine)
    assert "target: main" in show(mine, "fleet.yaml")


def test_detached_it_asks_for_a_target(repo_path: Path) -> None:
    """And takes it."""
    git("checkout", "-q", "--detach", cwd=repo_path)
    before = refs(repo_path)
    said = refusal("init", cwd=repo_path)
    assert "HEAD is detached" in said
    assert "gitfleet init --target BRANCH" in said
    assert "there is no branch nosuch" in refusal("init", "--target", "nosuch", cwd=repo_path)
    assert "the board's branch" in refusal("init", "--target", "fleet", cwd=repo_path)
    assert refs(repo_path) == before
    gitfleet("init", "--target", "main", cwd=repo_path)


def test_a_branch_that_is_no_plain_word_is_quoted_or_refused(repo_path: Path) -> None:
    """The settings that are written always validate."""
    git("switch", "-qc", "1.0", cwd=repo_path)
    gitfleet("init", cwd=repo_path)
    assert "target: '1.0'" in show(repo_path, "fleet.yaml")
    gitfleet("deinit", cwd=repo_path)
    git("branch", "-qD", "fleet", cwd=repo_path)
    git("switch", "-qc", "größe", cwd=repo_path)
    assert 'target cannot be "größe"' in refusal("init", cwd=repo_path)


# -- why not


def test_there_must_be_a_commit(tmp_path: Path) -> None:
    """Nothing can land on a branch that does not exist yet."""
    git("init", "-q", str(tmp_path / "r"), cwd=tmp_path)
    assert "there is no commit yet" in refusal("init", cwd=tmp_path / "r")
    assert git("for-each-ref", cwd=tmp_path / "r") == ""


def test_there_must_be_a_repository(tmp_path: Path) -> None:
    """It says how to make one."""
    assert "git init" in refusal("init", cwd=tmp_path)


def test_there_must_be_an_identity(repo_path: Path) -> None:
    """The two commands that give one are shown."""
    git("config", "user.useConfigOnly", "true", cwd=repo_path)
    env = {"GIT_AUTHOR_NAME": "", "GIT_AUTHOR_EMAIL": ""}
    said = refusal("init", cwd=repo_path, env=env)
    assert "git does not know who you are" in said
    assert "user.email" in said


@pytest.mark.parametrize("name", ["gitfleet", "gitfleet/task", "fleet/x", "gitfleet/ask"])
def test_a_branch_in_the_way_is_named_with_the_command_that_moves_it(
    repo_path: Path, name: str
) -> None:
    """And that command really helps."""
    git("branch", "-q", name, cwd=repo_path)
    before = refs(repo_path)
    said = refusal("init", cwd=repo_path)
    assert f"the branch {name} is in the way" in said
    assert refs(repo_path) == before
    old = name.replace("/", "-")
    assert f"git branch -m {name} {old}-old" in said
    git("branch", "-m", name, f"{old}-old", cwd=repo_path)
    gitfleet("init", cwd=repo_path)


def test_a_branch_called_fleet_that_is_no_board_is_left_alone(repo_path: Path) -> None:
    """Not even one with a fleet.yaml of another program; another name is offered, and works."""
    git("switch", "-qc", "fleet", cwd=repo_path)
    commit(repo_path, "fleet.yaml", "defaultNamespace: web\nhelm: {}\n")
    git("switch", "-q", "main", cwd=repo_path)
    before = refs(repo_path)
    said = refusal("init", cwd=repo_path)
    assert "the branch fleet exists and is not a board" in said
    assert refs(repo_path) == before
    gitfleet("init", "--branch", "fleet-board", cwd=repo_path)
    assert git("config", "gitfleet.branch", cwd=repo_path) == "fleet-board"
    add(repo_path, "one", "touch one")
    work(repo_path)
    assert git("rev-parse", "fleet", cwd=repo_path) in before


@pytest.mark.parametrize("name", ["a..b", "gitfleet", "gitfleet/task/x", "main"])
def test_a_bad_name_for_the_board_is_refused(repo_path: Path, name: str) -> None:
    """What git refuses, what tasks need, and what is somebody's already."""
    before = refs(repo_path)
    refusal("init", "--branch", name, cwd=repo_path)
    assert refs(repo_path) == before


def test_a_clone_has_one_board(repo_path: Path) -> None:
    """A second name is refused, not half done."""
    gitfleet("init", cwd=repo_path)
    before = refs(repo_path)
    assert "already has a board" in refusal("init", "--branch", "two", cwd=repo_path)
    assert refs(repo_path) == before


@pytest.mark.parametrize("what", ["file", "folder", "link", "broken link"])
def test_something_of_the_persons_at_the_window_is_left_alone(
    repo_path: Path, tmp_path: Path, what: str
) -> None:
    """Said before anything is made."""
    place = repo_path / ".fleet"
    if what == "file":
        place.write_text("mine")
    elif what == "folder":
        place.mkdir()
        (place / "mine").touch()
    else:
        goal = tmp_path / "elsewhere"
        if what == "link":
            goal.mkdir()
        place.symlink_to(goal)
    before = refs(repo_path)
    assert f"{place} is in the way" in refusal("init", cwd=repo_path)
    assert refs(repo_path) == before


def test_sha256_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """Nothing is half made."""
    git("init", "-q", "--object-format=sha256", str(tmp_path / "r"), cwd=tmp_path)
    commit(tmp_path / "r", "README")
    assert "sha256" in refusal("init", cwd=tmp_path / "r")
    assert git("for-each-ref", "--format=%(refname)", cwd=tmp_path / "r").count("refs/") == 1


def test_reftable_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """With the command that converts the repository."""
    made = subprocess.run(
        ["git", "init", "-q", "--ref-format=reftable", str(tmp_path / "r")],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("this git makes no reftable repository")
    commit(tmp_path / "r", "README")
    assert "reftable" in refusal("init", cwd=tmp_path / "r")


def test_an_attempt_does_not_set_up_its_own_repository(repo_path: Path) -> None:
    """That is for people."""
    gitfleet("init", cwd=repo_path)
    box = repo_path / ".git" / "gitfleet" / "runs" / "x" / "outbox"
    said = refusal("init", cwd=repo_path, env={"GITFLEET_OUTBOX": str(box)})
    assert "is for people" in said


# -- the window


def test_a_window_that_was_deleted_is_made_again(repo_path: Path, tmp_path: Path) -> None:
    """And no other worktree that is away just now is forgotten."""
    gitfleet("init", cwd=repo_path)
    away = tmp_path / "away"
    git("worktree", "add", "-q", "--detach", str(away), cwd=repo_path)
    away.rename(tmp_path / "unmounted")
    subprocess.run(["rm", "-rf", str(repo_path / ".fleet")], check=True)
    gitfleet("init", cwd=repo_path)
    assert (repo_path / ".fleet" / "fleet.yaml").exists()
    assert str(away) in git("worktree", "list", cwd=repo_path)


def test_a_window_on_another_branch_is_told(repo_path: Path) -> None:
    """With the command that puts it back."""
    gitfleet("init", cwd=repo_path)
    git("switch", "-qc", "side", cwd=repo_path / ".fleet")
    said = refusal("init", cwd=repo_path)
    assert "is on side, not on fleet" in said
    git("switch", "-q", "fleet", cwd=repo_path / ".fleet")
    gitfleet("init", cwd=repo_path)


def test_a_board_that_is_checked_out_elsewhere_is_shown_there(
    repo_path: Path, tmp_path: Path
) -> None:
    """git has a branch in one worktree only."""
    gitfleet("init", cwd=repo_path)
    git("worktree", "remove", ".fleet", cwd=repo_path)
    git("worktree", "add", "-q", str(tmp_path / "board"), "fleet", cwd=repo_path)
    assert f"shown in {tmp_path / 'board'}/" in gitfleet("init", cwd=repo_path).stdout
    assert not (repo_path / ".fleet").exists()


# -- a remote


@pytest.fixture
def shared(repo_path: Path, tmp_path: Path) -> Path:
    """A bare repository with a board that has one task."""
    gitfleet("init", cwd=repo_path)
    add(repo_path, "one", "touch one")
    return clone(repo_path, tmp_path / "shared.git", "--bare")


def test_the_board_of_origin_is_adopted(shared: Path, tmp_path: Path) -> None:
    """Also where no tracking ref tells of it; its settings and tasks are there."""
    mine = clone(shared, tmp_path / "mine", "--single-branch", "--branch", "main")
    assert "fleet" not in git("branch", "-r", cwd=mine)
    done = gitfleet("init", cwd=mine).stdout
    assert "Adopted the board of origin (fleet)." in done
    assert git("rev-parse", "fleet", cwd=mine) == git("rev-parse", "fleet", cwd=shared)
    assert (mine / ".fleet" / "tasks" / "one.md").exists()
    assert git("config", "branch.fleet.remote", cwd=mine) == "origin"
    assert "Adopted" not in gitfleet("init", cwd=mine).stdout


def test_an_origin_without_a_board_does_not_matter(repo_path: Path, tmp_path: Path) -> None:
    """A new one is made here."""
    mine = clone(repo_path, tmp_path / "mine")
    done = gitfleet("init", cwd=mine)
    assert "Adopted" not in done.stdout
    assert done.stderr == ""


def test_an_origin_that_cannot_be_reached_is_told_once(shared: Path, tmp_path: Path) -> None:
    """It keeps nobody from working; what was seen of its board before is taken."""
    mine = clone(shared, tmp_path / "mine")
    other = clone(shared, tmp_path / "other", "--single-branch", "--branch", "main")
    shared.rename(tmp_path / "away.git")
    done = gitfleet("init", cwd=mine)
    assert done.stderr.count("origin cannot be reached") == 1
    assert "Adopted the board of origin" in done.stdout
    done = gitfleet("init", cwd=other)
    assert done.stderr.count("origin cannot be reached") == 1
    assert "Adopted" not in done.stdout
    assert gitfleet("init", cwd=other).stderr == ""


def test_a_branch_of_origin_that_is_no_board_is_not_adopted(
    repo_path: Path, tmp_path: Path
) -> None:
    """Nor is a board made beside it under the same name."""
    git("branch", "-q", "fleet", cwd=repo_path)
    mine = clone(repo_path, tmp_path / "mine")
    assert "of origin exists and is not a board" in refusal("init", cwd=mine)
    assert "refs/heads/fleet" not in refs(mine)


# -- checks


def test_checks_come_from_the_project_or_from_the_person(repo_path: Path) -> None:
    """What is proposed is told, and may be said instead."""
    commit(repo_path, "tests/test_it.py", "def test_it(): pass\n")
    done = gitfleet("init", cwd=repo_path).stdout
    assert "Every change must pass: python" in done
    assert "-m pytest -q" in done
    assert "untested" not in done
    gitfleet("deinit", cwd=repo_path)
    git("branch", "-qD", "fleet", cwd=repo_path)
    done = gitfleet("init", "--check", "make it", "--check", "true", cwd=repo_path).stdout
    assert "Every change must pass: make it; true" in done
