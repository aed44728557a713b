"""What would be lost is saved first."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.git.repo import Repo, find
from gitfleet.git.salvage import PREFIX, keep, save, unreachable
from tests.conftest import git

REF = f"{PREFIX}a/1"


@pytest.fixture
def repo(repo_path: Path) -> Repo:
    """The repository at `repo_path`."""
    return find(repo_path)


def _state(path: Path) -> tuple[str, bytes, str]:
    index = (path / ".git" / "index").read_bytes()
    return git("rev-parse", "HEAD", cwd=path), index, git("status", "--porcelain", cwd=path)


def _show(path: Path, what: str) -> str:
    return git("show", what, cwd=path)


def test_clean_is_none(repo: Repo, repo_path: Path) -> None:
    """No ref is made for nothing."""
    assert save(repo, repo_path, ref=REF, message="x") is None
    assert git("for-each-ref", PREFIX, cwd=repo_path) == ""


def test_everything_is_saved_and_nothing_touched(repo: Repo, repo_path: Path) -> None:
    """Edited, staged, new, deleted and odd names; ignored files are not; the index stays."""
    (repo_path / "gone").touch()
    (repo_path / "f").write_text("1\n")
    git("add", "-A", cwd=repo_path)
    git("commit", "-q", "-m", "more", cwd=repo_path)
    (repo_path / ".git" / "info" / "exclude").write_text("*.log\n")
    (repo_path / "x.log").touch()
    (repo_path / "README").write_text("edited\n")
    (repo_path / "gone").unlink()
    (repo_path / "d ü").mkdir()
    (repo_path / "d ü" / "neu").write_text("n")
    (repo_path / "f").write_text("staged\n")
    git("add", "f", cwd=repo_path)
    (repo_path / "f").write_text("later\n")
    before = _state(repo_path)
    saved = save(repo, repo_path, ref=REF, message="what a did")
    assert saved is not None and saved.ref == REF
    assert _state(repo_path) == before
    names = git("ls-tree", "-r", "-z", "--name-only", REF, cwd=repo_path).strip("\0").split("\0")
    assert names == ["README", "d ü/neu", "f"]
    assert _show(repo_path, f"{REF}:README") == "edited"
    assert _show(repo_path, f"{REF}:f") == "later"
    assert _show(repo_path, f"{REF}~1:f") == "staged"
    assert git("rev-parse", f"{REF}~2", cwd=repo_path) == before[0]
    assert git("log", "-1", "--format=%s", REF, cwd=repo_path) == "what a did"


def test_what_is_only_staged_is_saved(repo: Repo, repo_path: Path) -> None:
    """Even if the file is as before."""
    (repo_path / "README").write_text("staged\n")
    git("add", "-A", cwd=repo_path)
    (repo_path / "README").write_text("hello\n")
    assert save(repo, repo_path, ref=REF, message="x") is not None
    assert _show(repo_path, f"{REF}~1:README") == "staged"


def test_a_merge_half_way_is_saved(repo: Repo, repo_path: Path) -> None:
    """With its markers: an unmerged index is no obstacle."""
    git("switch", "-q", "-c", "t", cwd=repo_path)
    (repo_path / "README").write_text("t\n")
    git("commit", "-qam", "t", cwd=repo_path)
    git("switch", "-q", "main", cwd=repo_path)
    (repo_path / "README").write_text("m\n")
    git("commit", "-qam", "m", cwd=repo_path)
    git("merge", "-q", "t", cwd=repo_path, check=False)
    before = _state(repo_path)
    assert save(repo, repo_path, ref=REF, message="x") is not None
    assert "<<<<<<<" in _show(repo_path, f"{REF}:README")
    assert _state(repo_path) == before


def test_a_repository_inside_does_not_keep_the_rest_from_being_saved(
    repo: Repo, repo_path: Path
) -> None:
    """git gives up on a folder that is a repository without a commit."""
    git("init", "-q", "inner", cwd=repo_path)
    (repo_path / "work").write_text("w")
    (repo_path / "README").write_text("edited\n")
    saved = save(repo, repo_path, ref=REF, message="x")
    assert saved is not None
    assert _show(repo_path, f"{REF}:work") == "w"
    assert _show(repo_path, f"{REF}:README") == "edited"


def test_a_worktree_and_an_unborn_branch(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """A linked worktree has an index of its own; before the first commit there is no parent."""
    git("worktree", "add", "-q", "--detach", str(tmp_path / "w"), cwd=repo_path)
    (tmp_path / "w" / "f").write_text("x")
    assert save(repo, tmp_path / "w", ref=REF, message="x") is not None
    assert _show(repo_path, f"{REF}:f") == "x"
    git("init", "-q", str(tmp_path / "new"), cwd=tmp_path)
    (tmp_path / "new" / "f").touch()
    saved = save(find(tmp_path / "new"), tmp_path / "new", ref=REF, message="x")
    assert saved is not None and saved.ref == REF


def test_saving_needs_no_identity(
    repo: Repo, repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is not lost because nobody told git their name."""
    for name in ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"):
        monkeypatch.delenv(f"GIT_{name}")
    git("config", "user.useConfigOnly", "true", cwd=repo_path)
    (repo_path / "f").touch()
    assert save(repo, repo_path, ref=REF, message="x") is not None


def test_keep_never_overwrites(repo: Repo, repo_path: Path) -> None:
    """Another commit takes the next free name; the same one is there already."""
    a, b, c = (git("commit-tree", "-m", m, "HEAD^{tree}", cwd=repo_path) for m in "abc")
    assert [keep(repo, oid, REF) for oid in (a, b, a, c, b)] == [
        REF,
        f"{REF}-2",
        REF,
        f"{REF}-3",
        f"{REF}-2",
    ]
    assert git("rev-parse", REF, f"{REF}-3", cwd=repo_path).split() == [a, c]


def test_unreachable(repo: Repo, repo_path: Path) -> None:
    """A commit that one of the refs contains is safe; a ref that is gone contains nothing."""
    base = git("rev-parse", "main", cwd=repo_path)
    new = git("commit-tree", "-p", base, "-m", "x", "HEAD^{tree}", cwd=repo_path)
    assert unreachable(repo, new, ["refs/heads/main", "refs/heads/gone"])
    assert not unreachable(repo, base, ["refs/heads/gone", "refs/heads/main"])
    assert unreachable(repo, base, [])
    git("update-ref", "refs/heads/t", new, cwd=repo_path)
    assert not unreachable(repo, new, ["refs/heads/main", "refs/heads/t"])
