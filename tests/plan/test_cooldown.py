"""Which coders rest on which runner, and until when, as the log on the board tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.event import Decision, Event
from gitfleet.model.states import RESTS, SAYS_NOTHING, Kind, Outcome
from gitfleet.plan.cooldown import Cooldown, cooldown_anywhere, cooldowns
from tests.plan.kit import FLEET, NOW, attempt, board, claimed, tasks

AGES = datetime.max.replace(tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


class Log:
    """The logs of some tasks, written attempt by attempt; times are seconds ago."""

    def __init__(self) -> None:
        self.tree: dict[str, bytes] = {}
        self.numbers: dict[str, int] = {}

    def _add(self, task: str, kind: Kind, content: Any) -> Log:
        number = self.numbers[task] = self.numbers.get(task, 0) + 1
        event = Event(task, number, kind, f"{number:04x}", content)
        self.tree[layout.event_path(task, event.name)] = codec.write(content)
        self.tree |= tasks(task)
        return self

    def made(self, outcome: str, began: float, ended: float, task: str = "app", **more: Any) -> Log:
        number = len(self.tree) + 1
        times = {"started": ago(began), "ended": ago(ended)}
        return self._add(task, Kind.WORK, attempt(outcome, number, **(times | more)))

    def retry(self, at: float, task: str = "app") -> Log:
        return self._add(task, Kind.RETRY, Decision(at=ago(at)))

    def read(self, *more: dict[str, bytes], fleet: bytes = FLEET) -> Board:
        return board(self.tree, *more, fleet=fleet)

    def rest(self, now: datetime = NOW, fleet: bytes = FLEET) -> Cooldown | None:
        """Of `shell` on `box`."""
        return cooldowns(self.read(fleet=fleet), "box", now).get("shell")

    def pause(self) -> float | None:
        """Seconds of its rest from the last attempt's end on, which is now."""
        rest = self.rest()
        return (rest.until - NOW).total_seconds() if rest else None


def in_a_row(outcome: str, times: int) -> Log:
    log = Log()
    for number in range(times, 0, -1):
        log.made(outcome, number * 10.0 - 5, (number - 1) * 10.0)
    return log


def test_a_limit_that_tells_its_reset_rests_until_then() -> None:
    """On the runner that saw it, and on no other: an account is a matter of a machine."""
    until = NOW + timedelta(hours=5)
    log = Log().made("limited", 60, 1, until=until, reason="usage limit reached")
    rest = log.rest()
    assert rest is not None and rest.until == until and not rest.refused
    assert str(rest) == (
        "shell is limited on box until 2026-12-01 17:00:00 UTC: usage limit reached"
    )
    assert cooldowns(log.read(), "other", NOW) == {}
    assert log.rest(until) is None


def test_without_a_reset_the_pauses_grow() -> None:
    """10 s, 20 s … up to an hour: so it is for a server that is overloaded, too."""
    pauses = [in_a_row("limited", times).pause() for times in (1, 2, 3, 8, 9, 10, 80)]
    assert pauses == [10, 20, 40, 1280, 2560, 3600, 3600]


def test_a_refused_key_is_tried_seldom() -> None:
    """Five minutes, then ten, up to an hour: a person has to mend it."""
    rests = [in_a_row("auth-failed", times) for times in (1, 2, 4, 5, 30)]
    assert [log.pause() for log in rests] == [300, 600, 2400, 3600, 3600]
    rest = rests[0].rest()
    assert rest is not None and rest.refused
    assert str(rest).startswith("shell's key was refused on box, next try at 2026-12-01 12:05:00")


def test_a_reset_that_has_passed_still_makes_a_pause() -> None:
    """A coder that tells a reset in the past is not asked again and again without a pause."""
    assert Log().made("limited", 60, 0, until=ago(600)).pause() == 10
    twice = Log().made("limited", 60, 30, until=ago(30)).made("limited", 20, 0, until=ago(0))
    assert twice.pause() == 20
    hasty = FLEET + b"backoff: {initial: 0s}\n"
    rest = Log().made("limited", 60, 0).rest(fleet=hasty)
    assert rest is not None and rest.until > NOW


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in RESTS | SAYS_NOTHING])
def test_whoever_ended_otherwise_is_not_limited(outcome: Outcome) -> None:
    """An attempt that was begun after it and got somewhere ends the series."""
    log = in_a_row("limited", 3).made(outcome, 0, 0)
    assert log.rest() is None
    again = Log().made("limited", 90, 80).made(outcome, 70, 60).made("limited", 50, 0)
    assert again.pause() == 10


@pytest.mark.parametrize("outcome", sorted(SAYS_NOTHING))
def test_what_somebody_else_ended_says_nothing(outcome: Outcome) -> None:
    """An attempt that was interrupted, or ended before its coder spoke, changes no rest."""
    log = Log().made("limited", 60, 5, until=AGES).made(outcome, 4, 0)
    rest = log.rest()
    assert rest is not None and (rest.until, rest.times) == (AGES, 1)


