"""agy and cursor-agent: scripts on PATH that take and say what their documentation tells.

Neither was ever run here. What is proved is that ours does what is written there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from gitfleet.coders.base import CoderEvent, CoderEventKind, FinishedRun, Judgement, Tally
from gitfleet.execution.base import Exit
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure
from tests.coders.kit import job
from tests.coders.replay import coder_of, read

_AGY: Final = """
import json, sys
argv = sys.argv[1:]
assert "-p" not in argv and "--print" not in argv, "they exclude --input-format stream-json"
for flag in ("--input-format", "--output-format"):
    assert argv[argv.index(flag) + 1] == "stream-json"
assert "--dangerously-skip-permissions" in argv
asked = json.loads(sys.stdin.readline())
assert asked["event"] == "user" and asked["message"]["role"] == "user"
prompt = asked["message"]["content"][0]["text"]
conversation = "c-1"
if "--conversation" in argv:
    conversation = argv[argv.index("--conversation") + 1]
def say(event, **what):
    print(json.dumps({"event": event, **what}), flush=True)
def step(**what):
    say("step_update", step_update={"conversation_id": conversation, **what})
say("init", conversation_id=conversation, init={"model": "gemini-3.8-flash-low", "cwd": "/x"})
step(step_index=0, state="DONE", step_type="user_input", text_delta=prompt)
step(step_index=1, state="ACTIVE", step_type="agent_response", text_delta="I will ")
step(step_index=1, state="DONE", step_type="agent_response", text_delta="write it.")
step(step_index=2, state="ACTIVE", step_type="tool", tool_name="run_command",
     tool_info={"command": "echo hello > hello.txt"})
if "denied" in prompt:
    step(step_index=2, state="ERROR", step_type="tool", tool_name="run_command",
         error="permission denied in headless mode")
else:
    step(step_index=2, state="DONE", step_type="tool", tool_name="run_command")
usage = {"input_tokens": 31345, "output_tokens": 20, "cache_read_tokens": 128,
         "total_tokens": 31365}
if "login" in prompt:
    say("result", result={"conversation_id": conversation, "status": "ERROR", "response": "",
        "error": "You are not logged in. Please sign in."})
    sys.exit(1)
if "quota" in prompt:
    say("result", result={"conversation_id": conversation, "status": "ERROR",
        "error": "RESOURCE_EXHAUSTED: quota will reset after 2h0m0s"})
    sys.exit(1)
say("result", result={"conversation_id": conversation, "status": "SUCCESS",
    "response": "Done.", "usage": usage})
"""
_CURSOR: Final = """
import json, sys
argv = sys.argv[1:]
assert "-p" in argv and "--force" in argv
assert argv[argv.index("--output-format") + 1] == "stream-json"
prompt = argv[-1]
session = argv[argv.index("--resume") + 1] if "--resume" in argv else "u-1"
def say(kind, **what):
    print(json.dumps({"type": kind, "session_id": session, **what}), flush=True)
if "login" in prompt:
    sys.exit("Error: Authentication required. Please run 'agent login' first, or set the"
             " CURSOR_API_KEY environment variable.")
say("system", subtype="init", apiKeySource="env", cwd="/x", model="composer-2.5",
    permissionMode="default")
say("user", message={"role": "user", "content": [{"type": "text", "text": prompt}]})
say("assistant", message={"role": "assistant",
    "content": [{"type": "text", "text": "I will write it."}]})
call = {"shellToolCall": {"args": {"command": "echo hello > hello.txt"}}}
say("tool_call", subtype="started", call_id="t1", tool_call=call)
if "vanish" in prompt:
    sys.exit("Error: connection to the server was lost")
call["shellToolCall"]["result"] = (
    {"rejected": {"reason": "not allowed"}} if "denied" in prompt
    else {"success": {"content": "wrote it"}}
)
say("tool_call", subtype="completed", call_id="t1", tool_call=call)
say("assistant", message={"role": "assistant", "content": [{"type": "text", "text": "Done."}]})
say("result", subtype="success", duration_ms=1234, duration_api_ms=1234, is_error=False,
    result="I will write it.Done.", request_id="r-1")
"""


@pytest.fixture(autouse=True)
def _on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (("agy", _AGY), ("cursor-agent", _CURSOR)):
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{script}")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def _run(
    folder: Path, name: str, prompt: str, session: str = ""
) -> tuple[tuple[CoderEvent, ...], Tally, Judgement]:
    coder = coder_of(name)
    made = job(folder, prompt=prompt, session=session, permission=Permission.BYPASS)
    made.workspace.mkdir(exist_ok=True)
    launch = coder.launch(made)
    assert shutil.which(launch.argv[0]) == str(folder / "bin" / name)
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        done = subprocess.run(
            launch.argv,
            cwd=made.workspace,
            env={**os.environ, **launch.env},
            input=launch.stdin.read_bytes() if launch.stdin else b"",
            stdout=stdout,
            stderr=stderr,
            check=False,
            timeout=60,
        )
    events, tally = read(coder, made, out.read_bytes())
    ended = Exit(done.returncode, None, time.time())
    judged = coder.judge(FinishedRun(exit=ended, tally=tally, stdout=out, stderr=err))
    return events, tally, judged


@pytest.mark.parametrize("name", ["agy", "cursor-agent"])
def test_it_works_as_it_is_written(tmp_path: Path, name: str) -> None:
    """It starts, speaks, has a tool at work, and says that it is done."""
    events, tally, judged = _run(tmp_path, name, "Make hello.txt")
    assert judged == Judgement()
    assert events[0].said is CoderEventKind.STARTED and events[-1].said is CoderEventKind.ENDED
    assert "echo hello > hello.txt" in [event.text for event in events]
    assert tally.session and tally.model and tally.tool_calls == 1 and not tally.tools
    if name == "agy":
        assert tally.tokens == Tokens(31345 - 128, 20, 128)


@pytest.mark.parametrize("name", ["agy", "cursor-agent"])
def test_it_goes_on_with_its_session(tmp_path: Path, name: str) -> None:
    """The id that it told is the one that it is given."""
    _, tally, _ = _run(tmp_path, name, "Make hello.txt", session="mine-7")
    assert tally.session == "mine-7"


@pytest.mark.parametrize("name", ["agy", "cursor-agent"])
def test_a_login_that_is_missing_burns_no_attempt(tmp_path: Path, name: str) -> None:
    """One tells it in its result, the other on standard error alone."""
    _, _, judged = _run(tmp_path, name, "login")
    assert judged.failure is Failure.AUTH


@pytest.mark.parametrize("name", ["agy", "cursor-agent"])
def test_what_it_was_denied_is_told_though_it_reports_success(tmp_path: Path, name: str) -> None:
    """It ended well; if it did nothing, this is why."""
    _, _, judged = _run(tmp_path, name, "denied")
    assert judged.failure is None
    assert judged.denied == ({"agy": "run_command", "cursor-agent": "shell"}[name],)


def test_agys_quota_resets_when_it_says(tmp_path: Path) -> None:
    """In two hours."""
    _, _, judged = _run(tmp_path, "agy", "quota")
    assert judged.failure is Failure.LIMITED and judged.until is not None
    assert 7000 < judged.until.timestamp() - time.time() <= 7200


def test_cursors_end_without_a_result_is_a_bad_one(tmp_path: Path) -> None:
    """It writes why to standard error, and no more events."""
    _, tally, judged = _run(tmp_path, "cursor-agent", "vanish")
    assert [tool.name for tool in tally.tools.values()] == ["shell"]
    assert judged.failure is Failure.OVERLOADED and "connection" in judged.reason
