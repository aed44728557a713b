"""Which work passes, which is to blame, and what a red target excuses."""

from __future__ import annotations

import pytest

from gitfleet.event_log import Action
from gitfleet.landing.proof import NoLanding, Proved
from gitfleet.landing.prove import prove
from gitfleet.model.event import Check
from gitfleet.model.states import Outcome, Status
from tests.landing.conftest import MakeBench
from tests.landing.kit import AT_ONCE, Bench

# Each passes while its file is not there.
A, B = "test ! -e bad-a", "test ! -e bad-b"


def proved(bench: Bench) -> Proved | NoLanding:
    """What proving the claimed work on the tip comes to; nothing is written."""
    ctx = bench.claim()
    return prove(ctx, bench.candidate(ctx))


def names(end: Proved | NoLanding, *, failed: bool) -> list[str]:
    """The checks that are told as failed, or as passed."""
    return [one.command for one in end.checks if (one.exit_code != 0) == failed]


def commands(checks: tuple[Check, ...]) -> list[str]:
    return [one.command for one in checks]


def test_work_that_passes_is_proved_by_all_its_checks(make_bench: MakeBench) -> None:
    """Those of the settings first, then its own; one that is in both runs once."""
    bench = make_bench(checks=["test -e README", "true"])
    bench.submit(checks=["test -e one.txt", "true"])
    end = proved(bench)
    assert isinstance(end, Proved)
    assert names(end, failed=False) == ["test -e README", "true", "test -e one.txt"]


def test_without_checks_there_is_nothing_to_pass(bench: Bench) -> None:
    """It lands, and its event says that nothing proved it."""
    bench.submit()
    attempt = bench.validate()
    assert (attempt.outcome, attempt.checks) == (Outcome.ACCEPTED, ())
    assert attempt.reason == "there are no checks: merged untested"


def test_checks_see_the_merged_tree(make_bench: MakeBench) -> None:
    """Not the work alone: what landed since the work began is there."""
    bench = make_bench(checks=["test -e one.txt", "test -e since.txt"])
    bench.submit()
    bench.commit({"since.txt": b"x\n"})
    assert isinstance(proved(bench), Proved)


def test_what_leaves_its_scope_is_rejected_before_any_check(make_bench: MakeBench) -> None:
    """Measured on the tree that would land; every file is named."""
    bench = make_bench(checks=["touch ran"])
    bench.submit(files={"src/a": b"x\n", "b": b"x\n", "c": b"x\n"}, paths=["src/"])
    end = proved(bench)
    assert isinstance(end, NoLanding)
    assert (end.outcome, end.reason) == (Outcome.REJECTED, "it changes 2 files that it must not")
    assert end.findings == ("b is outside `paths`", "c is outside `paths`")
    assert end.checks == ()


def test_work_that_breaks_a_check_is_blamed(make_bench: MakeBench) -> None:
    """All checks run, so that one repair knows of all that fails."""
    bench = make_bench(checks=[A, B, "true"])
    bench.submit(files={"bad-a": b"", "bad-b": b""})
    end = proved(bench)
    assert isinstance(end, NoLanding)
    assert end.outcome is Outcome.CHECKS_FAILED
    assert end.reason == f"2 of 3 checks failed: {A}; {B}"
    assert names(end, failed=True) == [A, B] and names(end, failed=False) == ["true"]


def test_a_target_that_is_red_by_itself_blames_no_work(make_bench: MakeBench) -> None:
    """The work waits, on the red commit; once that is repaired it lands."""
    bench = make_bench(checks=[A, B])
    red = bench.commit({"bad-a": b""})
    bench.submit()
    attempt = bench.validate()
    assert (attempt.outcome, attempt.base) == (Outcome.TARGET_RED, red)
    assert attempt.reason == f"main itself fails {A}; the task waits until that is fixed"
    assert bench.status().status is Status.SUBMITTED and attempt.fixed_by is None
    assert len(bench.project.told(Action.TARGET_RED)) == 1
    bench.commit({"bad-a": None})
    assert bench.validate().outcome is Outcome.ACCEPTED


def test_a_red_target_is_logged_again_when_it_was_green_meanwhile(make_bench: MakeBench) -> None:
    """Once for as long as it lasts."""
    bench = make_bench(checks=[A])
    bench.commit({"bad-a": b""})
    for name in ("one", "two"):
        bench.submit(name)
        assert bench.validate(name).outcome is Outcome.TARGET_RED
    assert len(bench.project.told(Action.TARGET_RED)) == 1
    bench.commit({"bad-a": None})
    assert bench.validate("one").outcome is Outcome.ACCEPTED
    bench.commit({"bad-a": b""})
    assert bench.validate("two").outcome is Outcome.TARGET_RED
    assert len(bench.project.told(Action.TARGET_RED)) == 2


