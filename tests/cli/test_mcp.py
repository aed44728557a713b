"""`gitfleet mcp`: what a coder's model is offered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.acting import wait_for

_SERVER = [sys.executable, "-P", "-m", "gitfleet", "mcp"]
_LONG = 60.0


class Client:
    """The other end of the protocol, line by line."""

    def __init__(self, role: str = "work") -> None:
        self._popen = subprocess.Popen(
            _SERVER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "GITFLEET_ROLE": role},
            text=True,
        )
        self._last = 0
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        self.about = self.ask("initialize", hello)["result"]
        self._send({"method": "notifications/initialized"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._popen.stdin.flush()

    def begin(self, method: str, parameters: dict[str, Any]) -> None:
        self._last += 1
        self._send({"id": self._last, "method": method, "params": parameters})

    def ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self.begin(method, parameters)
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """What comes back for what was begun last."""
        assert self._popen.stdout is not None
        while True:
            said: dict[str, Any] = json.loads(self._popen.stdout.readline())
            if said.get("id") == self._last:
                return said

    def call(self, tool: str, **arguments: Any) -> tuple[bool, str]:
        """Whether the tool failed, and its text."""
        said = self.ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        return said["isError"], said["content"][0]["text"]

    def hang_up(self) -> int:
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._popen.stdin.close()
        status = self._popen.wait(_LONG)
        self._popen.stdout.close()
        return status

    def kill(self) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
            self.hang_up()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of an attempt."""
    for name in ("outbox", "inbox"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"GITFLEET_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("GITFLEET_ASK_WAIT", "10m")
    return tmp_path / "outbox"


@pytest.fixture
def client(box: Path) -> Iterator[Client]:
    """A client of a server for an attempt at work."""
    made = Client()
    yield made
    made.kill()


def test_a_worker_can_ask_note_and_file(client: Client, box: Path) -> None:
    """Each tool drops what the command of its name would; a refusal is a text for the model."""
    tools = [one["name"] for one in client.ask("tools/list", {})["result"]["tools"]]
    assert tools == ["ask_human", "note", "progress", "add"]
    assert client.about["serverInfo"]["name"] == "gitfleet"
    assert client.call("note", kind="plan", text="A") == (False, "written")
    assert client.call("progress", text="half way") == (False, "shown")
    filed = client.call("add", title="Look there", body="Now.", id="look", depends_on=["one"])
    assert filed == (False, "created look")
    assert yaml.safe_load((box / "task-look.md").read_text().split("---")[1]) == {
        "title": "Look there",
        "depends_on": ["one"],
    }
    failed, why = client.call("add", title="x", body="", id="No Id")
    assert failed and "is not a valid id" in why
    failed, why = client.call("ask_human", question="x\n## Answer\ny")
    assert failed and "## Answer" in why
    assert client.hang_up() == 0


def test_a_validator_can_give_its_verdict(box: Path) -> None:
    """Only it can; a rejection names what is wrong."""
    client = Client("validate")
    try:
        tools = [one["name"] for one in client.ask("tools/list", {})["result"]["tools"]]
        assert "verdict" in tools and "add" not in tools
        failed, why = client.call("verdict", ruling="rejected")
        assert failed and "needs a finding" in why
        said = client.call("verdict", ruling="rejected", findings=["a"], fix_title="Fix it")
        assert said == (False, "rejected")
        assert yaml.safe_load((box / "verdict.yaml").read_text()) == {
            "verdict": "rejected",
            "findings": ["a"],
            "fix": {"title": "Fix it"},
        }
    finally:
        client.kill()


def test_an_answer_comes_back_to_who_asked(client: Client, box: Path) -> None:
    """As soon as the runner has put it into the inbox."""
    client.begin("tools/call", {"name": "ask_human", "arguments": {"question": "Which?"}})
    letter = wait_for(lambda: next(box.glob("question-*.md"), None), "the question")
    inbox = box.parent / "inbox"
    (inbox / "one-1.md").write_text("## Question\nWhich?\n\n## Answer\nJWT\n")
    (inbox / ".asked").mkdir()
    key = letter.name.removeprefix("question-").removesuffix(".md")
    (inbox / ".asked" / f"{key}.json").write_text('{"question": "one-1"}')
    (said,) = client.reply()["result"]["content"]
    assert said["text"] == "A person answered: JWT"
    assert not list(box.glob(".parked-*"))


def test_it_does_not_outlive_its_client(client: Client, box: Path) -> None:
    """Not even in the middle of a call that waits ten minutes for a person."""
    client.begin("tools/call", {"name": "ask_human", "arguments": {"question": "Which?"}})
    wait_for(lambda: next(box.glob("question-*.md"), None), "the question")
    assert client.hang_up() == 0


def test_without_the_extra_one_sentence_says_what_to_install(box: Path, tmp_path: Path) -> None:
    """The SDK is optional, and everything but MCP works without it."""
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError(name='mcp.server')")
    done = subprocess.run(
        [sys.executable, "-m", "gitfleet", "mcp"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "its extra `mcp`" in done.stderr
