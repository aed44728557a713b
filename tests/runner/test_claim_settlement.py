"""Every claim of a runner is under way, or being ended; one that another lost is taken over."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import Any

import pytest

from gitfleet.attempt.claim_tasks import late_claim
from gitfleet.board.clone_state import PendingClaim
from gitfleet.board.store import utc_now
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.states import Outcome, Role, Status
from gitfleet.plan.status import status_of
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.runner.claim_settlement import ClaimSettlement
from gitfleet.runner.loop import Runner
from gitfleet.runner.options import Options
from gitfleet.runner.running_attempts import RunningAttempts
from tests.plan.kit import claimed, nonce, tasks
from tests.runner.kit import Place

SCRIPT = b"---\ntitle: App\n---\n```sh\necho x > x\n```\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A board with one task."""
    made = Place(tmp_path, {"tasks/app.md": SCRIPT})
    made.now = utc_now()
    return made


def _claim(place: Place, *, pending: bool = False, runner: str = "box") -> str:
    """Claim the task in a runner's name, as an attempt whose thread died then left it."""
    entry = place.board.entries["app"]
    claim: dict[str, Any] = {
        "attempt": entry.next_attempt,
        "task_blob": entry.blob,
        "at": place.now,
    }
    base, mine = place.git("rev-parse", "main"), secrets.token_hex(16)  # by it coders are found
    place.put(claimed("app", runner=runner, nonce=mine, base=base, **claim))
    if pending:
        held = PendingClaim(nonce=mine, task="app", role=Role.WORK, attempt=entry.next_attempt)
        place.project.clone.note_pending(held)
    return mine


def _holder(place: Place, task: str) -> str | None:
    claim = place.board.entries[task].claim
    return claim.runner if claim is not None else None


def _outcomes(place: Place) -> list[Outcome]:
    return [attempt.outcome for attempt in place.board.entries["app"].attempts()]


def test_a_claim_that_nothing_works_on_is_ended(place: Place) -> None:
    """Its attempt died without an event, or a rewound board brought it back: it is not stuck."""
    runner = Runner(place.project, Options())
    _claim(place)
    runner._round()
    assert place.board.entries["app"].claim is None
    assert _outcomes(place) == [Outcome.INTERRUPTED]


def test_what_is_interrupted_again_and_again_waits(place: Place) -> None:
    """The first time it goes on at once; a full disk must not use all tries up in a second."""
    claims = ClaimSettlement(
        place.project,
        RunningAttempts(place.project, BlockedLandings(place.project), lambda: None),
        None,
    )
    for wanted in (Status.READY, Status.DELAYED):
        _claim(place)
        claims.settle_own(place.board, draining=False)
        assert status_of(place.board, "app", place.now).status is wanted


def test_a_claim_of_a_former_life_is_ended_also_while_draining(place: Place) -> None:
    """Its nonce was there when this process began, and its coder was never started."""
    mine = _claim(place, pending=True)
    claims = ClaimSettlement(
        place.project,
        RunningAttempts(place.project, BlockedLandings(place.project), lambda: None),
        None,
    )
    claims.remember_former()
    claims.settle_own(place.board, draining=True)
    assert _outcomes(place) == [Outcome.INTERRUPTED]
    assert mine not in place.project.clone.pending_claims()


def test_a_claim_that_arrived_after_all_is_worked_on_unless_the_runner_drains(
    place: Place,
) -> None:
    """Its push was given up for unknown by this very process: nobody has begun it."""
    ended = threading.Event()
    attempts = RunningAttempts(place.project, BlockedLandings(place.project), ended.set)
    claims = ClaimSettlement(place.project, attempts, None)
    claims.remember_former()
    mine = _claim(place, pending=True)
    claims.settle_own(place.board, draining=True)
    assert len(attempts) == 0 and place.board.entries["app"].claim is not None
    claims.settle_own(place.board, draining=False)
    assert attempts.nonces == {mine} and "late-claim" in place.names()
    claims.settle_own(place.board, draining=False)  # it is under way now
    assert ended.wait(60)
    assert _outcomes(place) == [Outcome.SUBMITTED]


def test_an_attempt_that_no_thread_can_be_had_for_frees_its_slot(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many processes on the machine: the claim is ended, and the loop does not stumble over
    it again and again."""

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = Runner(place.project, Options())
    _claim(place, pending=True)
    late = late_claim(place.project, place.board, "app")
    assert late is not None
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", full)
        with pytest.raises(RuntimeError):
            runner.attempts.start(*late)
    runner._round()
    assert place.board.entries["app"].claim is None
    assert _outcomes(place) == [Outcome.INTERRUPTED]


def test_a_claim_that_another_runner_lost_is_taken_over(tmp_path: Path) -> None:
    """Its attempt counts as lost, in its own name; what is not lost stays."""
    place = Place(tmp_path, tasks("app", "web"), shared=True)
    place.now = utc_now()
    lost = _claim(place, runner="oak")
    place.put(claimed("web", runner="ash", nonce=nonce(7)))
    assert place.remote is not None
    heart = HeartbeatThread(place.project, place.remote, dict, lambda: None)
    claims = ClaimSettlement(
        place.project,
        RunningAttempts(place.project, BlockedLandings(place.project), lambda: None),
        heart,
    )
    claims.settle_lost(place.board)
    assert _holder(place, "app") == "oak"
    heart.lost = frozenset({lost})
    claims.settle_lost(place.board)
    assert (_holder(place, "app"), _holder(place, "web")) == (None, "ash")
    (attempt,) = place.board.entries["app"].attempts()
    assert (attempt.outcome, attempt.runner) == (Outcome.LOST, "oak")
    assert place.names() == ["taken-over"]


def test_a_nonce_whose_push_can_no_longer_arrive_is_forgotten(tmp_path: Path) -> None:
    """The board has left the commit that the push was made for; before that it is kept."""
    place = Place(tmp_path, tasks("app"), shared=True)
    held = PendingClaim(nonce=nonce(1), task="app", role=Role.WORK, attempt=1)
    place.project.clone.note_pending(held)
    assert place.remote is not None
    heart = HeartbeatThread(place.project, place.remote, dict, lambda: None)
    claims = ClaimSettlement(
        place.project,
        RunningAttempts(place.project, BlockedLandings(place.project), lambda: None),
        heart,
    )
    claims.settle_lost(place.board)
    assert nonce(1) in place.project.clone.pending_claims()
    place.put(tasks("web"))
    claims.settle_lost(place.board)
    assert not place.project.clone.pending_claims()
