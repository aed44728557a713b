"""Kill a runner at random moments with agents under way, start another, and see that every agent
went on or had ended meanwhile, none was begun twice, and no line of its output is lost or doubled.
By hand:

    python -m tests.acceptance.agent_kills --rounds 20 --agents 10 --seed 1

Prints a table in Markdown; ends with 1 if a round was not as it should be.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.agents import agent
from tests.acceptance.fleetlab import Lab
from tests.acceptance.random_kills import isolate

_CALLS = 40
_SCRIPT = f"""\
begin()
with open(os.path.join(os.environ["STARTS"], task), "a") as file:
    file.write("once\\n")
for number in range({_CALLS}):
    call(number)
    time.sleep(0.1)
    back(number)
pathlib.Path(task + ".txt").write_text("done")
end()
"""


class Round(NamedTuple):
    """Seconds until the kill; what became of the agents, and what is wrong."""

    killed_at: float
    begun: int  # agents that were at work or had ended when the runner died
    gone_on: int
    anew: int  # claims whose agent had not been begun
    seconds: float
    fault: str


def strike(folder: Path, agents: int, after: float) -> Round:
    """Kill a runner `after` seconds and start another."""
    lab = Lab(folder, concurrency=agents)
    starts = folder / "starts"
    starts.mkdir()
    env = {**agent(folder / "bin", _SCRIPT), "STARTS": str(starts)}
    for number in range(agents):
        lab.write_task(f"t{number}", coder="claude", body="Do it.")
    lab.commit("Agents")
    live = lab.start("--until-idle", "--max", str(agents), env=env)
    time.sleep(after)  # the moment is what is tested: random, not waited for
    live.signal(signal.SIGKILL)
    live.wait()
    begun = len(list(starts.iterdir()))
    at = time.monotonic()
    again = lab.run("--until-idle", "--max", str(agents), env=env)
    took = time.monotonic() - at
    fault = _fault(lab, agents, starts) if again.status == 0 else f"exit {again.status}"
    gone_on = len(again.lines.of("resumed"))
    anew = sum("interrupted" in lab.outcomes(f"t{n}", "work") for n in range(agents))
    lab.close()
    return Round(after, begun, gone_on, anew, took, fault)


def _fault(lab: Lab, agents: int, starts: Path) -> str:
    for task in [f"t{number}" for number in range(agents)]:
        if (starts / task).read_text() != "once\n":
            return f"{task} was begun twice"
        done = [one for one in lab.attempts(task, "work") if one.outcome == "submitted"]
        if [one.tool_calls for one in done] != [_CALLS]:
            return f"{task}: {[one.tool_calls for one in done]} of {_CALLS} calls"
    if sorted(lab.landings()) != sorted(f"t{number}" for number in range(agents)):
        return "not every task landed once"
    if lab.left_over():
        return "a process is left"
    return "" if lab.fsck().status == 0 else "fsck"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    say = sys.stdout.write
    bad = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        world = Path(name)
        isolate(world)
        say("| round | killed after | agents started | resumed | started again | took | end |\n")
        say("|---|---|---|---|---|---|---|\n")
        for number in range(1, given.rounds + 1):
            one = strike(world / str(number), given.agents, rng.uniform(0.5, 8.0))
            bad += bool(one.fault)
            say(
                f"| {number} | {one.killed_at:.2f} s | {one.begun} of {given.agents} |"
                f" {one.gone_on} | {one.anew} | {one.seconds:.1f} s | {one.fault or 'ok'} |\n"
            )
            sys.stdout.flush()
    say(f"\n{given.rounds - bad} of {given.rounds} ended ok.\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
