"""How fast a runner reacts, what it costs while idle, and with fifty attempts under way.

By hand: `python -m benchmarks.runner`. Ratios are taken in one run.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.board import ME, TASK, make
from gitfleet.board.store import Store
from gitfleet.model.change import Change

SLEEPER = "---\ntitle: M{n}\ncoder: shell\n---\n```sh\nsleep 20\necho {n} > m{n}\n```\n"
FLEET = (sys.executable, "-m", "gitfleet")


def commit(store: Store, files: dict[str, bytes | None]) -> None:
    """A person's commit of task files."""
    store.transact(lambda _board, _now: Change(subject="Tasks", files=files, author=ME))


def reaction(scratch: Path) -> tuple[float, float]:
    """Median seconds from the commit of a task file to the coder's first instruction, and what
    starting that process alone costs."""
    folder = scratch / "react"
    store = make(folder, 0)
    stamp = scratch / "stamp"
    took, plain = [], []
    runner = subprocess.Popen([*FLEET, "run"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    try:
        for line in runner.stdout:
            if " running " in line:
                break
        for n in range(30):
            stamp.unlink(missing_ok=True)
            script = f'date +%s.%N > "{stamp}.new"; mv "{stamp}.new" "{stamp}"; echo {n} > f{n}'
            text = f"---\ntitle: T{n}\ncoder: shell\n---\n```sh\n{script}\n```\n".encode()
            files: dict[str, bytes | None] = {f"tasks/r{n}.md": text}
            began = time.time()
            commit(store, files)
            for line in runner.stdout:
                if f" landed task=r{n} " in line:
                    break
            took.append(float(stamp.read_text()) - began)
            began = time.time()
            subprocess.run(["sh", "-e", "-c", f'date +%s.%N > "{stamp}"'], check=True)
            plain.append(float(stamp.read_text()) - began)
    finally:
        runner.terminate()
        runner.wait(timeout=60)
    return statistics.median(took), statistics.median(plain)


def listing(scratch: Path) -> float:
    """`gitfleet list` of 100 tasks : importing pygit2, yaml and click."""
    folder = scratch / "listing"
    make(folder, 100)
    imports, lists = [], []
    for _ in range(15):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import pygit2, yaml, click"], check=True)
        imports.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run([*FLEET, "list"], cwd=folder, check=True, capture_output=True)
        lists.append(time.perf_counter() - began)
    return statistics.median(lists) / statistics.median(imports)


def idle(scratch: Path, seconds: float = 60.0) -> float:
    """The share of a core that an idle runner takes on 10,000 tasks that all wait."""
    folder = scratch / "idle"
    store = make(folder, 10_000)
    text = b"format: 2\ntarget: main\nconcurrency: 1\n"
    held = {
        f"tasks/t{n:05d}.md": TASK.format(n=n, p=2).replace("labels", "hold: true\nlabels").encode()
        for n in range(10_000)
    }
    store.transact(
        lambda _b, _now: Change(subject="Hold", files={**held, "fleet.yaml": text}, author=ME)
    )
    runner = subprocess.Popen([*FLEET, "run"], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    try:
        for line in runner.stdout:
            if " running " in line:
                break
        time.sleep(5)
        before = _cpu(runner.pid)
        time.sleep(seconds)
        return (_cpu(runner.pid) - before) / seconds
    finally:
        runner.terminate()
        runner.wait(timeout=60)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(scratch: Path) -> tuple[float, float]:
    """Peak MiB of a runner with 50 attempts under way, and of one with none."""
    folder = scratch / "memory"
    store = make(folder, 0)
    peaks = []
    for number in (0, 50):
        files: dict[str, bytes | None] = {
            f"tasks/m{n}.md": SLEEPER.format(n=n).encode() for n in range(number)
        }
        if files:
            store = Store(store.repo, runner="bench")
            commit(store, files)
        runner = subprocess.Popen(
            [*FLEET, "run", "--until-idle", "--max", "50"],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert runner.stdout is not None
        started, peak = 0, 0.0
        for line in runner.stdout:
            started += " claimed " in line
            if runner.poll() is None:
                peak = max(peak, _peak(runner.pid))
        runner.wait()
        peaks.append(peak)
    return peaks[1], peaks[0]


def given_up(scratch: Path) -> tuple[float, float]:
    """Seconds from a commit that takes fifty tasks back to where no process of their attempts is
    left; and MiB of one supervisor."""
    folder = scratch / "given-up"
    store = Store(make(folder, 0).repo, runner="bench")
    names = [f"tasks/g{number}.md" for number in range(50)]
    text = b"---\ntitle: Sleep\ncoder: shell\n---\n```sh\nsetsid sleep 600 & sleep 600\n```\n"
    files: dict[str, bytes | None] = dict.fromkeys(names, text)
    store.transact(lambda _b, _now: Change(subject="Fifty", files=files, author=ME))
    command = [*FLEET, "run", "--until-idle", "--max", "50"]
    runner = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    runs = folder / ".git/gitfleet/runs"
    while len(list(runs.glob("*/*/child.json"))) < 50:
        time.sleep(0.1)
    supervisors = [json.loads(path.read_text())["pid"] for path in runs.glob("*/*/child.json")]
    size = max(_peak(pid) for pid in supervisors)
    gone: dict[str, bytes | None] = dict.fromkeys(names)
    began = time.monotonic()
    store.transact(lambda _b, _now: Change(subject="None", files=gone, author=ME))
    runner.wait()
    return time.monotonic() - began, size


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Print the table."""
    os.environ.setdefault("GIT_AUTHOR_NAME", "B")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["XDG_STATE_HOME"] = str(scratch / "state")
        took, plain = reaction(scratch)
        ratio = listing(scratch)
        share = idle(scratch)
        busy, alone = memory(scratch)
        ended, small = given_up(scratch)
    print("| what | measured | goal |\n|---|---|---|")
    print(
        "| commit of a task to the coder's first instruction, over starting that process"
        f" | {(took - plain) * 1000:.0f} ms ({plain * 1000:.0f} ms) | ≤ 150 ms |"
    )
    print(
        f"| `gitfleet list` of 100 tasks : importing pygit2, yaml and click | {ratio:.2f} | ≤ 2 |"
    )
    print(f"| an idle runner on 10,000 tasks, share of a core | {share:.2%} | < 1 % |")
    print(
        "| peak memory with 50 attempts under way (with none)"
        f" | {busy:.0f} MiB ({alone:.0f} MiB) | |"
    )
    print(f"| peak memory of one supervisor | {small:.1f} MiB | < 15 MB |")
    print(f"| fifty attempts given up in one commit: until all is gone | {ended:.1f} s | |")
    print(
        f"Peak of children: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
