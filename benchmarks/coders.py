"""The real coders on one board, two tasks each: time, processor time, memory, processes.

By hand, after `.ci/clis`: `python -m benchmarks.coders`. What they think comes from a scripted
model on loopback, so what is measured is everything but the thinking.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.fleetlab import Live
from tests.reals.installed import PINNED
from tests.reals.stage import TOOLLESS, stage, work

AT_ONCE = 6
_TICK = 0.2  # seconds between looks at /proc


@dataclass
class Peak:
    """The most that was seen of the processes below one: MiB in all, and how many they were."""

    root: int
    mib: float = 0.0
    processes: int = 0
    runner: float = 0.0
    supervisor: float = 0.0  # the largest one
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.over.wait(_TICK):
            sizes = {pid: _mib(pid) for pid in _below(self.root)}
            self.mib = max(self.mib, sum(sizes.values()))
            self.processes = max(self.processes, len(sizes))
            self.runner = max(self.runner, sizes.get(self.root, 0.0))
            own = (mib for pid, mib in sizes.items() if "supervisor" in _words(pid))
            self.supervisor = max(self.supervisor, *own, 0.0)


def _below(root: int) -> set[int]:
    """A process and all that descend from it."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(") ")[2].split()[1]
        except OSError:
            continue
        children[int(parent)].append(int(path.parent.name))
    found, new = {root}, [root]
    while new:
        new = [child for pid in new for child in children[pid]]
        found.update(new)
    return found


def _mib(pid: int) -> float:
    """What a process takes by itself, shared pages by their share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:400]
    except OSError:
        return ""


def measure(folder: Path, coders: list[str], at_once: int) -> str:
    """Run them until every task has landed; the columns of the table."""
    tasks = {f"{coder}-{n}": coder for coder in coders for n in (1, 2)}
    plays = {task: work(task, coder) for task, coder in tasks.items()}
    toolless = [task for task, coder in tasks.items() if coder == TOOLLESS]
    with stage(folder, plays, toolless=toolless) as on:
        for task, coder in tasks.items():
            on.task(task, coder)
        on.lab.commit()
        began, before = time.monotonic(), _processor()
        # A new interpreter each, as a person starts one: no process that the tests keep warm.
        runner = subprocess.Popen(
            [sys.executable, "-m", "gitfleet", "run", "--until-idle", "--max", str(at_once)],
            cwd=on.lab.path,
            env={**os.environ, **on.lab.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        live = on.lab.follow(Live(runner))
        peak = Peak(live.pid)
        watcher = threading.Thread(target=peak.watch)
        watcher.start()
        ran = live.wait(900)
        took, used = time.monotonic() - began, _processor() - before
        peak.over.set()
        watcher.join()
        assert ran.status == 0 and set(on.lab.statuses().values()) == {"done"}, live.told()
    return (
        f"{took:.0f} s | {used:.0f} s | {peak.mib:,.0f} MiB | {peak.processes}"
        f" | {peak.runner:.0f} MiB | {peak.supervisor:.0f} MiB |"
    )


def _processor() -> float:
    """Seconds of processor time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table."""
    there = [name for name, cli in PINNED.items() if cli.installed]
    if not there:
        sys.exit("no coder is installed; .ci/clis does it")
    with tempfile.TemporaryDirectory() as name:
        for key in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[key] = str(Path(name, key.lower()))
            Path(os.environ[key]).mkdir()
        for who in ("AUTHOR", "COMMITTER"):
            os.environ[f"GIT_{who}_NAME"], os.environ[f"GIT_{who}_EMAIL"] = "B", "b@example.org"
        print("| coders | at once | all landed after | processor time | peak memory |", end="")
        print(" processes | runner | largest supervisor |\n|---|---|---|---|---|---|---|---|")
        for coder in there:
            print(f"| 2 of {coder} | 2 | {measure(Path(name, coder), [coder], 2)}", flush=True)
        print(f"| 2 of each | {AT_ONCE} | {measure(Path(name, 'all'), there, AT_ONCE)}")


if __name__ == "__main__":
    main()
