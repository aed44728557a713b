"""What may happen between two steps of an attempt: nothing is judged by what nobody saw, nothing
goes on by what was changed meanwhile, and nothing runs whose end is written."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from gitfleet.execution.local import LocalRun, attach
from gitfleet.run_dir import RunFiles
from tests.acceptance.fleetlab import Gate, Lab, Live, until
from tests.conftest import git

_ACCEPT = "printf 'verdict: accepted\\n' >v; mv v \"$GITFLEET_OUTBOX/verdict.yaml\""


def _kill(live: Live) -> None:
    live.signal(signal.SIGKILL)
    assert live.wait().status == -signal.SIGKILL


def _run_dir(lab: Lab, task: str) -> Path:
    claim = lab.board().entries[task].claim
    assert claim is not None
    return lab.path / ".git/gitfleet/runs" / task / f"{claim.attempt:03d}-{claim.nonce[:8]}"


def _attached(folder: Path, name: str = "") -> LocalRun:
    """The handle of a run that says of itself, a moment after it began, who it is."""
    until((folder / f"{name}child.json").exists, what="the supervisor to tell")
    running = attach(RunFiles(folder, name))
    assert running is not None
    return running


def _judged(lab: Lab, script: str) -> None:
    """Let a validator of one script judge what `shell` does."""
    judge = lab.folder / "judge.sh"
    judge.write_text(script)
    lab.set(
        roles={"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        coders={"judge": {"argv": ["sh", "-e", str(judge)], "prompt": "file"}},
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_check_whose_end_nobody_saw_is_run_again(lab: Lab, number: signal.Signals) -> None:
    """Its supervisor is killed, or a service manager ends all there is: the check has neither
    passed nor failed."""
    gate = lab.gate("gate")
    lab.set(checks=[gate.pause.replace("\n", "; ")])
    lab.task("one", script="echo one >one")
    live = lab.start("--until-idle")
    gate.reached()
    running = _attached(_run_dir(lab, "one"), "check-1.")
    os.kill(running.child.pid, number)
    gate.reached()
    gate.open()
    assert live.wait().status == 0, live.told()
    assert lab.outcomes("one", "validate") == ["interrupted", "accepted"]
    assert lab.landings() == ["one"] and lab.left_over() == []


def _break(lab: Lab) -> None:
    (lab.window / "tasks" / "one.md").write_text("---\ntitel: no such key\n---\n")
    lab.commit("A slip")


def _take_the_coder_out(lab: Lab) -> None:
    lab.set(roles={"work": {"coder": "shell"}}, coders={})


@pytest.mark.parametrize("change", [_break, _take_the_coder_out])
def test_what_goes_on_goes_on_as_it_was_claimed(lab: Lab, change: object) -> None:
    """The task is broken, or its coder taken out, while no runner is there: the agent that works
    on it is gone on with, and its work counts."""
    gate = lab.gate("gate")
    script = lab.folder / "mine.sh"
    script.write_text(f"echo begun >>'{lab.folder}/begun'\n{gate.pause}\necho one >one\n")
    lab.set(
        roles={"work": {"coder": "mine"}},
        coders={"mine": {"argv": ["sh", "-e", str(script)], "prompt": "file"}},
    )
    lab.task("one", body="Do it.")
    live = lab.start("--until-idle")
    gate.reached()
    _kill(live)
    assert callable(change)
    change(lab)
    again = lab.start("--until-idle")
    again.wait_for("resumed", task="one")
    gate.open()
    again.wait()
    assert lab.outcomes("one", "work") == ["submitted"]
    assert (lab.folder / "begun").read_text() == "begun\n"
    assert lab.left_over() == []


def _moved(lab: Lab) -> None:
    (lab.path / "other.txt").write_text("other\n")
    git("add", "other.txt", cwd=lab.path)
    git("commit", "-qm", "Somebody else", cwd=lab.path)


def _second(lab: Lab, gate: Gate) -> str:
    """A check that waits at the gate from the second time on."""
    mark = lab.folder / "checked"
    pause = gate.pause.replace("\n", "; ")
    return f"if test -e '{mark}'; then {pause}; fi; touch '{mark}'"


@pytest.mark.slow
def test_a_verdict_on_another_tree_is_not_gone_on_with(lab: Lab) -> None:
    """The target moved under a validator, and the runner dies while it checks the new tree: the
    validator of the old one is over, and did not fail for want of a verdict."""
    judging, checking = lab.gate("judging"), lab.gate("checking")
    lab.set(checks=[_second(lab, checking)])
    _judged(lab, f"{judging.pause}\n{_ACCEPT}\n")
    lab.task("one", script="echo one >one")
    live = lab.start("--until-idle")
    judging.reached()
    _moved(lab)
    judging.open(2)
    checking.reached()
    _kill(live)
    again = lab.start("--until-idle")
    checking.reached()
    checking.open()
    assert again.wait().status == 0, again.told()
    assert lab.outcomes("one", "validate") == ["interrupted", "accepted"]
    assert lab.landings() == ["one"] and lab.left_over() == []


@pytest.mark.slow
def test_what_a_validator_let_land_has_landed(lab: Lab) -> None:
    """Killed between the target and the board, then put on hold: the work is in the target, and
    no second opinion is asked."""
    asked = lab.folder / "asked"
    _judged(lab, f"echo asked >>'{asked}'\n{_ACCEPT}\n")
    lab.task("one", script="echo one >one")
    assert lab.run("--until-idle", env={"GITFLEET_FAULT": "checks-passed"}).status == -9
    known = json.loads((_run_dir(lab, "one") / "attempt.json").read_text())
    git("merge", "-q", "--ff-only", known["proving"]["merge"], cwd=lab.path)
    assert lab.gitfleet("hold", "one").returncode == 0
    lab.run("--until-idle")
    assert lab.outcomes("one", "validate") == ["accepted"]
    assert lab.status("one") == "done" and asked.read_text() == "asked\n"
    assert lab.fsck().status == 0


@pytest.mark.slow
def test_an_attempt_that_we_cannot_bring_to_its_end_runs_no_more(lab: Lab) -> None:
    """An error of ours ends an attempt on the board: its agent has ended by then, since another
    one may begin in the same worktree at once."""
    gate = lab.gate("gate")
    lab.task("one", script=f"{gate.pause}\necho one >one")
    live = lab.start("--until-idle")
    gate.reached()
    folder = _run_dir(lab, "one")
    running = _attached(folder)
    _kill(live)
    # Its output cannot be read any more.
    (folder / "stdout").rename(folder / "moved")
    (folder / "stdout").mkdir()
    again = lab.start("--until-idle")
    until(lambda: lab.outcomes("one", "work"), what="the first attempt to end")
    assert running.wait(0) is not None
    gate.reached()
    gate.open()
    assert again.wait().status == 0, again.told()
    assert lab.outcomes("one", "work") == ["interrupted", "submitted"]


def test_an_executable_bit_is_no_damage(lab: Lab) -> None:
    """Who copies a board over a file system without that bit changes not a word of an event:
    nothing is to be repaired, least of all again and again."""
    lab.task("one", script="echo one >one")
    assert lab.run("--until-idle").status == 0
    git("checkout", "-q", "fleet", cwd=lab.window)
    for event in (lab.window / "log" / "one").iterdir():
        event.chmod(0o755)
    odd = lab.commit("Copied about")
    ran = lab.run("--until-idle")
    assert ran.status == 0 and ran.lines.of("repaired") == []
    assert lab.tip("fleet") == odd
    fsck = lab.fsck()
    assert fsck.status == 0 and " 0 repaired" in fsck.text
