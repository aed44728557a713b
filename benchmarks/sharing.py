"""How fast and how fairly runners share a board. By hand: `python -m benchmarks.sharing`.

Every runner is a process with a clone of its own, and claims and ends attempts as `gitfleet run`
does, with its heart beating; only the work in between takes no time, so that nothing is measured
but the sharing. Each ratio is of one run, its sides made in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gitfleet.attempt.claim_tasks import claim_all
from gitfleet.attempt.context import ClaimedTask, LiveStatus, Project
from gitfleet.board.backend import TxnStatus
from gitfleet.board.store import Store
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import open_session
from gitfleet.intake import inbox_branches
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome
from gitfleet.plan.scheduler import Assignment, Capacity, picks
from gitfleet.plan.transitions import on_end
from gitfleet.presence.heartbeat_thread import HeartbeatThread

ME = Person("Bench", "bench@example.invalid")
SETTINGS = b"format: 2\ntarget: main\nmax_attempts: 1\nroles: {work: {coder: shell}}\n"
INBOX, BRANCH = "inbox branches", "branch"
_THEIRS, _OTHERS, _ALL = slice(-1, None), slice(None, -1), slice(None)


# -- a runner, in a process of its own


class Bench:
    """What a runner does on the board, without the work."""

    def __init__(self, slots: int, alone: bool, until: Path) -> None:
        self.fleet: Project = fleet_of(open_session())
        self.slots, self.alone, self.until = slots, alone, until
        self.held: dict[str, ClaimedTask] = {}
        self.claims = 0

    def run(self) -> dict[str, Any]:
        """Claim and end until nothing is left or time is up; what came of it."""
        remote = self.fleet.store.backend.remote
        heartbeat = (
            HeartbeatThread(self.fleet, remote, self._lives, lambda: None)
            if remote is not None
            else None
        )
        if heartbeat is not None:
            heartbeat.service.attempt()
            heartbeat.service.start()
        (self.until.parent / f"ready-{os.getpid()}").touch()
        while not (self.until.parent / "go").exists():
            time.sleep(0.01)
        began = looked = time.monotonic()
        while not self.until.exists():
            if heartbeat is not None and time.monotonic() - looked > 2:
                looked = time.monotonic()
                inbox_branches.read_inbox(self.fleet, heartbeat.inbox())
            if not self._round(heartbeat):
                break
        spent = time.monotonic() - began
        if heartbeat is not None:
            heartbeat.service.stop()
        return {"claims": self.claims, "seconds": spent, "runner": self.fleet.runner}

    def _lives(self) -> dict[str, LiveStatus]:
        return {
            nonce: LiveStatus(one.task, one.claim.role, one.claim.coder, one.claim.attempt)
            for nonce, one in list(self.held.items())
        }

    def _round(self, heartbeat: HeartbeatThread | None) -> bool:
        remote = self.fleet.store.backend.remote
        if remote is not None and not self.alone:
            time.sleep(min(remote.pace.left(), 0.5))
            if remote.pace.left() > 0:
                return True
        board = self.fleet.store.board()
        chosen = self._picks(board)
        if not chosen:
            return False
        sending = heartbeat.claiming if heartbeat is not None else lambda _nonce: None
        groups: list[list[Assignment]] = [[pick] for pick in chosen] if self.alone else [chosen]
        for group in groups:
            for claimed, _ in claim_all(self.fleet, self.fleet.store.board(), group, sending):
                self.held[claimed.claim.nonce] = claimed
        self.claims += len(self.held)
        if self.held and remote is not None:
            remote.pace.begun()
        self._end()
        return True

    def _picks(self, board: Board) -> list[Assignment]:
        tip = self.fleet.tip_of("main")
        offer = Capacity(
            runner=self.fleet.runner,
            slots=self.slots,
            tips={"main": tip} if tip else {},
        )
        return picks(board, self.fleet.store.now(), offer, "main")[0]

    def _end(self) -> None:
        decides = [partial(self._ended, one.task, one.claim) for one in self.held.values()]
        for group in [[one] for one in decides] if self.alone else [decides]:
            while any(r.status is TxnStatus.UNKNOWN for r in self.fleet.store.transact_all(group)):
                pass
        for nonce in list(self.held):
            self.fleet.clone.drop_pending(nonce)
            del self.held[nonce]

    def _ended(self, task: str, claim: Claim, board: Board, now: Any) -> Change | None:
        attempt = Attempt.of(claim, Outcome.FAILED, "a benchmark", now)
        return on_end.end_attempt(board, task=task, attempt=attempt, role=claim.role)


# -- a board, clones of it, and what they come to


def git(*args: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *args], cwd=cwd, check=check, capture_output=True, text=True)


class Stand:
    """A board with ready tasks on a remote, and runners' clones of it."""

    def __init__(self, folder: Path, tasks: int, clones: int, url: str | None, bare: Path) -> None:
        self.folder, self.bare = folder, bare
        seed = folder / "seed"
        seed.mkdir(parents=True)
        git("init", "-qb", "main", cwd=seed)
        git("commit", "-qm", "x", "--allow-empty", cwd=seed)
        store = Store(open_session_at(seed), runner="bench")
        store.create({"fleet.yaml": SETTINGS}, ME)
        files: dict[str, bytes | None] = {
            f"tasks/t{n:04d}.md": f"---\ntitle: Task {n}\n---\n".encode() for n in range(tasks)
        }
        store.transact(lambda _board, _now: Change(subject="Fill", files=files, author=ME))
        git("init", "-q", "--bare", "-b", "main", str(bare), cwd=folder)
        git("config", "http.receivepack", "true", cwd=bare)
        git("push", "-q", str(bare), "main", "fleet", cwd=seed)
        git("gc", "-q", cwd=bare)
        self.clones = [folder / f"clone{n}" for n in range(clones)]
        for clone in self.clones:
            git("clone", "-q", url or str(bare), clone.name, cwd=folder)
            git("branch", "-q", "fleet", "origin/fleet", cwd=clone)
            git("config", "gc.auto", "0", cwd=clone)
        self.url = url or str(bare)

    def local(self) -> None:
        """Let the first clone be one that shares its board with nobody."""
        git("remote", "remove", "origin", cwd=self.clones[0])

    def measure(
        self, seconds: float, *, alone: bool = False, slots: int = 8, meanwhile: Any = None
    ) -> tuple[float, list[int]]:
        """Claims a second of all clones together, and how many each made."""
        signs = self.folder / "signs"
        signs.mkdir()
        command = [sys.executable, "-m", "benchmarks.sharing", "--worker", str(slots)]
        command += ["--alone"] if alone else []
        command += ["--until", str(signs / "stop")]
        around = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        with on_processors(_OTHERS if meanwhile else _ALL):
            workers = [
                subprocess.Popen(command, cwd=clone, env=around, stdout=subprocess.PIPE, text=True)
                for clone in self.clones
            ]
        while len(list(signs.glob("ready-*"))) < len(workers):
            time.sleep(0.02)
        (signs / "go").touch()
        stop = threading.Timer(seconds, (signs / "stop").touch)
        stop.start()
        if meanwhile is not None:
            meanwhile()
        told = [json.loads(worker.communicate()[0]) for worker in workers]
        stop.cancel()
        claims = [one["claims"] for one in told]
        return sum(claims) / max(one["seconds"] for one in told), claims


