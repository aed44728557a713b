"""When the loop has to come round again, and whether a run may end: two questions, two answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gitfleet.attempt.context import LiveStatus
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.states import Role
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.process.procfs import boot_seconds
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.idle import IDLE_DONE, IDLE_WAITS, SLOW_POLL, Idle
from gitfleet.runner.options import Options
from tests.plan.kit import FLEET, NOW, asked, claimed, logged, nonce, tasks
from tests.runner.kit import Place

UNTIL_IDLE = Options(until_idle=True)
LATER = NOW + timedelta(seconds=7)


def _idle(
    place: Place, options: Options = UNTIL_IDLE, heart: HeartbeatThread | None = None
) -> Idle:
    return Idle(
        place.project,
        options,
        LocalCapacity(place.project, options, BlockedLandings(place.project)),
        heart,
    )


def _next(
    place: Place, options: Options = UNTIL_IDLE, *, busy: bool = False, may_claim: bool = True
) -> float | None:
    return _idle(place, options).next_wakeup(place.board, NOW, busy=busy, may_claim=may_claim)


READY = tasks("app")
CLAIMED = READY | claimed("app")
NOT_BEFORE = tasks("app", not_before=LATER)
BACK_OFF = READY | logged("app", "work failed", ended=NOW - timedelta(seconds=53))
COOLDOWN = READY | logged("app", "work limited", until=LATER)
BLOCKED_BY_QUESTION = READY | logged("app", "work asked") | asked("app-1")


@pytest.mark.parametrize(
    ("tree", "how", "forever", "until_idle"),
    [
        pytest.param({}, {}, SLOW_POLL, None, id="nothing"),
        pytest.param(READY, {}, SLOW_POLL, 1.0, id="something-to-claim"),
        pytest.param(READY, {"may_claim": False}, SLOW_POLL, None, id="a-full-disk"),
        pytest.param(READY, {"busy": True, "may_claim": False}, SLOW_POLL, SLOW_POLL, id="busy"),
        pytest.param(CLAIMED, {}, SLOW_POLL, SLOW_POLL, id="a-claim-of-ours"),
        pytest.param(
            READY | claimed("app", runner="oak"), {}, SLOW_POLL, None, id="a-claim-of-others"
        ),
        pytest.param(NOT_BEFORE, {}, 7.05, None, id="not-before"),
        pytest.param(BACK_OFF, {}, 7.05, 7.05, id="back-off"),
        pytest.param(BACK_OFF, {"may_claim": False}, 7.05, 7.05, id="back-off-on-a-full-disk"),
        pytest.param(COOLDOWN, {}, 7.05, 7.05, id="cooldown"),
        pytest.param(COOLDOWN, {"may_claim": False}, 7.05, None, id="cooldown-on-a-full-disk"),
        pytest.param(BLOCKED_BY_QUESTION, {}, SLOW_POLL, None, id="a-question"),
    ],
)
def test_when_next_and_may_it_end(
    tmp_path: Path,
    tree: Mapping[str, bytes],
    how: dict[str, Any],
    forever: float,
    until_idle: float | None,
) -> None:
    """A run for ever only asks when; one until idle may also end. What has to be waited for is
    the same moment in both."""
    place = Place(tmp_path, {"fleet.yaml": FLEET + b"backoff: {initial: 1m}\n"}, tree)
    assert _next(place, Options(), **how) == pytest.approx(forever)
    found = _next(place, UNTIL_IDLE, **how)
    assert found == (None if until_idle is None else pytest.approx(until_idle))


def test_a_red_target_is_looked_at_again_but_not_waited_for(tmp_path: Path) -> None:
    """Only a person or another task can repair it."""
    place = Place(tmp_path, READY)
    ended = ("work submitted", "validate target-red")
    place.put(logged("app", *ended, base=place.git("rev-parse", "main"), ended=NOW))
    forever = _next(place, Options())
    assert forever is not None and forever < SLOW_POLL
    assert _next(place) is None


def test_of_one_task_that_was_asked_for_only_that_is_waited_for(tmp_path: Path) -> None:
    """Another's back-off tells when to look again, and keeps nobody."""
    place = Place(tmp_path, {"fleet.yaml": FLEET + b"backoff: {initial: 1m}\n"}, BACK_OFF)
    assert _next(place, Options(once="app")) == pytest.approx(7.05)
    place.put(tasks("other"))
    assert _next(place, Options(once="other")) == 1.0
    place.put({"tasks/other.md": None})
    assert _next(place, Options(once="other")) is None


def test_on_a_shared_board_a_lease_and_a_turn_are_due_too(tmp_path: Path) -> None:
    """An attempt is ended just when others may take its task; and a remote that is away may come
    back."""
    place = Place(tmp_path, shared=True)
    assert place.remote is not None
    lives: dict[str, LiveStatus] = {}
    heart = HeartbeatThread(place.project, place.remote, lambda: lives, lambda: None)
    idle = _idle(place, heart=heart)

    def due(*, busy: bool = True) -> float | None:
        return idle.next_wakeup(place.board, NOW, busy=busy, may_claim=True)

    assert due() == SLOW_POLL and due(busy=False) is None
    heart.offline = "origin does not answer"
    assert due(busy=False) == SLOW_POLL
    lives[nonce(1)] = LiveStatus("app", Role.WORK, "shell", 1)
    heart.own.arrived(boot_seconds() - heart.own.lease + 9.0, [nonce(1)])
    lease = due()
    assert lease is not None and 0 < lease <= 9.0
    for _ in range(8):
        place.remote.pace.looked(0.5)
        place.remote.pace.pushed(0.5)
    place.remote.pace.begun()
    turn = due()
    assert turn is not None and 0 < turn < 6


@pytest.mark.parametrize(
    ("tree", "options", "status", "named"),
    [
        (READY, Options(), IDLE_DONE, ""),
        ({}, UNTIL_IDLE, IDLE_DONE, ""),
        (NOT_BEFORE, UNTIL_IDLE, IDLE_DONE, ""),
        (NOT_BEFORE, Options(once="app"), IDLE_WAITS, "tasks=app "),
        (BLOCKED_BY_QUESTION, UNTIL_IDLE, IDLE_WAITS, "tasks=app "),
        (READY, UNTIL_IDLE, IDLE_WAITS, "tasks=app "),
        (READY | logged("app", "landed"), Options(once="app"), IDLE_DONE, ""),
        (
            tasks(*"abcdefg", base="nowhere"),
            UNTIL_IDLE,
            IDLE_WAITS,
            'tasks="a, b, c, d, e and 2 more" ',
        ),
    ],
)
def test_the_exit_status_says_whether_something_is_left(
    tmp_path: Path, tree: Mapping[str, bytes], options: Options, status: int, named: str
) -> None:
    """And the log names it: what waits for a person, and what nobody here could do."""
    place = Place(tmp_path, tree)
    assert _idle(place, options).exit_status() == status
    assert [named in line for line in place.lines if " unfinished " in line] == [True] * bool(named)
