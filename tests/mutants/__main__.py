"""Ask what the tests of the pure core notice: change its code a little, and run them.

One run of the fast tests finds which of them reach which line. Then each mutant of a sample gets
the tests that reach it, the quickest first, until one fails. Lines that only the processes reach
which tests start count as unreached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.mutants import trial
from tests.mutants.operators import Mutant, mutants_of
from tests.mutants.reach import OPTIONS, Reach, measure
from tests.mutants.trial import ROOT, Trials

CODE: Final = ("gitfleet/model", "gitfleet/plan", "gitfleet/landing")
TESTS: Final = ("tests/model", "tests/plan", "tests/landing", "tests/audit", "tests/runner")


class _Results:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._out = os.fdopen(os.dup(1), "w")  # pytest captures the other

    def say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()

    def close(self) -> None:
        self._out.close()

    def add(self, mutant: Mutant, tests: list[str], result: str) -> None:
        self.counts[result] += 1
        if result in ("survived", "unreached"):
            self.say(f"{result} ({len(tests)} tests): {mutant}")


def _files(code: list[str]) -> list[Path]:
    return [
        file
        for one in code
        for file in ([ROOT / one] if one.endswith(".py") else sorted((ROOT / one).rglob("*.py")))
    ]


def main() -> int:
    """Try a sample of the mutants of the code; list the survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (default: 300)")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for each (default: 60)")
    parser.add_argument("--tests", nargs="+", default=list(TESTS), metavar="PATH")
    parser.add_argument("--reach", type=Path, help="keep in this file which test reaches what")
    parser.add_argument("code", nargs="*", default=list(CODE), help="modules, or folders of them")
    given = parser.parse_args()
    trial.adopt_orphans()
    results = _Results()
    found = [
        mutant
        for file in _files(given.code)
        for mutant in mutants_of(str(file.relative_to(ROOT)), file.read_bytes())
    ]
    sample = set(sorted(found, key=lambda mutant: mutant.rank(given.seed))[: given.sample])
    chosen = [mutant for mutant in found if mutant in sample]
    results.say(f"{len(found)} mutants, of which {len(chosen)} are tried")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        _try_all(chosen, given, results, Path(folder).resolve())
    results.say(", ".join(f"{number} {result}" for result, number in results.counts.most_common()))
    results.close()
    return 0


def _try_all(
    mutants: list[Mutant], given: argparse.Namespace, results: _Results, folder: Path
) -> None:
    output, seconds = folder / "output", given.seconds
    kept = given.reach or folder / "reach.json"
    if not kept.exists():

        def work() -> int:
            measure(ROOT, CODE, given.tests, kept)
            return 0

        if trial.in_child(work, 3600, output) != 0:
            sys.exit(f"the run without a mutant failed:\n{output.read_text()[-3000:]}")
    reach = Reach(json.loads(kept.read_text()))
    for mutant in mutants:
        if not reach.tests(mutant, seconds):
            results.add(mutant, [], "unreached")
    reached = [mutant for mutant in mutants if reach.tests(mutant, seconds)]
    in_functions = [mutant for mutant in reached if mutant.function]
    trials = Trials(in_functions, reach, seconds, output, results.add)
    quiet = ("-o", "addopts=", "-p", "no:terminal")
    if in_functions:
        pytest.main([*OPTIONS, *quiet, *given.tests], [trials])
    copy = folder / "tree"
    trial.copy_tree(copy)
    for mutant in reached:
        if not mutant.function:
            tests = reach.tests(mutant, seconds)
            limit = trial.limit_of(tests, reach)
            results.add(mutant, tests, trial.try_in_copy(copy, mutant, tests, limit))


if __name__ == "__main__":
    sys.exit(main())
