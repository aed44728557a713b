"""A coder that somebody adds costs its module, a line in the registry and a test; or no code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from gitfleet.coders import registry
from gitfleet.model.states import Outcome
from tests.acceptance.fleetlab import Lab, laboratory
from tests.coders.kit import job
from tests.coders.replay import coder_of, read

_HERE: Final = Path(__file__).resolve().parents[2]
# What a line in the registry would do, for every gitfleet that the laboratory starts.
_LINE: Final = """\
import gitfleet.coders.registry as registry
registry.MODULES["eighth"] = "tests.coders.eighth"
registry.KNOWN |= {"eighth"}
"""
_PROGRAM: Final = """
import json, pathlib, sys
assert sys.argv[1:] == ["--json"]
prompt = sys.stdin.read()
print(json.dumps({"what": "hello", "id": "session-8"}))
print("no event at all")
if "refuse" in prompt:
    print(json.dumps({"what": "bye", "ok": False, "words": "HTTP 401: bad key"}))
else:
    pathlib.Path("eighth.txt").write_text("done\\n")
    print(json.dumps({"what": "bye", "ok": True, "words": "All done."}))
"""
_NINTH: Final = """
import json, pathlib, sys
prompt = sys.stdin.read()
say = lambda **what: print(json.dumps(what), flush=True)
say(said="started", session="session-9", model="own")
say(said="tool_start", tool="write", call="1", text="ninth.txt")
pathlib.Path("ninth.txt").write_text("done\\n")
say(said="tool_end", tool="write", call="1")
say(said="usage", tokens={"input": 1200, "output": 30}, context=1230, window=32000, usd=0.5)
say(said="ended", final=True)
"""


def _program(folder: Path, name: str, text: str) -> Path:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def _with_an_eighth(lab: Lab, tmp_path: Path) -> None:
    _program(tmp_path, "eighth", _PROGRAM)
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "sitecustomize.py").write_text(_LINE)
    lab.env["PYTHONPATH"] = f"{tmp_path / 'line'}:{_HERE}"
    lab.env["PATH"] = f"{tmp_path / 'bin'}:{lab.env.get('PATH', '/usr/bin:/bin')}"


@pytest.mark.slow
def test_an_eighth_coder_is_three_files(tmp_path: Path) -> None:
    """Its module, a line, and this: it works on a task that then lands."""
    with laboratory(tmp_path / "lab") as lab:
        _with_an_eighth(lab, tmp_path)
        lab.task("one", coder="eighth")
        assert lab.run("--until-idle").status == 0
        assert "eighth.txt" in lab.tree()
        (attempt,) = lab.attempts("one", "work")
        assert (attempt.coder, attempt.session) == ("eighth", "session-8")


def test_an_eighth_coder_is_judged_by_the_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its module does not know of errors, the table does."""
    monkeypatch.setitem(registry.MODULES, "eighth", "tests.coders.eighth")
    line = b'{"what": "bye", "ok": false, "words": "HTTP 401: bad key"}\n'
    _, tally = read(coder_of("eighth"), job(tmp_path), line)
    assert tally.failure == "auth" and tally.final


def test_a_ninth_coder_needs_fleet_yaml_alone(tmp_path: Path) -> None:
    """It tells in gitfleet's own words what it does, and that is on the board."""
    described = {"argv": [str(_program(tmp_path, "ninth", _NINTH))], "events": "json"}
    with laboratory(tmp_path / "lab", coders={"ninth": described}) as lab:
        lab.task("one", coder="ninth")
        assert lab.run("--until-idle").status == 0
        assert "ninth.txt" in lab.tree()
        (attempt,) = lab.attempts("one", "work")
    assert (attempt.session, attempt.tool_calls, attempt.usd) == ("session-9", 1, 0.5)
    assert (attempt.tokens.input, attempt.tokens.output) == (1200, 30)


def test_a_limit_is_on_the_board_with_its_end_and_a_denied_tool_with_its_name(
    tmp_path: Path,
) -> None:
    """What a coder tells of why it did nothing is what a person, and the plan, read there."""
    said = {
        "limited": '{"said": "limit", "failure": "limited", "until": "2099-01-01T00:00:00Z"}',
        "denied": '{"said": "tool_end", "tool": "write", "denied": "write"}',
        "told": '{"said": "error", "failure": "misconfigured", "text": "no such model"}',
    }
    described = {}
    for name, line in said.items():
        program = _program(tmp_path, name, f"print('''{line}''')")
        described[name] = {"argv": [str(program)], "events": "json"}
    with laboratory(tmp_path / "lab", coders=described, concurrency=1) as lab:
        for name in said:
            lab.write_task(name, coder=name, max_attempts=1)
        lab.commit()
        live = lab.start("--until-idle")
        live.wait_for("cooldown", coder="limited")
        for name in said:
            live.wait_for("ended", task=name)
        live.stop()  # it would wait for the end of the limit
        (limited,) = lab.attempts("limited", "work")
        (denied,) = lab.attempts("denied", "work")
        (told,) = lab.attempts("told", "work")
    assert limited.outcome is Outcome.LIMITED and limited.until is not None
    assert limited.until.year == 2099
    assert denied.outcome is Outcome.FAILED and "may not use write" in denied.reason
    assert told.outcome is Outcome.MISCONFIGURED and told.reason == "no such model"
