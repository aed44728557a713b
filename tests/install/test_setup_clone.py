"""What a board begins with, and what a project's files propose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.files import codec
from gitfleet.git.repo import find
from gitfleet.install import setup_clone
from tests.conftest import git

PYTHON = "python" if shutil.which("python") else "python3"


def commit(path: Path, files: dict[str, str]) -> None:
    """These files, and no others, as a commit."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git("add", "-A", cwd=path)
    git("commit", "-q", "--allow-empty", "-m", "files", cwd=path)


def npm(test: str, **more: object) -> str:
    """A package.json."""
    return json.dumps({"scripts": {"test": test}, **more})


PROPOSALS: list[tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]] = [
    ({}, (), ()),
    ({"pyproject.toml": "[project]\nname = 'x'\n"}, (), ()),
    ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, (f"{PYTHON} -m pytest -q",), ()),
    ({"tests/unit/test_a.py": ""}, (f"{PYTHON} -m pytest -q",), ()),
    ({"test/readme.txt": ""}, (), ()),
    ({"test_it.py": ""}, (f"{PYTHON} -m pytest -q",), ()),
    ({"package.json": npm("jest")}, ("npm test",), ()),
    ({"package.json": npm('echo "Error: no test specified" && exit 1')}, (), ()),
    ({"package.json": "not json"}, (), ()),
    ({"package.json": "[]"}, (), ()),
    ({"package.json": '{"scripts": {"test": 7}}'}, (), ()),
    (
        {"package.json": npm("jest", devDependencies={"jest": "1"}), "package-lock.json": "{}"},
        ("npm test",),
        ("npm ci",),
    ),
    ({"package.json": npm("jest"), "package-lock.json": "{}"}, ("npm test",), ()),
    (
        {"package.json": npm("x", dependencies={"a": "1"}), "pnpm-lock.yaml": ""},
        ("pnpm test",),
        ("pnpm install --frozen-lockfile",),
    ),
    ({"Cargo.toml": "", "go.mod": ""}, ("cargo test --quiet", "go test ./..."), ()),
    ({"pom.xml": "", "mvnw": ""}, ("./mvnw -q test",), ()),
    ({"Makefile": "all:\n\ttrue\ntest: all\n\ttrue\n"}, ("make test",), ()),
    ({"Makefile": "check test : all\n"}, ("make check",), ()),
    ({"Makefile": "test := x\n\tcheck: y\n.PHONY: test\n"}, (), ()),
    ({"Makefile": "test:\n", "Cargo.toml": ""}, ("cargo test --quiet",), ()),
    ({"justfile": "test:\n    true\n"}, ("just test",), ()),
    ({"Cargo.toml/file": "", "Makefile/file": ""}, (), ()),
]


@pytest.mark.parametrize(("files", "checks", "install"), PROPOSALS)
def test_checks_are_proposed_by_what_the_project_has(
    repo_path: Path, files: dict[str, str], checks: tuple[str, ...], install: tuple[str, ...]
) -> None:
    """Only what is told by its files, and nothing that is sure to fail."""
    commit(repo_path, files)
    assert setup_clone.propose(find(repo_path), "main") == setup_clone.Proposal(checks, install)


@pytest.mark.parametrize("checks", [(), ("make", 'echo "a: b" # \\ ü')])
@pytest.mark.parametrize("install", [(), ("npm ci",)])
@pytest.mark.parametrize("target", ["main", "1.0", "release/2024-01-01", "true", "0777"])
def test_the_first_settings_say_what_was_meant(
    target: str, checks: tuple[str, ...], install: tuple[str, ...]
) -> None:
    """Whatever YAML would make of the words."""
    files = setup_clone.first_files(target, checks, install)
    settings, problems = codec.read_settings(files["fleet.yaml"])
    assert problems == ()
    assert settings is not None
    assert (settings.target, settings.checks) == (target, checks)
    assert settings.workspace.setup == install


def test_settings_that_would_not_validate_are_never_written() -> None:
    """A check of two lines is none."""
    with pytest.raises(FleetError, match="checks"):
        setup_clone.first_files("main", ["a\nb"])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"fleet.yaml": "format: 2\n"}, True),
        ({"fleet.yaml": "# ours\nformat: 99\nnonsense"}, True),
        ({"fleet.yaml": "namespace: web\n"}, False),
        ({"tasks/.gitkeep": ""}, True),
        ({"tasks/x.md": ""}, False),
        ({"fleet.yaml/x": ""}, False),
    ],
)
def test_a_board_is_told_by_its_settings_or_its_folders(
    repo_path: Path, files: dict[str, str], told: bool
) -> None:
    """Another program's fleet.yaml makes none."""
    commit(repo_path, files)
    assert setup_clone.is_board(find(repo_path), git("rev-parse", "HEAD", cwd=repo_path)) is told


def test_a_remote_that_hangs_is_not_waited_for(
    repo_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time it counts as unreachable, with the reason."""
    monkeypatch.setattr(setup_clone, "_REMOTE_SECONDS", 0.3)
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 600 #")
    git("remote", "add", "origin", "ssh://localhost/x", cwd=repo_path)
    found = setup_clone.fetch_board(find(repo_path), "origin", "fleet")
    assert found.tip is None
    assert "took longer than" in found.trouble


def test_credentials_of_a_remote_are_not_told(repo_path: Path) -> None:
    """The reason why it cannot be reached is shown to whoever looks on."""
    git("remote", "add", "origin", "http://user:s3cret@127.0.0.1:9/x", cwd=repo_path)
    found = setup_clone.fetch_board(find(repo_path), "origin", "fleet")
    assert found.trouble
    assert "s3cret" not in found.trouble