def open_session_at(path: Path) -> Any:
    from gitfleet.git.repo import find  # noqa: PLC0415 - only here

    return find(path)


# -- a person meanwhile


def _own(*args: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """git of somebody who sits at a machine of their own: it has the last processor to itself."""
    with on_processors(_THEIRS):
        return subprocess.run(["git", *args], cwd=cwd, check=check, capture_output=True, text=True)


@contextmanager
def on_processors(which: slice) -> Iterator[None]:
    """What is started meanwhile runs on these; where there is but one, on that."""
    all_of_them = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, all_of_them[which] or all_of_them)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


class Person_:
    """Somebody who files tasks while the runners are at it."""

    def __init__(self, stand: Stand, seconds: float) -> None:
        self.stand, self.end = stand, seconds
        self.path = stand.folder / "person"
        _own("clone", "-q", "-b", "fleet", stand.url, "person", cwd=stand.folder)
        self.tries: dict[str, list[int]] = {INBOX: [], BRANCH: []}
        self.taken_in: list[float] = []

    def live(self) -> None:
        """File one by an inbox branch, one by the board's branch, in turn, until time is up."""
        end, number = time.monotonic() + self.end, 0
        while time.monotonic() < end:
            number += 1
            self._by_inbox(number)
            time.sleep(1.5)
            self._by_branch(number, end)
            time.sleep(1.5)

    def _write(self, name: str) -> None:
        (self.path / "tasks" / f"{name}.md").write_text(f"---\ntitle: {name}\nhold: true\n---\n")
        _own("add", "-A", cwd=self.path)
        _own("commit", "-qm", name, cwd=self.path)

    def _by_inbox(self, number: int) -> None:
        _own("fetch", "-q", "origin", cwd=self.path)
        _own("reset", "-q", "--hard", "origin/fleet", cwd=self.path)
        self._write(f"inbox-{number}")
        push = ("push", "-q", "origin", f"HEAD:gitfleet/in/inbox-{number}")
        tries = 1
        while _own(*push, cwd=self.path, check=False).returncode != 0:
            tries += 1
        self.tries[INBOX].append(tries)

    def _by_branch(self, number: int, end: float) -> None:
        _own("fetch", "-q", "origin", cwd=self.path)
        _own("reset", "-q", "--hard", "origin/fleet", cwd=self.path)
        self._write(f"branch-{number}")
        tries = 1
        while _own("push", "-q", "origin", "HEAD:fleet", cwd=self.path, check=False).returncode:
            if time.monotonic() > end:
                self.tries[BRANCH].append(-tries)  # in vain
                return
            tries += 1
            _own("pull", "-q", "--rebase", "origin", "fleet", cwd=self.path)
        self.tries[BRANCH].append(tries)


