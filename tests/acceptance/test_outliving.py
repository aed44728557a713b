"""Attempts outlive the runner: it is killed and started again, and the agents do not notice."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gitfleet import failpoints
from gitfleet.execution.local import attach, exit_of
from gitfleet.process.procfs import alive
from gitfleet.run_dir import RunDir
from tests.acceptance.agents import agent
from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import PATIENCE, Lab, Live, until
from tests.conftest import git

# Waits in the middle, within a line, for a word.
_AGENT = """\
starts, gates = (pathlib.Path(os.environ[name]) for name in ("STARTS", "GATES"))
begin()
for number in (1, 2, 3):
    call(number)
    back(number)
with (starts / task).open("a") as file:
    file.write("once\\n")
print("half a line", end="", flush=True)
(starts / f"{task}.reached").touch()
word = (gates / task).read_text()
print()
for number in (4, 5):
    call(number)
    back(number)
pathlib.Path(f"{task}.txt").write_text(word)
end()
"""


class Agents:
    """A fleet of agents that wait half way, each at a gate of its own."""

    def __init__(self, lab: Lab, number: int, script: str = _AGENT) -> None:
        self.lab = lab
        self.tasks = [f"t{n}" for n in range(number)]
        self.folder = lab.folder / "agents"
        for name in ("gates", "starts"):
            (self.folder / name).mkdir(parents=True)
        self.env = {
            **agent(self.folder / "bin", script),
            "STARTS": str(self.folder / "starts"),
            "GATES": str(self.folder / "gates"),
        }
        for task in self.tasks:
            os.mkfifo(self.folder / "gates" / task)
            lab.task(task, body="Do it.", coder="claude")

    def begin(self) -> Live:
        """A runner with all agents under way, half of a line written."""
        live = self.lab.start("--until-idle", "--max", "20", env=self.env)
        marks = [self.folder / "starts" / f"{task}.reached" for task in self.tasks]
        until(lambda: all(mark.exists() for mark in marks), what="the agents to wait")
        return live

    def go(self, task: str) -> None:
        """Let one go on."""
        (self.folder / "gates" / task).write_text("word\n")

    def run_dir(self, task: str) -> Path:
        claim = self.lab.board().entries[task].claim
        assert claim is not None
        return self.lab.path / ".git/gitfleet/runs" / task / f"001-{claim.nonce[:8]}"

    def all_well(self) -> None:
        """Each was started once, landed once, and not a line of its output is lost or doubled."""
        for task in self.tasks:
            assert (self.folder / "starts" / task).read_text() == "once\n"
            # One whose agent had not been begun is begun by the next runner.
            *earlier, attempt = self.lab.attempts(task, "work")
            assert {(one.outcome, one.tool_calls) for one in earlier} <= {("interrupted", 0)}
            assert (attempt.outcome, attempt.tool_calls) == ("submitted", 5)
            assert (attempt.session, attempt.usd, attempt.tokens.input) == ("s-1", 0.5, 50)
        assert sorted(self.lab.landings()) == sorted(self.tasks)
        assert self.lab.left_over() == []
        assert self.lab.fsck().status == 0


def kill(live: Live) -> None:
    live.signal(signal.SIGKILL)
    assert live.wait().status == -signal.SIGKILL


@pytest.mark.slow
def test_ten_agents_go_on_when_their_runner_is_killed(make_lab: MakeLab) -> None:
    """kill -9 with ten attempts under way: started again, the runner finds them by pid and start,
    goes on reading in the middle of a line, and none is started twice."""
    agents = Agents(make_lab(concurrency=10), 10)
    kill(agents.begin())
    again = agents.lab.start("--until-idle", "--max", "20", env=agents.env)
    again.wait_for("resumed", times=10)
    for task in agents.tasks:
        agents.go(task)
    assert again.wait().status == 0, again.told()
    agents.all_well()


@pytest.mark.slow
def test_an_upgrade_leaves_the_agents_at_work(make_lab: MakeLab) -> None:
    """`stop --leave`: the runner ends at once, and the next one goes on with its agents."""
    agents = Agents(make_lab(), 2)
    live = agents.begin()
    said = agents.lab.gitfleet("stop", "--leave", "--wait")
    assert said.returncode == 0, said.stderr
    ended = live.wait()
    assert ended.status == 0 and ended.lines.of("leaving", attempts=2)
    again = agents.lab.start("--until-idle", env=agents.env)
    again.wait_for("resumed", times=2)
    for task in agents.tasks:
        agents.go(task)
    assert again.wait().status == 0, again.told()
    agents.all_well()


_QUICK = """\
with open(os.path.join(os.environ["STARTS"], task), "a") as file:
    file.write("once\\n")
begin()
for number in range(5):
    call(number)
    back(number)
    time.sleep(0.1)
