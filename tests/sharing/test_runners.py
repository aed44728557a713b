"""Every clone sees which runners there are and what they do, as their heartbeats tell it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gitfleet.board.authorship import runner_signature
from gitfleet.board.clone_state import Clone, PendingClaim, read_json, write_json
from gitfleet.git.objects import Objects
from gitfleet.git.repo import find
from gitfleet.model.states import Role
from tests.cli.acting import add, gitfleet, refusal, running, wait_for
from tests.conftest import git, init


def _shared(tmp_path: Path, *names: str) -> list[Path]:
    """Clones of one bare repository with a board."""
    bare = init(tmp_path / "srv.git", name="", bare=True)
    first = init(tmp_path / names[0], name="first")
    git("remote", "add", "origin", str(bare), cwd=first)
    git("push", "-q", "origin", "main", cwd=first)
    gitfleet("init", cwd=first)
    window = first / ".fleet"
    (window / "fleet.yaml").write_text(
        "format: 2\ntarget: main\nheartbeat: 1s\nconcurrency: 7\nroles: {work: {coder: shell}}\n"
    )
    git("commit", "--no-verify", "-qam", "Settings", cwd=window)
    git("push", "-q", "origin", "fleet", cwd=first)
    git("fetch", "-q", "origin", cwd=first)
    others = []
    for name in names[1:]:
        git("clone", "-q", str(bare), name, cwd=tmp_path)
        gitfleet("init", cwd=tmp_path / name)
        others.append(tmp_path / name)
    return [first, *others]


def _slow_task(box: Path, tmp_path: Path) -> Path:
    """A task on the board, `slow`, that goes on when something is written into this pipe."""
    pipe = tmp_path / "go"
    os.mkfifo(pipe)
    add(box, "slow", f"read _ < '{pipe}'; echo done > made")
    git("push", "-q", "origin", "fleet", cwd=box)
    return pipe


def _told(cwd: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gitfleet("runners", "--json", cwd=cwd).stdout)
    return found


@pytest.mark.slow
def test_a_clone_sees_the_runner_of_another_one_and_its_attempt(tmp_path: Path) -> None:
    """Name, host, version, capacity, labels, and the attempt with what it does; `list` too."""
    box, desk = _shared(tmp_path, "box", "desk")
    pipe = _slow_task(box, tmp_path)
    with running(box, "--until-idle") as runner:
        runner.until("claimed", "task=slow")

        def working() -> dict[str, Any] | None:
            found = next((one for one in _told(desk) if one["attempts"]), None)
            return found if found and found["attempts"][0]["doing"] == "working" else None

        found = wait_for(working, "a heartbeat that tells of the attempt")
        assert found["capacity"] == 7 and found["labels"] == [] and found["here"] is False
        assert found["host"] and found["version"] and found["at"]
        (attempt,) = found["attempts"]
        assert attempt["task"] == "slow" and attempt["role"] == "work"
        assert attempt["coder"] == "shell" and attempt["attempt"] == 1
        assert attempt["elapsed"] >= 0 and attempt["silence"] >= 0
        shown = gitfleet("runners", cwd=desk).stdout
        assert str(found["name"]) in shown and "shell, working, for " in shown
        assert _told(box)[0]["here"] is True
        git("fetch", "-q", "origin", "fleet:fleet", cwd=desk, check=False)
        git("pull", "-q", "origin", "fleet", cwd=desk / ".fleet")
        assert "working, for " in gitfleet("list", cwd=desk).stdout
        with pipe.open("w") as file:
            file.write("go\n")
        assert runner.join() == 0
    # Its goodbye: nothing is held any more.
    assert [one["attempts"] for one in _told(desk)] == [[]]


def test_a_board_without_a_remote_shows_its_own_runner(repo_path: Path, tmp_path: Path) -> None:
    """By the clone's own file and the claims on the board."""
    gitfleet("init", cwd=repo_path)
    assert "No runners are known here" in gitfleet("runners", cwd=repo_path).stdout
    pipe = tmp_path / "go"
    os.mkfifo(pipe)
    add(repo_path, "slow", f"read _ < '{pipe}'")
    with running(repo_path, "--until-idle") as runner:
        runner.until("claimed", "task=slow")
        (found,) = _told(repo_path)
        assert found["here"] is True and found["capacity"] == 3
        (attempt,) = found["attempts"]
        assert attempt["task"] == "slow" and not attempt["tokens"]
        assert "in this clone" in gitfleet("runners", cwd=repo_path).stdout
    assert _told(repo_path) == []


