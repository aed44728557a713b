"""`gitfleet top`: what every attempt does just now, here and on other machines."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gitfleet.attempt.context import LiveStatus, Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.background_service import ServiceHealth
from gitfleet.board import heartbeats
from gitfleet.board.authorship import runner_signature
from gitfleet.board.clone_state import Clone, read_json, write_json
from gitfleet.board.heartbeats import SEEN_BEATS
from gitfleet.board.store import Store
from gitfleet.cli.support import format
from gitfleet.cli.support.live_table import table_of
from gitfleet.event_log import EventLog
from gitfleet.git.objects import Objects
from gitfleet.git.refs import swap
from gitfleet.git.repo import find
from gitfleet.model.durations import clock
from gitfleet.model.event import Tokens
from gitfleet.model.secrets import Mask
from gitfleet.model.states import Outcome, Role
from gitfleet.presence import payload
from gitfleet.presence.payload import LiveStatusFile
from tests.cli import acting
from tests.cli.acting import GITFLEET, add, gitfleet, running, wait_for
from tests.cli.looking import Lab, on_terminal, task
from tests.conftest import git


def told(cwd: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gitfleet("top", "--json", cwd=cwd).stdout)
    return found


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A repository with a board and nothing to do."""
    return acting.board(tmp_path / "repo")


@pytest.mark.slow
def test_the_attempts_of_this_clone_are_shown_without_a_remote(board: Path, tmp_path: Path) -> None:
    """By the file that its runner keeps, with the last line; it is gone with the runner."""
    assert gitfleet("top", cwd=board).stdout == "0 runners, 0 of 0 slots busy\n"
    pipe = tmp_path / "go"
    os.mkfifo(pipe)
    add(board, "slow", f"printf 'looking \\033[2J around\\n'; read _ < '{pipe}'; echo x > x")
    file = Clone(find(board)).folder / heartbeats.LIVE
    with running(board, "--until-idle") as runner:
        runner.until("claimed", "task=slow")

        def said() -> dict[str, Any] | None:
            found = told(board)
            return found[0] if found and found[0]["last"] else None

        attempt = wait_for(said, "the last line of the attempt")
        assert attempt["task"] == "slow" and attempt["coder"] == "shell" and attempt["here"]
        assert attempt["runner"] and attempt["role"] == "work" and attempt["elapsed"] >= 0
        shown = gitfleet("top", "--once", cwd=board).stdout
        assert "1 runner, 1 of 3 slots busy" in shown
        assert re.search(r"^task +role +coder +machine +state +elapsed ", shown, re.MULTILINE)
        assert "looking \\x1b[2J around" in shown and "\x1b" not in shown
        assert file.stat().st_mode & 0o077 == 0
        with pipe.open("w") as gate:
            gate.write("go\n")
        assert runner.join() == 0
    assert not file.exists() and told(board) == []


def _beat(repo: Path, name: str, attempts: list[dict[str, Any]], **more: Any) -> None:
    """A heartbeat as it was fetched from another machine."""
    objects = Objects(find(repo))
    who = runner_signature("x", int(time.time()))
    content = {"at": "2026-12-01T09:00:00+00:00", "host": "far", "capacity": 4, **more}
    data = json.dumps({**content, "attempts": attempts}).encode()
    commit = objects.write_commit(
        objects.write_tree(None, {"heartbeat.json": data}), [], "beat\n", who, who
    )
    swap(find(repo), f"{SEEN_BEATS}{name}", None, commit, message="beat")


def test_the_attempts_of_other_machines_are_shown_as_they_were_heard_of(board: Path) -> None:
    """The longest first, with how full their context is; nothing there is taken on trust."""
    common = {"role": "work", "nonce": "0" * 32, "attempt": 1, "silence": 3}
    full = {"tokens": 1_234_567, "context": 45_000, "window": 200_000, "state": "in tool Bash"}
    _beat(board, "ash", [{**common, "task": "young", "coder": "codex", "elapsed": 5}])
    _beat(
        board,
        "birch",
        [
            {**common, **full, "task": "old", "coder": "claude", "elapsed": 3700, "last": "a\nb"},
            {"task": ["x"], "elapsed": "long", "tokens": 1e400, "state": "\x1b[31mred"},
        ],
    )
    heads, *rows = gitfleet("top", cwd=board).stdout.splitlines()
    assert heads == "2 runners, 3 of 8 slots busy"
    assert [row.split()[0] for row in rows[:3]] == ["task", "old", "young"]
    expected = ("old", "work", "claude", "birch", "in tool Bash", "1h 1m", "3s", "1.2M")
    assert re.split(r"  +", rows[1]) == [*expected, "45k/200k 22%", "a b"]
    assert "\\x1b[31mred" in rows[3]


