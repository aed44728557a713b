"""The contract of executors: one suite, for the local one and for a plugin that wraps it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.execution import registry
from gitfleet.execution.base import Executor, Exit, LaunchSpec, RunLimits, Running
from gitfleet.execution.local import LocalExecutor
from gitfleet.plugins import PluginKind
from gitfleet.process import supervisor
from gitfleet.process.procfs import MARKER, boot_seconds
from gitfleet.process.wakeup import Wakeup
from gitfleet.run_dir import RunDir, RunFiles
from tests.plugins.kit import distribution
from tests.process.kit import FOREVER, PATIENCE, Mouth, carriers

_GRACE = 1.0
_WRAPPER = """\
from dataclasses import replace
from gitfleet.execution.local import LocalExecutor
class Wrapper(LocalExecutor):
    name = "wrapped"
    def start(self, files, spec):
        return super().start(files, replace(spec, argv=("env", "WRAPPED=yes", *spec.argv)))
PLUG = Wrapper()
"""


@pytest.fixture(params=["local", "wrapped"])
def executor(request: pytest.FixtureRequest, site: Path) -> Executor:
    """Each executor, found as a machine's settings name it."""
    name: str = request.param
    points = {PluginKind.EXECUTOR.group: {"wrapped": "wrapmod:PLUG"}}
    distribution(site, "gitfleet-wrapped", points, {"wrapmod.py": _WRAPPER})
    return registry.find(name, ("wrapped",))


@pytest.fixture
def spec(tmp_path: Path, marker: str) -> LaunchSpec:
    """A run that does nothing for long. Whatever is left of it is killed with its marker."""
    env = {"PATH": os.environ["PATH"], "MOUTH": str(tmp_path / "mouth")}
    limits = RunLimits(grace=_GRACE)
    return LaunchSpec(("sleep", FOREVER), tmp_path, env, marker, limits=limits)


@pytest.fixture
def runs() -> Iterator[list[Running]]:
    """Handles to give back."""
    found: list[Running] = []
    yield found
    for one in found:
        one.close()


def _ended(run: Running) -> Exit:
    end = run.wait(PATIENCE)
    assert end is not None
    return end


def test_a_run_appends_to_its_files_and_tells_how_it_ended(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, tmp_path: Path, runs: list[Running]
) -> None:
    """It reads its input, sees its whole environment with the marker, and works in its folder."""
    (tmp_path / "in").write_text("word\n")
    script = f'cat; pwd; echo "${MARKER} $OWN" >&2; exit 7'
    spec = replace(
        spec, argv=("sh", "-c", script), stdin=tmp_path / "in", env={**spec.env, "OWN": "own"}
    )
    for _ in range(2):
        runs.append(executor.start(run_dir, spec))
        end = _ended(runs[-1])
        assert (end.code, end.signal, end.why, end.cut_short) == (7, None, "", "")
        assert runs[-1].wait(0) == end
    assert run_dir.stdout.read_text() == f"word\n{tmp_path}\n" * 2
    assert run_dir.stderr.read_text() == f"{spec.marker} own\n" * 2
    assert executor.find_left(spec.marker) == ()


def test_pwd_is_the_folder_of_the_run(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, tmp_path: Path, runs: list[Running]
) -> None:
    """Some coders believe it rather than ask. `env` tells; a shell would correct it by itself."""
    runs.append(executor.start(run_dir, replace(spec, argv=("env",), env={**spec.env, "PWD": "/"})))
    assert _ended(runs[-1]).code == 0
    assert f"PWD={tmp_path}" in run_dir.stdout.read_text().splitlines()


def test_a_program_that_is_not_there_is_an_error_for_a_person(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec
) -> None:
    """Or one that is never found by a wrapper, which then tells by its end; nothing is left."""
    code = None
    with contextlib.suppress(FleetError):
        run = executor.start(run_dir, replace(spec, argv=("no-such-program",)))
        code = _ended(run).code
        run.close()
    assert code == (None if executor.name == "local" else 127)
    assert executor.find_left(spec.marker) == ()


def test_a_run_is_found_again_by_its_files(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, runs: list[Running]
) -> None:
    """While it runs and after; by another name in the same folder nothing is found."""
    before = time.monotonic()
    assert executor.attach(run_dir) is None
    executor.start(run_dir, replace(spec, argv=("sh", "-c", "sleep 0.1; exit 5"))).close()
    again = executor.attach(run_dir)
    assert again is not None
    runs.append(again)
    assert before <= again.began() <= time.monotonic()
    assert _ended(again).code == 5
    late = executor.attach(run_dir)
    assert late is not None and late.wait(0) == _ended(again)
    assert executor.attach(RunFiles(run_dir.path, "check-1.")) is None


