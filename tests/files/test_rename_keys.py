"""Old keys get their new names, and no other byte of a person's file changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from gitfleet.errors import FleetError
from gitfleet.files import codec, rename_keys, renamed
from gitfleet.model.config import Settings
from gitfleet.model.task import Task
from tests.files import strategies as some

OLD = """---
# touches: a comment stays
title: "needs: quoted"
touches:   [a, "*.key"]   # exclusive: no
"needs": [gpu]
? exclusive
: - port
'attempts':
    4
x-mine: {touches: 1, attempts: 2}
labels: [touches, needs]
---
touches: of the text
attempts: 3
"""
NEW = """---
# touches: a comment stays
title: "needs: quoted"
paths:   [a, "*.key"]   # exclusive: no
"runs_on": [gpu]
? locks
: - port
'max_attempts':
    4
x-mine: {touches: 1, attempts: 2}
labels: [touches, needs]
---
touches: of the text
attempts: 3
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_the_keys_of_a_task_change(end: str, mark: str) -> None:
    """Order, quotes, comments, line ends, a byte order mark and the text below stay."""
    found = rename_keys.in_task((mark + OLD.replace("\n", end)).encode())
    assert found.data == (mark + NEW.replace("\n", end)).encode()
    assert dict(found.keys) == renamed.KEYS[Task]
    assert codec.read_task(found.data, "tasks/a.md")[1] == ()
    assert rename_keys.in_task(found.data) == (found.data, ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{title: Ä, touches: [é], ünknown: 1, needs: [a]}",
         "{title: Ä, paths: [é], ünknown: 1, runs_on: [a]}"),
        ('"t\\x6fuches": [a]', '"paths": [a]'),
        ("title: \u2028\u0085\ntouches: [a]", "title: \u2028\u0085\npaths: [a]"),
        ("title: >\n  touches: [a]\n  needs: b\nexclusive: [c]",
         "title: >\n  touches: [a]\n  needs: b\nlocks: [c]"),
        ("budget: {touches: 1}\nattempts : 2", "budget: {touches: 1}\nmax_attempts : 2"),
    ],
)  # fmt: skip
def test_a_key_is_found_wherever_yaml_has_one(old: str, new: str) -> None:
    """In flow style, escaped, behind characters that count as line ends; not inside a value."""
    found = rename_keys.in_task(f"---\n{old}\n---\n".encode())
    assert found.data.decode() == f"---\n{new}\n---\n"


@pytest.mark.parametrize(
    "text",
    ["", "no front matter\n", "---\ntouches: [\n---\n", "---\ntouches: [a]\n",
     "---\n- touches\n---\n", "---\ntouches: [a]\npaths: [b]\n---\n", "---\n---\ntouches: x\n",
     "---\ntitle: x\n---\n"],
)  # fmt: skip
def test_what_has_no_old_key_or_cannot_be_parsed_stays(text: str) -> None:
    """A broken file is for a person to repair; nothing is guessed."""
    assert rename_keys.in_task(text.encode()) == (text.encode(), ())


@given(some.tasks)
def test_every_task_of_format_1_becomes_the_same_task(task: Task) -> None:
    """Written with the old keys and renamed, it is byte for byte what is written today."""
    data = codec.write_task(task)
    front, fence, body = data.decode().partition("\n---\n")
    for old, new in renamed.KEYS[Task].items():
        front = re.sub(rf"^{new}:", f"{old}:", front, flags=re.MULTILINE)
    assert rename_keys.in_task((front + fence + body).encode()).data == data


SETTINGS = """# attempts: 9
format: 1   # the board's
attempts: 2
retry: {first: 1s, "factor": 2, max: 5m}  # first
"x-team": {retry: {first: 1}}
"""


def test_settings_get_the_newest_format_with_their_keys() -> None:
    """The number alone changes in its line, and keys inside of a mapping are renamed, too."""
    found = rename_keys.in_settings(SETTINGS.encode())
    assert found.data.decode() == SETTINGS.replace("format: 1", "format: 2").replace(
        "\nattempts", "\nmax_attempts"
    ).replace("\nretry: {first", "\nbackoff: {initial")
    assert found.keys == (("attempts", "max_attempts"), ("retry", "backoff"), ("first", "initial"))
    value, problems = codec.read_settings(found.data)
    assert problems == () and value is not None and value.backoff.initial == "1s"
    assert rename_keys.in_settings(found.data) == (found.data, ())


def test_settings_of_the_newest_format_lose_their_former_keys() -> None:
    """Somebody wrote one later; the number stays."""
    found = rename_keys.in_settings(b"format: 2\nattempts: 2\n")
    assert found.data == b"format: 2\nmax_attempts: 2\n"


@pytest.mark.parametrize(
    "text",
    ["{{format: {}, target: main}}\n", '"format": {}\ntarget: main\n', "format : {} # its number\n",
     "? format\n: {}\n", "format:\n  {}\n", 'x-note: "a\nformat: 1\nb"\nformat: {}\n',
     "x-note: |\n  format: 1\n'format':   {}\n"],
)  # fmt: skip
@pytest.mark.parametrize("number", ["1", "+1"])
def test_the_number_is_found_wherever_yaml_has_it(text: str, number: str) -> None:
    """It alone changes: a line of a quoted text that looks like it is left alone."""
    found = rename_keys.in_settings(text.format(number).encode())
    assert found.data.decode() == text.format(2)


@given(some.fleets)
def test_every_fleet_yaml_of_format_1_becomes_the_same_settings(fleet: Settings) -> None:
    """Whatever it sets."""
    data = codec.write(fleet).decode()
    old = re.sub(r"^format: .*$", "format: 1", data, flags=re.MULTILINE)
    for table in (renamed.KEYS[Settings], {"  first": "  initial"}):
        for word, new in table.items():
            old = re.sub(rf"^{new}:", f"{word}:", old, flags=re.MULTILINE)
    found = codec.read_settings(rename_keys.in_settings(old.encode()).data)
    assert found == codec.read_settings(re.sub(r"(?m)^format: .*$", "format: 2", data).encode())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("format: 99\nattempts: 2\n", "format 99"),
        ("attempts: 2\n", "'format' is missing"),
        ("format: 1\nattempts: [\n", "not valid YAML"),
        ("format: 1\ntargte: main\n", "unknown key 'targte'"),
        ("format: 1\nattempts: 2\nmax_attempts: 3\n", "both here"),
        ("\xff", "not UTF-8"),
    ],
)
def test_settings_that_cannot_be_fixed_are_refused(text: str, what: str) -> None:
    """With what is wrong: without them the tasks would be of no format."""
    with pytest.raises(FleetError, match=what):
        rename_keys.in_settings(text.encode("latin-1"))
