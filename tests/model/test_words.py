"""The small things everything else is made of: ids, durations, moments, the words for states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.model.board import Entry, Problem
from gitfleet.model.durations import clock, later, seconds, spoken
from gitfleet.model.event import Decision, Event
from gitfleet.model.ids import is_id, new_id, slug
from gitfleet.model.states import (
    ATTEMPT_KINDS,
    COUNTS,
    HOPELESS,
    OWN_LIMITS,
    PERSON_KINDS,
    RESTS,
    RUNNER_KINDS,
    SAYS_NOTHING,
    VERDICTS,
    Counter,
    Kind,
    Outcome,
)

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "word", ["a", "0", "fix-login", "fix_login", "0777", "null", "a" * 64, "com"]
)
def test_these_are_ids(word: str) -> None:
    """Small letters, digits, - and _, one to 64 of them."""
    assert is_id(word)


@pytest.mark.parametrize(
    "word",
    ["", "-a", "_a", "A", "a.b", "a/b", "a b", "a\n", "\na", "ä", "a" * 65, "con", "aux", "nul",
     "prn", "com0", "com9", "lpt1", "..", "a\x00", "\u0661"],
)  # fmt: skip
def test_these_are_none(word: str) -> None:
    """What cannot be a file name or a ref name everywhere is no id, matched whole."""
    assert not is_id(word)


@given(st.text(max_size=80))
def test_any_title_makes_an_id(title: str) -> None:
    """Whatever a task is called, an id can be made of it, with and without a suffix."""
    assert is_id(slug(title))
    assert is_id(new_id(title, "7f3a"))


@pytest.mark.parametrize("device", ["con", "NUL", "Com1", "LPT9", "aux!"])
def test_no_title_makes_the_name_of_a_device(device: str) -> None:
    """A title such as "Con" makes another id than one Windows cannot check out."""
    assert is_id(slug(device))


@pytest.mark.parametrize(
    ("text", "number"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1d", 86400), ("0s", 0)]
)
def test_durations(text: str, number: float) -> None:
    """A number and a unit."""
    assert seconds(text) == number


@pytest.mark.parametrize(
    "text", ["", "5", "m", "1.5h", "5 m", "-5m", "5M", "5m\n", "1234567s", "\u0663s"]
)
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused rather than guessed."""
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0s"), (-3, "0s"), (59.4, "59s"), (59.6, "1m"), (200, "3m 20s"), (7200, "2h"),
     (7500, "2h 5m"), (86400, "1d 0h"), (349200, "4d 1h")],
)  # fmt: skip
def test_durations_as_people_read_them(number: float, text: str) -> None:
    """Two units at most."""
    assert spoken(number) == text


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)), st.floats(0, 1e12))
def test_time_never_overflows(at: datetime, pause: float) -> None:
    """However far off a file sets a moment, adding to it and telling it are no errors."""
    assert later(at, pause) >= at or later(at, pause).year == 9999
    assert clock(at)


def test_moments_are_told_in_utc() -> None:
    """A moment of another zone is told as what it is in UTC, the first and last as they are."""
    assert clock(NOON.astimezone(timezone(timedelta(hours=5)))) == "2026-12-01 12:00:00 UTC"
    edge = datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))
    assert clock(edge).startswith("9999-12-31 23:59:59")


def test_every_outcome_has_one_meaning() -> None:
    """An outcome is a verdict, hopeless, counted, or counts nothing; each counter has a limit."""
    assert not HOPELESS & COUNTS.keys()
    assert not HOPELESS & VERDICTS
    assert {*OWN_LIMITS, Counter.ATTEMPTS} == set(Counter)
    assert (OWN_LIMITS[Counter.INTERRUPTIONS], OWN_LIMITS[Counter.CONTEXTS]) == (5, 3)
    assert OWN_LIMITS[Counter.CONFLICTS] == 3
    free = set(Outcome) - COUNTS.keys() - HOPELESS - VERDICTS
    assert free == {"submitted", "asked", *RESTS, "cancelled", "target-red"}
    assert {"limited", "auth-failed"} == RESTS
    assert not RESTS & SAYS_NOTHING


def test_every_kind_has_one_kind_of_writer() -> None:
    """An event is of people or of runners, never of both."""
    assert set(Kind) == PERSON_KINDS | RUNNER_KINDS
    assert not PERSON_KINDS & RUNNER_KINDS
    assert ATTEMPT_KINDS < RUNNER_KINDS


def test_events_are_ordered_by_number_as_a_number() -> None:
    """1000 comes after 999, and two of one number are ordered by name."""
    said = Decision(at=NOON)
    names = [
        Event("a", number, Kind.NOTE, suffix, said)
        for number, suffix in ((1000, "0000"), (999, "ffff"), (999, "0000"))
    ]
    assert [e.name for e in sorted(names, key=lambda e: e.order)] == [
        "999-note-0000.yaml", "999-note-ffff.yaml", "1000-note-0000.yaml",
    ]  # fmt: skip


def test_what_an_entry_knows() -> None:
    """The current events begin after the last `retry`; numbers go on over all time."""
    said = Decision(at=NOON)
    kinds = (Kind.CANCEL, Kind.RETRY, Kind.HOLD)
    events = tuple(Event("a", n, kind, "abcd", said) for n, kind in enumerate(kinds, 1))
    entry = Entry(id="a", events=events)
    assert [e.kind for e in entry.current] == [Kind.HOLD]
    assert entry.last(Kind.CANCEL) is None and entry.next_number == 4
    assert entry.gone and entry.title == "a" and entry.next_attempt == 1
    assert Entry(id="a").next_number == 1


def test_a_problem_reads_as_compilers_have_it() -> None:
    """path:line:column, what is wrong, and in brackets what to do."""
    assert str(Problem("a.md", 2, 3, "no", "do")) == "a.md:2:3: no (do)"
    assert str(Problem("a.md", 2, 3, "no")) == "a.md:2:3: no"
