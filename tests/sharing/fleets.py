"""Several real runners on one real remote, and everything done to them that happens to machines.

By hand, with as many tasks as one likes:

    python -m tests.sharing.fleets --tasks 200 --over http --seed 1

prints what was done to the runners and who did what, and ends with 1 if anything does not add up.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store, utc_now
from gitfleet.git.commits import trailers
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.plan.status import statuses
from tests import warm
from tests.acceptance.random_kills import isolate
from tests.cli.acting import GITFLEET, gitfleet, script, wait_for
from tests.conftest import git, init
from tests.sharing.links import Link, PathLink, Proxy, ProxyLink, Ssh, ssh_server
from tests.sharing.servers import PASSWORD, USER, http_server, serve_copy

LEASE: Final = 10.0  # seconds
KINDS: Final = ("kill", "stop", "cut", "hole", "kill", "stop")
SETTINGS: Final = """\
format: 2
target: main
concurrency: 2
heartbeat: {heartbeat}s
lease: {lease:g}s
backoff: {{initial: 1s, factor: 1, max: 1s}}
roles: {{work: {{coder: shell}}}}
checks: ["test ! -e broken"]
"""
_TRACE: Final = re.compile(r"Traceback|Error\(|trace=")


@dataclass
class Box:
    """A clone with its way to the server, and the runner in it."""

    name: str
    path: Path
    link: Link
    env: dict[str, str]
    log: Path
    runner: str
    inside: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | warm.Process | None = None

    def start(self) -> None:
        around = {**os.environ, **self.env}
        with self.log.open("ab") as log:
            if not self.inside:
                fd = log.fileno()
                self.process = warm.start("run", cwd=self.path, env=around, stdout=fd, stderr=fd)
                return
            self.process = subprocess.Popen(
                [*self.inside, *GITFLEET, "run"], cwd=self.path, env=around,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait(60)

    def until(self, *words: str) -> str:
        """The first line with all these words, said already or soon."""
        return wait_for(lambda: next(iter(self.lines(*words)), None), f"{words} of {self.name}")

    def lines(self, *words: str) -> list[str]:
        """What its runners told, as far as it has all these words."""
        if not self.log.exists():
            return []
        told = self.log.read_text(errors="replace").splitlines()
        return [line for line in told if all(word in line for word in words)]


@dataclass
class Fleets:
    """A server's repository, boxes that share it, and what was done to them."""

    bare: Path
    seed: Path  # a person's repository, which no runner works in
    boxes: list[Box]
    mischief: Counter[str] = field(default_factory=Counter)

    # -- what is there now

    def store(self) -> Store:
        return Store(find(self.bare), branch="fleet")

    def board(self) -> Board:
        return self.store().board()

    def statuses(self) -> Counter[str]:
        found = statuses(self.board(), utc_now())
        return Counter(str(where.status) for where in found.values())

    def landings(self) -> Counter[str]:
        """runner -> its `landed` events on the board."""
        return Counter(
            str(event.content.runner)  # type: ignore[union-attr]
            for entry in self.board().entries.values()
            for event in entry.events
            if event.kind == "landed"
        )

    def merges(self) -> list[tuple[str, str]]:
        """Task and author of each merge of a task in the target."""
        store = self.store()
        oids = git("rev-list", "--first-parent", "main", cwd=self.bare).split()
        commits = [store.objects.commit(oid) for oid in oids]
        return [
            (said["Gitfleet-Task"], commit.author.name)
            for commit in commits
            if "Gitfleet-Task" in (said := trailers(commit.message))
        ]

    # -- what is done to it

    def tasks(self, first: int, last: int) -> None:
        """File tasks, as a person does; each adds a line to a file of its own."""
        for one in range(first, last):
            # The file tells how often the work on it went into the target.
            text = f"mkdir -p made\necho done >> made/t{one:03d}\nsleep 0.{one % 4}"
            self.write(f"t{one:03d}", text)
        self.send(f"tasks-{first}")

    def write(self, task: str, text: str) -> None:
        """Write a task that runs a script."""
        body = f"---\ntitle: Make {task}\n---\n{script(text)}"
        (self.seed / ".fleet" / "tasks" / f"{task}.md").write_text(body)

    def send(self, name: str) -> None:
        """Push what was written to an inbox branch: no runner can be faster than that."""
        window = self.seed / ".fleet"
        git("add", "-A", cwd=window)
        git("commit", "--no-verify", "-q", "-m", "Tasks", cwd=window)
        git("push", "-q", str(self.bare), f"HEAD:gitfleet/in/{name}", cwd=window)

    def disturb(self, dice: random.Random, times: int, done: Callable[[], bool]) -> None:
        """Kill, stop and cut off at random, one at a time, `times` times or until all is done."""
        for number in range(times):
            if done():
                return
            if number % len(KINDS) == 0:
                kinds = dice.sample(KINDS, len(KINDS))
            what, box = kinds[number % len(KINDS)], dice.choice(self.boxes)
            # A third of them longer than a lease: then others take over.
            long = dice.random() < 1 / 3
            seconds = LEASE + dice.uniform(2.0, 5.0) if long else dice.uniform(0.1, 2.0)
            self.mischief[f"{what} {'long' if long else 'short'}"] += 1
            if what == "kill":
                box.kill()
                _rest(seconds, done)
                box.start()
            elif what == "stop":
                box.signal(signal.SIGSTOP)
                _rest(seconds, done)
                box.signal(signal.SIGCONT)
            else:
                box.link.cut(silent=what == "hole")
                _rest(seconds, done)
                box.link.mend()
            _rest(dice.uniform(0.2, 1.5), done)

    def are_done(self, tasks: int) -> bool:
        return self.statuses() == {"done": tasks}

    def until_done(self, tasks: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self.are_done(tasks) or self.claims():
            assert time.monotonic() < deadline, f"{self.statuses()}\n{self.told()}"
            time.sleep(0.25)

    def claims(self) -> list[str]:
        return [entry.id for entry in self.board().entries.values() if entry.claim is not None]

    def told(self) -> str:
        return "\n".join(f"--- {box.name}\n" + "\n".join(box.lines()[-40:]) for box in self.boxes)

    def stop(self) -> None:
        for box in self.boxes:
            box.signal(signal.SIGCONT)
            box.signal(signal.SIGTERM)
        for box in self.boxes:
            if box.process is not None:
                try:
                    box.process.wait(60)
                except subprocess.TimeoutExpired:
                    box.kill()

    # -- what must be true in the end

    def table(self) -> list[tuple[str, str, int, int, int]]:
        """box, runner, landings on the board, merges in the target, claims it lost."""
        landed, merged = self.landings(), Counter(author for _, author in self.merges())
        return [
            (box.name, box.runner, landed[box.runner], merged[f"gitfleet ({box.runner})"],
             len(box.lines(" taken-over ")))
            for box in self.boxes
        ]  # fmt: skip

    def wrong(self, tasks: int) -> list[str]:
        """What does not add up."""
        found = []
        landings = Counter(task for task, _ in self.merges())
        if landings != Counter(f"t{one:03d}" for one in range(tasks)):
            found.append(f"merges in the target: {landings}")
        for one in range(tasks):
            made = git("show", f"main:made/t{one:03d}", cwd=self.bare, check=False)
            if made != "done":
                found.append(f"made/t{one:03d} holds {made!r}")
        rows = self.table()
        found += [f"{row} does not add up" for row in rows if row[2] != row[3]]
        if sum(row[2] for row in rows) != tasks:
            found.append(f"{sum(row[2] for row in rows)} landings of {tasks} tasks")
        for box in self.boxes:
            found += [f"{box.name}: {line}" for line in box.lines() if _TRACE.search(line)]
        fsck = subprocess.run(
            [*GITFLEET, "fsck"], cwd=self.bare, capture_output=True, text=True, check=False
        )
        if fsck.returncode != 0:
            found.append(f"fsck: {fsck.stdout}{fsck.stderr}")
        return found


def _rest(seconds: float, done: Callable[[], bool]) -> None:
    """Let time pass, which is what is done to them; not longer than there is anything to do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not done():
        time.sleep(0.1)


# -- building one


@contextlib.contextmanager
def fleets(
    folder: Path, over: str, boxes: int = 4, *, heartbeat: int = 2, lease: float = LEASE
) -> Iterator[Fleets]:
    """Boxes with a clone each of one board, over `path`, `http` or `ssh`; nothing runs yet."""
    root = folder / "srv"
    seed = init(folder / "seed", name="seed")
    bare = served(seed, root, SETTINGS.format(heartbeat=heartbeat, lease=lease))
    with contextlib.ExitStack() as stack:
        link = _links(stack, folder, bare, over)
        made = Fleets(bare, seed, [])
        stack.callback(made.stop)
        for number in range(boxes):
            made.boxes.append(new_box(folder, f"box{number}", *link(number)))
        yield made


def served(seed: Path, root: Path, settings: str) -> Path:
    """A server's repository with a board, made of a person's."""
    gitfleet("init", cwd=seed)
    (seed / ".fleet" / "fleet.yaml").write_text(settings)
    git("commit", "--no-verify", "-qam", "Settings", cwd=seed / ".fleet")
    return serve_copy(seed, root)


def _links(
    stack: contextlib.ExitStack, folder: Path, bare: Path, over: str
) -> Callable[[int], tuple[Link, dict[str, str]]]:
    patience = {"GITFLEET_REMOTE_TIMEOUT": "6"}
    if over == "path":
        return lambda number: (PathLink(bare, folder / f"to-{number}.git"), patience)

    def through(port: int) -> Proxy:
        proxy = Proxy(port)
        stack.callback(proxy.close)
        return proxy

    if over == "http":
        url = stack.enter_context(http_server(bare.parent))
        port = int(url.rpartition(":")[2])

        def by_http(_number: int) -> tuple[Link, dict[str, str]]:
            proxy = through(port)
            there = f"http://{USER}:{PASSWORD}@127.0.0.1:{proxy.port}/{bare.name}"
            return ProxyLink(proxy, there), patience

        return by_http
    ssh: Ssh = stack.enter_context(ssh_server(folder / "ssh"))

    def by_ssh(_number: int) -> tuple[Link, dict[str, str]]:
        proxy = through(ssh.port)
        there = f"ssh://{ssh.user}@127.0.0.1:{proxy.port}{bare}"
        return ProxyLink(proxy, there), {**patience, "GIT_SSH_COMMAND": ssh.command}

    return by_ssh


def new_box(
    folder: Path, name: str, link: Link, env: dict[str, str], inside: tuple[str, ...] = ()
) -> Box:
    """A clone with a board; `inside`: the command by which everything of it is started."""
    path = folder / name
    around = {**os.environ, **env}
    for command in (["git", "clone", "-q", link.url, name], [*GITFLEET, "init"]):
        cwd = folder if command[0] == "git" else path
        done = subprocess.run(
            [*inside, *command], cwd=cwd, env=around, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    runner = Clone(find(path)).runner_name(name)
    return Box(name, path, link, env, folder / f"{name}.log", runner, inside)


def work_off(
    folder: Path, over: str, *, tasks: int, seed: int, mischief: int, timeout: float = 300.0
) -> Fleets:
    """Have four disturbed runners work off a board; what they leave.

    The tasks come in three parts, so that something is under way when they are disturbed, however
    fast the machine is.
    """
    dice = random.Random(seed)
    with fleets(folder, over) as made:
        for box in made.boxes:
            box.start()
        parts = [tasks * part // 3 for part in range(4)]
        for first, last in pairwise(parts):
            made.tasks(first, last)
            made.disturb(dice, mischief // 3, lambda last=last: made.are_done(last))  # type: ignore[misc]
        made.until_done(tasks, timeout)
    return made


def main() -> int:
    """Work a board off by hand, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.sharing.fleets", description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--over", choices=("path", "http", "ssh"), default="path")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mischief", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitfleet-fleets-") as folder:
        isolate(Path(folder))
        began = time.monotonic()
        made = work_off(
            Path(folder), given.over, tasks=given.tasks, seed=given.seed,
            mischief=given.mischief, timeout=3600.0,
        )  # fmt: skip
        spent = time.monotonic() - began
        told = ", ".join(f"{what} {times}" for what, times in sorted(made.mischief.items()))
        sys.stdout.write(f"{given.tasks} tasks over {given.over}, {spent:.0f} s; {told}\n\n")
        sys.stdout.write("| runner | landed on the board | merges in the target | took over |\n")
        sys.stdout.write("|---|---|---|---|\n")
        for name, _, landed, merged, taken in made.table():
            sys.stdout.write(f"| {name} | {landed} | {merged} | {taken} |\n")
        wrong = made.wrong(given.tasks)
        sys.stdout.write("\n".join(["", *wrong, "" if wrong else "it adds up", ""]))
        return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
