"""Finding a repository, and what we cannot work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.git import repo as repo_module
from gitfleet.git.repo import (
    config,
    default_target,
    find,
    git_version,
    head_branch,
    identity,
    set_config,
    unset_config,
)
from tests.conftest import git


def test_from_a_subdirectory(repo_path: Path) -> None:
    """Anywhere in the worktree is as good as its top."""
    (repo_path / "a b" / "c").mkdir(parents=True)
    found = find(repo_path / "a b" / "c")
    assert found.common == repo_path / ".git"
    assert found.top == repo_path == found.main_top()
    assert not found.bare


def test_from_a_linked_worktree(repo_path: Path, tmp_path: Path) -> None:
    """A linked worktree shares the common directory and knows the main worktree."""
    git("worktree", "add", "-q", str(tmp_path / "w"), "-b", "w", cwd=repo_path)
    found = find(tmp_path / "w")
    assert (found.common, found.top) == (repo_path / ".git", tmp_path / "w")
    assert found.main_top() == repo_path
    assert head_branch(found) == "w"


def test_bare(bare_path: Path) -> None:
    """A bare repository has no top."""
    found = find(bare_path)
    assert (found.common, found.top, found.bare) == (bare_path, None, True)
    assert found.main_top() is None


def test_a_worktree_of_a_bare_repository(repo_path: Path, tmp_path: Path) -> None:
    """There is a top here, and yet no main worktree."""
    git("clone", "-q", "--bare", str(repo_path), str(tmp_path / "b.git"), cwd=tmp_path)
    git("worktree", "add", "-q", str(tmp_path / "w"), "main", cwd=tmp_path / "b.git")
    found = find(tmp_path / "w")
    assert (found.top, found.bare, found.main_top()) == (tmp_path / "w", True, None)


def test_a_git_directory_elsewhere(tmp_path: Path) -> None:
    """With --separate-git-dir the main worktree is where one stands."""
    args = ("init", "-q", "--separate-git-dir", str(tmp_path / "g"), str(tmp_path / "w"))
    git(*args, cwd=tmp_path)
    assert find(tmp_path / "w").main_top() == tmp_path / "w"


def test_no_repository(tmp_path: Path) -> None:
    """Outside a repository there is one sentence and one remedy."""
    with pytest.raises(FleetError, match=r"is not in a git repository\n.*git init"):
        find(tmp_path)


def test_sha256_is_refused(tmp_path: Path) -> None:
    """libgit2 cannot read it, so we say so at once."""
    git("init", "-q", "--object-format=sha256", str(tmp_path / "r"), cwd=tmp_path)
    with pytest.raises(FleetError, match="sha256"):
        find(tmp_path / "r")


def test_partial_clones_are_refused(repo_path: Path) -> None:
    """Objects that are missing would fail somewhere in the middle."""
    git("config", "remote.origin.promisor", "true", cwd=repo_path)
    with pytest.raises(FleetError, match="partial clone"):
        find(repo_path)


def test_reftables_are_refused(repo_path: Path) -> None:
    """Whether this git knows them or not, the answer is one sentence."""
    git("config", "core.repositoryFormatVersion", "1", cwd=repo_path)
    git("config", "extensions.refStorage", "reftable", cwd=repo_path)
    with pytest.raises(FleetError, match=r"reftable|refstorage"):
        find(repo_path)


def test_an_old_git_is_refused(repo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """merge-tree --write-tree came with 2.38."""
    monkeypatch.setattr(repo_module, "git_version", lambda: (2, 37, 9))
    with pytest.raises(FleetError, match=r"2\.37\.9\n.*2\.38"):
        find(repo_path)
    assert git_version() >= (2, 38, 0)


def test_dubious_ownership_passes_the_remedy_on(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git knows what to do about it, and so does the person."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(FleetError, match=r"another user[^\n]*\n.*git config .*safe\.directory"):
        find(repo_path)


def test_config_can_be_written_and_read(repo_path: Path) -> None:
    """Values come back as they were, white space included; unset is None."""
    repo = find(repo_path)
    assert config(repo, "gitfleet.branch") is None
    set_config(repo, "gitfleet.branch", " a\nb ")
    assert config(repo, "gitfleet.branch") == " a\nb "
    unset_config(repo, "gitfleet.branch")
    unset_config(repo, "gitfleet.branch")
    assert config(repo, "gitfleet.branch") is None


def test_identity_is_what_git_would_commit_as(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None where git refuses to guess."""
    repo = find(repo_path)
    assert identity(repo) == ("Ada Author", "ada@example.org")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    monkeypatch.delenv("GIT_AUTHOR_EMAIL")
    git("config", "user.useConfigOnly", "true", cwd=repo_path)
    assert identity(repo) is None


def test_the_target_is_origins_head(repo_path: Path, tmp_path: Path) -> None:
    """A clone knows where work lands, whatever it has checked out."""
    git("clone", "-q", str(repo_path), str(tmp_path / "c"), cwd=tmp_path)
    git("switch", "-q", "-c", "topic/x", cwd=tmp_path / "c")
    assert default_target(find(tmp_path / "c")) == "main"


def test_without_origin_the_target_is_the_current_branch(repo_path: Path, tmp_path: Path) -> None:
    """And there is none while HEAD is detached or unborn."""
    assert default_target(find(repo_path)) == "main"
    git("checkout", "-q", "--detach", cwd=repo_path)
    assert default_target(find(repo_path)) is None
    git("init", "-q", str(tmp_path / "new"), cwd=tmp_path)
    assert default_target(find(tmp_path / "new")) is None