def test_what_ran_at_once_counts_once() -> None:
    """Three that meet the limit together are one meeting; the latest reset of them counts."""
    until = NOW + timedelta(hours=1)
    log = Log().made("limited", 90, 3, "a", until=until)
    log.made("limited", 90, 2, "b").made("limited", 90, 1, "c").made("submitted", 90, 0, "d")
    rest = log.rest()
    assert rest is not None and (rest.times, rest.until) == (1, until)


def test_retry_ends_the_rest_of_whom_the_task_is_for() -> None:
    """After a person mended the key they try a task again: then all before is forgotten."""
    log = Log().made("auth-failed", 60, 50, "a").made("auth-failed", 59, 49, "b")
    assert log.rest() is not None
    assert log.retry(40, "b").rest() is None
    assert log.made("auth-failed", 30, 20, "b").rest() is not None  # not mended, after all
    fresh = Log().made("auth-failed", 60, 50, "a").retry(40, "new")
    assert fresh.rest() is None
    mine = Log().made("auth-failed", 60, 50, "a", coder="mine").retry(40, "new")
    assert cooldowns(mine.read(), "box", NOW)["mine"].refused  # `new` is for shell alone


def test_a_clock_ahead_does_not_try_without_end() -> None:
    """A person whose clock is a day ahead lifts what lies before in that log, and no more."""
    log = Log().made("auth-failed", 60, 50).retry(-86400)
    assert log.rest() is None
    log.made("auth-failed", 40, 30, "b")
    assert log.rest() is not None
    late = Log().made("auth-failed", 60, 50).retry(86400)  # and one behind lifts what it saw
    assert late.rest() is None


def test_the_board_knows_when_a_clock_ahead_is_reached() -> None:
    """The answer of one board for a later moment is the same as if it was asked then first."""
    log = Log().made("auth-failed", 60, 50).made("limited", 59, 49, "b", until=AGES)
    log.retry(-100)
    found = log.read()
    assert cooldowns(found, "box", NOW)["shell"].until == AGES
    later = NOW + timedelta(seconds=101)
    assert cooldowns(found, "box", later) == cooldowns(log.read(), "box", later) == {}
    assert cooldowns(found, "box", NOW)["shell"].until == AGES


def test_the_board_as_a_whole_looks_at_all_runners() -> None:
    """A coder rests for the board unless another runner works with it, or has since."""
    log = Log().made("limited", 60, 50, until=AGES)
    assert cooldown_anywhere(log.read(), "shell", NOW) is not None
    assert cooldown_anywhere(log.read(claimed("app", runner="far")), "shell", NOW) is None
    assert cooldown_anywhere(log.read(claimed("app", runner="box")), "shell", NOW) is not None
    log.made("submitted", 300, 200, "b", runner="old")
    assert cooldown_anywhere(log.read(), "shell", NOW) is not None  # that was before
    log.made("failed", 40, 30, "c", runner="far")
    assert cooldown_anywhere(log.read(), "shell", NOW) is None
    log.made("limited", 20, 10, "d", runner="far", until=NOW + timedelta(minutes=1))
    rest = cooldown_anywhere(log.read(), "shell", NOW)
    assert rest is not None and rest.runner == "far"  # whichever ends first
    assert cooldown_anywhere(log.read(), "other", NOW) is None


MADE = st.lists(
    st.tuples(
        st.sampled_from(list(Outcome)),
        st.integers(0, 10**6),
        st.integers(0, 10**6),
        st.sampled_from(["app", "b"]),
        st.sampled_from(["box", "far"]),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.booleans(),
    ),
    max_size=12,
)


@given(MADE, st.datetimes(timezones=st.just(UTC)) | st.just(NOW))
def test_whatever_the_log_holds_a_rest_lies_ahead(made: list[Any], now: datetime) -> None:
    """Any log at any moment: every rest ends later, and is of a coder that was limited there."""
    log = Log()
    for outcome, began, ended, task, runner, until, retried in made:
        log.made(outcome, began, ended, task, runner=runner, until=until)
        if retried:
            log.retry(ended, task)
    found = log.read()
    for runner in ("box", "far"):
        for coder, rest in cooldowns(found, runner, now).items():
            assert coder == "shell" and rest.runner == runner and rest.until > now
            assert any(o in RESTS and r == runner for o, _, _, _, r, _, _ in made)
            assert rest.times >= 1 and str(rest)


def test_checks_alone_never_cool_down() -> None:
    """They have no account: whatever ended an attempt without a coder, the next may start."""
    log = Log().made("limited", 20, 0, coder="").made("limited", 20, 0, task="b")
    assert set(cooldowns(log.read(), "box", NOW)) == {"shell"}