@pytest.mark.slow
def test_a_copied_clone_leaves_the_originals_attempts_alone(tmp_path: Path) -> None:
    """It takes another name, ends nothing, settles nothing, and stops nobody's runner."""
    (box,) = _shared(tmp_path, "box")
    pipe = _slow_task(box, tmp_path)
    with running(box, "--until-idle") as original:
        original.until("claimed", "task=slow")
        wait_for(lambda: _told(box)[0]["attempts"][0]["doing"] == "working", "work")
        copied = tmp_path / "copy"
        subprocess.run(["cp", "-a", str(box), str(copied)], check=True)
        assert "no runner is running" in refusal("stop", cwd=copied)
        with running(copied, "--until-idle") as copy:
            line = copy.until("running")
            assert _told(copied)[0]["name"] != _told(copied)[1]["name"], line
            with pipe.open("w") as file:
                file.write("go\n")
            assert original.join() == 0
            assert copy.join() == 0
    said = git("log", "--format=%s", "fleet", cwd=tmp_path / "srv.git")
    assert said.count("slow: landed") == 1 and "interrupted" not in said
    assert list((copied / ".git" / "gitfleet").glob("held-of-the-original-*/*.json"))


def test_a_moved_clone_keeps_what_it_holds(tmp_path: Path) -> None:
    """It takes another name as well; its nonces are its own."""
    (box,) = _shared(tmp_path, "box")
    clone = Clone(find(box))
    name = clone.runner_name()
    held = PendingClaim(nonce="0a" * 16, task="slow", role=Role.WORK, attempt=1)
    clone.note_pending(held)
    moved = Clone(find(box.rename(tmp_path / "elsewhere")))
    assert moved.runner_name() != name
    assert moved.pending_claims() == {held.nonce: held}


@pytest.mark.parametrize("shared", [False, True])
def test_a_clone_in_a_new_container_keeps_what_only_it_can_end(
    tmp_path: Path, repo_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """To another machine it may be a copy: what it holds on a shared board ends with its lease."""
    clone = Clone(find(_shared(tmp_path, "box")[0] if shared else repo_path))
    clone.runner_name()
    held = PendingClaim(nonce="0a" * 16, task="slow", role=Role.WORK, attempt=1)
    clone.note_pending(held)
    monkeypatch.setattr("gitfleet.board.clone_state._machine_id", lambda: "another")
    clone.runner_name()
    assert clone.pending_claims() == ({} if shared else {held.nonce: held})


def test_a_clone_that_is_reached_by_another_way_has_the_same_runner(tmp_path: Path) -> None:
    """Through a link, or mounted elsewhere."""
    (box,) = _shared(tmp_path, "box")
    with running(box) as runner:
        runner.until(" running runner=")
        other = find(box)
        known = read_json(other.common / "gitfleet" / "live.json")
        (tmp_path / "link").symlink_to(other.common)
        write_json(other.common / "gitfleet" / "live.json", {**known, "path": f"{tmp_path}/link"})
        assert Clone(other).running_pid() == runner.process.pid


@pytest.mark.slow
def test_a_remote_that_does_not_answer_shows_what_was_seen_last(tmp_path: Path) -> None:
    """And says so."""
    box, desk = _shared(tmp_path, "box", "desk")
    gitfleet("run", "--until-idle", cwd=box)
    assert len(_told(desk)) == 1
    (tmp_path / "srv.git").rename(tmp_path / "away.git")
    said = gitfleet("runners", cwd=desk)
    assert "seen last" in said.stderr and len(said.stdout.splitlines()) == 1


def test_a_heartbeat_is_read_as_data_of_a_stranger(tmp_path: Path) -> None:
    """Anybody may push one: no key need be there or be what it should, nothing draws on a
    terminal, and what cannot be read is no heartbeat."""
    (box,) = _shared(tmp_path, "box")
    objects = Objects(find(box))
    who = runner_signature("x", int(time.time()))
    bad = {
        "attempts": [
            7,
            {"task": "a\x1b[31m\ud800", "elapsed": "9", "tokens": 1e400, "silence": -5},
            {"task": ["x"], "elapsed": 10**400, "attempt": True},
        ],
        "host": {"a": 1},
        "capacity": None,
        "labels": "no list",
    }
    texts = {"odd": json.dumps(bad), "list": "[]", "broken": "{", "none": '{"attempts": 3}'}
    for name, text in texts.items():
        tree = objects.write_tree(None, {"heartbeat.json": text.encode()})
        oid = objects.write_commit(tree, [], "x", who, who)
        git("push", "-q", "origin", f"{oid}:refs/gitfleet/runners/{name}", cwd=box)
    (found,) = _told(box)
    assert found["name"] == "odd" and found["host"] == "" and found["labels"] == []
    first, second = found["attempts"]
    assert first["elapsed"] is None and first["tokens"] is None and first["silence"] == 0
    assert second["task"] == "" and second["attempt"] is None
    assert "\x1b" not in gitfleet("runners", cwd=box).stdout
    gitfleet("list", cwd=box)
