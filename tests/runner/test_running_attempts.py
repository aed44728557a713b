"""Attempts under way: their threads are started, told to end, and joined."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitfleet.attempt.claim_tasks import claim_all
from gitfleet.attempt.context import ClaimedTask
from gitfleet.attempt.start_point import StartPoint
from gitfleet.board.store import utc_now
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.states import Outcome, Status
from gitfleet.plan.status import status_of
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.options import Options
from gitfleet.runner.running_attempts import RunningAttempts
from tests.plan.kit import logged, tasks
from tests.runner.kit import Place


class Started:
    """An attempt that waits at a gate, in a place with one task."""

    def __init__(self, folder: Path) -> None:
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        script = f"```sh\nread _ < '{self.gate}'\necho x > x\n```\n"
        self.place = Place(folder, {"tasks/app.md": f"---\ntitle: App\n---\n{script}".encode()})
        self.place.now = utc_now()
        self.ended = threading.Event()
        self.attempts = RunningAttempts(
            self.place.project, BlockedLandings(self.place.project), self.ended.set
        )

    def claim(self) -> tuple[ClaimedTask, StartPoint]:
        """The claim of the task, as the loop makes it."""
        board = self.place.board
        chosen, _skipped = LocalCapacity(
            self.place.project, Options(), BlockedLandings(self.place.project)
        ).picks(board, self.place.now)
        (claimed,) = claim_all(self.place.project, board, chosen)
        return claimed

    def open(self) -> None:
        """Let the coder go on."""
        self.gate.write_text("go\n")

    def outcome(self) -> Outcome:
        """How the attempt ended, which is waited for."""
        assert self.ended.wait(60)
        while not self.attempts.join_finished():
            self.ended.wait(0.01)
        (attempt,) = self.place.board.entries["app"].attempts()
        return attempt.outcome


@contextmanager
def _started(folder: Path) -> Iterator[Started]:
    made = Started(folder)
    made.attempts.start(*made.claim())
    try:
        yield made
    finally:
        made.attempts.stop_all(Outcome.INTERRUPTED, "the test is over")
        assert made.ended.wait(60)


def test_an_attempt_runs_to_its_end_and_wakes_the_loop(tmp_path: Path) -> None:
    """Meanwhile its task, its nonce and its live status are known; then all of it is forgotten,
    but that it was started here."""
    with _started(tmp_path) as started:
        attempts = started.attempts
        claim = started.place.board.entries["app"].claim
        assert claim is not None
        assert attempts.tasks == {"app"} and attempts.nonces == {claim.nonce}
        assert attempts.lives()[claim.nonce].coder == "shell" and len(attempts) == 1
        assert not attempts.join_finished()
        started.open()
        assert started.outcome() is Outcome.SUBMITTED
        assert len(attempts) == 0 and attempts.started == {claim.nonce}
        assert not attempts.tasks and not attempts.nonces
    assert status_of(started.place.board, "app", utc_now()).status is Status.SUBMITTED


@pytest.mark.parametrize(
    ("word", "reason"), [("cancel", "was cancelled"), ("close", "was closed by hand")]
)
def test_an_attempt_ends_when_nobody_wants_its_task_any_more(
    tmp_path: Path, word: str, reason: str
) -> None:
    """As soon as the board says so; before that it is left alone."""
    with _started(tmp_path) as started:
        started.attempts.end_superseded(started.place.board)
        assert not started.ended.is_set()
        started.attempts.end_superseded(started.place.put(logged("app", word)))
        assert started.outcome() is Outcome.CANCELLED
        (attempt,) = started.place.board.entries["app"].attempts()
        assert reason in attempt.reason


def test_an_attempt_whose_claim_is_gone_ends_without_an_event(tmp_path: Path) -> None:
    """Somebody else may have taken the task: nothing of it counts."""
    with _started(tmp_path) as started:
        started.attempts.end_superseded(started.place.put({"claims/app.yaml": None}))
        assert started.ended.wait(60)
        assert not list(started.place.board.entries["app"].attempts())
        assert "fenced" in started.place.names()


def test_all_of_them_can_be_told_to_end(tmp_path: Path) -> None:
    """The first reason is the one on the board."""
    with _started(tmp_path) as started:
        started.attempts.stop_all(Outcome.INTERRUPTED, "its runner was stopped")
        started.attempts.stop_all(Outcome.CANCELLED, "too late")
        assert started.outcome() is Outcome.INTERRUPTED


def test_an_attempt_that_no_thread_can_be_had_for_is_not_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many processes on the machine: it counts as started, so that its claim is ended."""
    made = Started(tmp_path)
    claimed, begin = made.claim()

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError):
            made.attempts.start(claimed, begin)
    assert len(made.attempts) == 0 and made.attempts.started == {claimed.claim.nonce}


def test_no_attempts_are_nothing_to_end(tmp_path: Path) -> None:
    """On a board of one clone no lease runs out."""
    place = Place(tmp_path, tasks("a"))
    attempts = RunningAttempts(place.project, BlockedLandings(place.project), lambda: None)
    attempts.end_expired(None)
    attempts.end_superseded(place.board)
    attempts.deliver_answers(place.board)
    assert not attempts.join_finished() and attempts.lives() == {}
