"""Measure which tests reach which lines, and how long each takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

from tests.mutants.operators import Mutant

# hypothesis is imported before pytest can rewrite its assertions.
OPTIONS: Final = ("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


class Reach:
    """Which tests reach which lines, and how many seconds each takes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.seconds: dict[str, float] = data["seconds"]
        self._lines: dict[str, dict[str, list[str]]] = data["lines"]

    def tests(self, mutant: Mutant, seconds: float) -> list[str]:
        """The tests for a mutant, the quickest first, of at most so many seconds together.

        For a line that runs when its module is imported, those that reach any line of the module.
        """
        lines = self._lines.get(mutant.path, {})
        chosen = (
            [lines.get(str(number), []) for number in mutant.lines]
            if mutant.function
            else list(lines.values())
        )
        found = {test for tests in chosen for test in tests if test in self.seconds}
        quickest = sorted(found, key=lambda test: (self.seconds[test], test))
        return quickest[: self._within(quickest, seconds)]

    def _within(self, tests: list[str], seconds: float) -> int:
        for number, test in enumerate(tests):
            seconds -= self.seconds[test]
            if seconds < 0:
                return max(number, 1)
        return len(tests)


class _Recorder:
    """A plugin of pytest: notes the lines of each test, and its seconds if it passes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when != "teardown":
            took = self.seconds.get(report.nodeid, 0.0) + report.duration
            self.seconds[report.nodeid] = took
        elif not report.passed:
            self.seconds.pop(report.nodeid, None)


def measure(root: Path, code: tuple[str, ...], tests: list[str], result: Path) -> None:
    """Run the tests once, without a mutant, and write what `Reach` reads."""
    measured = coverage.Coverage(
        data_file=None, source=[str(root / one) for one in code], config_file=False
    )
    measured.start()
    recorder = _Recorder(measured)
    pytest.main([*OPTIONS, "-q", "-m", "not slow", *tests], [recorder])
    measured.stop()
    data = measured.get_data()
    lines = {
        os.path.relpath(file, root): data.contexts_by_lineno(file) for file in data.measured_files()
    }
    result.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}))
