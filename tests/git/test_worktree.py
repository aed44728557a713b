"""Worktrees, with the accidents that happen to them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitfleet.errors import FleetError, GitError
from gitfleet.git.repo import Repo, find
from gitfleet.git.worktree import (
    Operation,
    add,
    commit_all,
    git_dir,
    head,
    is_dirty,
    listing,
    operation,
    remove,
    reset_to,
)
from tests.conftest import git


@pytest.fixture
def repo(repo_path: Path) -> Repo:
    """The repository at `repo_path`."""
    return find(repo_path)


def _commit(path: Path, name: str, text: str) -> str:
    (path / name).write_text(text)
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", f"{name} {text}", cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


def test_listing(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """Main worktree first; branch, detached, locked and lost ones are told apart."""
    add(repo, tmp_path / "ü w", branch="task/a", base="main")
    add(repo, tmp_path / "d", branch=None, base="main")
    add(repo, tmp_path / "lost", branch="lost", base="main")
    git("worktree", "lock", str(tmp_path / "d"), cwd=repo_path)
    shutil.rmtree(tmp_path / "lost")
    found = {tree.path.name: tree for tree in listing(repo)}
    oid = git("rev-parse", "main", cwd=repo_path)
    assert listing(repo)[0].path == repo_path
    assert found["repo"].branch == "refs/heads/main"
    assert (found["ü w"].branch, found["ü w"].head) == ("refs/heads/task/a", oid)
    assert found["d"].detached and found["d"].locked and found["d"].branch is None
    assert found["lost"].prunable and not found["ü w"].prunable


def test_listing_of_a_bare_repository(bare_path: Path) -> None:
    """It stands in its own list, as bare."""
    (tree,) = listing(find(bare_path))
    assert tree.bare and tree.branch is None


def test_add_makes_the_branch_or_takes_it(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """A new branch starts at the base and tracks nothing; an old one stays where it is."""
    add(repo, tmp_path / "w" / "deep", branch="task/a", base="main")
    mine = _commit(tmp_path / "w" / "deep", "f", "1")
    remove(repo, tmp_path / "w" / "deep")
    assert not (tmp_path / "w" / "deep").exists()
    add(repo, tmp_path / "w2", branch="task/a", base="main")
    assert head(tmp_path / "w2") == ("refs/heads/task/a", mine)
    assert git("config", "--get-regexp", "branch", cwd=repo_path, check=False) == ""


def test_no_hook_runs(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """What an orchestrator does is not what a person's hooks are for."""
    hook = repo_path / ".git" / "hooks" / "post-checkout"
    for name in ("post-checkout", "pre-commit", "commit-msg", "post-commit"):
        hook = hook.with_name(name)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        hook.chmod(0o755)
    add(repo, tmp_path / "w", branch="a", base="main")
    (tmp_path / "w" / "f").touch()
    assert commit_all(tmp_path / "w", "x") is not None
    assert not (tmp_path / "ran").exists()


def test_what_is_in_the_way_is_told(repo: Repo, tmp_path: Path) -> None:
    """A folder of somebody else's is not touched, a worktree not taken twice."""
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "precious").touch()
    with pytest.raises(FleetError, match="is not a worktree"):
        add(repo, tmp_path / "w", branch="a", base="main")
    with pytest.raises(FleetError, match="is not a worktree"):
        remove(repo, tmp_path / "w")
    assert (tmp_path / "w" / "precious").exists()
    add(repo, tmp_path / "v", branch="a", base="main")
    with pytest.raises(FleetError, match="already"):
        add(repo, tmp_path / "v", branch="b", base="main")


def test_a_leftover_is_replaced_and_only_it(repo: Repo, tmp_path: Path) -> None:
    """A worktree that vanished makes room; another one that is merely away stays known."""
    for name in ("w", "away"):
        add(repo, tmp_path / name, branch=name, base="main")
        shutil.rmtree(tmp_path / name)
    add(repo, tmp_path / "w", branch="w", base="main")
    assert (tmp_path / "w" / "README").exists()
    assert {tree.path.name for tree in listing(repo)} == {"repo", "w", "away"}


def test_remove_is_thorough(repo: Repo, tmp_path: Path) -> None:
    """Dirty, locked, write-protected, gone, or gone twice: afterwards it is not there."""
    path = tmp_path / "w"
    add(repo, path, branch="a", base="main")
    (path / "cache" / "mod").mkdir(parents=True)
    (path / "cache" / "mod" / "file").touch()
    (path / "cache" / "mod").chmod(0o555)
    git("worktree", "lock", str(path), cwd=repo.common)
    remove(repo, path)
    remove(repo, path)
    assert not path.exists()
    add(repo, path, branch="a", base="main")
    shutil.rmtree(path)
    remove(repo, path)
    assert len(listing(repo)) == 1


