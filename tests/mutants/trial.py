"""Try a mutant: run the tests that reach it in a forked process, until one fails.

A mutant in a function replaces the code of that function in a process that has imported and
collected everything already. Any other changes a file of a copy of the tree, before gitfleet is
imported from there.
"""

from __future__ import annotations

import ctypes
import functools
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import hypothesis
import pytest

from tests.mutants.operators import Mutant
from tests.mutants.reach import OPTIONS, Reach

ROOT: Final = Path(__file__).resolve().parents[2]
_ADOPT: Final = 36  # PR_SET_CHILD_SUBREAPER: orphans become children of this process
_EARLY: Final = (hypothesis,)  # imported once, before a process forks for each mutant
_ERROR: Final = 70


def adopt_orphans() -> None:
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)


def in_child(work: Callable[[], int], limit: float, output: Path) -> int | None:
    """The status of `work` in a forked process; None if it takes more than `limit` seconds.

    All that it leaves running ends here.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as scratch:
        child = os.fork()
        if child == 0:
            _be_child(work, output, scratch)
        ended = os.pidfd_open(child)
        events = select.poll()
        events.register(ended, select.POLLIN)
        in_time = bool(events.poll(limit * 1000))
        if not in_time:
            os.kill(child, signal.SIGKILL)
        os.close(ended)
        _, status = os.waitpid(child, 0)
        _end_children()
    return os.waitstatus_to_exitcode(status) if in_time else None


def _be_child(work: Callable[[], int], output: Path, scratch: str) -> None:
    status = _ERROR
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        out = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for target, fd in enumerate((null, out, out)):
            os.dup2(fd, target)
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _end_children() -> None:
    """Kill what a mutant's tests left running: orphans that we adopted."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := [int(pid) for pid in mine.read_text().split()]:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def result_of(status: int | None) -> str:
    if status is None:
        return "timeout"
    return "survived" if status == 0 else "killed"


# -- in a copy of the tree


def copy_tree(folder: Path) -> None:
    """The files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def go_to(copy: Path) -> None:
    """Import gitfleet and its tests from there; so do the processes that tests start."""
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    ours = [name for name in sys.modules if name.partition(".")[0] in ("gitfleet", "tests")]
    for name in ours:
        del sys.modules[name]
    sys.path.insert(0, str(copy))


class _Chosen:
    """A plugin of pytest that runs these tests alone, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._order]
        items.sort(key=lambda item: self._order[item.nodeid])


def try_in_copy(copy: Path, mutant: Mutant, tests: list[str], limit: float) -> str:
    target = copy / mutant.path
    source = target.read_bytes()
    files = sorted({test.partition("::")[0] for test in tests})

    def work() -> int:
        go_to(copy)
        return int(pytest.main([*OPTIONS, "-x", "-q", *files], [_Chosen(tests)]))

    target.write_bytes(mutant.apply(source))
    try:
        return result_of(in_child(work, limit, copy / "output"))
    finally:
        target.write_bytes(source)


# -- in a process that has collected the tests


class Trials:
    """A plugin of pytest that tries mutants instead of running each test once."""

    def __init__(
        self,
        mutants: list[Mutant],
        reach: Reach,
        seconds: float,
        output: Path,
        tell: Callable[[Mutant, list[str], str], None],
    ) -> None:
        self._mutants, self._reach, self._seconds = mutants, reach, seconds
        self._output, self._tell = output, tell

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for mutant in self._mutants:
            tests = self._reach.tests(mutant, self._seconds)
            chosen = [items[test] for test in tests]
            limit = limit_of(tests, self._reach)
            work = functools.partial(_run, mutant, chosen, session)
            self._tell(mutant, tests, result_of(in_child(work, limit, self._output)))
        return True


def limit_of(tests: list[str], reach: Reach) -> float:
    """Seconds that a mutant's tests may take: enough for a busy machine."""
    return 30 + 5 * sum(reach.seconds[test] for test in tests)


def _run(mutant: Mutant, items: list[pytest.Item], session: pytest.Session) -> int:
    _install(mutant)
    for item, after in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
        if session.testsfailed:
            return 1
    return 0


def _install(mutant: Mutant) -> None:
    name = mutant.path.removesuffix(".py").replace("/", ".")
    source = (ROOT / mutant.path).read_bytes()
    function = _function(sys.modules[name], mutant.function)
    whole = compile(mutant.apply(source), mutant.path, "exec")
    function.__code__ = _code_in(whole, function.__code__, mutant.function)


def _function(module: object, names: tuple[str, ...]) -> FunctionType:
    found: Any = module
    for name in names:
        found = vars(found)[name]
    while not isinstance(found, FunctionType):
        found = next(
            getattr(found, inner)
            for inner in ("__wrapped__", "__func__", "fget", "func")
            if hasattr(found, inner)
        )
    function: FunctionType = found
    while isinstance(inside := getattr(function, "__wrapped__", None), FunctionType):
        function = inside
    return function


def _code_in(code: CodeType, old: CodeType, names: tuple[str, ...]) -> CodeType:
    """The code of that function; of several, the one that begins on the same line."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == names[0]]
    if len(names) > 1:
        return _code_in(inner[0], old, names[1:])
    return next(one for one in inner if one.co_firstlineno == old.co_firstlineno)
