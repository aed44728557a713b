"""How a runner ends, and what it leaves to the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.acceptance.fleetlab import Lab, Live


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_attempts_finish_and_claims_nothing_more(
    lab: Lab, number: signal.Signals
) -> None:
    """What runs is finished and written down; what waits stays as it is."""
    gate = lab.gate("gate")
    lab.task("one", script=f"{gate.pause}\necho 1 > one.txt", priority=0)
    lab.task("two", script="echo 2 > two.txt")
    live = lab.start("--max", "1")
    gate.reached()
    live.signal(number)
    live.wait_for("stopping")
    gate.open()
    ran = live.wait()
    assert ran.status == 0
    assert lab.outcomes("one") == ["submitted"]
    assert lab.statuses() == {"one": "submitted", "two": "ready"}
    assert [line.fields["task"] for line in ran.lines.of("claimed")] == ["one"]


def test_the_second_signal_ends_attempts_and_the_next_runner_goes_on(lab: Lab) -> None:
    """Interrupted, workspace kept, no process left; then the work is done by the next runner."""
    gate = lab.gate("gate")
    script = f"echo half > half.txt\nsleep 1000 &\n{gate.pause}\necho whole > whole.txt"
    lab.task("one", script=script)
    live = lab.start()
    gate.reached()
    live.signal()
    live.wait_for("stopping")
    live.signal()
    assert live.wait().status == 0
    assert lab.outcomes("one") == ["interrupted"]
    assert (lab.clone.workspace("one") / "half.txt").exists()
    assert not lab.left_over()
    assert lab.status("one") == "ready"
    gate.open()
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["one"]
    assert not lab.clone.workspace("one").exists()


def test_stop_is_the_signal_by_name(lab: Lab) -> None:
    """`gitfleet stop --wait` returns when the runner has ended; --now ends what runs."""
    gate = lab.gate("gate")
    lab.task("one", script=gate.pause)
    live = lab.start()
    gate.reached()
    assert lab.gitfleet("stop", "--now", "--wait").returncode == 0
    assert live.wait(30).status == 0
    assert lab.outcomes("one") == ["interrupted"]
    assert lab.gitfleet("stop").returncode == 1


def test_a_cancelled_task_ends_at_once_and_what_it_had_is_saved(lab: Lab) -> None:
    """The attempt of a task whose file a person removes is ended, its work kept as a salvage."""
    gate = lab.gate("gate")
    lab.task("one", script=f"echo half > half.txt\n{gate.pause}")
    live = lab.start()
    gate.reached()
    (lab.window / "tasks" / "one.md").unlink()
    lab.commit("Not wanted any more")
    live.wait_for("ended", task="one", outcome="cancelled", timeout=25)
    live.signal()
    live.wait()
    assert lab.status("one") == "cancelled"
    saved = lab.refs("refs/gitfleet/salvage/one/")
    assert [lab.show(f"{ref}:half.txt") for ref in saved] == ["half"]
    assert not lab.left_over()


def test_a_runner_under_nohup_outlives_its_terminal(lab: Lab) -> None:
    """Who is told to ignore that a terminal goes away goes on with what is there."""
    command = ["nohup", sys.executable, "-m", "gitfleet", "run"]
    popen = subprocess.Popen(
        command,
        cwd=lab.path,
        env={**os.environ, **lab.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    live = lab.follow(Live(popen))
    live.wait_for("running")
    live.signal(signal.SIGHUP)
    lab.task("one", script="echo one >one")
    live.wait_for("landed", task="one")
    live.signal()
    assert live.wait().status == 0
