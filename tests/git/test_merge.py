"""Merging on paper and in a worktree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.errors import GitError
from gitfleet.git.merge import changed_paths, conflict_into, merge_trees
from gitfleet.git.repo import find
from tests.conftest import git


@pytest.fixture
def forked(repo_path: Path) -> Path:
    """main and topic both change `ü f`; only topic adds `n`, only main adds `m`."""
    for branch, mine in (("topic", "n"), ("main", "m")):
        git("checkout", "-q", "-B", branch, "main", cwd=repo_path)
        (repo_path / "ü f").write_text(f"{branch}\n")
        (repo_path / mine).write_text(f"{branch}\n")
        git("add", "-A", cwd=repo_path)
        git("commit", "-q", "-m", "forked", cwd=repo_path)
        if branch == "topic":
            git("branch", "-f", "clean", "topic", cwd=repo_path)
    return repo_path


def test_a_clean_merge_is_a_tree(repo_path: Path) -> None:
    """Both sides' files are in it, and nothing was checked out."""
    for branch in ("a", "b"):
        git("checkout", "-q", "-b", branch, "main", cwd=repo_path)
        (repo_path / branch).touch()
        git("add", "-A", cwd=repo_path)
        git("commit", "-q", "-m", branch, cwd=repo_path)
    merged = merge_trees(find(repo_path), "a", "b")
    assert merged.tree is not None and merged.conflicts == ()
    names = git("ls-tree", "--name-only", merged.tree, cwd=repo_path)
    assert names.split() == ["README", "a", "b"]
    assert git("status", "--porcelain", cwd=repo_path) == ""


def test_conflicts_are_named(forked: Path) -> None:
    """No tree, the conflicting paths, and what git says about them."""
    merged = merge_trees(find(forked), "main", "topic")
    assert merged.tree is None
    assert merged.conflicts == ("ü f",)
    assert "CONFLICT (add/add): Merge conflict in ü f" in merged.messages


def test_what_is_no_commit_is_an_error(repo_path: Path) -> None:
    """And so are histories that never met."""
    with pytest.raises(GitError, match="not something we can merge"):
        merge_trees(find(repo_path), "main", "nope")
    orphan = git("commit-tree", "-m", "x", "HEAD^{tree}", cwd=repo_path)
    with pytest.raises(GitError, match="unrelated"):
        merge_trees(find(repo_path), "main", orphan)


def test_a_rename_counts_on_both_sides(repo_path: Path) -> None:
    """Else moving a file out of its scope would go unnoticed."""
    git("mv", "README", "LIES MICH", cwd=repo_path)
    git("commit", "-q", "-m", "mv", cwd=repo_path)
    assert changed_paths(find(repo_path), "HEAD~1", "HEAD") == ("LIES MICH", "README")


def test_conflicts_are_left_to_be_solved(forked: Path) -> None:
    """Markers in the file, nothing committed, the merge unfinished; a commit then ends it."""
    head = git("rev-parse", "HEAD", cwd=forked)
    assert conflict_into(forked, "topic") == ("ü f",)
    assert git("rev-parse", "HEAD", cwd=forked) == head
    text = (forked / "ü f").read_text()
    assert "<<<<<<<" in text and "main" in text and "topic" in text
    assert (forked / "n").exists()
    git("add", "-A", cwd=forked)
    git("commit", "-q", "-m", "solved", cwd=forked)
    assert len(git("log", "-1", "--format=%P", cwd=forked).split()) == 2


def test_no_conflict_leaves_no_commit_either(forked: Path) -> None:
    """Even a clean merge is left for the one who works there."""
    head = git("rev-parse", "HEAD", cwd=forked)
    other = git("commit-tree", "-p", "HEAD~1", "-m", "x", "HEAD~1^{tree}", cwd=forked)
    assert conflict_into(forked, other) == ()
    assert git("rev-parse", "HEAD", cwd=forked) == head


def test_a_merge_that_cannot_begin_is_an_error(forked: Path) -> None:
    """Somebody's file in the way is no conflict."""
    (forked / "n").write_text("mine\n")
    with pytest.raises(GitError) as caught:
        conflict_into(forked, "topic")
    assert "would be overwritten by merge" in caught.value.stderr
    assert (forked / "n").read_text() == "mine\n"
