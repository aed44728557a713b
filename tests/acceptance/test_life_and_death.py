"""Whatever a coder starts, and however it ends: nothing of it is left, and the slot is free."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.agents import agent
from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab, Live, until

_READY = "echo ready >'{here}'/$GITFLEET_TASK"
_FORKS = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)  # and it holds standard output
    os._exit(0)
"""
# What an agent's tools may do to stay alive.
STUBBORN = {
    "deaf": "sh -c 'trap \"\" TERM INT HUP; sleep 600 & wait; sleep 600' &\n",
    "session": "setsid sh -c 'sleep 600 & wait' &\n",
    "daemon": "python3 -c '" + _FORKS + "'\n",
}


def _stubborn(lab: Lab, **keys: Any) -> None:
    here = lab.folder / "ready"
    here.mkdir()
    for name, script in STUBBORN.items():
        ready = _READY.format(here=here)
        lab.write_task(name, script=f"{script}{ready}\necho begun\nsleep 600", **keys)
    lab.commit("Stubborn ones")


def _all_begun(lab: Lab, live: Live) -> None:
    live.wait_for("claimed", times=len(STUBBORN))
    marks = [lab.folder / "ready" / name for name in STUBBORN]
    until(lambda: all(mark.exists() for mark in marks), what="all to begin")


@pytest.mark.slow
def test_a_cancelled_attempt_leaves_no_process(make_lab: MakeLab) -> None:
    """A tool that ignores TERM, one in a session of its own, one that forks twice and holds
    standard output: all end with a cancel, and another task gets the slots."""
    lab = make_lab(concurrency=len(STUBBORN))
    _stubborn(lab)
    live = lab.start("--until-idle")
    _all_begun(lab, live)
    assert len(lab.left_over()) > 2 * len(STUBBORN)
    lab.write_task("next", script="echo next >next")
    for name in STUBBORN:
        (lab.window / "tasks" / f"{name}.md").unlink()
    lab.commit("Nobody wants them any more")
    assert live.wait().status == 0, live.told()
    assert {name: lab.outcomes(name) for name in STUBBORN} == {n: ["cancelled"] for n in STUBBORN}
    assert lab.left_over() == [] and lab.landings() == ["next"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "settings", "outcome"),
    [
        ({"timeout": "3s"}, {}, "timed-out"),
        ({}, {"timeouts": {"silence": "3s", "attempt": "5m"}}, "stalled"),
    ],
)
def test_an_attempt_that_ran_out_of_time_leaves_no_process(
    make_lab: MakeLab, keys: dict[str, Any], settings: dict[str, Any], outcome: str
) -> None:
    """The same after each limit of time, with the outcome that names it."""
    lab = make_lab(concurrency=len(STUBBORN), max_attempts=1, **settings)
    _stubborn(lab, **keys)
    assert lab.run("--until-idle").status == 4
    assert {name: lab.outcomes(name) for name in STUBBORN} == {n: [outcome] for n in STUBBORN}
    assert lab.left_over() == []


@pytest.mark.slow
def test_a_leader_that_dies_takes_its_worker_along(lab: Lab) -> None:
    """Its real process goes on in a session of its own: it is ended, and the attempt has failed."""
    lab.task("one", script="setsid sleep 600 & echo x >x; kill -9 $$", max_attempts=1)
    assert lab.run("--until-idle").status == 4
    (attempt,) = lab.attempts("one")
    assert (attempt.outcome, attempt.signal) == ("failed", 9)
    assert lab.left_over() == []


@pytest.mark.slow
def test_a_job_in_the_background_ends_with_its_agent(lab: Lab) -> None:
    """An exit of 0 with a job under way: what is committed counts, the job is gone."""
    lab.task("one", script="echo x >x; (while :; do sleep 600; done) & exit 0")
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["one"] and lab.left_over() == []


@pytest.mark.slow
def test_fifty_at_once_are_all_gone_after_a_cancel(make_lab: MakeLab) -> None:
    """Fifty agents with a child each, all given up in one commit: nothing is left of any."""
    lab = make_lab(concurrency=50)
    names = [f"t{n}" for n in range(50)]
    for name in names:
        lab.write_task(name, script="setsid sleep 600 & echo begun; sleep 600")
    lab.commit("Fifty")
    live = lab.start("--until-idle")
    live.wait_for("claimed", times=50, timeout=300)
    runs = lab.path / ".git/gitfleet/runs"
    until(
        lambda: sum(1 for out in runs.glob("*/*/stdout") if out.stat().st_size) == 50,
        what="all fifty to begin",
        timeout=300,
    )
    for name in names:
        (lab.window / "tasks" / f"{name}.md").unlink()
    lab.commit("Nobody wants them any more")
    assert live.wait(300).status == 0
    assert lab.left_over() == []
    assert {outcome for name in names for outcome in lab.outcomes(name)} == {"cancelled"}


# -- agents that speak

_SPEAKING = {
    "mute": ("time.sleep(600)", "stalled", "it reported nothing for 4s"),
    "stuck": ("begin()\ncall(1)\ntime.sleep(600)", "stalled", "Bash ran without output for 8s"),
    "thirsty": (
        "begin()\ncall(1)\nback(1)\npathlib.Path('x').write_text('x')\nend(usd=7)\ntime.sleep(600)",
        "over-budget",
        "its budget of 2.00 USD is used up",
    ),
    # What the coder says of itself names the end; else it would retry for minutes, in its slot.
    "refused": (
        "begin()\nwhile True:\n    say('system', subtype='api_retry', attempt=1,"
        " error_status=401, error='authentication_failed')\n    time.sleep(0.2)",
        "auth-failed",
        "",
    ),
    "full": (
        "begin()\nend(usd=0)\ncall(1, used=949)\ntime.sleep(600)",
        "context-full",
        "950 of 1000 tokens",
    ),
}


@pytest.mark.slow
def test_limits_of_an_agent_that_tells_what_it_does(make_lab: MakeLab) -> None:
    """Never a word, a tool that hangs, money, room: each ends the attempt with a name of its own.
    A tool at work may be silent for longer than an agent without one."""
    lab = make_lab(
        concurrency=5,
        max_attempts=1,
        timeouts={"first_event": "4s", "silence": "6s", "tool": "8s", "attempt": "5m"},
    )
    cases = "".join(
        f"if task == {name!r}:\n" + "".join(f"    {line}\n" for line in script.splitlines())
        for name, (script, _, _) in _SPEAKING.items()
    )
    env = agent(lab.folder / "bin", cases)
    for name in _SPEAKING:
        lab.write_task(name, coder="claude", body="Do it.", budget={"usd": 2.0})
    lab.commit("All of them")
    lab.run("--until-idle", env=env)
    assert lab.left_over() == []
    for name, (_, outcome, reason) in _SPEAKING.items():
        first = lab.attempts(name)[0]
        assert (first.outcome, name) == (outcome, name)
        assert reason in first.reason
