"""What an attempt is built upon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gitfleet.attempt.context import task_branch
from gitfleet.attempt.start_point import StartMode, StartPoint, start_point_of
from gitfleet.board.store import utc_now
from gitfleet.files import codec, layout
from gitfleet.git import refs
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.scheduler import Assignment
from tests.acceptance.fleetlab import PATIENCE
from tests.people.kit import SampleProject, git, task

MAIN = "refs/heads/main"
PICK = Assignment(task="two", role=Role.WORK, coder="claude", model="", target="main")


class Built:
    """`two` depends on `one`, which has landed: the board says so. main is at `old` or at `new`."""

    def __init__(self, project: SampleProject) -> None:
        self.project, self.fleet = project, project.fleet()
        self.old = self.tip()
        git("switch", "-q", "main", cwd=project.path)
        git("commit", "-q", "--allow-empty", "-m", "One", cwd=project.path)
        self.new = self.tip()
        landed = Landed(runner="box", nonce="0a" * 16, at=utc_now(), target="main", merge=self.new)
        path = layout.event_path("one", "001-landed-0a0a.yaml")
        project.put({"tasks/one.md": task("One"), "tasks/two.md": task("Two", depends_on=["one"])})
        project.change({path: codec.write(landed)})

    def tip(self) -> str:
        found = refs.read(self.project.repo, MAIN)
        assert found is not None
        return found

    def move(self, new: str) -> None:
        git("update-ref", MAIN, new, cwd=self.project.path)

    def work_on(self, base: str) -> str:
        """A commit on the branch of `two`."""
        objects, who = self.fleet.objects, self.fleet.store.signature()
        tree = objects.write_tree(objects.tree_of(base), {"two.txt": b"half\n"})
        head = objects.write_commit(tree, [base], "Half of it", who, who)
        git("update-ref", f"refs/heads/{task_branch('two')}", head, cwd=self.project.path)
        return head

    def died(self, *, base: str, head: str) -> None:
        """An attempt on `two` whose runner died."""
        number = self.project.board().entries["two"].next_number
        attempt = Attempt(
            runner="box", nonce=f"{number:032x}", attempt=number, outcome=Outcome.INTERRUPTED,
            reason="its runner died", started=utc_now(), ended=utc_now(), coder="claude",
            base=base, head=head,
        )  # fmt: skip
        path = layout.event_path("two", f"{number:03d}-work-{number:04x}.yaml")
        self.project.change({path: codec.write(attempt)})

    def start_point(self) -> StartPoint:
        board = self.project.board()
        return start_point_of(self.fleet, board, board.entries["two"], PICK)

    def base(self) -> str:
        return self.start_point().base


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Built]:
    project = SampleProject(tmp_path)
    yield Built(project)
    project.close()


def test_it_is_built_upon_what_its_task_depends_on(built: Built) -> None:
    """Nothing to tell."""
    assert built.base() == built.new
    assert not built.project.lines


def test_a_landing_seen_half_way_is_waited_for(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git moves one ref after the other: the board is there, the target not yet."""
    built.move(built.old)
    found: list[str] = []
    waits = threading.Event()
    swap = built.fleet.store.backend
    turn = swap.exclusive

    def told() -> AbstractContextManager[None]:
        waits.set()
        return turn()

    monkeypatch.setattr(swap, "exclusive", told)
    with refs.mutex(built.project.repo):  # as who lands has it
        asking = threading.Thread(target=lambda: found.append(built.base()))
        asking.start()
        assert waits.wait(PATIENCE)
        built.move(built.new)
    asking.join(PATIENCE)
    assert found == [built.new]
    assert not built.project.lines


def test_what_a_fix_task_brought_is_looked_for_too(built: Built) -> None:
    """Rejected, then repaired: `one` was closed by the landing of another task."""
    board = built.project.board()
    (event,) = board.entries["one"].events
    landed = event.content
    assert isinstance(landed, Landed)
    closed = Closed(runner="box", at=landed.at, reason="fixed", by="one-fix-1")
    built.project.put({"tasks/one-fix-1.md": task("Repair")})
    built.project.change(
        {
            layout.event_path("one", "001-landed-0a0a.yaml"): None,
            layout.event_path("one", "001-closed-0a0a.yaml"): codec.write(closed),
            layout.event_path("one-fix-1", "001-landed-0a0a.yaml"): codec.write(landed),
        }
    )
    built.move(built.old)
    assert built.base() == built.old
    assert f"one ({built.new[:10]})" in built.project.told("dependency-missing")[0]


def test_what_a_person_took_off_the_target_is_told_once(built: Built) -> None:
    """It is begun all the same: the target is theirs."""
    built.move(built.old)
    assert [built.base(), built.base()] == [built.old] * 2
    (line,) = built.project.told("dependency-missing")
    assert f"one ({built.new[:10]})" in line
    built.move(built.new)
    assert built.base() == built.new


def test_work_without_its_base_is_merged_again(built: Built) -> None:
    """An attempt that was to merge conflicting work died before it began: the branch still lacks
    the base. Continued as it is, the next attempt would be blamed for that."""
    work = built.work_on(built.old)
    built.died(base=built.new, head=work)
    assert built.start_point() == StartPoint(built.new, StartMode.MERGE, work)
    built.died(base=built.old, head=work)
    assert built.start_point() == StartPoint(built.old, StartMode.GO_ON, work)
