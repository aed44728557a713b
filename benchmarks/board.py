"""How fast a board is read and changed. By hand: `python -m benchmarks.board`.

Each figure is a ratio taken in one run, with fsync alike on both sides, so that it says the same
on a slow machine and a fast one. The table goes into docs/performance.md.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gitfleet.board.store import Store, utc_now
from gitfleet.git.repo import find
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.states import Role
from gitfleet.plan.scheduler import Capacity, picks
from gitfleet.plan.transitions import on_claim

ME = Person("Bench", "bench@example.invalid")
TASK = (
    "---\ntitle: Task {n}\nlabels: [a]\ncoder: shell\npriority: {p}\n---\n"
    "Do it.\n```sh\ntrue\n```\n"
)


def git(*args: str, cwd: Path, data: bytes = b"", env: dict[str, str] | None = None) -> str:
    """Run git with fsync as libgit2 does it for us."""
    fsync = ("-c", "core.fsync=loose-object,reference", "-c", "core.fsyncMethod=fsync")
    done = subprocess.run(
        ["git", *fsync, *args], cwd=cwd, input=data, env=env, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def make(folder: Path, tasks: int) -> Store:
    """A repository with a board of that many open tasks, and no window on it."""
    folder.mkdir()
    git("init", "-qb", "main", cwd=folder)
    git(
        "-c",
        "user.name=B",
        "-c",
        "user.email=b@b",
        "commit",
        "-qm",
        "x",
        "--allow-empty",
        cwd=folder,
    )
    store = Store(find(folder), runner="bench")
    store.create({"fleet.yaml": b"format: 2\ntarget: main\n"}, ME)
    files: dict[str, bytes | None] = {
        f"tasks/t{n:05d}.md": TASK.format(n=n, p=n % 5).encode() for n in range(tasks)
    }
    store.transact(lambda _board, _now: Change(subject="Fill", files=files, author=ME))
    git("gc", "-q", cwd=folder)
    return Store(find(folder), runner="bench")


def median(call: Callable[[int], object], times: int) -> float:
    """The median time of a call, in seconds."""
    took = []
    for n in range(times):
        began = time.perf_counter()
        call(n)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def interleaved(times: int, *calls: Callable[[int], object]) -> list[float]:
    """The median times of several calls, made in turn, so that what else the machine does hits
    all of them alike."""
    took: list[list[float]] = [[] for _ in calls]
    for n in range(times):
        for call, into in zip(calls, took, strict=True):
            into.append(median(lambda _n, call=call, n=n: call(n), 1))  # type: ignore[misc]
    return [statistics.median(each) for each in took]


def claim(store: Store, task: str) -> None:
    """Claim one task, from picked to moved ref."""
    entry = store.board().entries[task]
    wanted = Claim(
        runner="bench",
        nonce=secrets.token_hex(16),
        role=Role.WORK,
        attempt=1,
        coder="shell",
        task_blob=entry.blob,
        base="0" * 40,
        at=utc_now(),
    )
    won = store.transact(lambda board, now: on_claim.claim(board, now, task=task, claim=wanted)).won
    assert won


def plumbing(folder: Path, task: str) -> None:
    """The same change by git's own plumbing, with an index of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "GIT_INDEX_FILE": str(Path(scratch, "index"))}
        tip = git("rev-parse", "refs/heads/fleet", cwd=folder)
        git("read-tree", tip, cwd=folder, env=env)
        blob = git("hash-object", "-w", "--stdin", cwd=folder, data=f"runner: {task}\n".encode())
        entry = f"100644,{blob},claims/{task}.yaml"
        git("update-index", "--add", "--cacheinfo", entry, cwd=folder, env=env)
        tree = git("write-tree", cwd=folder, env=env)
        commit = git(
            "-c",
            "user.name=B",
            "-c",
            "user.email=b@b",
            "commit-tree",
            tree,
            "-p",
            tip,
            cwd=folder,
            data=b"Claim\n",
        )
        git("update-ref", "refs/heads/fleet", commit, tip, cwd=folder)


def main() -> None:
    """Print the table."""
    os.environ.pop("GITFLEET_NO_FSYNC", None)
    with tempfile.TemporaryDirectory() as scratch:
        rows = []
        small, large = make(Path(scratch, "small"), 100), make(Path(scratch, "large"), 10_000)
        for store in (small, large):
            store.board()
        took = interleaved(
            40,
            lambda n: claim(small, f"t{n:05d}"),
            lambda n: claim(large, f"t{n:05d}"),
            lambda n: plumbing(large.repo.common, f"t{n + 100:05d}"),
        )
        at_small, at_large, by_git = took
        rows.append(
            ("claim, picked to moved ref, 10,000 tasks : 100 tasks", at_large / at_small, "≤ 1.5")
        )
        rows.append(
            ("the same by git's plumbing : gitfleet, 10,000 tasks", by_git / at_large, "≥ 4")
        )
        offer = Capacity(runner="bench", slots=3)
        began = time.perf_counter()
        picks(large.board(), utc_now(), offer, "main")
        rows.append(
            ("picking among 10,000 : one claim", (time.perf_counter() - began) / at_large, "")
        )
        cold = median(lambda _n: Store(large.repo, runner="bench").board(), 3)

        def change(n: int) -> None:
            files: dict[str, bytes | None] = {f"tasks/new{n}.md": b"---\ntitle: New\n---\n"}
            other.transact(lambda _b, _now: Change(subject="New", files=files, author=ME))

        other = Store(large.repo, runner="other")
        other.board()
        warm = []
        for n in range(10):
            change(n)
            began = time.perf_counter()
            large.board()
            warm.append(time.perf_counter() - began)
        rows.append(
            ("10,000 tasks read cold : after one change", cold / statistics.median(warm), "")
        )
    print(
        f"claim at 100: {at_small * 1000:.1f} ms, at 10,000: {at_large * 1000:.1f} ms,"
        f" plumbing {by_git * 1000:.1f} ms; cold read {cold:.2f} s,"
        f" after one change {statistics.median(warm) * 1000:.1f} ms",
        file=sys.stderr,
    )
    print("| what | ratio | goal |\n|---|---|---|")
    for what, ratio, goal in rows:
        print(f"| {what} | {ratio:.2f} | {goal} |")


if __name__ == "__main__":
    main()
