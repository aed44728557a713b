"""How git is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.errors import GitError
from gitfleet.git.command import clean_env, git, mask


def test_output_is_bytes_and_text(repo_path: Path) -> None:
    """`out` is stripped text, `fields` are what a -z command lists."""
    (repo_path / "ü b").touch()
    found = git("ls-files", "-z", "-o", cwd=repo_path)
    assert found.fields == ["ü b"]
    assert git("rev-parse", "--abbrev-ref", "HEAD", cwd=repo_path).out == "main"


def test_a_failure_shows_command_status_and_reason(repo_path: Path) -> None:
    """The error can be understood without running the command again."""
    with pytest.raises(GitError, match=r"git rev-parse --verify nope failed .* 128: .*revision"):
        git("rev-parse", "--verify", "nope", cwd=repo_path)


def test_an_unchecked_failure_is_a_status(repo_path: Path) -> None:
    """With check=False the caller judges."""
    assert git("rev-parse", "--verify", "-q", "nope", cwd=repo_path, check=False).code == 1


def test_input_reaches_git(repo_path: Path) -> None:
    """What is given as input is git's standard input."""
    oid = git("hash-object", "--stdin", cwd=repo_path, input=b"x\n").out
    assert oid == "587be6b4c3f93f93c489c0111bba5596147a26cb"


def test_a_command_that_takes_too_long_is_an_error(repo_path: Path) -> None:
    """No git command can hang us."""
    with pytest.raises(GitError, match="longer than"):
        git("-c", "alias.nap=!sleep 20", "nap", cwd=repo_path, timeout=0.2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/x", "https://***@host/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://u:p@ss@host/x", "https://***@host/x"),
        ("'http://u:p@h:8/x.git/'", "'http://***@h:8/x.git/'"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:pw@host/x", "ssh://git:***@host/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("git@host:x", "git@host:x"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    """No message carries what is secret in an address."""
    assert mask(text) == shown


def test_errors_are_masked(repo_path: Path) -> None:
    """Neither the command nor what git says gives a secret away."""
    with pytest.raises(GitError) as caught:
        git("fetch", "nosuch://user:s3cret@host/x", cwd=repo_path)
    assert "s3cret" not in str(caught.value) + caught.value.stderr


def test_a_hook_cannot_redirect_us(repo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started from a hook, we still work in the directory we name."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_QUARANTINE_PATH"):
        monkeypatch.setenv(name, "/nonexistent")
    assert git("status", "--porcelain", cwd=repo_path).out == ""


def test_the_environment_on_top_wins() -> None:
    """Who names an index means it."""
    assert clean_env({"GIT_INDEX_FILE": "/x"})["GIT_INDEX_FILE"] == "/x"
    assert clean_env()["LC_ALL"] == "C"
