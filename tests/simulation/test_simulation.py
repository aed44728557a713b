"""Many machines, one remote, everything going wrong: many seeds, and broken rules that show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lanes import sample
from tests.simulation.broken_rules import DELIBERATE, FOUND, RULES, broken
from tests.simulation.play import play

LONG = bool(os.environ.get("GITFLEET_LONG"))
CHUNKS, EACH = (200, 500) if LONG else (16, 60)
ENOUGH = 500  # seeds within which a broken rule is noticed
# Seeds to try first, since these rules take long to find: the seed where each was noticed last.
NOTICED_AT = {
    "claims-beside-ending": 189,
    "cut-off-counts": 126,
    "letters-dropped": 110,
    "tip-read-again": 108,
}
FAST = ("no-fence", "unknown-is-lost")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(10))
def test_a_seed_keeps_the_rules_and_comes_to_rest(seed: int) -> None:
    """The first seeds of the next test."""
    assert not play(seed).violation


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_seed_keeps_the_rules_and_comes_to_rest(chunk: int) -> None:
    """Whatever is lost, late, cut off, killed or asleep: each step of the board is legal, each
    result counts for the claim it was made under, no claim of a live runner is taken, nothing
    lands twice, and once faults stop every task ends where it should."""
    for seed in range(chunk * EACH, (chunk + 1) * EACH):
        violation = play(seed).violation
        assert not violation, f"{violation}\nreplay: python -m tests.simulation --seed {seed}"


@pytest.mark.parametrize("mutant", sample(sorted(DELIBERATE | FOUND), *FAST))
def test_a_broken_rule_is_noticed(mutant: str) -> None:
    """Each rule of the protocol is needed, and the simulation notices: with the rule broken in the
    runner's code some seed fails, and the same seed passes without that."""
    first = NOTICED_AT.get(mutant, 0)
    for seed in (first, *range(ENOUGH)):
        if play(seed, frozenset([mutant])).violation:
            assert not play(seed).violation
            return
    pytest.fail(f"{mutant} was not noticed in {ENOUGH} seeds")


def test_each_rule_is_broken_in_code_that_is_still_there() -> None:
    """A rule that moved to other code would seem to be needed no more, hours later."""
    for name in RULES:
        with broken(frozenset([name])):
            pass


def test_a_seed_tells_the_same_story_in_every_process() -> None:
    """What a seed did can be replayed: nothing depends on hashes, addresses or the time of day."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "4"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count(b"\n") > 20
