"""Leases: who may believe what, by which clock."""

from __future__ import annotations

from gitfleet.plan.lease import InFlightClaims, LastHeartbeat, LeaseWatch, OwnLease, foreign_claims
from tests.plan.kit import board, claimed, nonce, tasks

CLAIMS = {"n1": "box"}


def beat(mark: str, *nonces: str) -> dict[str, LastHeartbeat]:
    return {"box": LastHeartbeat(mark, frozenset(nonces or ("n1",)))}


def test_a_claim_is_lost_when_its_heartbeat_stands_still_for_a_lease() -> None:
    """Time counts from the look that saw the heartbeat change last, and not before."""
    watch = LeaseWatch(heartbeat=10, lease=30)
    assert not watch.look(0, CLAIMS, beat("a"))
    assert not watch.look(15, CLAIMS, beat("b"))
    assert not watch.look(30, CLAIMS, beat("b"))
    assert not watch.look(44, CLAIMS, beat("b"))
    assert watch.look(45, CLAIMS, beat("b")) == {"n1"}
    assert not watch.look(50, CLAIMS, beat("c"))


def test_a_heartbeat_that_is_gone_or_lists_other_claims_counts_as_silence() -> None:
    """A runner that lives and does not know of a claim does not keep it."""
    for beats in ({}, beat("x", "n2")):
        watch = LeaseWatch(heartbeat=10, lease=20)
        assert not watch.look(0, CLAIMS, beats)
        assert not watch.look(15, CLAIMS, beats)
        assert watch.look(20, CLAIMS, beats) == {"n1"}


def test_time_without_looks_does_not_count() -> None:
    """A watcher that was cut off has seen nothing; and a claim that went is forgotten."""
    watch = LeaseWatch(heartbeat=10, lease=30)
    watch.look(0, CLAIMS, beat("a"))
    assert not watch.look(1000, CLAIMS, beat("a"))
    assert not watch.look(1020, CLAIMS, beat("a"))
    assert not watch.look(1021, {}, beat("a"))
    assert not watch.look(1035, CLAIMS, beat("a"))
    assert not watch.look(1050, CLAIMS, beat("a"))


def test_a_look_that_took_long_proves_only_what_was_when_it_was_asked() -> None:
    """An answer that came late may be as old as its question: that time does not count."""
    watch = LeaseWatch(heartbeat=10, lease=30)
    watch.look(10, CLAIMS, beat("a"), began=0)
    assert not watch.look(20, CLAIMS, beat("a"), began=19)
    assert not watch.look(55, CLAIMS, beat("a"), began=39)
    assert watch.look(56, CLAIMS, beat("a"), began=40) == {"n1"}


def test_an_owner_counts_from_the_start_of_what_arrived() -> None:
    """Whoever was never heard of holds nothing; an older heartbeat does not shorten a lease."""
    own = OwnLease(lease=30)
    assert own.over(0)
    own.arrived(5)
    own.arrived(3)
    assert not own.over(34.9)
    assert own.over(35)


def test_a_heartbeat_keeps_only_the_claims_that_it_lists() -> None:
    """A claim that was made after a heartbeat was begun has been heard of only as a claim."""
    own = OwnLease(lease=30)
    own.claimed("n1", 0)
    own.arrived(10, ["n2"])
    assert own.over(30, "n1") and not own.over(30, "n2") and not own.over(30)
    own.arrived(29, ["n1", "n2"])
    assert not own.over(50, "n1")
    own.forgotten("n1")
    assert not own.over(58, "n1") and own.over(59, "n1")


def test_a_lease_that_is_over_stays_over() -> None:
    """Somebody may be taking the claim while the next heartbeat is under way."""
    own = OwnLease(lease=30)
    own.claimed("n1", 0)
    own.arrived(31, ["n1"])
    assert own.over(32, "n1") and not own.over(32)


def test_a_nonce_is_forgotten_once_its_claim_is_too_late() -> None:
    """A push that was given up succeeds only on the tip it was made for; when the board has left
    that, and the claim is not there, it never comes."""
    limbo = InFlightClaims()
    assert not limbo.look("tip1", ["n1"])
    assert not limbo.look("tip1", ["n1"])
    assert limbo.look("tip2", ["n1", "n2"]) == {"n1"}
    assert not limbo.look("tip2", ["n2"])
    assert not limbo.look("tip3", [])
    assert not limbo.look("tip3", ["n2"])


def test_a_claim_with_our_name_that_we_do_not_remember_is_watched() -> None:
    """Ours are the claims whose nonce we hold, whatever their name says."""
    seen = board(tasks("app", "web"), claimed("app", nonce=nonce(1)), claimed("web"))
    assert foreign_claims(seen, {nonce(99)}) == {nonce(1): "box"}


def test_a_runner_that_was_never_heard_has_no_lease_yet() -> None:
    """Its first heartbeat that arrives starts it, also at the moment the machine booted."""
    new, known = OwnLease(lease=60), OwnLease(lease=60)
    known.arrived(0.0)
    assert (new.heard, known.heard) == (False, True)
    assert (new.left(20.0), known.left(20.0)) == (0.0, 40.0)


def test_a_heartbeat_that_changes_without_the_claim_is_silence_about_it() -> None:
    """The runner lives on and has lost its memory of the claim: its task must become free."""
    watch = LeaseWatch(heartbeat=10, lease=20)
    assert not watch.look(0, CLAIMS, beat("a"))
    assert not watch.look(10, CLAIMS, beat("b", "n2"))
    assert watch.look(20, CLAIMS, beat("c", "n2")) == {"n1"}


def test_a_heartbeat_that_vanishes_does_not_begin_a_lease_anew() -> None:
    """Its silence began when it was last seen to change."""
    watch = LeaseWatch(heartbeat=10, lease=20)
    assert not watch.look(0, CLAIMS, beat("a"))
    assert not watch.look(10, CLAIMS, {})
    assert watch.look(20, CLAIMS, {}) == {"n1"}


def test_a_lease_is_as_long_hours_after_the_machine_booted() -> None:
    """What counts is the time since the heartbeat, not since the boot."""
    own = OwnLease(lease=30)
    own.claimed("n1", 9000)
    own.arrived(9020, ["n1"])
    assert own.left(9030, "n1") == 20
