"""How long runners wait for each other."""

from __future__ import annotations

import pytest

from gitfleet.board.fairness import ClaimThrottle


class Clock:
    """The monotonic clock, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of these tests."""
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


@pytest.fixture(params=[0.0, 1.0])
def chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Every random number is the least it may be, or the most."""
    at: float = request.param
    monkeypatch.setattr("random.uniform", lambda low, high: low + at * (high - low))
    return at


def _pace(takes: float, *others: str) -> ClaimThrottle:
    """Of a runner whose looks and pushes take so long, and that has met these."""
    pace = ClaimThrottle()
    pace.looked(takes)
    pace.pushed(takes)
    for name in others:
        pace.saw_writer(name)
    return pace


def test_who_is_alone_waits_for_few_and_in_a_crowd_for_all(chance: float) -> None:
    """The pause grows with those who were seen on the board, and has an end."""
    alone, crowd, slow = _pace(0.1), _pace(0.1, "a", "b", "c"), _pace(30.0)
    assert alone.left() == 0 and not alone.crowded() and crowd.crowded()
    for pace in (alone, crowd, slow):
        pace.begun()
    spread = 0.7 + 0.6 * chance
    assert alone.left() == pytest.approx(0.8 * spread)
    assert crowd.left() == pytest.approx(3.2 * spread)
    assert slow.left() == pytest.approx(15 * spread)


def test_what_is_usual_counts(chance: float) -> None:
    """One look that hung, or one that brought nothing, tells nothing of the others."""
    pace = _pace(0.1)
    for seconds in (0.1, 0.1, 60.0, 0.001):
        pace.looked(seconds)
    pace.begun()
    assert pace.left() == pytest.approx(0.8 * (0.7 + 0.6 * chance))


def test_after_a_loss_the_wait_doubles_until_all_would_be_served() -> None:
    """From half of what a try takes; who has lost often does not always come after the others."""
    alone, crowd, slow = _pace(0.5), _pace(0.5, *"abcdefg"), _pace(60.0, *"abcdefg")
    assert [crowd.patience(losses) for losses in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert crowd.patience(1000) == slow.patience(1) == 4.0
    assert alone.patience(50) == pytest.approx(2.1)
    assert ClaimThrottle().patience(1) == 0.1
    assert ClaimThrottle(most_patient=0.5).patience(1000) == 0.1


def test_the_first_turn_waits_in_a_crowd_only(chance: float) -> None:
    """All machines come back at once after a power cut; two colleagues never wait for that."""
    few, many = _pace(0.1), _pace(0.1)
    for pace, others in ((few, 3), (many, 17)):
        pace.heard({})
        pace.heard({f"runner-{n}": "1" for n in range(others)})
    assert few.left() == 0
    assert many.left() == pytest.approx(chance * 5.6)


def test_who_beats_no_more_is_not_there(chance: float, clock: Clock) -> None:
    """A heartbeat stays on the remote; it is its change that is a sign of life."""
    pace = _pace(0.1)
    pace.heard({f"runner-{n}": "1" for n in range(17)})  # perhaps of last year
    assert pace.left() == 0
    pace = _pace(0.1)
    for mark in "12":
        pace.heard({f"runner-{n}": mark if n < 5 else "1" for n in range(17)})
    assert pace.left() == pytest.approx(chance * 0.8)
    clock.now += 100
    assert pace.patience(1000) == pytest.approx(0.5)
