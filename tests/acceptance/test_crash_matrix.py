"""Killed anywhere, started again: the same end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet import failpoints
from tests.acceptance.fleetlab import Lab
from tests.acceptance.smallboard import ONE_FINAL, all_is_well, one_task, small_board
from tests.conftest import git
from tests.lanes import sample

LONG = os.environ.get("GITFLEET_LONG") == "1"
# A second passing differs where the first one was of another kind (work, then validation; the
# first landing, then one that others wait for).
AGAIN = ("claimed", "coder-ended", "landed-refs-moved", "salvaged")
# What one task does not come to by itself.
AMONG_OTHERS = ("salvaged", "rejected", "outbox-committed")
ALONE = [point for point in failpoints.POINTS if point not in AMONG_OTHERS]
FAST = ("claimed", "coder-ended", "merge-made", "landed-refs-moved")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Lab]:
    made = small_board(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_the_small_board_ends_well_when_nobody_dies(small: Lab) -> None:
    """Without a crash the board is worked off, and every kind of thing happened on it."""
    ran = small.run("--until-idle")
    assert ran.status == 0, ran
    all_is_well(small)
    assert "conflict" in small.outcomes("x") + small.outcomes("y")
    assert small.outcomes("good", "validate") == ["rejected"]
    assert small.board().entries["found"].task.discovered_from == "a"  # type: ignore[union-attr]


@pytest.mark.parametrize("point", sample(ALONE, *FAST))
def test_killed_with_one_task_and_started_again_it_lands_once(tmp_path: Path, point: str) -> None:
    """kill -9 at each step of the work and of its landing loses nothing and leaves nothing."""
    lab = one_task(tmp_path)
    killed = lab.run("--until-idle", env={"GITFLEET_FAULT": point})
    assert killed.status == -signal.SIGKILL, f"{point} was never passed: {killed}"
    ran = lab.run("--until-idle")
    assert ran.status == 0, ran
    all_is_well(lab, ONE_FINAL, ["a"])


def _kill_and_restart(small: Lab, where: str) -> None:
    killed = small.run("--until-idle", env={"GITFLEET_FAULT": where})
    assert killed.status == -signal.SIGKILL, f"{where} was never passed: {killed}"
    ran = small.run("--until-idle")
    assert ran.status == 0, ran
    all_is_well(small)


@pytest.mark.slow
@pytest.mark.parametrize("point", failpoints.POINTS if LONG else AMONG_OTHERS)
def test_killed_at_a_named_point_and_started_again_it_comes_to_the_same_end(
    small: Lab, point: str
) -> None:
    """kill -9 at each step of the work loses nothing, lands nothing twice, leaves nothing over."""
    _kill_and_restart(small, point)


@pytest.mark.slow
@pytest.mark.parametrize("point", failpoints.POINTS if LONG else AGAIN)
def test_killed_when_it_passes_there_again(small: Lab, point: str) -> None:
    """The same when it is not the first task that is struck."""
    _kill_and_restart(small, f"{point}:2")


@pytest.mark.slow
def test_killed_at_one_point_after_the_other(small: Lab) -> None:
    """A runner that dies in every life, each time one step later, still gets the board done."""
    for point in failpoints.POINTS:
        small.run("--until-idle", env={"GITFLEET_FAULT": point})
    ran = small.run("--until-idle")
    assert ran.status in (0, 4), ran
    assert len(small.landings()) == len(set(small.landings()))
    assert small.fsck().status == 0


def test_a_landing_that_a_crash_cut_in_two_is_completed(lab: Lab) -> None:
    """git renames one ref after the other. Where the target has moved and the board has not, the
    next runner believes the merge with its claim's nonce, and lands nothing twice."""
    lab.task("one", script="echo one > one.txt")
    git("worktree", "remove", str(lab.window), cwd=lab.path)  # so that main's checkout is the first
    killed = lab.run("--until-idle", env={"GITFLEET_FAULT": "sync-announced"})
    assert killed.status == -signal.SIGKILL
    claim = lab.board().entries["one"].claim
    assert claim is not None and lab.landings() == []
    listed = git("fsck", "--unreachable", "--no-reflogs", "--no-progress", cwd=lab.path)
    commits = [line.split()[2] for line in listed.splitlines() if " commit " in line]
    trailer = f"\nGitfleet-Nonce: {claim.nonce}"
    (merge,) = (
        oid for oid in commits if trailer in git("log", "-1", "--format=%B", oid, cwd=lab.path)
    )
    git("update-ref", "-m", "gitfleet: landed", "refs/heads/main", merge, cwd=lab.path)
    ran = lab.run("--until-idle")
    assert ran.status == 0
    assert [line.fields["outcome"] for line in ran.lines.of("recovered")] == ["landed"]
    assert (lab.tip(), lab.landings(), lab.status("one")) == (merge, ["one"], "done")
    assert (lab.path / "one.txt").read_text() == "one\n"
    assert git("status", "--porcelain", cwd=lab.path) == ""
    assert lab.fsck().status == 0
    assert lab.worktrees() == [lab.path]


def test_a_merge_that_only_looks_like_a_landing_is_not_believed(lab: Lab) -> None:
    """A commit of somebody who copied the trailer of a claim lands nothing for it."""
    gate = lab.gate("gate")
    lab.set(checks=["; ".join(gate.pause.splitlines())])
    lab.task("one", script="echo one > one.txt")
    live = lab.start()
    gate.reached()
    claim = lab.board().entries["one"].claim
    assert claim is not None
    message = f"Sly\n\nGitfleet-Task: one\nGitfleet-Nonce: {claim.nonce}\n"
    git("commit", "-q", "--allow-empty", "-m", message, cwd=lab.path)
    live.signal(signal.SIGKILL)
    live.wait()
    gate.open(5)
    ran = lab.run("--until-idle")
    assert ran.status == 0
    assert [line.fields["outcome"] for line in ran.lines.of("recovered")] == ["interrupted"]
    assert lab.tree()["one.txt"] == "one"
    (landed,) = lab.events("one", "landed")
    assert landed.content.merge == lab.tip()  # type: ignore[union-attr]
