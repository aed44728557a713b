"""Run the simulation by hand: one seed and all that happens in it, or many and what they show."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.broken_rules import RULES
from tests.simulation.play import play


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """`--seed N` tells a run; `--seeds A-B` plays many; `--mutant NAME` breaks the protocol."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=main.__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-200", metavar="A-B")
    parser.add_argument("--mutant", action="append", default=[], choices=sorted(RULES))
    parser.add_argument("--keep-going", action="store_true", help="show every seed that fails")
    given = parser.parse_args()
    mutants = frozenset(given.mutant)
    if given.seed is not None:
        result = play(given.seed, mutants, tell)
        tell(f"{result.violation or 'nothing wrong'} {dict(result.counts)}")
        return bool(result.violation)
    first, _, last = given.seeds.partition("-")
    counts: Counter[str] = Counter()
    began, failed = time.monotonic(), 0
    for seed in range(int(first), int(last)):
        result = play(seed, mutants)
        counts.update(result.counts)
        if result.violation:
            failed += 1
            tell(f"seed {seed}: {result.violation}")
            if not given.keep_going:
                break
    spent = time.monotonic() - began
    tell(f"{counts['runs']} runs, {failed} fail, {counts['runs'] / spent:.1f} a second")
    tell(str(dict(counts)))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
