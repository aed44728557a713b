"""Every claim of a runner is in one of five states."""

from __future__ import annotations

from itertools import product

import pytest

from gitfleet.plan.claim_state import ClaimsKnown, ClaimState, claim_state

N, TASK = "0" * 32, "map"


def _known(given: str) -> ClaimsKnown:
    """What a runner knows of the claim: letters for running, pending, started, former, busy and
    draining; a dot where that is not so."""
    flags = dict(zip("rpsfbd", given, strict=True))
    nonce = {key: (N,) if flags[key] != "." else () for key in "rpsf"}
    return ClaimsKnown(
        running=nonce["r"],
        pending=nonce["p"],
        started=nonce["s"],
        former=nonce["f"],
        busy=(TASK,) if flags["b"] != "." else (),
        draining=flags["d"] != ".",
    )


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ("rps.b.", ClaimState.RUNNING),
        ("rp.fb.", ClaimState.RUNNING),  # taken up again from a former life
        ("rps.bd", ClaimState.RUNNING),  # draining lets it finish
        ("r.s.b.", ClaimState.RUNNING),  # its nonce was just dropped; its thread is about to end
        (".p....", ClaimState.LATE),
        (".p..b.", ClaimState.POSTPONED),  # a former attempt still ends in its workspace
        (".p...d", ClaimState.POSTPONED),
        (".ps...", ClaimState.DEAD),
        (".ps.b.", ClaimState.DEAD),
        (".p.f..", ClaimState.DEAD),
        (".ps..d", ClaimState.DEAD),  # ended also while nothing new is started
        ("......", ClaimState.FORGOTTEN),
        ("..s...", ClaimState.FORGOTTEN),
        ("...f..", ClaimState.FORGOTTEN),
        (".....d", ClaimState.FORGOTTEN),
    ],
)
def test_the_state_of_a_claim(known: str, state: ClaimState) -> None:
    """The table."""
    assert claim_state(_known(known), nonce=N, task=TASK) is state


def test_a_claim_is_started_at_most_once_and_never_left_alone() -> None:
    """Of all 64 cases: only one that nothing here ever began is started, and what is neither
    under way nor to be started is ended or waits for its turn."""
    for flags in product(*((letter, ".") for letter in "rpsfbd")):
        given = "".join(flags)
        state = claim_state(_known(given), nonce=N, task=TASK)
        if state in (ClaimState.LATE, ClaimState.POSTPONED):
            assert given[:4] == ".p.."
        if state is ClaimState.LATE:
            assert given[4:] == ".."
        assert (state is ClaimState.RUNNING) is given.startswith("r")


def test_other_claims_do_not_matter() -> None:
    """Neither nonces nor tasks of others change a state."""
    other = ("f" * 32,)
    known = ClaimsKnown(
        running=other, pending=(N, *other), started=other, former=other, busy=("x",), draining=False
    )
    assert claim_state(known, nonce=N, task=TASK) is ClaimState.LATE
