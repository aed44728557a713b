"""The thread of one attempt: it always leaves an end on the board, and no process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gitfleet.attempt.claim_tasks import claim_all
from gitfleet.attempt.context import AttemptContext, CancelToken, ClaimedTask, LiveStatus, Project
from gitfleet.attempt.start_point import StartPoint
from gitfleet.execution.base import LaunchSpec
from gitfleet.git.remote import Unreachable
from gitfleet.model.board import Board
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome, Role, Status
from gitfleet.runner.attempt_thread import (
    end_dead_attempts,
    end_orphan_claim,
    run_attempt,
    survivors,
)
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.options import Options
from tests.acceptance.fleetlab import PATIENCE
from tests.landing.kit import Bench
from tests.people.kit import git, task


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A board of one runner, in which this test does what the runner would do."""
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.close()


def context(fleet: Project, claimed: ClaimedTask) -> AttemptContext:
    """What the attempt's thread works with, as the runner makes it."""
    claim = claimed.claim
    run_dir = fleet.clone.run_dir(claimed.task, claim.attempt, claim.nonce)
    run_dir.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    live = LiveStatus(claimed.task, claim.role, claim.coder or "checks", claim.attempt)
    return AttemptContext(fleet, claimed, CancelToken(), live, run_dir)


class Begun(NamedTuple):
    ctx: AttemptContext
    start: StartPoint


def claim(bench: Bench, script: str) -> Begun:
    """Claim a new task `one` as the runner does."""
    bench.write({"tasks/one.md": task("Do one", script).encode()})
    board = bench.fleet.store.board()
    capacity = LocalCapacity(bench.fleet, Options(), bench.blocked)
    chosen, _ = capacity.picks(board, bench.fleet.store.now())
    ((claimed, start),) = claim_all(bench.fleet, board, chosen)
    return Begun(context(bench.fleet, claimed), start)


def work(bench: Bench) -> Attempt:
    """The only attempt at work, which has ended."""
    (attempt,) = bench.entry().attempts(Role.WORK)
    assert bench.entry().claim is None and bench.fleet.clone.pending_claims() == {}
    return attempt


class Killed:
    """A runner that was killed when its attempt's coder had started; the coder waits at a gate."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.gate = bench.gate("gate")
        script = f"echo x > x\n{self.gate.pause}"
        bench.write({"tasks/one.md": task("Do one", script).encode()})
        self.run("coder-started")
        self.gate.reached()
        found = bench.entry().claim
        assert found is not None
        self.nonce = found.nonce

    def run(self, point: str) -> None:
        """Run a runner that dies at that point."""
        ended = subprocess.run(
            [sys.executable, "-m", "gitfleet", "run", "--once", "one"],
            cwd=self.bench.project.path,
            env={**os.environ, "GITFLEET_FAULT": point},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert ended.returncode == -signal.SIGKILL, ended

    def processes(self) -> tuple[str, ...]:
        """What still runs of the attempt."""
        return self.bench.fleet.executor.find_left(self.nonce)


@pytest.fixture
def killed(bench: Bench) -> Iterator[Killed]:
    made = Killed(bench)
    yield made
    bench.fleet.executor.end(None, made.nonce, grace=0)


# -- an attempt of this runner


def test_work_and_its_validation_run_to_their_ends(bench: Bench) -> None:
    """The claim's role decides which of the two it is."""
    begun = claim(bench, "echo x > x")
    run_attempt(*begun, bench.blocked)
    assert work(bench).outcome is Outcome.SUBMITTED
    board = bench.fleet.store.board()
    ((claimed, start),) = claim_all(bench.fleet, board, [bench.pick(board)])
    run_attempt(context(bench.fleet, claimed), start, bench.blocked)
    assert bench.outcomes() == [Outcome.ACCEPTED] and bench.status().status is Status.DONE
    assert "x" in bench.tree()


