"""`gitfleet init` finds the coders of this machine: by program, login file and variable."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from gitfleet.coders import detect, registry
from gitfleet.coders.base import Coder
from tests.cli.acting import GITFLEET, add, gitfleet, refusal, show, work
from tests.conftest import git
from tests.conftest import init as new_repository

# A program that must not be started, since a start may be a call and may cost something.
_NEVER = '#!/bin/sh\ntouch "$CALLED"\n'


class World(NamedTuple):
    """A folder of programs on PATH, and a home."""

    bin: Path
    home: Path
    called: Path

    def install(self, *names: str) -> None:
        """Put programs of these names on PATH."""
        for name in names:
            (self.bin / name).write_text(_NEVER)
            (self.bin / name).chmod(0o755)

    def log_in(self, path: str) -> None:
        """A login file; its content would be a secret."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a secret")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A machine without coders, until the test installs some."""
    made = World(tmp_path / "bin", Path(os.environ["HOME"]), tmp_path / "called")
    made.bin.mkdir()
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLED", str(made.called))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return made


def role(path: Path) -> object:
    """What fleet.yaml says of the role work."""
    return (yaml.safe_load(show(path, "fleet.yaml")).get("roles") or {}).get("work")


# -- without a terminal


def test_the_installed_coder_does_the_work(repo_path: Path, world: World) -> None:
    """It is written into fleet.yaml, and said with the file that shows its login."""
    world.install("claude")
    world.log_in(".claude/.credentials.json")
    said = gitfleet("init", cwd=repo_path).stdout
    assert "Coder: claude, logged in (~/.claude/.credentials.json)." in said
    assert "No coder" not in said
    assert "  work: {coder: claude}" in show(repo_path, "fleet.yaml")
    assert role(repo_path) == {"coder": "claude"}
    assert not world.called.exists()


def test_the_one_that_is_logged_in_comes_first(repo_path: Path, world: World) -> None:
    """The others are there as comments that only need their # removed."""
    world.install("claude", "codex", "gemini")
    world.log_in(".codex/auth.json")
    said = gitfleet("init", cwd=repo_path).stdout
    assert role(repo_path) == {"coder": "codex"}
    text = show(repo_path, "fleet.yaml")
    assert "  # work: {coder: claude}" in text
    assert "  # work: {coder: gemini}" in text
    assert "Also installed: claude (no login found), gemini (no login found)." in said
    chosen = text.replace("  work: {coder: codex}", "").replace(
        "  # work: {coder: gemini}", "  work: {coder: gemini}"
    )
    assert yaml.safe_load(chosen)["roles"]["work"] == {"coder": "gemini"}


def test_of_several_the_first_by_name_is_taken(repo_path: Path, world: World) -> None:
    """claude, codex, opencode, gemini, …; without a terminal there is no question."""
    world.install("opencode", "codex", "aider")
    gitfleet("init", cwd=repo_path)
    assert role(repo_path) == {"coder": "codex"}


def test_without_a_login_it_says_how_to_log_in(repo_path: Path, world: World) -> None:
    """With the command, and the variable that takes a key."""
    world.install("codex")
    said = gitfleet("init", cwd=repo_path).stdout
    assert "Coder: codex, installed; no login found." in said
    assert "run `codex login`, or set CODEX_API_KEY" in " ".join(said.split())
    assert role(repo_path) == {"coder": "codex"}


def test_where_none_is_installed_it_says_what_to_install(repo_path: Path, world: World) -> None:
    """And the board works with the coder `shell` all the same."""
    said = gitfleet("init", cwd=repo_path).stdout
    assert "No coding agent is installed here" in said
    assert "npm install -g @anthropic-ai/claude-code" in said
    assert role(repo_path) is None
    assert "#   work: {coder: claude}" in show(repo_path, "fleet.yaml")
    add(repo_path, "one", "touch one")
    work(repo_path)
    assert (repo_path / "one").exists()


def test_its_first_command_works_as_printed(repo_path: Path, world: World) -> None:
    """Also where no coder is installed: the task that it creates is done."""
    said = gitfleet("init", cwd=repo_path).stdout
    command = said.splitlines()[-2].strip()
    name = shlex.join(GITFLEET)
    subprocess.run(["sh", "-c", command.replace("gitfleet", name, 1)], cwd=repo_path, check=True)
    work(repo_path)
    assert git("show", "main:hello.txt", cwd=repo_path) == "hello"


