"""Kill a runner at random moments, again and again, and see that the board is worked off all the
same. By hand:

    python -m tests.acceptance.random_kills --rounds 20 --seed 1

Prints a table in Markdown; ends with 1 if a round did not come to the same end.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.smallboard import all_is_well, small_board


@dataclass(frozen=True)
class Round:
    """What one round was: seconds after the start at which it was killed, and what came of it."""

    killed_at: float
    doing: str  # the last thing that the killed runner told
    landed_before: int
    recovered: int  # claims that the next runner had to settle
    seconds: float  # the second run
    fault: str  # empty: the same end


def isolate(world: Path) -> None:
    """An own home, and nobody's git settings, for us and all that we start."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITFLEET_"))]:
        del os.environ[name]
    (world / "gitconfig").touch()
    os.environ |= {
        "HOME": str(world),
        "XDG_STATE_HOME": str(world / "state"),
        "XDG_CONFIG_HOME": str(world / "config"),
        "TMPDIR": str(world),
        "GIT_CONFIG_GLOBAL": str(world / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada Author",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Carl Committer",
        "GIT_COMMITTER_EMAIL": "carl@example.org",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
    }


def undisturbed(folder: Path) -> float:
    """Seconds that the small board takes when nobody is killed."""
    lab = small_board(folder)
    began = time.monotonic()
    ran = lab.run("--until-idle")
    assert ran.status == 0, ran
    all_is_well(lab)
    return time.monotonic() - began


def strike(folder: Path, after: float) -> Round:
    """Kill a runner `after` seconds, start another, compare the end."""
    lab = small_board(folder)
    live = lab.start("--until-idle")
    time.sleep(after)  # the moment is what is tested: random, not waited for
    live.signal(signal.SIGKILL)
    ran = live.wait()
    landed = len(lab.landings())
    last = ran.lines[-1] if ran.lines else None
    doing = f"{last.name} {last.fields.get('task', '')}".strip() if last else "starting"
    began = time.monotonic()
    again = lab.run("--until-idle")
    took = time.monotonic() - began
    fault = _fault(lambda: all_is_well(lab)) if again.status == 0 else f"exit {again.status}"
    return Round(after, doing, landed, len(again.lines.of("recovered")), took, fault)


def _fault(holds: Callable[[], None]) -> str:
    try:
        holds()
    except AssertionError as error:
        return str(error).splitlines()[0][:200] or "not the same end"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    say = sys.stdout.write
    bad = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        world = Path(name)
        isolate(world)
        whole = undisturbed(world / "whole")
        say(f"Undisturbed: {whole:.1f} s. Seed {given.seed}.\n\n")
        say("| round | killed after | last log line | landed | claims settled | then took |")
        say(" end |\n")
        say("|---|---|---|---|---|---|---|\n")
        for number in range(1, given.rounds + 1):
            one = strike(world / str(number), rng.uniform(0.05, whole))
            bad += bool(one.fault)
            say(
                f"| {number} | {one.killed_at:.2f} s | {one.doing} | {one.landed_before} of 7 |"
                f" {one.recovered} | {one.seconds:.1f} s | {one.fault or 'identical'} |\n"
            )
            sys.stdout.flush()
    say(f"\n{given.rounds - bad} of {given.rounds} came to the same end.\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
