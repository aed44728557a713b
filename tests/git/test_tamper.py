"""What an attempt had no business with is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.git.repo import Repo, find
from gitfleet.git.tamper import differences, fingerprint, moved_by
from tests.conftest import git


@pytest.fixture
def repo(repo_path: Path) -> Repo:
    """The repository at `repo_path`."""
    return find(repo_path)


def test_ordinary_work_changes_nothing(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """Commits, branches, worktrees and harmless settings are no difference."""
    before = fingerprint(repo)
    git("worktree", "add", "-q", str(tmp_path / "w"), "-b", "w", "main", cwd=repo_path)
    (tmp_path / "w" / "f").touch()
    git("add", "-A", cwd=tmp_path / "w")
    git("commit", "-q", "-m", "x", cwd=tmp_path / "w")
    git("config", "branch.w.merge", "refs/heads/main", cwd=repo_path)
    git("config", "color.ui", "always", cwd=repo_path)
    assert differences(before, fingerprint(repo)) == ()


@pytest.mark.parametrize(
    "key",
    [
        "core.hooksPath",
        "core.fsmonitor",
        "core.sshCommand",
        "core.editor",
        "core.pager",
        "core.attributesFile",
        "alias.st",
        "filter.Big File.smudge",
        "diff.external",
        "diff.my.textconv",
        "diff.my.command",
        "merge.my.driver",
        "credential.helper",
        "credential.https://example.org.helper",
        "include.path",
        "includeIf.gitdir:/x/.path",
        "url.ext::sh.insteadOf",
        "remote.origin.url",
        "remote.or.igin.pushurl",
        "remote.origin.uploadpack",
        "remote.origin.vcs",
        "gpg.program",
        "gitfleet.branch",
        "init.templateDir",
        "uploadpack.packObjectsHook",
        "protocol.ext.allow",
    ],
)
def test_a_dangerous_setting_is_noticed(repo: Repo, repo_path: Path, key: str) -> None:
    """Added, changed and removed; its value is not shown, it may be secret."""
    before = fingerprint(repo)
    git("config", key, "/nowhere/s3cret", cwd=repo_path)
    added = fingerprint(repo)
    (said,) = differences(before, added)
    assert said.lower() == f"the setting {key.lower()} was added"
    assert differences(added, before)[0].endswith("was removed")
    git("config", key, "/nowhere/other", cwd=repo_path)
    assert differences(added, fingerprint(repo))[0].endswith("was changed")
    assert "s3cret" not in repr(added)


def test_what_a_config_includes_is_noticed(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """The included file can change while the config does not."""
    (tmp_path / "more").touch()
    git("config", "include.path", str(tmp_path / "more"), cwd=repo_path)
    before = fingerprint(repo)
    (tmp_path / "more").write_text("[core]\n\tpager = evil\n")
    assert differences(before, fingerprint(repo)) == ("the setting core.pager was added",)


def test_hooks_are_noticed(repo: Repo, repo_path: Path) -> None:
    """A new one, one that becomes executable, one that a link leads to."""
    hook = repo_path / ".git" / "hooks" / "pre-commit"
    before = fingerprint(repo)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o644)
    added = fingerprint(repo)
    assert differences(before, added) == ("the hook hooks/pre-commit was added",)
    hook.chmod(0o755)
    assert differences(added, fingerprint(repo)) == ("the hook hooks/pre-commit was changed",)
    hook.unlink()
    hook.symlink_to("/bin/true")
    assert differences(added, fingerprint(repo)) == ("the hook hooks/pre-commit was changed",)


def test_hooks_elsewhere_are_noticed(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """core.hooksPath, from whatever config, relative to the worktree."""
    (repo_path / ".husky").mkdir()
    (tmp_path / "hooks").mkdir()
    for value, place in ((".husky", repo_path / ".husky"), (str(tmp_path / "hooks"),) * 2):
        git("config", "--global", "core.hooksPath", value, cwd=repo_path)
        before = fingerprint(repo)
        Path(place, "pre-push").touch()
        (said,) = differences(before, fingerprint(repo))
        assert "pre-push was added" in said


@pytest.mark.parametrize("name", ["info/attributes", "info/grafts", "objects/info/alternates"])
def test_files_beside_the_config_are_noticed(repo: Repo, repo_path: Path, name: str) -> None:
    """They switch on filters, rewrite history, or fetch objects from elsewhere."""
    before = fingerprint(repo)
    (repo_path / ".git" / name).write_text("\n")
    assert differences(before, fingerprint(repo)) == (f"the file {name} was added",)


def test_a_worktrees_own_config_is_noticed(repo: Repo, repo_path: Path, tmp_path: Path) -> None:
    """extensions.worktreeConfig opens another door."""
    git("config", "extensions.worktreeConfig", "true", cwd=repo_path)
    git("worktree", "add", "-q", str(tmp_path / "w"), "-b", "w", "main", cwd=repo_path)
    before = fingerprint(repo)
    git("config", "--worktree", "core.pager", "evil", cwd=tmp_path / "w")
    (said,) = differences(before, fingerprint(repo))
    assert said.startswith("the file worktrees/w/config.worktree was")


def test_refs_an_attempt_moved(
    repo: Repo, repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt commits under its own address, and the logs tell what it moved."""
    head = git("rev-parse", "HEAD", cwd=repo_path)
    git("branch", "person", cwd=repo_path)
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "attempt-1@gitfleet")
    for branch in ("gitfleet/task/a", "main2", "x/y"):
        git("branch", branch, head, cwd=repo_path)
    found = moved_by(repo, "attempt-1@gitfleet", {"refs/heads/gitfleet/task/a", "refs/heads/x/"})
    assert found == ("refs/heads/main2",)
    assert moved_by(repo, "1@gitfleet") == ()


def test_a_message_is_no_signature(repo: Repo, repo_path: Path) -> None:
    """Nobody is blamed because their address stands in a commit's subject."""
    git("commit", "-q", "--allow-empty", "-m", "<attempt-1@gitfleet> did it", cwd=repo_path)
    assert moved_by(repo, "attempt-1@gitfleet") == ()