def test_a_known_error_ends_the_attempt_with_its_sentence(bench: Bench, tmp_path: Path) -> None:
    """Here the settings copy a file through a link that leads out of the workspace."""
    out = bench.project.path / "out"
    out.symlink_to(tmp_path)
    git("add", "out", cwd=bench.project.path)
    git("commit", "-q", "-m", "A link", cwd=bench.project.path)
    out.unlink()
    out.mkdir()
    (out / "file").touch()
    bench.change_settings(workspace={"copy": ["out/file"]})
    begun = claim(bench, "echo x > x")
    run_attempt(*begun, bench.blocked)
    attempt = work(bench)
    assert attempt.outcome is Outcome.INTERRUPTED
    assert "leads out of the workspace" in attempt.reason
    assert not begun.ctx.run_dir.error.exists() and not (tmp_path / "file").exists()
    assert any("error task=one" in line for line in bench.project.lines)


def test_a_bug_ends_the_attempt_and_leaves_its_traceback(bench: Bench) -> None:
    """It cannot make a workspace in a folder that is a file. What its agent left running is ended
    first, since the next attempt may start as soon as this one has ended."""
    begun = claim(bench, "echo x > x")
    ctx = begun.ctx
    bench.fleet.clone.workspaces.parent.mkdir(parents=True, exist_ok=True)
    bench.fleet.clone.workspaces.write_text("in the way")
    spec = LaunchSpec(("sleep", "600"), bench.folder, dict(os.environ), ctx.nonce)
    left = bench.fleet.executor.start(ctx.run_dir, spec)
    with contextlib.closing(left):
        run_attempt(*begun, bench.blocked)
        assert left.wait(PATIENCE) is not None
    assert bench.fleet.executor.find_left(ctx.nonce) == ()
    attempt = work(bench)
    assert attempt.outcome is Outcome.INTERRUPTED
    assert attempt.reason.startswith("gitfleet failed: ")
    assert "Traceback" in ctx.run_dir.error.read_text()


def test_an_attempt_ends_with_its_own_reason_while_the_board_cannot_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it asked something is unknown then, for a moment; its end is written all the same."""
    begun = claim(bench, "echo x > x")
    bench.fleet.clone.workspaces.parent.mkdir(parents=True, exist_ok=True)
    bench.fleet.clone.workspaces.write_text("in the way")
    unread = iter([Unreachable("origin cannot be reached")])
    real = bench.fleet.store.board

    def board() -> Board:
        if begun.ctx.run_dir.error.exists() and (error := next(unread, None)):
            raise error
        return real()

    monkeypatch.setattr(bench.fleet.store, "board", board)
    run_attempt(*begun, bench.blocked)
    assert next(unread, None) is None
    assert work(bench).reason.startswith("gitfleet failed: ")


def test_an_attempt_that_lost_its_claim_writes_nothing(bench: Bench) -> None:
    """Not even the end that an error makes: the task may be another runner's by now."""
    begun = claim(bench, "echo x > x")
    bench.project.change({"claims/one.yaml": None})
    bench.fleet.clone.workspaces.parent.mkdir(parents=True, exist_ok=True)
    bench.fleet.clone.workspaces.write_text("in the way")
    run_attempt(*begun, bench.blocked)
    assert bench.entry().attempts(Role.WORK) == []
    assert any(" fenced " in line for line in bench.project.lines)


# -- attempts of a runner that died


def test_a_coder_that_outlived_its_runner_is_followed_to_its_end(killed: Killed) -> None:
    """Its task, coder and claim are as they were then, though the task was edited meanwhile."""
    bench = killed.bench
    bench.write({"tasks/one.md": task("Another title", "false").encode()})
    ((claimed, known),) = survivors(bench.fleet)
    assert claimed.claim.nonce == killed.nonce and claimed.entry.task is not None
    assert claimed.entry.task.title == "Do one" and killed.processes()
    killed.gate.open()
    run_attempt(context(bench.fleet, claimed), known, bench.blocked)
    attempt = work(bench)
    assert attempt.outcome is Outcome.SUBMITTED and attempt.head is not None
    assert git("show", f"{attempt.head}:x", cwd=bench.project.path) == "x"
    assert not killed.processes()


