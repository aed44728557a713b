"""A runner and the plugins that a board names: it works on whatever they do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import pytest

from tests import warm
from tests.acceptance.fleetlab import laboratory
from tests.plugins.kit import distribution, machine, spy

_BROKEN: Final = """\
import sys
from gitfleet.coders.base import Coder, Launch, judge_exit, text_reader
def fails(*_args):
    raise ZeroDivisionError("division by zero")
def launch(job):
    return Launch(argv=(sys.executable, "-c", "print('hello'); open('made', 'w').close()"))
def coder(name, **how):
    given = {"launch": launch, "reader": text_reader, "judge": judge_exit, **how}
    return Coder(name, program="python", **given)
LAUNCH = coder("launches-not", launch=fails)
EXITS = coder("exits", launch=lambda _job: sys.exit(3))
def interrupts(_evidence):
    raise KeyboardInterrupt
STOPS = coder("stops", judge=interrupts)
READER = coder("reads-not", reader=lambda job: fails)
JUDGE = coder("judges-not", judge=fails)
GOOD = coder("good", options=lambda given: "" if given == {"deep": [1]} else "wrong")
STRICT = coder("strict", options=lambda given: "it wants nothing")
"""
_EXECUTOR: Final = """\
import pathlib
from gitfleet.execution.local import EXECUTOR as LOCAL
class Acme:
    name = "acme"
    start, attach, renew, find_left = LOCAL.start, LOCAL.attach, LOCAL.renew, LOCAL.find_left
    def end(self, run, marker, *, grace):
        pathlib.Path({mark!r}).write_text(marker)
        return LOCAL.end(run, marker, grace=grace)
PLUG = Acme()
"""
_POINTS: Final = {
    "launches-not": "brokenmod:LAUNCH",
    "exits": "brokenmod:EXITS",
    "stops": "brokenmod:STOPS",
    "reads-not": "brokenmod:READER",
    "judges-not": "brokenmod:JUDGE",
    "good": "brokenmod:GOOD",
    "strict": "brokenmod:STRICT",
    "no-import": "nowhere:CODER",
}


@pytest.mark.slow
def test_a_name_on_a_board_imports_nothing_that_the_machine_does_not_list(
    site: Path, tmp_path: Path
) -> None:
    """Not by run, list, show, lint, log or doctor; the task waits, and says for what."""
    mark = tmp_path / "imported"
    points = {"gitfleet.coders": {"spy": "spymod:PLUG", "shell": "spymod:PLUG"}}
    points["gitfleet.forges"] = points["gitfleet.notifiers"] = {"spy": "spymod:PLUG"}
    distribution(site, "gitfleet-spy", points, {"spymod.py": spy(mark)})
    machine(plugins=["other", "shell"])
    with laboratory(tmp_path / "lab") as lab:
        lab.set(forge={"kind": "spy", "base_url": "https://x.org", "repository": "a/b"})
        lab.task("one", coder="spy")
        lab.task("two", script="echo two > two")
        ran = lab.run("--until-idle")
        assert ran.status == 4 and lab.status("two") == "done"
        (skipped,) = ran.lines.of("skipped", task="one")
        assert "is a plugin (gitfleet-spy 1.0) that this machine does not list" in str(skipped)
        for verb in (("list",), ("show", "one"), ("lint",), ("log", "two"), ("plugins",)):
            said = lab.gitfleet(*verb).stdout
            assert "gitfleet-spy 1.0" in said or verb[0] == "log"
        assert "gitfleet-spy 1.0" in lab.gitfleet("doctor", "--no-calls").stdout
    assert not mark.exists()


def test_a_broken_plugin_costs_its_own_tasks_a_sentence_and_never_the_runner(
    site: Path, tmp_path: Path
) -> None:
    """The reason of each says which plugin and what failed; a task of another coder is done."""
    distribution(site, "gitfleet-mixed", {"gitfleet.coders": _POINTS}, {"brokenmod.py": _BROKEN})
    machine(plugins=["gitfleet-mixed"])
    options = {"good": {"options": {"deep": [1]}}}
    with laboratory(tmp_path / "lab", coders=options) as lab:
        lab.env["PATH"] = f"{Path(warm.PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
        for name in _POINTS:
            lab.write_task(name, coder=name)
        lab.commit()
        ran = lab.run("--until-idle")
        assert ran.status == 4 and "Traceback" not in ran.stderr
        assert lab.statuses() == dict.fromkeys(_POINTS, "failed") | {
            "good": "done",
            "no-import": "ready",
        }
        for name, member in (("launches", "launch"), ("reads", "reader"), ("judges", "judge")):
            (attempt,) = lab.attempts(f"{name}-not")
            start = f"the plugin {name}-not (gitfleet-mixed 1.0) failed in `{member}`: Zero"
            assert attempt.outcome == "misconfigured" and attempt.reason.startswith(start)
        for name, what in (("exits", "`launch`: SystemExit: 3"), ("stops", "`judge`: Keyboard")):
            (attempt,) = lab.attempts(name)
            assert attempt.outcome == "misconfigured" and what in attempt.reason
        (strict,) = lab.attempts("strict")
        assert strict.reason == "coders.strict.options in fleet.yaml: it wants nothing"
        (skipped,) = ran.lines.of("skipped", task="no-import")
        assert "the plugin no-import (gitfleet-mixed 1.0) cannot be imported" in str(skipped)


@pytest.mark.slow
def test_an_executor_that_cannot_be_used_is_told_before_anything_starts(
    site: Path, tmp_path: Path
) -> None:
    """Only `run` needs one: other verbs work on, so that the doctor can say what is wrong."""
    points = {"gitfleet.executors": {"bad": "badmod:PLUG"}}
    distribution(site, "gitfleet-bad", points, {"badmod.py": "1 / 0"})
    with laboratory(tmp_path / "lab") as lab:
        lab.task("one", script="echo one > one")
        for name, what in (("bad", "cannot be imported"), ("other", "no executor is called other")):
            machine(plugins=["bad"], executor=name)
            ran = lab.run("--until-idle")
            assert ran.status == 1 and what in ran.stderr and lab.status("one") == "ready"
        assert lab.gitfleet("list").returncode == 0
        machine()
        assert lab.run("--until-idle").status == 0


@pytest.mark.parametrize("verb", [("stop", "--now"), ("deinit",)], ids=["stop", "deinit"])
def test_the_executor_that_runs_an_attempt_ends_it_without_a_runner(
    site: Path, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    """A verb that settles a dead runner's attempts ends them where they run."""
    mark = tmp_path / "mark"
    points = {"gitfleet.executors": {"acme": "acmemod:PLUG"}}
    distribution(site, "gitfleet-acme", points, {"acmemod.py": _EXECUTOR.format(mark=str(mark))})
    machine(plugins=["acme"], executor="acme")
    with laboratory(tmp_path / "lab") as lab:
        gate = lab.gate("one")
        lab.task("one", script=gate.pause)
        live = lab.start()
        gate.reached()
        live.signal(signal.SIGKILL)
        live.wait()
        assert lab.gitfleet(*verb).returncode == 0
        assert len(mark.read_text()) == 32