def test_the_change_that_repairs_a_red_target_lands(make_bench: MakeBench) -> None:
    """What counts is the tree that would land."""
    bench = make_bench(checks=[A])
    bench.commit({"bad-a": b""})
    bench.submit(files={"bad-a": None})
    assert bench.validate().outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("own", [(), ("test -e one.txt",), ("test -e wanted",)])
def test_a_change_that_breaks_one_check_is_not_excused_by_another_red_one(
    make_bench: MakeBench, own: tuple[str, ...]
) -> None:
    """The target fails B by itself; A, which it passes, is broken by the work: its own checks,
    passed or failed, make no difference."""
    bench = make_bench(checks=[A, B])
    red = bench.commit({"bad-b": b""})
    bench.submit(files={"bad-a": b""}, checks=list(own))
    attempt = bench.validate()
    assert attempt.outcome is Outcome.CHECKS_FAILED
    assert A in attempt.reason and B not in attempt.reason
    assert A in commands(attempt.checks) and B not in commands(attempt.checks)
    assert attempt.fixed_by == "one-fix-1"
    assert bench.tip() == red


def test_repairing_one_red_check_does_not_excuse_breaking_another(make_bench: MakeBench) -> None:
    """The target fails B; the work repairs B and breaks A."""
    bench = make_bench(checks=[A, B])
    bench.commit({"bad-b": b""})
    bench.submit(files={"bad-a": b"", "bad-b": None})
    end = proved(bench)
    assert isinstance(end, NoLanding)
    assert end.outcome is Outcome.CHECKS_FAILED
    assert names(end, failed=True) == [A] and names(end, failed=False) == [B]


def test_repairing_one_of_two_red_checks_blames_no_work(make_bench: MakeBench) -> None:
    """The target fails both; the work leaves it no worse. It waits with the rest."""
    bench = make_bench(checks=[A, B])
    bench.commit({"bad-a": b"", "bad-b": b""})
    bench.submit(files={"bad-b": None})
    end = proved(bench)
    assert isinstance(end, NoLanding)
    assert end.outcome is Outcome.TARGET_RED and A in end.reason and B not in end.reason


def test_a_check_that_the_target_fails_is_excused_though_the_task_names_it_too(
    make_bench: MakeBench,
) -> None:
    """A command in the settings and in the task is a shared one."""
    bench = make_bench(checks=[A])
    bench.commit({"bad-a": b""})
    bench.submit(checks=[A])
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.TARGET_RED


def test_a_tasks_own_check_is_never_the_targets_fault(make_bench: MakeBench) -> None:
    """It fails on the target until the work is done: so it is not even run there."""
    bench = make_bench(checks=["true"])
    bench.submit(checks=[f"echo x >> '{bench.folder}/runs'; test -e wanted"])
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.CHECKS_FAILED
    assert (bench.folder / "runs").read_text() == "x\n"


def test_a_tasks_own_check_may_fail_because_of_what_is_red(make_bench: MakeBench) -> None:
    """While a shared check is red on the target nobody can tell: the work waits."""
    bench = make_bench(checks=[A])
    bench.commit({"bad-a": b""})
    bench.submit(checks=["test -e wanted"])
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.TARGET_RED
    assert "test -e wanted" in end.reason


def test_a_set_up_that_the_work_breaks_is_blamed(make_bench: MakeBench) -> None:
    """It counts as a check that all tasks share; no other check could run."""
    bench = make_bench(checks=["true"], workspace={"setup": ["test ! -e broken"]})
    bench.submit(files={"broken": b""})
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.CHECKS_FAILED
    assert names(end, failed=True) == ["workspace.setup"]


def test_a_set_up_that_is_broken_on_the_target_blames_no_work(make_bench: MakeBench) -> None:
    """Like any shared check."""
    bench = make_bench(checks=["true"], workspace={"setup": ["test ! -e broken"]})
    bench.commit({"broken": b""})
    bench.submit()
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.TARGET_RED


def test_a_check_that_is_called_like_the_set_up_runs(make_bench: MakeBench) -> None:
    """Whatever a project calls its program, a check in the settings is never passed over."""
    bench = make_bench(checks=["workspace.setup"])
    bench.submit()
    end = proved(bench)
    assert isinstance(end, NoLanding) and end.outcome is Outcome.CHECKS_FAILED


def test_a_rejected_change_is_repaired_and_the_repair_lands(make_bench: MakeBench) -> None:
    """The whole way: the fix task starts at the rejected work, and its landing closes both."""
    bench = make_bench(checks=[A], **AT_ONCE)
    head = bench.submit(files={"bad-a": b"", "good": b""})
    assert bench.validate().fixed_by == "one-fix-1"
    assert bench.status().status is Status.FIXING
    bench.submit_work("one-fix-1", {"bad-a": None, "good": b""}, base=head)
    assert bench.validate("one-fix-1").outcome is Outcome.ACCEPTED
    assert bench.status().status is Status.DONE
    assert "good" in bench.tree() and "bad-a" not in bench.tree()
