"""What TAB completes: real bash, zsh and fish, for `gitfleet` and for `git fleet`."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from gitfleet.cli import complete
from gitfleet.cli.main import VERBS
from tests.cli.acting import gitfleet
from tests.cli.looking import Lab, task
from tests.conftest import git

_LONG = 60.0  # seconds; a bound for what takes tenths on an idle machine
_GIT_FOR_BASH = Path("/usr/share/bash-completion/completions/git")


_QUESTION = """\
---
task: fix-login
asked: '2026-11-20T15:00:00Z'
by: {runner: box, coder: shell, attempt: 1}
---
## Question
Which?
"""


@pytest.fixture(scope="module")
def made() -> list[Lab]:
    """Keeps what is only looked at; it is made inside a test, in the world of one."""
    return []


@pytest.fixture
def lab(made: list[Lab], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Two open tasks, one that asked, one that is archived; only to look at."""
    if not made:
        lab = Lab(tmp_path_factory.mktemp("shared") / "repo")
        lab.commit(
            {
                "tasks/fix-login.md": task("Fix the login"),
                "tasks/user-table.md": task("The user table"),
                "done/2026-11/old-one/task.md": task("An old one"),
                "questions/fix-login-1.md": _QUESTION,
            }
        )
        made.append(lab)
    return made[0]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH with both commands, as an installation has them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    python = shlex.quote(sys.executable)
    for name in ("gitfleet", "git-fleet"):
        (folder / name).write_text(f'#!/bin/sh\nexec {python} -m gitfleet "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


# -- each shell, as it completes


def bash(line: str, cwd: Path) -> list[str]:
    """What bash completes a line to: by gitfleet's script alone, or through git's own."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    of_git = words[0] == "git"
    setting = "; ".join(
        [
            f"source {_GIT_FOR_BASH}" if of_git else ":",
            'eval "$(gitfleet completion bash)"',
            f"COMP_WORDS=({' '.join(map(shlex.quote, _parted(words)))})",
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
            f"COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_TYPE=9",
            "__git_wrap__git_main" if of_git else "_gitfleet",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
    )
    argv = ["bash", "--norc", "--noprofile", "-c", setting]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True, timeout=_LONG)
    return [word.rstrip() for word in done.stdout.splitlines() if word.strip()]


def _parted(words: Sequence[str]) -> list[str]:
    """Words as bash's COMP_WORDS has them: parted at each `=`."""
    found: list[str] = []
    for word in words:
        before, equals, after = word.partition("=")
        found += [before, *([equals] if equals else []), *([after] if after else [])]
    return found


def fish(line: str, cwd: Path) -> list[str]:
    """What fish completes a line to."""
    script = f"gitfleet completion fish | source; complete -C {shlex.quote(line)}"
    argv = ["fish", "-c", script]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True, timeout=_LONG)
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


_ZSH = """\
zstyle ':completion:*' menu no; zstyle ':completion:*' list-grouped no
setopt no_beep no_list_beep no_always_last_prompt; LISTMAX=0
PROMPT='READY> '; autoload -Uz compinit; compinit -u -d "$ZDOTDIR/dump"
eval "$(gitfleet completion zsh)"
compadd() {
    builtin compadd -O shown "$@"
    print -rl -- "${shown[@]}" >> "$SHOWN"
    builtin compadd "$@"
}
"""


def zsh(line: str, cwd: Path) -> list[str]:
    """What zsh offers after a line, at a terminal, when TAB is pressed twice."""
    home = Path(os.environ["HOME"])
    (home / ".zshrc").write_text(_ZSH)
    shown = home / "shown"
    shown.write_text("")
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (60, 200))
    process = subprocess.Popen(
        ["zsh", "-i", "+o", "globalrcs"],
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "ZDOTDIR": str(home), "TERM": "vt100", "SHOWN": str(shown)},
    )
    os.close(slave)
    try:
        _until(master, b"READY> ")
        os.write(master, line.encode() + b"\t")
        os.write(master, b"\x15print DO'NE'\r")  # begins when the completion has ended
        _until(master, b"DONE")
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return sorted({word for word in shown.read_text().split("\n") if word})


def _until(terminal: int, expected: bytes) -> bytes:
    """What is written on a terminal, up to what is expected."""
    said, end = b"", time.monotonic() + _LONG
    while expected not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, said
        said += os.read(terminal, 65536)
    return said


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
LINES = {
    "gitfleet show ": {"fix-login", "user-table"},
    "git fleet run --coder cl": {"claude"},
    "gitfleet list --stat": {"--status"},
    "git -C . fleet answer fix": {"fix-login", "fix-login-1"},
    "git checkout fleet unin": set(),
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, line: str, lab: Lab, path: Path) -> None:
    """Ids, options and values, for both names; and no other command of git is meddled with."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if shell == "bash" and line.startswith("git ") and not _GIT_FOR_BASH.exists():
        pytest.skip("git's own completion for bash is not installed")
    assert set(SHELLS[shell](line, lab.path)) == LINES[line]


@pytest.mark.parametrize(
    ("shell", "value"), [("bash", "ready"), ("zsh", "ready"), ("fish", "--status=ready")]
)
def test_a_value_behind_an_equals_sign(shell: str, value: str, lab: Lab, path: Path) -> None:
    """Each shell parts such a word in its own way."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert SHELLS[shell]("gitfleet list --status=rea", lab.path) == [value]


