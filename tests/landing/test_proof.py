"""How an attempt ends on the board that lands nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gitfleet.event_log import Action
from gitfleet.landing.proof import NoLanding, Review, end_without_landing, give_way
from gitfleet.model.event import Check, Tokens
from gitfleet.model.secrets import Mask
from gitfleet.model.states import Outcome, Status
from gitfleet.plan.landing_terms import ClaimGone, TermsChanged
from gitfleet.plan.outcome import AttemptEnd, CoderRun, ProcessExit
from gitfleet.plan.transitions.on_landing import OnHold, Withdrawn
from tests.landing.kit import Bench

RUN = CoderRun(exit=ProcessExit(code=0), tokens=Tokens(input=7), usd=0.25, tool_calls=3)
REVIEW = Review(RUN, AttemptEnd(outcome=Outcome.ACCEPTED, reason="good", session="s-1"))


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (OnHold(), Outcome.INTERRUPTED),  # it goes on when that ends
        (TermsChanged("the task"), Outcome.INTERRUPTED),  # it goes on under the new ones
        (Withdrawn("the task was closed meanwhile"), Outcome.CANCELLED),
        (ClaimGone(), Outcome.CANCELLED),
    ],
)
def test_work_that_is_not_wanted_gives_way(refusal: object, outcome: Outcome) -> None:
    """Its reason is told, what its validator used counts, and nobody goes on in that session."""
    end = give_way(refusal, REVIEW)  # type: ignore[arg-type]
    assert end.outcome is outcome and end.reason == refusal.reason  # type: ignore[attr-defined]
    assert end.review == Review(RUN, replace(REVIEW.end, session=""))


def test_the_event_tells_what_the_validator_used(bench: Bench) -> None:
    """Its session too, where it may go on."""
    bench.submit()
    ctx = bench.claim()
    end_without_landing(ctx, NoLanding(outcome=Outcome.ASKED, reason="it asks", review=REVIEW))
    attempt = bench.last()
    assert (attempt.session, attempt.tokens, attempt.usd) == ("s-1", RUN.tokens, 0.25)
    assert (attempt.exit_code, attempt.tool_calls) == (0, 3)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.CHECKS_FAILED])
def test_a_rejection_creates_the_task_that_repairs_it(bench: Bench, outcome: Outcome) -> None:
    """It is told what was found, without secrets; the log says which task it is."""
    bench.fleet.store.mask = Mask(["hunter2-hunter2"])
    bench.submit()
    check = Check(command="true hunter2-hunter2", exit_code=1, tail="hunter2-hunter2")
    end_without_landing(
        bench.claim(),
        NoLanding(
            outcome=outcome,
            reason="no hunter2-hunter2",
            findings=("found hunter2-hunter2",),
            checks=(check,),
        ),
    )
    attempt = bench.last()
    assert (attempt.outcome, attempt.reason) == (outcome, "no <masked>")
    assert attempt.findings == ("found <masked>",)
    assert (attempt.checks[0].command, attempt.checks[0].tail) == ("true <masked>", "<masked>")
    assert bench.status().status is Status.FIXING
    (line,) = bench.project.told(Action.REJECTED)
    assert "fixed_by=one-fix-1" in line
    assert "hunter2" not in bench.project.show("tasks/one-fix-1.md")


def test_what_is_no_rejection_creates_no_task(bench: Bench) -> None:
    """The tip of which its outcome speaks is in the event."""
    bench.submit()
    tip = bench.tip()
    end_without_landing(
        bench.claim(), NoLanding(outcome=Outcome.TARGET_RED, reason="main is red", base=tip)
    )
    assert bench.last().base == tip
    assert list(bench.project.board().entries) == ["one"]
    assert bench.project.told(Action.REJECTED) == []