def test_submodules_are_filled(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """As the person's own config allows; else nothing of the worktree stays."""
    allow = ("-c", "protocol.file.allow=always")
    git("clone", "-q", str(repo_path), str(tmp_path / "lib"), cwd=tmp_path)
    git(*allow, "submodule", "add", "-q", str(tmp_path / "lib"), "lib", cwd=repo_path)
    git("commit", "-q", "-m", "sub", cwd=repo_path)
    with pytest.raises(GitError, match="submodule"):
        add(repo, tmp_path / "w", branch="a", base="main")
    assert not (tmp_path / "w").exists() and len(listing(repo)) == 1
    git("config", "--global", "protocol.file.allow", "always", cwd=repo_path)
    add(repo, tmp_path / "w", branch="a", base="main")
    assert (tmp_path / "w" / "lib" / "README").exists()
    sub = find(repo_path / "lib")
    assert listing(sub)[0].path == repo_path / "lib" == sub.main_top()
    remove(repo, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_dirty(repo_path: Path) -> None:
    """Untracked files count, ignored ones do not."""
    assert not is_dirty(repo_path)
    (repo_path / ".git" / "info" / "exclude").write_text("*.log\n")
    (repo_path / "x.log").touch()
    assert not is_dirty(repo_path)
    (repo_path / "new").touch()
    assert is_dirty(repo_path)


def test_commit_all(repo_path: Path) -> None:
    """Everything goes in, by whom the environment says; nothing to commit is None."""
    assert commit_all(repo_path, "x") is None
    (repo_path / "README").unlink()
    (repo_path / "ü b").write_text("x")
    git("config", "commit.gpgSign", "true", cwd=repo_path)
    made = commit_all(repo_path, "# kept\n\nbody", {"GIT_AUTHOR_EMAIL": "agent@example.org"})
    assert made == git("rev-parse", "HEAD", cwd=repo_path)
    assert git("log", "-1", "--format=%ae %s", cwd=repo_path) == "agent@example.org # kept"
    assert not is_dirty(repo_path)


def test_head(repo_path: Path, tmp_path: Path) -> None:
    """Branch and commit; no branch when detached; an unborn one has no commit."""
    oid = git("rev-parse", "HEAD", cwd=repo_path)
    assert head(repo_path) == ("refs/heads/main", oid)
    git("checkout", "-q", "--detach", cwd=repo_path)
    assert head(repo_path) == (None, oid)
    git("init", "-q", str(tmp_path / "new"), cwd=tmp_path)
    with pytest.raises(GitError):
        head(tmp_path / "new")


@pytest.fixture
def forked(repo_path: Path) -> Path:
    """main and topic conflict in `f`; main is checked out."""
    git("branch", "topic", cwd=repo_path)
    _commit(repo_path, "f", "main")
    git("switch", "-q", "topic", cwd=repo_path)
    _commit(repo_path, "f", "topic")
    _commit(repo_path, "g", "topic")
    git("switch", "-q", "main", cwd=repo_path)
    return repo_path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("merge", "topic"), Operation("merge")),
        (("cherry-pick", "topic~1"), Operation("cherry-pick")),
        (("revert", "--no-edit", "main~1"), None),
        (("rebase", "topic"), Operation("rebase", "refs/heads/main")),
        (("rebase", "--apply", "topic"), Operation("rebase", "refs/heads/main")),
        (("bisect", "start", "topic", "topic~2"), Operation("bisect", "refs/heads/main")),
    ],
)
def test_an_unfinished_operation_is_seen_and_reset(
    forked: Path, command: tuple[str, ...], expected: Operation | None
) -> None:
    """Also which branch it holds while HEAD is detached; `reset_to` ends it."""
    if command[0] == "revert":
        _commit(forked, "f", "later")
        expected = Operation("revert")
        command = ("revert", "--no-edit", "main~1")
    git(*command, cwd=forked, check=False)
    assert operation(forked) == expected
    (forked / "junk").mkdir()
    (forked / "junk" / "f").touch()
    reset_to(forked, "topic~2")
    assert operation(forked) is None
    assert not is_dirty(forked) and not (forked / "junk").exists()
    assert git("rev-parse", "HEAD", cwd=forked) == git("rev-parse", "topic~2", cwd=forked)


def test_nothing_under_way(repo_path: Path) -> None:
    """A quiet worktree has no operation."""
    assert operation(repo_path) is None


def test_the_git_directory_is_the_one_that_git_names(
    repo: Repo, repo_path: Path, bare_path: Path, tmp_path: Path
) -> None:
    """In the main worktree, a linked one, one reached by a symbolic link, a folder below, a bare
    repository, with a git directory elsewhere and a relative way to it."""
    linked, apart, moved = tmp_path / "ü linked", tmp_path / "apart", tmp_path / "moved"
    add(repo, linked, branch="task/a", base="main")
    (repo_path / "below").mkdir()
    (tmp_path / "link").symlink_to(linked)
    git("init", "-q", f"--separate-git-dir={tmp_path / 'elsewhere'}", str(apart), cwd=tmp_path)
    git("init", "-q", str(moved), cwd=tmp_path)
    (moved / ".git").rename(tmp_path / "aside")
    (moved / ".git").write_text("gitdir: ../aside\n")
    places = [repo_path, repo_path / "below", repo_path / ".git", linked, tmp_path / "link"]
    for place in [*places, bare_path, apart, moved]:
        assert git_dir(place) == Path(git("rev-parse", "--absolute-git-dir", cwd=place)), place


@pytest.mark.parametrize("text", ["", "gitdir: ", "gitdir: nowhere", "gitdir:\0", "../repo/.git"])
def test_a_git_file_that_names_no_repository_is_an_error_of_gits(
    repo_path: Path, tmp_path: Path, text: str
) -> None:
    """An agent may write anything there: git judges what is not plain."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / ".git").write_text(text)
    with pytest.raises(GitError):
        git_dir(tmp_path / "odd")