def test_a_coder_that_rests_is_told_of(tmp_path: Path) -> None:
    """It explains slots that are free while tasks wait."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/a.md": task("A")})
    _beat(lab.path, "ash", [])
    claim = lab.claim("a", runner="ash", coder="claude")
    at = datetime.now(UTC).replace(microsecond=0)
    until = at + timedelta(hours=2)
    lab.end("a", claim, Outcome.LIMITED, ended=at, until=until, reason="the week is used up")
    (summary, rest) = lab.say("top").splitlines()
    assert summary == "1 runner, 0 of 4 slots busy"
    assert rest.startswith(f"claude is limited on ash until {clock(until)}")


@pytest.mark.slow
def test_a_service_that_fails_is_named_with_its_error_and_since_when(board: Path) -> None:
    """By `top`, `runners` and `doctor` of the clone whose runner it belongs to, while it fails."""
    window = board / ".fleet"
    (window / "fleet.yaml").write_text("format: 2\nnotify: [failed]\n")
    git("commit", "-qam", "Settings", cwd=window)
    why = r"been failing for \d+\w*: fleet.yaml asks for notifications, but"
    with running(board) as runner:
        runner.until(" notifications-delayed ")
        shown = wait_for(
            lambda: re.search(
                rf"^notify on \S+ has {why}", gitfleet("top", cwd=board).stdout, re.M
            ),
            "the service in `top`",
        )
        assert shown
        assert re.search(rf"^  notify has {why}", gitfleet("runners", cwd=board).stdout, re.M)
        doctor = gitfleet("doctor", "--no-calls", cwd=board).stdout
        assert re.search(rf"^warning +runner: notify has {why}.* -> Set notify.urls", doctor, re.M)
    assert "failing" not in gitfleet("top", cwd=board).stdout


def test_a_service_that_fails_elsewhere_is_shown_as_its_heartbeat_has_it(board: Path) -> None:
    """With nothing taken on trust."""
    failing = [
        {"name": "forge", "elapsed": 190, "error": "it does\x1b[31mnot answer", "remedy": "Wait."},
        {"name": ["x"], "elapsed": "long"},
        7,
    ]
    _beat(board, "ash", [], failing=failing)
    _beat(board, "birch", [], failing={"name": "forge"})
    summary, first, second = gitfleet("top", cwd=board).stdout.splitlines()
    assert summary == "2 runners, 0 of 8 slots busy"
    assert first.startswith("forge on ash has been failing for 3m")
    assert first.endswith("it does\\x1b[31mnot answer")
    assert second.split() == ["on", "ash", "has", "been", "failing:"]


def test_what_was_not_heard_of_for_long_is_said_to_be_so(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is counted from when this command saw the heartbeat change, by its own clock."""
    from gitfleet.cli.support.session import open_session
    from gitfleet.cli.top import Crowd

    attempt = {"task": "a", "elapsed": 10, "silence": 1, "state": "active"}
    _beat(board, "ash", [attempt])
    clock = [1000.0]
    monkeypatch.setattr("gitfleet.cli.top.time.monotonic", lambda: clock[0])
    crowd = Crowd(open_session(board))
    (first,) = crowd.attempts()
    assert (first["elapsed"], first["silence"], first["state"]) == (10, 1, "active")
    clock[0] += 60
    (later,) = crowd.attempts()
    assert (later["elapsed"], later["silence"], later["state"]) == (70, 61, "active")
    clock[0] += 60
    assert crowd.attempts()[0]["state"] == "not seen for 2m"