@pytest.mark.parametrize("shell", SHELLS)
def test_outside_of_a_repository_verbs_are_completed_all_the_same(
    shell: str, path: Path, tmp_path: Path
) -> None:
    """And no id, and no error on the terminal."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert set(SHELLS[shell]("gitfleet ", tmp_path)) >= set(VERBS)
    assert SHELLS[shell]("gitfleet hold x", tmp_path) == []


# -- what the scripts ask


def words(cwd: Path, *typed: str) -> list[str]:
    """What `gitfleet complete` offers."""
    kind, *lines = gitfleet("complete", "zsh", *typed, cwd=cwd).stdout.splitlines()
    assert kind == "words"
    return [line.split("\t")[0] for line in lines]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("show", "us"), ["user-table"]),
        (("cancel", "fix-login", "us"), ["user-table"]),
        (("answer", "fix"), ["fix-login-1", "fix-login"]),
        (("log", "ol"), ["old-one"]),
        (("hold", "ol"), []),
        (("run", "--once", "fix"), ["fix-login"]),
        (("add", "Title", "--depends-on", "us"), ["user-table"]),
        (("add", "--depends-on", "us", "fix"), []),
        (("dein",), ["deinit"]),
        (("hooks", ""), ["install", "remove"]),
        (("hooks", "install", "--s"), ["--server"]),
        (("list", "--status", "rea"), ["ready"]),
        (("help", "boa"), ["board"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("show", "--", "fix"), ["fix-login"]),
        (("show", "--", "--"), []),
        (("complet",), ["completion"]),
    ],
)
def test_each_place_has_its_words(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], offered: list[str]
) -> None:
    """Task ids, question ids, archived ones where they serve, verbs, options and their values."""
    monkeypatch.chdir(lab.path)
    said = CliRunner().invoke(complete.command, ["zsh", *typed]).output.splitlines()
    assert [line.split("\t")[0] for line in said] == ["words", *offered]


def test_completing_imports_no_verb_and_no_library_for_boards(lab: Lab) -> None:
    """A TAB must not wait for libgit2 and the rest: they take longer than all else together."""
    code = (
        "import sys; sys.argv = ['gitfleet', 'complete', 'bash', 'show', '']\n"
        "from gitfleet.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=lab.path, capture_output=True, text=True, check=True
    )
    assert "fix-login" in done.stdout
    loaded = set(done.stderr.split())
    assert not loaded & {
        "pygit2",
        "yaml",
        "jsonschema",
        "rich",
        "httpx",
        "watchdog",
        "_cffi_backend",
    }
    ours = {name for name in loaded if name.startswith("gitfleet.")}
    assert ours <= {
        *("gitfleet.cli", "gitfleet.cli.main", "gitfleet.cli.complete", "gitfleet.assets"),
        *("gitfleet.errors", "gitfleet.event_log", "gitfleet.model", "gitfleet.model.ids"),
    }


def test_only_ids_are_offered(tmp_path: Path) -> None:
    """A file name on the board is anybody's: what a shell would execute is none."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/good.md": task("Good"), "tasks/$(touch x).md": "", "tasks/a b.md": ""})
    assert words(lab.path, "show", "") == ["good"]


def test_the_branch_of_the_board_may_have_another_name(repo_path: Path) -> None:
    """It is asked of git, as everywhere."""
    gitfleet("init", "--branch", "board", cwd=repo_path)
    gitfleet("add", "One", "--id", "one", "--body", "x", cwd=repo_path)
    assert words(repo_path, "show", "") == ["one"]


def test_the_board_of_another_directory(lab: Lab, tmp_path: Path) -> None:
    """`-C` counts, as it will for the command."""
    assert words(tmp_path, "-C", str(lab.path), "hold", "user") == ["user-table"]


def test_where_files_are_named_the_shell_completes_them(lab: Lab) -> None:
    """gitfleet only says so."""
    assert gitfleet("complete", "bash", "lint", "x", cwd=lab.path).stdout == "file\n"
    assert gitfleet("complete", "bash", "-C", "", cwd=lab.path).stdout == "directory\n"


def test_a_shell_that_is_unknown_is_refused(tmp_path: Path) -> None:
    """With the three that are not."""
    done = gitfleet("completion", "csh", cwd=tmp_path, code=2)
    assert "bash" in done.stderr


def test_completing_writes_nothing(lab: Lab) -> None:
    """Not even a ref."""
    before = git("for-each-ref", cwd=lab.path)
    words(lab.path, "show", "")
    assert git("for-each-ref", cwd=lab.path) == before