def test_who_is_followed_already_is_neither_found_nor_ended_again(killed: Killed) -> None:
    """Nor is a claim whose nonce this clone does not know: it is another's."""
    bench = killed.bench
    assert survivors(bench.fleet, {killed.nonce}) == []
    end_dead_attempts(bench.fleet, {killed.nonce})
    assert bench.entry().claim is not None and killed.processes()
    bench.fleet.clone.drop_pending(killed.nonce)
    assert survivors(bench.fleet) == []
    end_dead_attempts(bench.fleet)
    assert bench.entry().claim is not None and killed.processes()


def test_a_dead_attempt_is_ended_with_its_coder(killed: Killed) -> None:
    """Its work so far is named in the event, so that the next attempt continues it."""
    bench = killed.bench
    end_dead_attempts(bench.fleet)
    attempt = work(bench)
    assert attempt.outcome is Outcome.INTERRUPTED and "its runner died" in attempt.reason
    assert attempt.head == bench.tip("gitfleet/task/one")
    assert not killed.processes()
    assert any("recovered task=one" in line for line in bench.project.lines)


def test_a_claim_before_its_coder_was_started_is_only_ended(bench: Bench) -> None:
    """Nothing can be followed; a nonce that never got onto the board is forgotten."""
    begun = claim(bench, "echo x > x")
    assert survivors(bench.fleet) == []
    end_dead_attempts(bench.fleet)
    assert work(bench).outcome is Outcome.INTERRUPTED
    assert begun.ctx.nonce not in bench.fleet.clone.pending_claims()


def test_only_the_very_claim_of_an_orphan_is_ended(bench: Bench) -> None:
    """A task that was claimed again meanwhile, or is gone, is left alone."""
    begun = claim(bench, "echo x > x")
    for name, nonce in (("one", "0" * 32), ("two", begun.ctx.nonce)):
        end_orphan_claim(bench.fleet, name, nonce)
        assert bench.entry().claim is not None
    end_orphan_claim(bench.fleet, "one", begun.ctx.nonce)
    assert work(bench).outcome is Outcome.INTERRUPTED


# -- a landing that was cut off


def test_a_landing_of_which_only_the_target_moved_is_completed(bench: Bench) -> None:
    """The merge carries the claim's nonce and its work: the event follows, nothing merges twice."""
    bench.submit()
    ctx = bench.claim()
    candidate = bench.candidate(ctx)
    git("update-ref", "refs/heads/main", candidate.commit, cwd=bench.project.path)
    assert survivors(bench.fleet) == []
    end_dead_attempts(bench.fleet)
    landed = bench.landed()
    assert landed is not None and (landed.merge, landed.head) == (
        candidate.commit,
        candidate.head,
    )
    assert bench.outcomes() == [Outcome.ACCEPTED] and bench.status().status is Status.DONE
    assert bench.tip() == candidate.commit and bench.fleet.clone.pending_claims() == {}
    assert any("outcome=landed" in line for line in bench.project.lines)


@pytest.mark.parametrize("other", ["nonce", "head", "line"])
def test_no_other_merge_counts_as_its_landing(bench: Bench, other: str) -> None:
    """One with another nonce, of another head, or not on the target's own line: the attempt is
    interrupted, and the work is validated again."""
    bench.submit()
    ctx = bench.claim()
    candidate = bench.candidate(ctx)
    objects, who = bench.fleet.objects, bench.fleet.store.signature()
    tree, base = objects.tree_of(candidate.commit), bench.tip()
    nonce = "0" * 32 if other == "nonce" else ctx.nonce
    head = base if other == "head" else candidate.head
    message = f"Land\n\nGitfleet-Nonce: {nonce}\n"
    commit = objects.write_commit(tree, (base, head), message, who, who)
    if other == "line":
        commit = objects.write_commit(tree, (base, commit), "Merge", who, who)
    git("update-ref", "refs/heads/main", commit, cwd=bench.project.path)
    end_dead_attempts(bench.fleet)
    assert bench.landed() is None and bench.outcomes() == [Outcome.INTERRUPTED]
    assert bench.tip() == commit and bench.entry().claim is None
