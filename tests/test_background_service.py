"""A background service is supervised: it retries, reports its health, and stops in time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitfleet.background_service import BackgroundService, FailedRound, failure_of
from gitfleet.errors import FleetError
from gitfleet.event_log import Action, EventLog

LONG = 3600.0  # seconds; a test that waits for it never ends


class Rounds:
    """Rounds that a test lets go one by one, and whose results it chooses."""

    def __init__(self) -> None:
        self.began: queue.Queue[int] = queue.Queue()
        self.results: queue.Queue[float | Exception] = queue.Queue()
        self.number = 0

    def __call__(self) -> float:
        self.number += 1
        self.began.put(self.number)
        result = self.results.get(timeout=60)
        if isinstance(result, Exception):
            raise result
        return result

    def let(self, *results: float | Exception) -> None:
        """Let rounds end with these, one after the other."""
        for result in results:
            self.began.get(timeout=60)
            self.results.put(result)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def report(lines: list[str]) -> EventLog:
    return EventLog(lines.append)


def _until(true: Callable[[], bool]) -> None:
    """Wait for something that another thread does in the next moment."""
    end = threading.Event()
    for _ in range(60_000):
        if true():
            return
        end.wait(0.001)
    pytest.fail("it did not come to be")


def test_rounds_come_when_they_are_due_and_when_it_is_woken(report: EventLog) -> None:
    """A wake counts also if it comes during a round: the next round follows at once."""
    rounds = Rounds()
    service = BackgroundService("tide", rounds, report)
    service.start()
    rounds.let(0.0)
    rounds.began.get(timeout=60)
    service.wake()
    rounds.results.put(LONG)
    rounds.let(LONG)
    service.wake()
    rounds.let(LONG)
    service.stop()
    assert rounds.number == 4 and not service.health.running


def test_a_failure_is_logged_once_until_it_is_over(report: EventLog, lines: list[str]) -> None:
    """Under one key: the same failure again adds no line, and after a recovery it does."""
    rounds = Rounds()
    service = BackgroundService("tide", rounds, report, first_pause=0.0)
    service.start()
    gone = FleetError("the sea is away", remedy="Wait.")
    rounds.let(gone, gone, 0.0, gone)
    rounds.began.get(timeout=60)
    failing = [line.split(" ", 1)[1] for line in lines]
    assert failing == ['error doing=tide reason="the sea is away" remedy=Wait.'] * 2
    service.end()
    rounds.results.put(LONG)
    service.join(60)


def test_health_tells_since_when_it_fails_and_of_the_last_round(report: EventLog) -> None:
    """Since the first failure of a row; a round that goes well clears it."""
    results: list[float | Exception] = []

    def round() -> float:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    service = BackgroundService("tide", round, report)
    fresh = service.health
    assert fresh.last_round is None and fresh.failing_since is None
    results[:] = [1.0, OSError(28, "No space left on device"), FleetError("low", remedy="Pump.")]
    assert service.attempt()
    good = service.health.last_round
    assert good is not None
    assert not service.attempt()
    first = service.health
    assert first.failing_since is not None and first.failing_since >= good
    assert "No space left" in first.error and first.last_round == good
    assert not service.attempt()
    second = service.health
    assert (second.failing_since, second.error) == (first.failing_since, "low")
    assert second.remedy == "Pump." and not second.running
    results[:] = [1.0]
    assert service.attempt()
    well = service.health
    assert well.failing_since is None and well.error == ""


def test_pauses_grow_and_only_the_end_shortens_them(report: EventLog) -> None:
    """A remote that fails is not asked at every event; a runner that ends need not wait."""
    rounds = Rounds()
    service = BackgroundService("tide", rounds, report, first_pause=LONG)
    service.start()
    rounds.let(FleetError("away"))
    _until(lambda: service.failing)
    service.wake()
    service.stop()
    assert rounds.number == 1 and not service.health.running


@pytest.mark.parametrize(
    ("failures", "retry_after", "pause"), [(1, 0, 5), (2, 0, 10), (3, 0, 12), (1, 60, 60)]
)
def test_a_pause_doubles_up_to_its_limit(
    report: EventLog, failures: int, retry_after: float, pause: float
) -> None:
    """Or lasts as long as the other side asked for."""

    def round() -> float:
        raise FleetError("away")

    service = BackgroundService(
        "tide",
        round,
        report,
        last_pause=12.0,
        failure=lambda _error: FailedRound(Action.OFFLINE, {"reason": "away"}, retry_after),
    )
    for _ in range(failures):
        service.attempt()
    assert service._next == pause


def test_a_bug_ends_neither_the_thread_nor_its_wording(
    report: EventLog, lines: list[str], tmp_path: Path
) -> None:
    """Any exception is a failed round; the traceback of a bug is on disk."""

    def wording(_error: Exception) -> FailedRound:
        raise ZeroDivisionError("in the wording")

    rounds = Rounds()
    service = BackgroundService(
        "tide", rounds, report, failure=wording, first_pause=0.0, traces=tmp_path
    )
    service.start()
    rounds.let(KeyError("bug"), LONG)
    service.stop()
    (line,) = lines
    assert "ZeroDivisionError" in line and f"trace={tmp_path}/error-tide.txt" in line
    assert "KeyError: 'bug'" in (tmp_path / "error-tide.txt").read_text()


def test_a_thread_that_died_is_no_healthy_service(
    report: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should anything end it all the same, its health names it."""
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)

    def round() -> float:
        raise SystemExit

    service = BackgroundService("tide", round, report)
    service.start()
    service.join(60)
    assert service.health.error == "its thread died" and not service.health.running
    assert service.health.failing_since is not None


