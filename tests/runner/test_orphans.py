"""Every claim of a runner is under way, or being ended."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime
from pathlib import Path

import pytest

from gitfleet.attempt.claim_tasks import late_claim
from gitfleet.attempt.context import Project
from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store
from gitfleet.event_log import EventLog
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.states import Outcome, Role, Status
from gitfleet.plan.status import status_of
from gitfleet.plan.transitions import on_claim
from gitfleet.runner.loop import Runner
from gitfleet.runner.options import Options

ANN = Person("Ann", "ann@example.invalid")


@pytest.fixture
def lines() -> list[str]:
    """The lines of the runner's log."""
    return []


@pytest.fixture
def runner(repo_path: Path, lines: list[str]) -> Runner:
    """A runner on a board with one task."""
    repo = find(repo_path)
    clone = Clone(repo)
    name = clone.runner_name()
    store = Store(repo, runner=name)
    files = {"fleet.yaml": b"format: 2\ntarget: main\n", "tasks/a.md": b"---\ntitle: A\n---\n"}
    store.create(files, ANN)
    report = EventLog(lines.append)
    fleet = Project(
        repo=repo, clone=clone, store=store, report=report, runner=name, default_target="main"
    )
    return Runner(fleet, Options())


def _claim(runner: Runner) -> str:
    """Claim the task in this runner's name, as an attempt whose thread died then left it."""
    store, nonce = runner.fleet.store, secrets.token_hex(16)

    def decide(board: Board, now: datetime) -> Change | None:
        tip = runner.fleet.tip_of("main")
        assert tip is not None
        wanted = Claim(
            runner=runner.fleet.runner,
            nonce=nonce,
            role=Role.WORK,
            attempt=board.entries["a"].next_attempt,
            coder="shell",
            task_blob=board.entries["a"].blob,
            base=tip,
            at=now,
        )
        return on_claim.claim(board, now, task="a", claim=wanted, due=True)

    assert store.transact(decide).won
    return nonce


def test_a_claim_that_nothing_works_on_is_ended(runner: Runner) -> None:
    """Its attempt died without an event, or a rewound board brought it back: it is not stuck."""
    _claim(runner)
    runner._round()
    entry = runner.fleet.store.board().entries["a"]
    assert entry.claim is None
    assert [attempt.outcome for attempt in entry.attempts()] == [Outcome.INTERRUPTED]


def test_what_is_interrupted_again_and_again_waits(runner: Runner) -> None:
    """The first time it goes on at once; a full disk must not use all tries up in a second."""
    store = runner.fleet.store
    for wanted in (Status.READY, Status.DELAYED):
        _claim(runner)
        runner.claims.settle_own(store.board(), draining=False)
        assert status_of(store.board(), "a", store.now()).status is wanted


def test_a_duty_that_fails_stops_nothing_else(runner: Runner, lines: list[str]) -> None:
    """A broken side duty is told, and the round goes on to the work."""

    def broken() -> None:
        raise OSError("no space left on device")

    runner.duties._duties["window"] = broken
    _claim(runner)
    runner._round()
    assert runner.fleet.store.board().entries["a"].claim is None
    assert any("no space left" in line and "doing=window" in line for line in lines)


def test_an_attempt_that_no_thread_can_be_had_for_frees_its_slot(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many processes on the machine: the claim is ended, and the loop does not stumble over
    it again and again."""

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    _claim(runner)
    late = late_claim(runner.fleet, runner.fleet.store.board(), "a")
    assert late is not None
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError):
            runner.attempts.start(*late)
    assert len(runner.attempts) == 0
    runner._round()
    entry = runner.fleet.store.board().entries["a"]
    assert entry.claim is None
    assert [attempt.outcome for attempt in entry.attempts()] == [Outcome.INTERRUPTED]
