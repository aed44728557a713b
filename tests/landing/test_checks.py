"""Checks run in a fresh worktree of a commit, and say how they ended."""

from __future__ import annotations

import os
import signal

import pytest

from gitfleet.errors import FleetError
from gitfleet.execution.local import load
from gitfleet.landing import checks
from gitfleet.model.secrets import MASKED, Mask
from gitfleet.model.states import Outcome
from gitfleet.plan.outcome import StopRequest
from gitfleet.run_dir import CHECK
from tests.acceptance.fleetlab import until
from tests.landing.conftest import MakeBench
from tests.landing.kit import Bench, Underway, pause_at


def run(bench: Bench, *commands: str) -> list[tuple[int, str]]:
    """Exit code and told output of each command, on the target's tip."""
    bench.submit()
    ran = checks.run_on(bench.claim(), bench.tip(), commands, CHECK)
    assert not isinstance(ran, StopRequest)
    assert [check.command for check in ran] == list(commands)
    return [(check.exit_code, check.tail) for check in ran]


def test_all_are_run_and_each_tells_how_it_ended(bench: Bench) -> None:
    """By exit status or by signal; what one printed is kept only if it failed."""
    assert run(bench, "echo fine", "echo out; echo err >&2; exit 3", "kill -TERM $$", "true") == [
        (0, ""),
        (3, "out\nerr"),
        (-15, ""),
        (0, ""),
    ]


def test_the_end_of_what_a_failed_check_printed_is_kept(bench: Bench) -> None:
    """There stands what went wrong; and no secret, not even half of one at the cut."""
    secret = "s3cr3t-" * 4
    bench.fleet.store.mask = Mask([secret])
    ((code, tail),) = run(bench, f"seq 1 9999; printf '{secret}%02990d' 0; exit 1")
    assert (code, tail) == (1, f"9\n{MASKED}{'0' * 2990}")


def test_a_check_that_takes_too_long_is_ended(make_bench: MakeBench) -> None:
    """With all that it started; its output says so."""
    bench = make_bench(checks_timeout="1s")
    ((code, tail),) = run(bench, "sleep 600 & sleep 600")
    assert code == -9 and tail == "(ended after 1s)"


def test_the_worktree_is_as_fresh_as_a_clone(make_bench: MakeBench) -> None:
    """What the checks of an earlier tree left is gone, and the set-up has run anew."""
    bench = make_bench(workspace={"setup": ["touch installed"]})
    bench.submit()
    ctx = bench.claim()
    for command in ("test -e installed && touch left", "test -e installed -a ! -e left"):
        ran = checks.run_on(ctx, bench.tip(), [command], CHECK)
        assert not isinstance(ran, StopRequest)
        assert [check.exit_code for check in ran] == [0]


def test_a_failing_set_up_is_the_one_check_that_failed(make_bench: MakeBench) -> None:
    """Nothing is run in a worktree that lacks what it needs."""
    bench = make_bench(workspace={"setup": ["echo no network >&2; exit 7"]})
    bench.submit()
    ran = checks.run_on(bench.claim(), bench.tip(), [f"touch '{bench.folder}/ran'"], CHECK)
    assert not isinstance(ran, StopRequest)
    ((command, tail),) = [(check.command, check.tail) for check in ran]
    assert command == checks.SETUP and "no network" in tail
    assert not (bench.folder / "ran").exists()


@pytest.mark.parametrize("place", ["check", "setup"])
def test_an_attempt_that_is_told_to_end_runs_no_more(make_bench: MakeBench, place: str) -> None:
    """Neither the command that runs goes on, nor does the next begin."""
    bench = make_bench()
    gate = bench.gate("gate")
    if place == "setup":
        bench.change_settings(workspace={"setup": [pause_at(gate)]})
    bench.submit()
    ctx = bench.claim()
    said: list[object] = []
    commands = [pause_at(gate), f"touch '{bench.folder}/ran'"]
    underway = Underway(lambda: said.append(checks.run_on(ctx, bench.tip(), commands, CHECK)))
    gate.reached()
    ctx.cancel.stop(Outcome.CANCELLED, "the task was cancelled")
    underway.join()
    assert said == [StopRequest(Outcome.CANCELLED, "the task was cancelled")]
    assert not (bench.folder / "ran").exists()


def test_a_check_whose_end_nobody_saw_neither_passed_nor_failed(bench: Bench) -> None:
    """Its supervisor was killed: the attempt ends as an error of ours, and it is run again."""
    gate = bench.gate("gate")
    bench.submit()
    ctx = bench.claim()
    underway = Underway(lambda: checks.run_on(ctx, bench.tip(), [pause_at(gate)], CHECK))
    gate.reached()
    until(lambda: load(ctx.run_dir.command(CHECK, 1)), what="the supervisor to tell")
    supervisor = load(ctx.run_dir.command(CHECK, 1))
    assert supervisor is not None
    os.kill(supervisor[0].pid, signal.SIGKILL)
    with pytest.raises(FleetError, match="was not recorded"):
        underway.join()
