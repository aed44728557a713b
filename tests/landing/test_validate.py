"""The whole sequence: what is proved is what lands, whatever changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.landing import validate as sequence
from gitfleet.model.states import Kind, Outcome, Status
from tests.acceptance.fleetlab import Gate
from tests.landing.conftest import MakeBench
from tests.landing.kit import ACCEPT, AT_ONCE, Bench, pause_at
from tests.lanes import sample
from tests.people.kit import git

YES = f'echo "{ACCEPT}" > "$V"'


def test_green_work_lands(make_bench: MakeBench) -> None:
    """Its merge is the target's tip, its task is done, its worktree is gone."""
    bench = make_bench(checks=["test -e one.txt"])
    head = bench.submit()
    attempt = bench.validate()
    assert (attempt.outcome, attempt.reason) == (Outcome.ACCEPTED, "1 check passed")
    assert bench.status().status is Status.DONE
    landed = bench.landed()
    assert landed is not None and landed.merge == bench.tip() and landed.head == head
    assert git("rev-parse", "main^2", cwd=bench.project.path) == head
    assert not bench.fleet.clone.check_workspace("one").exists()
    assert "one.txt" in bench.tree()


def test_a_task_lands_on_the_branch_that_it_names(make_bench: MakeBench) -> None:
    """And is proved on that one."""
    bench = make_bench(checks=["test -e only-there"])
    tip = bench.tip()
    git("switch", "-qc", "release", cwd=bench.project.path)
    bench.commit({"only-there": b""})
    git("switch", "-q", "main", cwd=bench.project.path)
    bench.submit(base="release")
    assert bench.validate().outcome is Outcome.ACCEPTED
    assert bench.tip() == tip and {"one.txt", "only-there"} <= bench.tree("release")


def test_a_target_that_is_gone_is_an_error_that_names_it(bench: Bench) -> None:
    """Nothing is written: the attempt's thread ends it."""
    git("branch", "release", cwd=bench.project.path)
    bench.submit(base="release")
    ctx = bench.claim()
    git("branch", "-D", "release", cwd=bench.project.path)
    with pytest.raises(FleetError, match="the branch release is gone"):
        sequence.validate(ctx, bench.blocked)


class Paused:
    """An attempt whose checks wait at a gate; what is decided meanwhile is a test's."""

    def __init__(self, bench: Bench, gate: Gate, **keys: object) -> None:
        self.bench, self.gate = bench, gate
        bench.submit(**keys)  # type: ignore[arg-type]
        self.ctx = bench.claim()
        self.underway = bench.underway(self.ctx)
        gate.reached()

    def go_on(self, times: int = 1) -> None:
        self.gate.open(times)
        self.underway.join()


@pytest.fixture
def paused(bench: Bench) -> Paused:
    gate = bench.gate("gate")
    bench.change_settings(checks=[pause_at(gate)], **AT_ONCE)
    return Paused(bench, gate)


def test_the_tree_that_lands_is_the_tree_that_was_proved(paused: Paused) -> None:
    """A person commits to the target while the checks run: they run again, on both changes."""
    bench = paused.bench
    bench.commit({"since.txt": b"x\n"})
    paused.go_on(2)
    assert bench.outcomes() == ["accepted"]
    assert {"one.txt", "since.txt"} <= bench.tree()
    assert len(bench.project.told(Action.REVALIDATING)) == 1
    paused.gate.reached()  # the second time
    assert paused.gate.empty()


def test_two_changes_that_are_bad_together_do_not_both_land(make_bench: MakeBench) -> None:
    """Each is good by itself: the second is proved with the first, and blamed."""
    bench = make_bench()
    gate = bench.gate("gate")
    bench.change_settings(checks=[f"{pause_at(gate)}; test ! -e one.txt -o ! -e two.txt"])
    paused = Paused(bench, gate)
    bench.commit({"two.txt": b"x\n"})
    gate.open(3)  # on the first tree, on the second one, and on the target by itself
    paused.underway.join()
    assert bench.outcomes() == ["checks-failed"]
    assert "one.txt" not in bench.tree()