def test_a_coder_can_be_named(repo_path: Path, world: World) -> None:
    """Whatever is installed; an unknown name is refused before anything is made."""
    world.install("claude")
    assert "no coder is called cluade" in refusal("init", "--coder", "cluade", cwd=repo_path)
    assert "refs/heads/fleet" not in git("for-each-ref", cwd=repo_path)
    said = gitfleet("init", "--coder", "gemini", cwd=repo_path).stdout
    assert role(repo_path) == {"coder": "gemini"}
    assert "Coder: gemini, which is not installed here." in said
    assert "npm install -g @google/gemini-cli" in said
    again = gitfleet("init", "--coder", "claude", cwd=repo_path).stdout
    assert again.startswith("--coder changes nothing")


def test_one_that_works_only_unfenced_is_never_taken_before_others(
    repo_path: Path, world: World
) -> None:
    """cursor-agent and agy need a permission that a person gives; that is said."""
    world.install("cursor-agent", "aider")
    world.log_in(".config/cursor/auth.json")
    gitfleet("init", cwd=repo_path)
    assert role(repo_path) == {"coder": "aider"}


def test_what_an_unfenced_coder_needs_is_said(repo_path: Path, world: World) -> None:
    """Where it is the only one."""
    world.install("agy")
    said = " ".join(gitfleet("init", cwd=repo_path).stdout.split())
    assert role(repo_path) == {"coder": "agy"}
    assert "agy works only with `permission: bypass`" in said


def test_a_board_that_is_there_says_the_same_of_its_coder(
    repo_path: Path, world: World, tmp_path: Path
) -> None:
    """In another clone, on another machine: what that one lacks."""
    world.install("claude")
    gitfleet("init", cwd=repo_path)
    (world.bin / "claude").unlink()
    git("clone", "-q", str(repo_path), str(tmp_path / "other"), cwd=tmp_path)
    said = gitfleet("init", cwd=tmp_path / "other").stdout
    assert "Adopted" in said
    assert "Coder: claude, which is not installed here." in said


def test_a_described_coder_needs_no_login(repo_path: Path, world: World) -> None:
    """A program of the person's own is theirs to know; a model at base_url wants no account."""
    gitfleet("init", "--coder", "codex", cwd=repo_path)
    settings = repo_path / ".fleet" / "fleet.yaml"
    text = settings.read_text()
    settings.write_text(text + "coders: {codex: {argv: [mycli]}}\n")
    git("commit", "--no-verify", "-qam", "described", cwd=repo_path / ".fleet")
    assert "Coder: codex, described in fleet.yaml." in gitfleet("init", cwd=repo_path).stdout
    world.install("codex")
    settings.write_text(text + 'coders: {codex: {base_url: "http://127.0.0.1:1/v1"}}\n')
    git("commit", "--no-verify", "-qam", "local", cwd=repo_path / ".fleet")
    said = gitfleet("init", cwd=repo_path).stdout
    assert "Coder: codex, installed; its model is at http://127.0.0.1:1/v1." in said


# -- where a login shows


def _signs() -> list[tuple[str, str, str]]:
    found = []
    for name in registry.PREFERENCE:
        coder = registry.find(name, {})
        assert coder is not None
        assert coder.account is not None
        found += [(name, "key", key) for key in coder.account.keys]
        found += [(name, "file", f"{file.folder}/{file.name}") for file in coder.account.files]
        found += [(name, file.variable, file.name) for file in coder.account.files if file.variable]
    return found


@pytest.mark.parametrize(("name", "kind", "sign"), _signs())
def test_every_sign_of_a_login_counts(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, kind: str, sign: str
) -> None:
    """A key variable; a file at its usual place; a file where the coder's own variable points."""
    world.install(name)
    coder = registry.find(name, {})
    assert coder is not None
    assert detect.look(coder).login == ""
    match kind:
        case "key":
            monkeypatch.setenv(sign, "k")
            expected = f"${sign}"
        case "file":
            world.log_in(sign.removeprefix("~/"))
            expected = sign
        case variable:
            monkeypatch.setenv(variable, str(tmp_path / "moved"))
            (tmp_path / "moved" / sign).parent.mkdir(parents=True)
            (tmp_path / "moved" / sign).touch()
            expected = str(tmp_path / "moved" / sign)
    assert detect.look(coder).login == expected


def test_an_empty_key_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`KEY= gitfleet init` takes the key away."""
    world.install("claude")
    coder = registry.find("claude", {})
    assert isinstance(coder, Coder)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    assert detect.look(coder).login == ""


_WATCH = """\
import os, sys
def hook(event, args):
    if event == "open" and isinstance(args[0], str):
        with_fd = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(with_fd, (args[0] + "\\n").encode())
        os.close(with_fd)
busy = []
def once(event, args):
    if not busy:
        busy.append(1)
        try:
            hook(event, args)
        finally:
            busy.clear()
