"""What cannot land waits, with its reason, until what is in its way may have changed."""

from __future__ import annotations

import pytest

from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.event_log import Action
from gitfleet.landing.blocked import BlockedBy, BlockedLandings
from gitfleet.model.change import Move
from gitfleet.model.states import Outcome, Status
from tests.conftest import no_conflict
from tests.landing.kit import Bench


@pytest.fixture
def waiting(bench: Bench) -> Bench:
    """Accepted work that would overwrite a person's file."""
    (bench.project.path / "one.txt").write_text("mine\n")
    bench.submit()
    assert bench.validate().outcome is Outcome.ACCEPTED
    return bench


def test_it_stays_accepted_with_the_reason(waiting: Bench) -> None:
    """On the board, in the log, and for the scheduler; nothing has moved."""
    reason = waiting.blocked.reasons()["one"]
    assert "one.txt" in reason and waiting.last().reason == reason
    assert waiting.status().status is Status.ACCEPTED and waiting.landed() is None
    assert len(waiting.project.told(Action.BLOCKED)) == 1
    assert (waiting.project.path / "one.txt").read_text() == "mine\n"


def test_it_is_looked_at_again_and_logged_once(waiting: Bench) -> None:
    """As often as the runner looks, while nothing has changed."""
    assert waiting.blocked.reasons() == waiting.blocked.reasons() != {}
    waiting.validate()
    assert len(waiting.project.told(Action.BLOCKED)) == 1


def test_a_checkout_that_is_free_again_lets_it_land(waiting: Bench) -> None:
    """Then it is blocked no more, and if that happens again it is logged again."""
    (waiting.project.path / "one.txt").unlink()
    assert waiting.blocked.reasons() == {}
    (waiting.project.path / "one.txt").write_text("mine\n")
    waiting.validate()
    assert len(waiting.project.told(Action.BLOCKED)) == 2
    (waiting.project.path / "one.txt").unlink()
    waiting.validate()
    assert waiting.landed() is not None and waiting.blocked.reasons() == {}


def test_a_target_that_moved_lets_it_be_tried(waiting: Bench) -> None:
    """What was in the way of one move need not be in the way of another."""
    waiting.commit({"since.txt": b"x\n"})
    assert waiting.blocked.reasons() == {}


def test_a_server_that_refused_is_asked_again_after_a_while(bench: Bench) -> None:
    """Its rules cannot be seen from here; five minutes later they may be others."""
    now = [0.0]
    fleet = bench.fleet
    tip = bench.tip()
    backend = RemoteBackend(
        bench.project.repo, "fleet", "origin", fleet.store.signature, no_conflict
    )
    fleet.store.backend = backend
    (bench.project.repo.common / "refs/remotes/origin").mkdir(parents=True)
    (bench.project.repo.common / "refs/remotes/origin/main").write_text(f"{tip}\n")
    blocked = BlockedLandings(fleet, clock=lambda: now[0])
    by = BlockedBy(
        "origin rejected the push to main: protected", Move("refs/heads/main", tip, "1" * 40)
    )
    blocked.add("one", by)
    assert blocked.reasons() == {"one": by.reason}
    now[0] = 299.0
    assert blocked.reasons() == {"one": by.reason}
    now[0] = 300.0
    assert blocked.reasons() == {}


def test_what_is_blocked_anew_meanwhile_stays_blocked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at an older reason drops no newer one."""
    tip, commit = bench.tip(), bench.tip("fleet")
    old = BlockedBy("old", Move("refs/heads/main", commit, tip))  # the target is elsewhere
    new = BlockedBy("new", Move("refs/heads/main", tip, tip))
    bench.blocked.add("one", old)
    tip_of = bench.fleet.store.backend.tip_of

    def meanwhile(branch: str) -> str | None:
        bench.blocked.add("one", new)
        return tip_of(branch)

    monkeypatch.setattr(bench.fleet.store.backend, "tip_of", meanwhile)
    assert bench.blocked.reasons() == {"one": "new"}


def test_what_landed_is_dropped(bench: Bench) -> None:
    """Also where it was never blocked."""
    bench.blocked.drop("one")
    bench.blocked.add("one", BlockedBy("x", Move("refs/heads/main", bench.tip(), bench.tip())))
    bench.blocked.drop("one")
    assert bench.blocked.reasons() == {}


def test_what_is_blocked_again_after_it_landed_is_logged_again(bench: Bench) -> None:
    """Retried work can meet the same obstacle; a person must hear of it each time."""
    by = BlockedBy("x", Move("refs/heads/main", bench.tip(), bench.tip()))
    for _ in range(2):
        bench.blocked.add("one", by)
        bench.blocked.add("one", by)
        bench.blocked.drop("one")
    assert len(bench.project.told(Action.BLOCKED)) == 2