def test_a_target_that_never_rests_is_given_way_to(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: the claim is given back, and others get their turn."""
    monkeypatch.setattr(sequence, "_ROUNDS", 2)
    bench = make_bench()
    moving = "git update-ref refs/heads/main $(git commit-tree -p main -m moved main^{tree})"
    bench.change_settings(checks=[f"git -C '{bench.project.path}' checkout -q --detach; {moving}"])
    bench.submit()
    attempt = bench.validate()
    assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "main moved 2 times")
    assert "one.txt" not in bench.tree()


def _add_a_check(bench: Bench) -> None:
    bench.change_settings(checks=["true", "test -e wanted"])


def _replace_the_checks(bench: Bench) -> None:
    bench.change_settings(checks=["test -e wanted"])


def _name_a_validator(bench: Bench) -> None:
    said = "printf 'verdict: rejected\\nreason: not wanted\\n' > \"$V\""
    bench.change_settings(checks=["true"], **bench.judge(said))


def _break_the_set_up(bench: Bench) -> None:
    bench.change_settings(checks=["true"], workspace={"setup": ["test -e wanted"]})


def _add_a_check_of_its_own(bench: Bench) -> None:
    bench.write_task(checks=["test -e wanted"])


def _narrow_its_scope(bench: Bench) -> None:
    bench.write_task(paths=["docs/"])


def _move_the_target_too(bench: Bench) -> None:
    bench.commit({"since.txt": b"x\n"})
    bench.change_settings(checks=["test -e wanted"])


EDITS = [
    _add_a_check,
    _replace_the_checks,
    _name_a_validator,
    _break_the_set_up,
    _add_a_check_of_its_own,
    _narrow_its_scope,
    _move_the_target_too,
]


@pytest.mark.parametrize(
    "edit", sample(EDITS, _add_a_check, _name_a_validator, _add_a_check_of_its_own)
)
def test_work_that_meets_only_the_old_terms_does_not_land(
    paused: Paused, edit: Callable[[Bench], None]
) -> None:
    """Settings, task or both are edited while the old checks pass: nothing lands by these. The
    next attempt proves it under the new ones, which it does not meet."""
    bench = paused.bench
    tip = bench.tip("gitfleet/task/one")
    edit(bench)
    paused.go_on(9)
    attempt = bench.last()
    assert attempt.outcome is Outcome.INTERRUPTED
    assert attempt.reason.endswith("changed during validation; it is validated again")
    again = bench.validate()
    assert again.outcome in (Outcome.CHECKS_FAILED, Outcome.REJECTED, Outcome.TARGET_RED)
    assert bench.landed() is None and "one.txt" not in bench.tree()
    assert bench.tip("gitfleet/task/one") == tip


@pytest.mark.parametrize("edit", sample(EDITS[:-1], _break_the_set_up, _narrow_its_scope))
def test_work_is_not_proved_by_a_claim_for_old_terms(
    bench: Bench, edit: Callable[[Bench], None]
) -> None:
    """Edited after the claim and before the first check: the claim brought its set-up, its limits
    and its validator along. No check of the new settings runs with those."""
    bench.submit()
    ctx = bench.claim()
    edit(bench)
    sequence.validate(ctx, bench.blocked)
    attempt = bench.last()
    assert (attempt.outcome, attempt.checks) == (Outcome.INTERRUPTED, ())
    assert "changed" in attempt.reason
    assert bench.landed() is None and bench.validate().outcome is not Outcome.ACCEPTED


def test_a_validator_named_just_before_the_claim_is_not_passed_over(bench: Bench) -> None:
    """The runner chose for settings without one; by the time its claim was on the board there was
    one. What has no validator's word is not landed by them."""
    bench.submit()
    board = bench.fleet.store.board()
    pick = bench.pick(board)
    bench.change_settings(**bench.judge("printf 'verdict: rejected\\nreason: no\\n' > \"$V\""))
    sequence.validate(bench.claim_as(board, pick), bench.blocked)
    assert bench.outcomes() == ["interrupted"]
    assert bench.validate().outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    ("kind", "outcome", "status"),
    [
        (Kind.HOLD, Outcome.INTERRUPTED, Status.HELD),
        (Kind.CANCEL, Outcome.CANCELLED, Status.CANCELLED),
        (Kind.CLOSE, Outcome.CANCELLED, Status.DONE),
    ],
)
def test_a_person_who_stops_it_is_heard(
    paused: Paused, kind: Kind, outcome: Outcome, status: Status
) -> None:
    """While it is proved: nothing lands, and work on hold is proved when that ends."""
    bench = paused.bench
    bench.decide("one", kind)
    paused.go_on()
    assert bench.last().outcome is outcome
    assert bench.status().status is status and "one.txt" not in bench.tree()


def test_work_that_is_stopped_before_its_proof_is_not_proved(bench: Bench) -> None:
    """Nor while it waits for its turn."""
    bench.change_settings(checks=[f"touch '{bench.folder}/ran'"])
    bench.submit()
    ctx = bench.claim()
    bench.decide("one", Kind.HOLD)
    sequence.validate(ctx, bench.blocked)
    assert bench.outcomes() == ["interrupted"] and not (bench.folder / "ran").exists()


def test_an_attempt_that_is_told_to_end_says_why(paused: Paused) -> None:
    """The outcome is that of the one who told it, and the worktree is removed."""
    paused.ctx.cancel.stop(Outcome.INTERRUPTED, "its runner was stopped")
    paused.underway.join()
    attempt = paused.bench.last()
    assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "its runner was stopped")
    assert not paused.bench.fleet.clone.check_workspace("one").exists()


def test_an_attempt_without_its_claim_ends_nothing(paused: Paused) -> None:
    """It was taken over while it was proved: no event, and the runner logs it once."""
    bench = paused.bench
    bench.project.change({"claims/one.yaml": None})
    paused.go_on()
    assert bench.attempts() == [] and "one.txt" not in bench.tree()
    assert len(bench.project.told(Action.FENCED)) == 1