def test_a_terminal_has_it_live_until_ctrl_c(board: Path) -> None:
    """It draws again when something changes, and ends well."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*GITFLEET, "top"],
        cwd=board,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "30"},
    )
    os.close(slave)
    _until(master, "0 runners, 0 of 0 slots busy; Ctrl-C ends")
    _beat(board, "ash", [{"task": "shows-up", "coder": "codex", "elapsed": 5}])
    _until(master, "shows-up")
    process.send_signal(signal.SIGINT)
    rest = _until(master, None)
    assert process.wait(60) == 0 and "Traceback" not in rest
    os.close(master)


def _until(master: int, words: str | None) -> str:
    """Read what is drawn until the words are there; None: until its end."""
    said, end = "", time.monotonic() + 60
    while words is None or words not in said:
        assert select.select([master], [], [], end - time.monotonic())[0], said
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        said += chunk.decode("utf-8", "replace")
    return said


def test_a_narrow_terminal_cuts_and_does_not_wrap(board: Path) -> None:
    """A row stays a row."""
    _beat(board, "ash", [{"task": "a" * 60, "coder": "codex", "last": "words " * 30}])
    for row in on_terminal(board, "top", "--once", columns=60).splitlines():
        assert format.width(re.sub(r"\x1b\[[0-9;]*m", "", row)) <= 60


def test_what_one_has_to_type_gives_way_last() -> None:
    """On a narrow terminal the id of a task stays whole while another column can be cut."""
    cells = [["working", "an-id-that-is-typed", "p2", "A title of some length", "a reason " * 9]]
    (row,) = format.columns(cells, 40, keep=1)
    assert "an-id-that-is-typed" in row[1] and format.width("".join(row)) <= 40
    (row,) = format.columns(cells, 20, keep=1)
    assert format.width("".join(row)) <= 20


def test_the_table_of_run_is_to_be_read_on_a_narrow_terminal_too() -> None:
    """With few columns it tells which task, what it does and for how long, and its last words."""
    live = LiveStatus("one-of-the-tasks", Role.WORK, "claude", 1, state="active")
    live.lines.append("some words")
    for width, named in ((40, False), (120, True)):
        said = io.StringIO()
        Console(width=width, file=said).print(table_of([live], width))
        text = said.getvalue()
        assert "one-of-the-tasks" in text and "active" in text
        assert ("claude" in text) is named and ("context" in text) is named


def _fleet(path: Path) -> Project:
    repo = find(path)
    return Project(
        repo, Clone(repo), Store(repo), EventLog(lambda _: None), "box", "main", WorkspacePool(repo)
    )


def test_the_file_is_written_anew_only_when_something_changed(board: Path) -> None:
    """And a reader counts on from when it was written: an attempt that is silent grows older."""
    fleet = _fleet(board)
    live = LiveStatus("one", Role.WORK, "claude", 2, state="active")
    file = fleet.clone.folder / heartbeats.LIVE
    service = LiveStatusFile(fleet, lambda: {"0" * 32: live}, 5).service
    service.start()
    try:
        first = wait_for(lambda: heartbeats.live(read_json(file)), "the file")
        assert first["capacity"] == 5 and first["attempts"][0]["state"] == "active"
        before = file.stat()
        live.lines.append("password=hunter2-hunter2-hunter2")
        live.tokens, live.context = Tokens(input=9), 7
        wait_for(lambda: file.stat().st_ino != before.st_ino, "a new file")
        (attempt,) = heartbeats.live(read_json(file))["attempts"]
        assert (attempt["tokens"], attempt["context"], attempt["attempt"]) == (9, 7, 2)
    finally:
        service.stop()
    assert not file.exists() and heartbeats.live(read_json(file)) == {}
    told = {"monotonic": time.monotonic() - 30, "attempts": [{"elapsed": 1, "silence": 2}, 7]}
    write_json(file, told)
    (attempt,) = heartbeats.live(read_json(file))["attempts"]
    assert attempt["elapsed"] >= 31 and attempt["silence"] >= 32


def test_the_file_is_written_anew_when_a_service_fails_or_recovers(board: Path) -> None:
    """Only what fails is in it, without secrets, and its time counts on."""
    fleet, since = _fleet(board), time.monotonic() - 20
    fleet.store.mask = Mask(["hunter2-hunter2"])
    file = fleet.clone.folder / heartbeats.LIVE
    well = ServiceHealth(name="leases", running=True)
    ill = ServiceHealth(name="forge", failing_since=since, error="no hunter2-hunter2", remedy="x")
    health = [well, ill]
    live = LiveStatusFile(fleet, dict, 5, lambda: health)
    assert live.service.attempt()
    (told,) = heartbeats.live(read_json(file))["failing"]
    assert told["elapsed"] >= 20 and (told["name"], told["error"]) == ("forge", "no <masked>")
    before = file.stat()
    assert live.service.attempt() and file.stat().st_ino == before.st_ino
    health.pop()
    assert live.service.attempt()
    assert heartbeats.live(read_json(file))["failing"] == []


def test_what_attempts_say_leaves_the_machine_only_where_outputs_may(board: Path) -> None:
    """A heartbeat has the last line only if the board's settings have transcripts pushed."""
    fleet = _fleet(board)
    assert not payload.may_share_output(fleet)
    live = LiveStatus("one", Role.WORK, "claude", 1)
    live.lines.append("a word")
    for words, last in ((False, ""), (True, "a word")):
        (attempt,) = payload.content(fleet, {}, {"n": live}, words=words)["attempts"]
        assert attempt["last"] == last
    window = board / ".fleet"
    (window / "fleet.yaml").write_text("format: 2\ntranscripts: push\n")
    git("commit", "--no-verify", "-qam", "Settings", cwd=window)
    assert payload.may_share_output(_fleet(board))


def test_counts_of_tokens_are_short() -> None:
    """A column of a table has room for few characters."""
    numbers = (0, 950, 1_234, 9_949, 9_950, 45_400, 999_499, 999_500, 12_345_678)
    assert [format.tokens(number) for number in numbers] == [
        *("", "950", "1.2k", "9.9k", "10k", "45k", "999k", "1.0M", "12.3M"),
    ]
    assert format.context(0, 9) == "" and format.context(1_500, 0) == "1.5k"
