"""A program that speaks as claude does, for tests of what the runner sees of an agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HEAD = """\
import json, os, pathlib, subprocess, sys, time

task = os.environ["GITFLEET_TASK"]


def say(kind, **fields):
    print(json.dumps({"type": kind, "session_id": "s-1", **fields}), flush=True)


def begin():
    say("system", subtype="init", model="m", tools=[])


def call(number, used=10):
    tool = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {}}
    usage = {"input_tokens": used, "output_tokens": 1}
    say("assistant", message={"id": f"m{number}", "content": [tool], "usage": usage})


def back(number):
    done = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "ok"}
    say("user", message={"content": [done]})


def end(usd=0.5, tokens=50):
    usage = {"input_tokens": tokens, "output_tokens": 5}
    say(
        "result",
        subtype="success",
        is_error=False,
        result="done",
        total_cost_usd=usd,
        usage=usage,
        modelUsage={"m": {"contextWindow": 1000}},
    )


"""


def agent(folder: Path, script: str, name: str = "claude") -> dict[str, str]:
    """Put the program that is called so before all others; the environment in which it is."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{_HEAD}{script}")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