# -- the table


def isolate(world: Path) -> None:
    """Nobody's settings, an own home, no fsync on either side."""
    (world / "gitconfig").write_text("[user]\nname = B\nemail = b@example.invalid\n")
    os.environ |= {
        "HOME": str(world),
        "XDG_STATE_HOME": str(world / "state"),
        "XDG_CONFIG_HOME": str(world / "config"),
        "GIT_CONFIG_GLOBAL": str(world / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GITFLEET_NO_FSYNC": "1",
    }


def once(
    world: Path, name: str, clones: int, seconds: float, **how: Any
) -> tuple[float, list[int]]:
    """One measurement on a board of its own."""
    with ExitStack() as stack:
        folder = world / name
        bare, url = folder / "srv" / "board.git", None
        bare.parent.mkdir(parents=True)
        if how.pop("http", False):
            from tests.sharing.servers import http_server  # noqa: PLC0415 - of the tests

            url = f"{stack.enter_context(http_server(bare.parent))}/board.git"
        stand = Stand(folder / "work", 1000, clones, url, bare)
        if how.pop("local", False):
            stand.local()
        person: Callable[[Stand], Callable[[], None]] | None = how.pop("person", None)
        return stand.measure(seconds, meanwhile=person(stand) if person else None, **how)


def fair(claims: list[int]) -> str:
    mean = statistics.mean(claims)
    return f"{min(claims) / mean:.2f}" if mean else "-"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing")
    parser.add_argument("--worker", type=int)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--until", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    if given.worker:
        sys.stdout.write(json.dumps(Bench(given.worker, given.alone, given.until).run()))
        return 0
    with tempfile.TemporaryDirectory(prefix="gitfleet-bench-") as folder:
        world = Path(folder)
        isolate(world)
        people: list[Person_] = []

        def somebody(stand: Stand) -> Callable[[], None]:
            people.append(Person_(stand, given.seconds - 2))
            return people[-1].live

        cases: dict[str, dict[str, Any]] = {
            "no remote": {"clones": 1, "local": True},
            "path, 1 runner": {"clones": 1},
            "path, 4 runners": {"clones": 4},
            "path, 16 runners": {"clones": 16},
            "path, 16 runners, a person": {"clones": 16, "person": somebody},
            "path, 16 runners, one push per claim": {"clones": 16, "alone": True},
            "http, 4 runners": {"clones": 4, "http": True},
        }
        for number in range(given.rounds):
            for name, how in cases.items():
                if given.only and name not in given.only:
                    continue
                rate, claims = once(
                    world, f"{number} {name}", how["clones"], given.seconds,
                    **{key: value for key, value in how.items() if key != "clones"},
                )  # fmt: skip
                print(
                    f"{number} | {name} | {rate:.1f}/s | {fair(claims)} | {sorted(claims)}",
                    flush=True,
                )
        for one in people:
            print(
                f"a person: tries by inbox branch {one.tries[INBOX]}, by branch {one.tries[BRANCH]}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