sys.addaudithook(once)
"""


def test_no_login_file_is_ever_opened(repo_path: Path, world: World, tmp_path: Path) -> None:
    """Its presence is all there is to know; what is in it is the person's."""
    world.install(*registry.PREFERENCE)
    names = [
        f"{file.folder}/{file.name}".removeprefix("~/")
        for name in registry.PREFERENCE
        if (coder := registry.find(name, {})) and coder.account
        for file in coder.account.files
    ]
    for name in names:
        world.log_in(name)
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(_WATCH)
    env = {"PYTHONPATH": str(tmp_path / "watch"), "OPENED": str(tmp_path / "opened")}
    argv = [*GITFLEET, "init"]  # a new interpreter, which reads sitecustomize.py
    subprocess.run(argv, cwd=repo_path, env={**os.environ, **env}, capture_output=True, check=True)
    opened = (tmp_path / "opened").read_text()
    assert "fleet" in opened
    assert not [name for name in names if name in opened]
    assert not world.called.exists()


@pytest.mark.parametrize("name", registry.PREFERENCE)
def test_the_page_on_coders_names_every_sign(name: str) -> None:
    """docs/coders.md has a line with the files and variables of each coder, and how to log in."""
    coder = registry.find(name, {})
    assert coder is not None
    assert coder.account is not None
    page = Path(__file__).parents[2] / "docs" / "coders.md"
    row = next(
        line
        for line in page.read_text().partition("## Logging in")[2].splitlines()
        if line.startswith(f"| `{name}` |")
    )
    for file in coder.account.files:
        assert f"`{file.folder}/{file.name}`" in row
        assert not file.variable or f"`{file.variable}`" in row
    for key in coder.account.keys:
        assert f"`{key}`" in row
    for command in coder.account.login.split("`")[1::2]:
        assert f"`{command}`" in row


# -- on a terminal


def _ask(path: Path, answer: bytes) -> tuple[int, str]:
    """`gitfleet init` on a terminal, where this is typed once it asks; its status, all it says."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*GITFLEET, "init"],
        cwd=path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(slave)
    said, typed = b"", False
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        said += chunk
        if not typed and b"Number or name [1]:" in said:
            os.write(master, answer)
            typed = True
    os.close(master)
    return process.wait(60), said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [(b"\n", "codex"), (b"2\n", "claude"), (b"aider\n", "aider"), (b"9\nclaude\n", "claude")],
)
def test_on_a_terminal_it_asks_which_of_several(
    repo_path: Path, world: World, typed: bytes, chosen: str
) -> None:
    """By number or name; Enter takes the first, which is one that is logged in."""
    world.install("claude", "codex", "aider")
    world.log_in(".codex/auth.json")
    status, said = _ask(repo_path, typed)
    assert status == 0, said
    assert "1  codex" in said
    assert role(repo_path) == {"coder": chosen}
    assert all(len(line) <= 80 for line in said.splitlines() if str(repo_path) not in line)


def test_leaving_the_question_makes_nothing(repo_path: Path, world: World) -> None:
    """Ctrl-D before anything was made; the next `init` asks again."""
    world.install("claude", "codex")
    status, _ = _ask(repo_path, b"\x04")
    assert status == 130
    assert "refs/heads/fleet" not in git("for-each-ref", cwd=repo_path)
    assert not (repo_path / ".fleet").exists()
    status, _ = _ask(repo_path, b"\n")
    assert status == 0


def test_one_coder_is_no_question(tmp_path: Path, world: World) -> None:
    """Nor is none."""
    for number, names in enumerate([(), ("gemini",)]):
        world.install(*names)
        path = new_repository(tmp_path / f"r{number}", name="one")
        status, said = _ask(path, b"")
        assert status == 0
        assert "Number or name" not in said


# -- the settings that it changes


def test_it_names_the_settings_of_git_that_it_changes(repo_path: Path) -> None:
    """A push to a checked out branch is suddenly accepted: the person hears of it, each time."""
    first = gitfleet("init", cwd=repo_path).stdout
    text = " ".join(first.split())
    assert "merge.directoryRenames=false" in text
    assert "receive.denyCurrentBranch=updateInstead" in text
    assert "`gitfleet deinit` restores them" in text
    assert gitfleet("init", cwd=repo_path).stdout == first


def test_a_setting_that_was_so_before_is_not_named(repo_path: Path) -> None:
    """Only what was changed here."""
    git("config", "merge.directoryRenames", "false", cwd=repo_path)
    git("config", "receive.denyCurrentBranch", "ignore", cwd=repo_path)
    said = gitfleet("init", cwd=repo_path).stdout
    assert "merge.directoryRenames" not in said
    assert "receive.denyCurrentBranch=" not in said
