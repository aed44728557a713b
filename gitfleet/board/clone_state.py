"""What one clone keeps: its runner's name and lock, pending claims, and the paths of its worktrees.

It is under `gitfleet/` in the common git directory, where no branch and no clean-up of git reaches
it. Every file is written aside and renamed, so that a crash leaves the old or the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.git import refs
from gitfleet.git.fsync import syncing
from gitfleet.git.repo import Repo
from gitfleet.model.states import Role
from gitfleet.process.procfs import ProcessId, alive, myself
from gitfleet.run_dir import RunDir

_NAME: Final = "runner.json"
_NONCE: Final = re.compile(r"[0-9a-f]{32}\Z")


class PendingClaim(Struct, frozen=True, kw_only=True):
    """A claim that this clone made or tried to make, by its nonce."""

    nonce: str
    task: str
    role: Role
    attempt: int


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = True) -> None:
    """Write atomically: a reader, or a crash, finds the old file or the new one.

    Not `durable`: the write may be lost in a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(content, file)
        if durable and syncing():
            file.flush()
            os.fsync(file.fileno())
    Path(aside).replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if the file is missing or cannot be parsed."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def state_home() -> Path:
    """The folder for this user's program state: $XDG_STATE_HOME, else ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


def config_home() -> Path:
    """The folder for this user's program settings: $XDG_CONFIG_HOME, else ~/.config."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _machine_id() -> str:
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError):
            if text := path.read_text().strip():
                return text
    return socket.gethostname()


class Clone:
    """The files that gitfleet keeps in one clone of a repository."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.folder = repo.common / "gitfleet"
        self.runs = self.folder / "runs"
        digest = hashlib.sha256(os.fsencode(repo.common)).hexdigest()[:8]
        top = repo.main or repo.common
        slug = re.sub(r"[^A-Za-z0-9]+", "-", top.name).strip("-")[:30] or "repository"
        self.workspaces = state_home() / "gitfleet" / f"{slug}-{digest}"

    # -- the runner's name

    def runner_name(self, wish: str | None = None) -> str:
        """The name of this clone's runner, created when first needed.

        It is bound to the machine and the clone's path, so a copied clone gets a new name.
        """
        path = self.folder / _NAME
        bound = {"machine": _machine_id(), "path": str(self.repo.common)}
        known = read_json(path)
        name = known.get("name")
        if isinstance(name, str) and {key: known.get(key) for key in bound} == bound:
            return name
        if known and self._is_copy(known, bound):
            self._let_go()
        host = wish or socket.gethostname().partition(".")[0]
        host = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:30] or "runner"
        name = f"{host}-{secrets.token_hex(2)}"
        write_json(path, {"name": name, **bound})
        return name

    def known_name(self) -> str:
        """The name of this clone's runner; empty if it has none yet."""
        return str(read_json(self.folder / _NAME).get("name", ""))

    def _is_copy(self, known: dict[str, Any], bound: dict[str, str]) -> bool:
        """Whether the clone was copied, not moved: the original may still use the board."""
        if known.get("machine") != bound["machine"]:
            # Or the same clone in a new container. On a shared board another runner's claims end
            # with their lease; on a local board no other runner would ever end them.
            tracked = refs.names(self.repo, "refs/remotes/")
            return any(ref.endswith(f"/{self.repo.fleet_branch}") for ref in tracked)
        origin = str(known.get("path"))
        name = read_json(Path(origin) / "gitfleet" / _NAME).get("name")
        return self._elsewhere(origin) and name == known.get("name")

    def _elsewhere(self, path: str) -> bool:
        """Whether this path holds another clone, not this one reached by a different path."""
        try:
            return not self.repo.common.samefile(path)
        except OSError:
            return False

    def _let_go(self) -> None:
        """Set aside the nonces that came with a copy: their attempts belong to the original.

        This clone neither ends nor settles claims that it does not hold.
        """
        held = self.folder / "held"
        if held.is_dir():
            held.rename(self.folder / f"held-of-the-original-{secrets.token_hex(4)}")

    # -- one live runner

    @contextlib.contextmanager
    def only_runner(self) -> Iterator[None]:
        """Hold the runner lock. FleetError names the runner that holds it already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "runner.lock").open("a+") as file:
            if not _locked(file):
                pid = self.running_pid()
                raise FleetError(
                    f"a runner is already running in this clone (process {pid or 'unknown'})",
                    remedy="`gitfleet stop` stops it; `gitfleet list` shows its tasks.",
                )
            child = myself()
            told = {"pid": child.pid, "started": child.started, "path": str(self.repo.common)}
            write_json(self.folder / "live.json", told)
            try:
                yield
            finally:
                (self.folder / "live.json").unlink(missing_ok=True)

    def running(self) -> ProcessId | None:
        """The process of the live runner; None if there is none."""
        live = read_json(self.folder / "live.json")
        pid, started = live.get("pid"), live.get("started")
        if not isinstance(pid, int) or not isinstance(started, str):
            return None
        if self._elsewhere(str(live.get("path"))):
            return None  # the file came with a copy and describes the original's runner
        child = ProcessId(pid, started)
        return child if alive(child) else None

    def running_pid(self) -> int | None:
        """The process id of the live runner."""
        child = self.running()
        return child.pid if child else None

    # -- claims that it holds

    def note_pending(self, held: PendingClaim) -> None:
        """Record a nonce before it is sent: a claim is ours only if its nonce is recorded here."""
        path = self.folder / "held" / f"{held.nonce}.json"
        fields = {"task": held.task, "role": held.role.value, "attempt": held.attempt}
        write_json(path, {"nonce": held.nonce, **fields})

    def drop_pending(self, nonce: str) -> None:
        """Drop the nonce of a claim that was settled or never made."""
        assert _NONCE.match(nonce)
        (self.folder / "held" / f"{nonce}.json").unlink(missing_ok=True)

    def pending_claims(self) -> dict[str, PendingClaim]:
        """Every recorded nonce."""
        found: dict[str, PendingClaim] = {}
        for path in sorted((self.folder / "held").glob("*.json")):
            known = read_json(path)
            with contextlib.suppress(KeyError, ValueError, TypeError):
                nonce = str(known["nonce"])
                role = Role(known["role"])
                task, attempt = str(known["task"]), int(known["attempt"])
                found[nonce] = PendingClaim(nonce=nonce, task=task, role=role, attempt=attempt)
        return found

    # -- places

    def run_dir(self, task: str, attempt: int, nonce: str) -> RunDir:
        """The folder of an attempt's prompt, output and status."""
        return RunDir(self.runs / task / f"{attempt:03d}-{nonce[:8]}")

    def workspace(self, task: str) -> Path:
        """The worktree in which work on a task happens."""
        return self.workspaces / task

    def check_workspace(self, task: str) -> Path:
        """The worktree in which a candidate is checked. No id contains a dot."""
        return self.workspaces / f"{task}.check"


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