def test_waiting_ends_when_it_is_told_to(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, runs: list[Running]
) -> None:
    """By its time, or from another thread; the run goes on."""
    runs.append(executor.start(run_dir, spec))
    assert runs[0].wait(0.01) is None
    wake = Wakeup()
    wake.set()
    assert runs[0].wait(PATIENCE, wake) is None
    assert executor.find_left(spec.marker)
    assert executor.end(runs[0], spec.marker, grace=_GRACE) == ()


@pytest.mark.parametrize("by_handle", [True, False])
def test_an_end_leaves_nothing_of_a_run(
    executor: Executor,
    run_dir: RunDir,
    spec: LaunchSpec,
    mouth: Mouth,
    runs: list[Running],
    by_handle: bool,
) -> None:
    """Neither what hears no TERM nor what left its session, with a handle or with the marker
    alone; another run goes on."""
    script = 'trap "" TERM; setsid sh -c "echo \\$\\$ >$MOUTH; exec sleep 600" & wait'
    runs.append(executor.start(run_dir, replace(spec, argv=("sh", "-c", script))))
    mouth.pid()
    other = replace(spec, marker=f"{spec.marker}x")
    runs.append(executor.start(RunFiles(run_dir.path, "check-1."), other))
    handle = runs[0] if by_handle else None
    assert executor.end(handle, spec.marker, grace=0.1) == ()
    assert carriers(spec.marker) == [] and executor.find_left(spec.marker) == ()
    assert runs[1].wait(0) is None and executor.find_left(other.marker)
    assert executor.end(runs[1], other.marker, grace=_GRACE) == ()
    assert _ended(runs[1]).signal == signal.SIGTERM
    assert executor.end(None, spec.marker, grace=0.1) == ()  # and there is nothing to end any more


def test_limits_are_kept_without_a_runner(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, runs: list[Running]
) -> None:
    """The longest time; and a lease that is not renewed, but not one that is."""
    long = replace(spec, limits=RunLimits(attempt=0.2, grace=_GRACE))
    runs.append(executor.start(run_dir, long))
    assert _ended(runs[0]).why == supervisor.TIMED_OUT
    leased = replace(spec, limits=RunLimits(lease=0.01, grace=_GRACE))
    runs.append(executor.start(run_dir, leased))
    executor.renew(run_dir, boot_seconds() + PATIENCE)
    assert runs[1].wait(1.5) is None
    executor.renew(run_dir, boot_seconds() - 1)
    assert _ended(runs[1]).why == supervisor.ABANDONED


def test_what_a_run_uses_of_the_processor_grows(
    executor: Executor, run_dir: RunDir, spec: LaunchSpec, runs: list[Running]
) -> None:
    """So that a silent coder that works is told from one that hangs."""
    script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; exec sleep 600"
    runs.append(executor.start(run_dir, replace(spec, argv=("sh", "-c", script))))
    end = time.monotonic() + PATIENCE
    while runs[0].worked() <= 0:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert executor.end(runs[0], spec.marker, grace=_GRACE) == ()


def test_a_plugin_wraps_what_it_starts(
    site: Path, run_dir: RunDir, spec: LaunchSpec, runs: list[Running]
) -> None:
    """As a sandbox does."""
    points = {PluginKind.EXECUTOR.group: {"wrapped": "wrapmod:PLUG"}}
    distribution(site, "gitfleet-wrapped", points, {"wrapmod.py": _WRAPPER})
    made = registry.find("wrapped", ("wrapped",))
    runs.append(made.start(run_dir, replace(spec, argv=("sh", "-c", "echo $WRAPPED"))))
    assert _ended(runs[0]).code == 0 and run_dir.stdout.read_text() == "yes\n"


def test_an_executor_that_fails_is_told_by_its_name(site: Path, run_dir: RunDir) -> None:
    """One that is no executor, one by another name, one that raises, and an unknown one."""
    text = f"{_WRAPPER}\nBAD = object()\nclass Odd(Wrapper):\n    name = 'odd'\n"
    text += "    attach = lambda self: None\nODD = Odd()\n"
    points = {"wrapped": "wrapmod:PLUG", "bad": "wrapmod:BAD", "odd": "wrapmod:ODD"}
    points |= {"other": "wrapmod:PLUG", "local": "wrapmod:PLUG"}
    distribution(
        site, "gitfleet-wrapped", {PluginKind.EXECUTOR.group: points}, {"wrapmod.py": text}
    )
    listed = ("gitfleet-wrapped",)
    assert type(registry.find("local", listed)) is LocalExecutor
    for name, what in (
        ("bad", "is not an Executor"),
        ("other", "names its executor 'wrapped'"),
        ("unknown", "no executor is called unknown"),
    ):
        with pytest.raises(FleetError, match=what):
            registry.find(name, listed)
    with pytest.raises(FleetError, match="does not list"):
        registry.find("wrapped", ())
    with pytest.raises(FleetError, match=r"the plugin odd .* failed in `attach`: TypeError"):
        registry.find("odd", listed).attach(run_dir)
