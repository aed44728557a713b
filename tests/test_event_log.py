"""The names of the log's lines: all of them used, and all of them documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitfleet.event_log import Action, EventLog

ROOT = Path(__file__).parents[1]


def test_the_docs_list_every_action_with_its_meaning() -> None:
    """Programs read these lines by their names, and people look them up."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## Lines of the log")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    assert rows == [(str(action), action.meaning) for action in Action]


@pytest.mark.parametrize("action", Action)
def test_every_action_is_written_somewhere(action: Action) -> None:
    """A name that no code writes is waited for in vain."""
    sources = (path.read_text() for path in (ROOT / "gitfleet").rglob("*.py"))
    assert any(f"Action.{action.name}" in source for source in sources)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", action)


def test_a_line_is_its_time_the_name_and_the_values() -> None:
    """What has no value is left out; what is not one plain word is quoted."""
    lines: list[str] = []
    EventLog(lines.append).action(Action.LATE_CLAIM, task="one", reason="a b", coder="")
    (line,) = lines
    assert re.fullmatch(r'[0-9T:-]{19}Z late-claim task=one reason="a b"', line)


def test_the_same_is_said_once_until_it_is_settled() -> None:
    """Under its key, with its values: another value is news."""
    lines: list[str] = []
    log = EventLog(lines.append)
    for reason in ("a", "a", "b", "b"):
        log.once("key", Action.ERROR, reason=reason)
    log.settled("key")
    log.once("key", Action.ERROR, reason="b")
    assert [line.split()[-1] for line in lines] == ["reason=a", "reason=b", "reason=b"]
