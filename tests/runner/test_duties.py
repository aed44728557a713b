"""What the loop does beside the work: each by itself, with a health of its own."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.git.remote import Unreachable
from gitfleet.model.change import Change, Move
from gitfleet.model.states import Status
from gitfleet.plan.status import status_of
from gitfleet.runner.duties import Duties, WindowCatchUp, follow_up
from tests.git.kit import SlowCommand
from tests.plan.kit import NOW, logged, tasks
from tests.runner.kit import Place


def test_a_duty_that_fails_stops_no_other(tmp_path: Path) -> None:
    """In their order; the failure is logged once, and its health says since when."""
    place, done = Place(tmp_path), list[str]()

    def broken() -> None:
        raise FleetError("the window is stuck", remedy="Open it.")

    duties = Duties(
        place.project,
        {"first": lambda: done.append("first"), "window": broken, "last": lambda: done.append("l")},
    )
    duties.run()
    duties.run()
    assert done == ["first", "l"] * 2
    (line,) = place.lines
    assert line.endswith('error doing=window reason="the window is stuck" remedy="Open it."')
    failing = {one.name: one.error for one in duties.health() if one.failing_since is not None}
    assert failing == {"window": "the window is stuck"}


def test_a_duty_that_recovers_is_logged_when_it_fails_again(tmp_path: Path) -> None:
    """And is healthy in between."""
    place, errors = Place(tmp_path), [OSError(28, "full"), None, OSError(28, "full")]

    def duty() -> None:
        error = errors.pop(0)
        if error is not None:
            raise error

    duties = Duties(place.project, {"upkeep": duty})
    states = []
    for _ in range(3):
        duties.run()
        states.append(duties.health()[0].failing_since is not None)
    assert states == [True, False, True] and place.names() == ["error", "error"]


def test_without_the_remote_no_further_duty_is_tried(tmp_path: Path) -> None:
    """Each would wait for the same server; the round as a whole fails."""
    place, done = Place(tmp_path), list[str]()

    def away() -> None:
        raise Unreachable("origin does not answer")

    duties = Duties(place.project, {"first": away, "last": lambda: done.append("last")})
    with pytest.raises(Unreachable):
        duties.run()
    assert done == []


def test_a_window_that_is_busy_for_a_moment_is_no_news(tmp_path: Path) -> None:
    """A person's commit takes a moment. What lasts is logged once, and the window catches up."""
    place, now = Place(tmp_path, tasks("a")), [100.0]
    window = tmp_path / "window"
    place.git("worktree", "add", "-q", str(window), "fleet")
    lock = place.repo.common / "worktrees" / "window" / "index.lock"
    catch_up = WindowCatchUp(place.project, lambda: now[0])
    catch_up.keep()
    assert catch_up.behind == {}
    lock.touch()
    place.put(tasks("b"))
    catch_up.keep()
    assert list(catch_up.behind) == [window] and place.lines == []
    now[0] += 6
    catch_up.keep()
    catch_up.keep()
    assert place.names() == ["checkout-behind"] and not (window / "tasks" / "b.md").exists()
    lock.unlink()
    catch_up.keep()
    assert catch_up.behind == {} and (window / "tasks" / "b.md").exists()


def test_a_slow_commit_beside_a_landing_does_not_undo_it_the_next_time(tmp_path: Path) -> None:
    """Seen: git refuses the person's commit, since the target moved, but has put the old index
    back. They would commit again, and the landed file would be gone. It is corrected before."""
    place = Place(tmp_path, tasks("a"))
    (place.path / "mine").write_text("mine\n")
    place.git("add", "mine")

    def settling() -> bool:
        windows = WindowCatchUp(place.project)
        windows.keep()
        return windows.settling

    assert not settling()
    with SlowCommand(tmp_path, place.path, "commit", "-q", "-m", "person") as commit:
        old = place.git("rev-parse", "main")
        objects, who = place.store.objects, place.store.signature()
        tree = objects.write_tree(objects.tree_of(old), {"landed": b"work\n"})
        new = objects.write_commit(tree, (old,), "Land", who, who)
        move = Move("refs/heads/main", old, new)
        change = Change(subject="a: landed", files={"notes/a/x.md": b"x"}, moves=(move,))
        assert place.store.transact(lambda _board, _now: change).won
        assert commit.go_on()[0] != 0
    assert settling()
    place.git("commit", "-q", "-m", "person, again")
    assert place.git("show", "main:landed") == "work" and place.git("show", "main:mine") == "mine"
    note = next((place.repo.common / "gitfleet" / "follow").glob("*.step.json"))
    os.utime(note, (0, 0))
    assert not settling()


def test_a_task_closed_by_hand_closes_what_it_repairs(tmp_path: Path) -> None:
    """All that is due, in one call."""
    place = Place(
        tmp_path,
        tasks("app", "web"),
        logged("app", "work submitted", "validate rejected app-fix"),
        tasks("app-fix", fixes="app"),
        logged("app-fix", "close"),
    )
    place.now = NOW + timedelta(minutes=1)
    follow_up(place.project)
    assert status_of(place.board, "app", place.now).status is Status.DONE
    tip = place.store.tip()
    follow_up(place.project)
    assert place.store.tip() == tip
