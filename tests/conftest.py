"""Real git in a world of its own, and a loud no to everything outside it."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from gitfleet.coders import registry
from tests import warm

if TYPE_CHECKING:
    from tests.people.kit import SampleProject

_OFF_LIMITS = "the-network-is-off-limits-to-tests"
_SHM = Path("/dev/shm")
_ROOM = 1 << 30  # bytes
_LOCAL = ("localhost", "127.0.0.1", "::1", "")


# Begun in the background of a script, these are ignored, and with them in all that the tests start.
for _number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) == signal.SIG_IGN:
        _ours = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _ours)

# Property tests draw the same few examples for every change, and more of them in the gate.
settings.register_profile("fast", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("ci", max_examples=300, deadline=None)
settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many workers again as processors, and one: many tests wait for other processes."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None  # then xdist does as it says
    return len(os.sched_getaffinity(0)) * 3 // 2 + 1


def pytest_configure(config: pytest.Config) -> None:
    """Tests make very many small files: in memory, where there is room."""
    if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _in_memory(_SHM):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_SHM)


def _in_memory(folder: Path) -> bool:
    """Whether files there cost no disk, programs there may run, and there is room."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    room = found.f_bavail * found.f_frsize
    return room > _ROOM and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def pytest_collection_finish() -> None:
    """Thousands of tests that are collected need not be looked through for garbage."""
    gc.freeze()


class TheNetworkIsOffLimits(Exception):
    """A test tried to reach another machine."""


class TheRealHomeIsOffLimits(Exception):
    """A test is about to work with the home of the person who runs it."""


_REAL_HOME = Path(os.environ.get("HOME", "/nonexistent"))


def git(*args: str, cwd: Path, input: str | None = None, check: bool = True) -> str:
    """What git says, without white space at its ends."""
    done = subprocess.run(
        ["git", *args], cwd=cwd, input=input, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"git {args}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def no_conflict(edits: object) -> None:
    """Where a test expects that nobody's edit conflicts with the board."""
    raise AssertionError(edits)


def init(path: Path, *, name: str, bare: bool = False) -> Path:
    """A new repository on main; unless bare, with one commit that carries `name`."""
    if Path(os.environ["HOME"]) == _REAL_HOME:
        raise TheRealHomeIsOffLimits
    git("init", "-q", "-b", "main", *(["--bare"] if bare else []), str(path), cwd=Path("/"))
    if not bare:
        (path / "README").write_text("hello\n")
        git("add", "-A", cwd=path)
        git("commit", "-q", "-m", name, cwd=path)
    return path


_CODERS = [coder for name in registry.PREFERENCE if (coder := registry.find(name, {}))]


@pytest.fixture(scope="session")
def _path_without_coders(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH without the coders of the person who runs the tests: one that starts costs money.

    A folder that has one is replaced by a folder of links to all else in it.
    """
    hidden = {coder.program for coder in _CODERS}
    folders = []
    for folder in os.environ["PATH"].split(os.pathsep):
        if any(Path(folder, name).exists() for name in hidden):
            copy = tmp_path_factory.mktemp("path")
            for program in Path(folder).iterdir():
                if program.name not in hidden:
                    (copy / program.name).symlink_to(program)
            folders.append(str(copy))
        else:
            folders.append(folder)
    return os.pathsep.join(folders)


@pytest.fixture(scope="session")
def _worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are new; `mktemp` would look at all the earlier ones for each."""
    folder = tmp_path_factory.mktemp("worlds")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _isolated(
    _worlds: Iterator[Path], monkeypatch: pytest.MonkeyPatch, _path_without_coders: str
) -> None:
    """Nobody's home, config, identity, coders or keys, and no network."""
    world = next(_worlds)
    world.mkdir(mode=0o700)
    for folder in ("home", "config", "state", "cache", "runtime"):
        (world / folder).mkdir(mode=0o700)
    (world / "gitconfig").write_text("[maintenance]\n\tauto = false\n")  # a process each commit
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITFLEET_"))]:
        monkeypatch.delenv(name)
    for account in (coder.account for coder in _CODERS if coder.account):
        for name in (*account.keys, *(file.variable for file in account.files if file.variable)):
            monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PATH": _path_without_coders,
        "HOME": world / "home",
        "XDG_CONFIG_HOME": world / "config",
        "XDG_STATE_HOME": world / "state",
        "XDG_CACHE_HOME": world / "cache",
        "XDG_RUNTIME_DIR": world / "runtime",
        "GIT_CONFIG_GLOBAL": world / "gitconfig",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada Author",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Carl Committer",
        "GIT_COMMITTER_EMAIL": "carl@example.org",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "false",
        "GIT_SSH_COMMAND": _OFF_LIMITS,
        "GITFLEET_NO_FSYNC": "1",
        "LC_ALL": "C",
        "TZ": "UTC",
        "http_proxy": f"http://{_OFF_LIMITS}.invalid:9",
        "https_proxy": f"http://{_OFF_LIMITS}.invalid:9",
        "no_proxy": "localhost,127.0.0.1,::1",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(sys, "executable", warm.python())
    _guard_sockets(monkeypatch)


def _guard_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
            raise TheNetworkIsOffLimits(str(address))
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def repo_path(tmp_path: Path) -> Path:
    """A small repository on main; its one commit is called after this fixture."""
    return init(tmp_path / "repo", name="repo_path")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A bare repository without a commit."""
    return init(tmp_path / "bare.git", name="bare_path", bare=True)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[SampleProject]:
    """A small repository after `gitfleet init`; its runners end with the test."""
    from tests.people.kit import SampleProject

    made = SampleProject(tmp_path)
    yield made
    made.close()
