"""A plan has nothing to merge: its tasks are there, and a validator may judge them."""

from __future__ import annotations

import pytest

from gitfleet.attempt import checkpoint
from gitfleet.attempt.context import AttemptContext, CancelToken
from gitfleet.event_log import Action
from gitfleet.landing import validator
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.validate import validate
from gitfleet.model.states import Kind, Outcome, Role, Status
from gitfleet.plan.landing_terms import Terms
from tests.landing.kit import ACCEPT, Bench

NO = "printf 'verdict: rejected\\nreason: too vague\\n' > \"$V\""


def planned(bench: Bench) -> None:
    """A plan that was submitted, and one task of it."""
    bench.write_task("plan", role="plan")
    bench.submit_work("plan", role=Role.PLAN)
    bench.write_task("part", parent="plan")


def test_without_a_validator_a_submitted_plan_is_accepted(bench: Bench) -> None:
    """It is closed by the same commit; no check runs, and the target does not move."""
    bench.change_settings(checks=["false"])
    planned(bench)
    tip = bench.tip()
    attempt = bench.validate("plan")
    assert (attempt.outcome, attempt.reason) == (Outcome.ACCEPTED, "its tasks are valid")
    assert attempt.checks == ()
    assert bench.status("plan").status is Status.DONE
    assert bench.tip() == tip and bench.landed("plan") is None


def test_a_validator_judges_a_plan_on_the_target(bench: Bench) -> None:
    """In a worktree of it, which is removed."""
    seen = bench.folder / "seen"
    bench.change_settings(
        **bench.judge(f"ls > '{seen}'; printf '{ACCEPT}\\nreason: good\\n' > \"$V\"")
    )
    planned(bench)
    assert bench.validate("plan").reason == "good"
    assert "README" in seen.read_text()
    assert not bench.fleet.clone.check_workspace("plan").exists()


def test_a_rejected_plan_is_repaired_by_another_plan(bench: Bench) -> None:
    """Like any rejected work."""
    bench.change_settings(**bench.judge(NO))
    planned(bench)
    assert bench.validate("plan").outcome is Outcome.REJECTED
    assert bench.status("plan").status is Status.FIXING


@pytest.mark.parametrize(
    ("kind", "outcome"), [(Kind.HOLD, "interrupted"), (Kind.CANCEL, "cancelled")]
)
def test_a_plan_that_a_person_stopped_is_not_accepted(
    bench: Bench, kind: Kind, outcome: str
) -> None:
    """While it is judged, or before."""
    planned(bench)
    ctx = bench.claim("plan")
    bench.decide("plan", kind)
    validate(ctx, bench.blocked)
    assert bench.outcomes("plan") == [outcome]
    assert bench.status("plan").status is not Status.DONE


def test_a_plan_without_its_claim_ends_nothing(bench: Bench) -> None:
    """It was taken over; the runner logs it once."""
    planned(bench)
    ctx = bench.claim("plan")
    bench.project.change({"claims/plan.yaml": None})
    validate(ctx, bench.blocked)
    assert bench.attempts("plan") == []
    assert len(bench.project.told(Action.FENCED)) == 1


def test_the_next_life_takes_the_verdict_on_a_plan(bench: Bench) -> None:
    """The runner died when the validator had ended: it is not asked again."""
    asked = bench.folder / "asked"
    bench.change_settings(**bench.judge(f"echo asked >> '{asked}'; echo '{ACCEPT}' > \"$V\""))
    planned(bench)
    ctx = bench.claim("plan")
    tip, terms = bench.tip(), Terms(ctx.claimed.board, ctx.claimed.entry)
    tree = bench.fleet.objects.tree_of(tip)
    on_target = Candidate(terms=terms, before=tip, head=tip, tree=tree, commit=tip)
    validator.ask(ctx, on_target, ())  # and nobody heard what it said
    known = checkpoint.load_checkpoint(ctx.run_dir)
    again = AttemptContext(bench.project.fleet(), ctx.claimed, CancelToken(), ctx.live, ctx.run_dir)
    validate(again, bench.blocked, known)
    assert bench.outcomes("plan") == ["accepted"]
    assert bench.status("plan").status is Status.DONE
    assert asked.read_text() == "asked\n"
