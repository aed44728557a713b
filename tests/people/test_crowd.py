"""People at the board while a runner works: nobody's file is lost, and no claim."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitfleet.board.remote_backend import INBOX
from gitfleet.git import refs
from tests.acceptance.fleetlab import PATIENCE, until
from tests.people.kit import BOB, SampleProject, git, settings, task, tell

LONG = os.environ.get("GITFLEET_LONG") == "1"
TASKS = 100 if LONG else 25
TRIES = 12  # of a push, until Bob takes an inbox branch

# What a refusal may say; each tells what to do, or is git's own about a moment that passes.
TOLD = (
    r"commit again",
    r"commit without -a",
    r"push again when that is resolved",
    r"gitfleet/in/<name> is always accepted",
    r"fetch first|non-fast-forward|Updates were rejected",
    r"cannot lock ref|failed to update ref|incorrect old value",
    r"Another git process seems to be running",
    r"missing necessary objects",  # git looks at a worktree that is just being made
)


class Person:
    """Somebody who goes on until told to stop; what git refused them is in `refused`."""

    def __init__(self, stop: threading.Event, round_: Callable[[Person, int], None]) -> None:
        self.refused: list[str] = []
        self.kept: dict[str, str] = {}  # path -> what is to be on the board in the end
        self.trouble: list[BaseException] = []
        self._stop, self._round = stop, round_
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                self._round(self, number)
        except BaseException as error:  # told by the test, which runs in another thread
            self.trouble.append(error)

    def tries(self, *args: str, cwd: Path) -> bool:
        """Run git; a refusal is remembered."""
        said = tell("git", *args, cwd=cwd, env=BOB)
        if said.status != 0:
            self.refused.append(said.out + said.err)
        return said.status == 0

    def end(self) -> None:
        self._thread.join(PATIENCE * 2)
        said = "\n".join(self.refused[-20:])
        assert not self._thread.is_alive() and not self.trouble, f"{self.trouble}\n{said}"


@pytest.mark.slow
def test_two_people_and_a_runner(project: SampleProject, tmp_path: Path) -> None:
    """Ada commits in .fleet/ in a loop with edits left open, Bob pushes from a clone in a loop (and
    to an inbox branch where that is lost too often), the runner lands its tasks. In the end every
    file that was committed is there, the open edits are there, every task landed once in its first
    attempt, every refusal said what to do, and fsck finds nothing but what was repaired."""
    window = project.window
    names = [f"t{number}" for number in range(TASKS)]
    project.put({f"tasks/{name}.md": task(name, f"echo {name} > {name}") for name in names})
    project.put({"tasks/open.md": task("Open", hold=True)})
    settings(project, max_attempts=1)
    bobs = project.clone_to(tmp_path / "bobs")
    edited = task("Open, edited and not committed", hold=True)
    project.write({"tasks/open.md": edited, "scratch": "mine\n"})

    def ada(person: Person, number: int) -> None:
        path, text = f"tasks/ada-{number}.md", task(f"Ada {number}", hold=True)
        (window / path).write_text(text)
        until(lambda: person.tries("add", path, cwd=window), what="add")
        commit = ("commit", "-q", "-m", f"Ada {number}")
        until(lambda: person.tries(*commit, cwd=window), what="commit")
        person.kept[path] = text

    def bob(person: Person, number: int) -> None:
        path, text = f"tasks/bob-{number}.md", task(f"Bob {number}", hold=True)
        (bobs / path).write_text(text)
        git("add", "-A", cwd=bobs)
        git("commit", "-q", "-m", f"Bob {number}", cwd=bobs, env=BOB)
        person.kept[path] = text
        for _ in range(TRIES):
            if person.tries("push", "-q", "origin", "fleet", cwd=bobs):
                return
            git("pull", "-q", "--rebase", cwd=bobs, env=BOB)
        git("push", "-q", "origin", f"HEAD:refs/heads/gitfleet/in/bob-{number}", cwd=bobs)
        git("reset", "-q", "--hard", "origin/fleet", cwd=bobs)

    stop = threading.Event()
    live = project.start()
    people = [Person(stop, ada), Person(stop, bob)]
    try:
        for name in names:
            live.wait_for("landed", task=name, timeout=PATIENCE * 4)
    finally:
        stop.set()
    for person in people:
        person.end()
    until(lambda: not refs.names(project.repo, INBOX), what="the inbox branches")
    ran = live.stop()
    assert ran.status == 0 and not ran.lines.of("error"), ran.lines.of("error")

    # Nobody's file is lost.
    files = project.files()
    for person in people:
        assert person.kept
        for path, text in person.kept.items():
            assert path in files and project.show(path) == text.strip(), path
    assert (window / "tasks/open.md").read_text() == edited
    assert (window / "scratch").read_text() == "mine\n"
    assert project.store.keep_windows() == {}
    assert project.git("status", "--porcelain").split() == ["M", "tasks/open.md", "??", "scratch"]
    # No claim is lost, and nothing landed twice.
    assert set(names) <= project.files("main")
    board = project.board()
    for name in names:
        kinds = [str(event.kind) for event in board.entries[name].events]
        assert kinds == ["work", "validate", "landed"], (name, kinds)
    assert not any(path.startswith("claims/t") for path in files)
    # Every refusal says what to do.
    for person in people:
        for words in person.refused:
            assert any(re.search(told, words) for told in TOLD), words
    assert project.broken() == []
    fsck = project.gitfleet("fsck")
    assert fsck.status == 0 and " 0 broken" in fsck.out, fsck.out
    told = (
        f"{TASKS} landed; Ada {len(people[0].kept)} commits, {len(people[0].refused)} refusals; "
        f"Bob {len(people[1].kept)} commits, {len(people[1].refused)} refusals, "
        f"{len(ran.lines.of('inbox-merged'))} inbox branches; "
        f"{len(ran.lines.of('repaired'))} repairs"
    )
    sys.stdout.write(f"{told}\n")  # with `pytest -s`
    # And people get through beside the runner.
    at_work = "Another git process"  # who tries again in twenty milliseconds hears that often
    refused = [words for words in people[0].refused if at_work not in words]
    assert len(refused) < 6 * len(people[0].kept) + 20, told
