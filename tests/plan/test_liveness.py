"""What a coder does, and whether it must end, from what was seen of it alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.model.durations import spoken
from gitfleet.model.event import Tokens
from gitfleet.model.task import Budget
from gitfleet.plan.budget import Spent
from gitfleet.plan.liveness import (
    Limit,
    LivenessLimits,
    Observation,
    abandoned_for,
    state_of,
    why_kill,
)

LIMITS = LivenessLimits(
    attempt=7200,
    first_event=300,
    silence=900,
    tool=3600,
    context=90,
    budget=Budget(usd=2.0),
    before=Spent(1.5, 0),
)
WELL = Observation(elapsed=600, quiet=5, idle=5, heard=True)


def of(**keys: object) -> Observation:
    return Observation(**{**{f: getattr(WELL, f) for f in WELL.__struct_fields__}, **keys})


@pytest.mark.parametrize(
    ("signs", "limit", "reason"),
    [
        (WELL, None, ""),
        (of(heard=False, elapsed=299), None, ""),
        (of(heard=False, elapsed=300, quiet=300), Limit.STALL, "it reported nothing"),
        (of(quiet=900, idle=900), Limit.STALL, "it was silent for 15m"),
        # A tool may work in silence for longer; so may what uses the processor.
        (of(quiet=900, idle=900, tool="Bash", tool_for=900), None, ""),
        (of(quiet=900, idle=3), None, ""),
        (of(quiet=3600, idle=3600, tool="Bash"), Limit.STALL, "Bash ran without output"),
        (of(quiet=3600, idle=3), Limit.STALL, "it worked without output for 1h"),
        (of(elapsed=7200), Limit.TIME, "longer than 2h"),
        # What the task had cost before counts.
        (of(usd=0.5), None, ""),
        (of(usd=0.6), Limit.BUDGET, "2.00 USD is used up"),
        (of(used=899, window=1000), None, ""),
        (of(used=900, window=1000), Limit.CONTEXT, "900 of 1000 tokens"),
        (of(used=900), None, ""),
        # A coder that waits for its own limit must not hold a slot through it.
        (of(retrying=True, rests=59), None, ""),
        (of(retrying=True, rests=60), Limit.STALL, "its limit lasts too long"),
        (of(rests=3600), None, ""),
        (of(retrying=True, refused=True), Limit.STALL, "its key was refused"),
    ],
)
def test_each_limit_has_its_name(signs: Observation, limit: Limit | None, reason: str) -> None:
    """What was seen decides, and the reason says what it was."""
    found = why_kill(LIMITS, signs)
    assert (found.limit if found else None) is limit
    assert found is None or reason in found.reason


def test_a_coder_that_speaks_no_protocol_is_not_waited_for() -> None:
    """Nothing is read of a program's plain text, so its first event never comes."""
    limits = LivenessLimits(attempt=7200, first_event=0, silence=900, tool=3600, context=90)
    assert why_kill(limits, of(heard=False, elapsed=600)) is None
    assert state_of(limits, of(heard=False)) == "active"


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        (WELL, "active"),
        (of(heard=False), "starting"),
        (of(tool="Bash", tool_for=12), "in tool Bash for 12s"),
        (of(retrying=True, tool="Bash"), "limited"),
        (of(idle=60), "waiting"),
        (of(idle=300), "silent"),
    ],
)
def test_a_state_in_a_few_words(signs: Observation, state: str) -> None:
    """What people see of an agent says what it does just now."""
    assert state_of(LIMITS, signs) == state


_TIMES = st.floats(0, 1e6)


@given(
    st.builds(
        Observation,
        elapsed=_TIMES,
        quiet=_TIMES,
        idle=_TIMES,
        heard=st.booleans(),
        tool=st.sampled_from(["", "Bash"]),
        tool_for=_TIMES,
        retrying=st.booleans(),
        refused=st.booleans(),
        rests=_TIMES,
        tokens=st.builds(Tokens, input=st.integers(0, 10**9)),
        usd=st.none() | st.floats(0, 1e6),
        used=st.none() | st.integers(0, 10**9),
        window=st.none() | st.integers(0, 10**9),
    )
)
def test_whatever_is_seen_is_judged(signs: Observation) -> None:
    """Total: there is a state for everything, and every end has a reason."""
    assert state_of(LIMITS, signs)
    found = why_kill(LIMITS, signs)
    assert found is None or found.reason


def test_a_run_that_no_runner_renewed_was_abandoned() -> None:
    """Its supervisor ended it; a person reads for how long nobody came."""
    hit = abandoned_for(90)
    assert hit.limit is Limit.LEASE and spoken(90) in hit.reason