pathlib.Path(f"{task}.txt").write_text("word")
end()
"""
_LONG = os.environ.get("GITFLEET_LONG") == "1"
# Those that every attempt passes while others are under way; by hand those of a landing, too.
_POINTS = failpoints.POINTS[: failpoints.POINTS.index("salvaged" if _LONG else "merge-made")]


@pytest.mark.slow
@pytest.mark.parametrize("point", _POINTS)
def test_killed_at_a_named_point_with_agents_under_way(make_lab: MakeLab, point: str) -> None:
    """At whichever step of one attempt the runner dies: the others go on or had ended meanwhile,
    none is begun twice, and each is judged by all of its output."""
    agents = Agents(make_lab(concurrency=10), 10 if _LONG else 4, _QUICK)
    args = ("--until-idle", "--max", "20")
    killed = agents.lab.run(*args, env={**agents.env, "GITFLEET_FAULT": point})
    assert killed.status == -signal.SIGKILL, f"{point} was never passed"
    again = agents.lab.run(*args, env=agents.env)
    assert again.status == 0, again
    agents.all_well()


@pytest.mark.slow
def test_killed_life_after_life(make_lab: MakeLab) -> None:
    """Three runners die over the same attempts, and the fourth finishes them."""
    agents = Agents(make_lab(), 3)
    kill(agents.begin())
    for _ in range(3):
        live = agents.lab.start("--until-idle", env=agents.env)
        live.wait_for("resumed", times=3)
        kill(live)
    again = agents.lab.start("--until-idle", env=agents.env)
    for task in agents.tasks:
        agents.go(task)
    assert again.wait().status == 0, again.told()
    agents.all_well()


@pytest.mark.slow
def test_what_ended_while_no_runner_was_there_counts(make_lab: MakeLab) -> None:
    """The agents end well with nobody watching: the next runner judges them by what is on
    record."""
    agents = Agents(make_lab(), 3)
    kill(agents.begin())
    folders = [agents.run_dir(task) for task in agents.tasks]
    for task in agents.tasks:
        agents.go(task)
    until(lambda: all(exit_of(RunDir(folder)) for folder in folders), what="the agents to end")
    assert agents.lab.run("--until-idle", env=agents.env).status == 0
    agents.all_well()


@pytest.mark.slow
def test_nobody_looks_after_it_for_a_lease(make_lab: MakeLab) -> None:
    """When no runner is there for a lease the claim may be another's: the supervisor ends its
    agent, and nothing of it is left; a runner that comes later goes on in the same session."""
    agents = Agents(make_lab(lease="2s"), 1)
    kill(agents.begin())
    folder = agents.run_dir("t0")
    until(lambda: exit_of(RunDir(folder)), what="the supervisor to end it", timeout=PATIENCE)
    ended = exit_of(RunDir(folder))
    assert ended is not None and ended.why == "abandoned"
    until(lambda: agents.lab.left_over() == [], what="the supervisor itself to end")
    again = agents.lab.start("--until-idle", env=agents.env)
    agents.go("t0")
    assert again.wait().status == 0, again.told()
    first, second = agents.lab.attempts("t0", "work")
    assert (first.outcome, second.outcome) == ("interrupted", "submitted")
    assert "no runner renewed its lease" in first.reason


@pytest.mark.slow
def test_a_task_that_was_cancelled_meanwhile(make_lab: MakeLab) -> None:
    """A person cancels while no runner is there: the next one ends the agent at once."""
    agents = Agents(make_lab(), 1)
    kill(agents.begin())
    running = attach(RunDir(agents.run_dir("t0")))
    assert running is not None and alive(running.child)
    assert agents.lab.gitfleet("cancel", "t0").returncode == 0
    assert agents.lab.run("--until-idle", env=agents.env).status == 0
    assert agents.lab.outcomes("t0") == ["cancelled"]
    assert agents.lab.left_over() == [] and not alive(running.child)


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True])
def test_a_validator_outlives_the_runner_too(make_lab: MakeLab, moved: bool) -> None:
    """Its verdict counts for the very tree it was asked about; if the target moved meanwhile, it
    is asked again."""
    lab = make_lab()
    gate = lab.gate("gate")
    asked = lab.folder / "asked"
    verdict = "printf 'verdict: accepted\\n' >v; mv v \"$GITFLEET_OUTBOX/verdict.yaml\""
    script = f"echo asked >>'{asked}'\n{gate.pause}\n{verdict}\n"
    judge = lab.folder / "judge.sh"
    judge.write_text(script)
    lab.set(
        roles={"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        coders={"judge": {"argv": ["sh", "-e", str(judge)], "prompt": "file"}},
    )
    lab.task("one", script="echo one >one.txt")
    live = lab.start("--until-idle")
    gate.reached()
    kill(live)
    if moved:
        (lab.path / "other.txt").write_text("other\n")
        git("add", "other.txt", cwd=lab.path)
        git("commit", "-qm", "Somebody else", cwd=lab.path)
    again = lab.start("--until-idle")
    again.wait_for("resumed", task="one", role="validate")
    gate.open(2)
    assert again.wait().status == 0, again.told()
    assert asked.read_text() == "asked\n" * (2 if moved else 1)
    assert lab.landings() == ["one"] and lab.outcomes("one", "validate") == ["accepted"]
    assert lab.fsck().status == 0 and lab.left_over() == []