def test_the_goodbye_comes_last_and_in_the_thread(report: EventLog, lines: list[str]) -> None:
    """Once, after the last round; where it fails, that is logged."""
    seen: list[str] = []

    def goodbye() -> None:
        seen.append(threading.current_thread().name)
        raise FleetError("nobody waved")

    def round() -> float:
        seen.append("round")
        return LONG

    service = BackgroundService("tide", round, report, goodbye=goodbye)
    service.start()
    _until(lambda: bool(seen))
    service.stop()
    assert seen == ["round", "tide"] and "nobody waved" in lines[0]


def test_a_service_that_is_ended_before_its_start_only_says_goodbye(report: EventLog) -> None:
    """No round is begun that nobody waits for."""
    seen: list[str] = []

    def round() -> float:
        seen.append("round")
        return LONG

    def goodbye() -> None:
        seen.append("goodbye")

    service = BackgroundService("tide", round, report, goodbye=goodbye)
    service.stop()  # it was never started: there is nothing to wait for
    service.start()
    service.join(60)
    assert seen == ["goodbye"]


@pytest.mark.parametrize("giving_up", [False, True])
def test_an_end_waits_no_longer_than_its_farewell(report: EventLog, giving_up: bool) -> None:
    """A round that hangs does not keep the runner; one that gives up waits hardly at all."""
    gate, hurry = threading.Event(), threading.Event()
    if giving_up:
        hurry.set()

    def round() -> float:
        gate.wait(60)
        return LONG

    service = BackgroundService(
        "tide", round, report, farewell=LONG if giving_up else 0.01, giving_up=hurry
    )
    service.start()
    service.stop()
    assert service.health.running
    gate.set()
    service.join(60)
    assert not service.health.running


def test_a_log_that_nobody_reads_delays_no_service_that_works() -> None:
    """One service hangs in its log line; another renews its leases all the same."""
    full, stuck = threading.Event(), threading.Event()

    def sink(_line: str) -> None:
        stuck.set()
        full.wait(60)

    report, rounds = EventLog(sink), Rounds()

    def broken() -> float:
        raise FleetError("away")

    slow = BackgroundService("slow", broken, report)
    quick = BackgroundService("quick", rounds, report)
    slow.start()
    assert stuck.wait(60)
    quick.start()
    rounds.let(0.0, 0.0, 0.0, LONG)
    full.set()
    slow.stop()
    quick.stop()


def test_spacing_holds_rounds_apart(report: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is woken: a busy board moves many times a second. The end need not wait."""
    rounds = Rounds()
    service = BackgroundService("tide", rounds, report, spacing=LONG)
    service.start()
    rounds.let(LONG)
    for _ in range(9):
        service.wake()
    service.stop()
    assert rounds.number == 1 and not service.health.running


def test_an_error_is_worded_with_its_remedy() -> None:
    """As everywhere: what is wrong, and what to do; an error of the system by its own words."""
    known = failure_of(FleetError("the sea is away", remedy="Wait."), doing="x")
    assert known.fields == {"doing": "x", "reason": "the sea is away", "remedy": "Wait."}
    assert failure_of(OSError(28, "No space")).text == "[Errno 28] No space"
    assert failure_of(KeyError("k")).text == "KeyError('k')"
