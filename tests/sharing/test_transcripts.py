"""With `transcripts: push` any clone reads what an attempt wrote, wherever it ran."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.event_log import EventLog
from gitfleet.files import yaml
from gitfleet.git.repo import find
from gitfleet.model.event import Attempt
from gitfleet.model.secrets import NOTHING, Mask
from gitfleet.runner import transcript_sync
from gitfleet.runner.transcript_sync import ALL, LARGEST, TranscriptSync, files_of
from tests.cli.acting import add, gitfleet, work
from tests.conftest import git, init, no_conflict

REF = "refs/gitfleet/runs/say/1"


class World:
    """A server, a box that works, a desk that looks."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.srv = init(folder / "srv.git", name="", bare=True)
        self.box = init(folder / "box", name="first")
        git("remote", "add", "origin", str(self.srv), cwd=self.box)
        git("push", "-q", "origin", "main", cwd=self.box)
        gitfleet("init", cwd=self.box)
        plain = {"format": 2, "target": "main", "transcripts": "push", **settings}
        (self.box / ".fleet" / "fleet.yaml").write_bytes(yaml.dump(plain))
        git("commit", "--no-verify", "-qam", "Settings", cwd=self.box / ".fleet")
        add(self.box, "say", "echo hello from the box; echo oops >&2; echo x > x")
        git("push", "-q", "origin", "fleet", cwd=self.box)
        git("fetch", "-q", "origin", cwd=self.box)
        git("clone", "-q", str(self.srv), "desk", cwd=folder)
        self.desk = folder / "desk"
        self.lines: list[str] = []

    def refs(self, path: Path) -> list[str]:
        return git("for-each-ref", "--format=%(refname)", "refs/gitfleet/runs", cwd=path).split()

    def look(self) -> None:
        """The desk fetches the board, as people do."""
        git("fetch", "-q", "origin", cwd=self.desk)
        git("update-ref", "refs/heads/fleet", "refs/remotes/origin/fleet", cwd=self.desk)

    def transcripts(self, mask: Mask = NOTHING) -> TranscriptSync:
        """The box's publisher, without its thread."""
        repo = find(self.box)
        plain = Store(repo, runner="box")
        shared = RemoteBackend(repo, "fleet", "origin", plain.signature, no_conflict)
        store = Store(repo, runner="box", swap=shared)
        store.mask = mask
        store.backend.refresh()
        report = EventLog(self.lines.append)
        return TranscriptSync(
            Project(repo, Clone(repo), store, report, "box", "main", WorkspacePool(repo))
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_any_clone_reads_what_an_attempt_wrote_on_another_machine(world: World) -> None:
    """The transcript is up when the runner has ended, and is fetched when somebody asks."""
    work(world.box)
    assert REF in world.refs(world.srv) and REF in world.refs(world.box)
    world.look()
    assert not world.refs(world.desk)
    said = gitfleet("log", "say", cwd=world.desk).stdout
    assert "hello from the box" in said and "oops" in said
    assert REF in world.refs(world.desk)
    only = gitfleet("log", "say", "--attempt", "1", "--stderr", cwd=world.desk).stdout
    assert "oops" in only and "hello" not in only
    shown = git("ls-tree", "--name-only", REF, cwd=world.desk).split()
    assert shown == ["prompt.md", "stderr", "stdout"] or shown == ["stderr", "stdout"]
    assert git("log", "--format=%P|%s", REF, cwd=world.desk) == "|say/1: submitted"


def test_without_the_setting_nothing_leaves_the_machine(tmp_path: Path) -> None:
    """Local is the default, and a clone elsewhere is told where the output lies."""
    world = World(tmp_path, transcripts="local")
    work(world.box)
    assert not world.refs(world.srv) and not world.refs(world.box)
    world.look()
    assert "its output is not in this clone" in gitfleet("log", "say", cwd=world.desk).stdout


def test_what_did_not_get_up_is_brought_up_later(world: World) -> None:
    """A server that refuses such refs for now delays nothing; the next runner of the clone tries
    again, once per transcript."""
    hook = world.srv / "hooks" / "update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/gitfleet/runs/*) exit 1;; esac\n")
    hook.chmod(0o755)
    said = work(world.box)
    assert any(" landed " in line for line in said)
    assert any(" transcripts-delayed " in line for line in said)
    assert not world.refs(world.srv)
    hook.unlink()
    later = world.transcripts()
    assert later.round()
    assert REF in world.refs(world.srv)
    before = git("rev-parse", REF, cwd=world.srv)
    assert world.transcripts().round() and git("rev-parse", REF, cwd=world.srv) == before


def test_a_push_whose_answer_was_lost_is_no_trouble(world: World) -> None:
    """The ref is there already: no other attempt has that number."""
    work(world.box)
    for mark in Clone(find(world.box)).runs.glob("*/*/transcript"):
        mark.unlink()
    assert world.transcripts().round()
    assert Clone(find(world.box)).run_dir("say", 1, "0").path.parent.is_dir()
    assert len(list(Clone(find(world.box)).runs.glob("*/*/transcript"))) == 2
    assert not world.lines


def test_what_has_no_event_on_the_board_is_nobodys_transcript(world: World) -> None:
    """An attempt under way, and a folder of any other name."""
    work(world.box)
    runs = Clone(find(world.box)).runs
    for name in ("say/009-12345678", "say/nonsense", "Say!/001-12345678"):
        (runs / name).mkdir(parents=True)
        (runs / name / "stdout").write_text("not yet")
    assert world.transcripts().round()
    assert all("/9" not in ref and "Say" not in ref for ref in world.refs(world.srv))


def test_old_transcripts_are_pruned_here_and_on_the_remote(tmp_path: Path) -> None:
    """By the time of the attempt's event; what is younger stays."""
    world = World(tmp_path, transcripts_keep="1d")
    work(world.box)
    world.look()
    gitfleet("log", "say", cwd=world.desk)
    publisher = world.transcripts()
    publisher.prune()
    assert REF in world.refs(world.srv)
    window = world.box / ".fleet"
    (path,) = window.glob("log/say/*-work-*.yaml")
    data = yaml.load(path.read_text(), Attempt).data
    old = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    path.write_bytes(yaml.dump({**data, "started": old, "ended": old}))
    git("commit", "-qam", "long ago", "--no-verify", cwd=window)
    git("push", "-q", "--no-verify", "origin", "fleet", cwd=world.box)
    publisher = world.transcripts()
    remote = publisher.fleet.store.backend.remote
    assert remote is not None
    remote.fetch()
    publisher.prune()
    assert REF not in world.refs(world.srv) and REF not in world.refs(world.box)
    assert "refs/gitfleet/runs/say/2" in world.refs(world.srv)
    assert any(" transcripts-pruned transcripts=1" in line for line in world.lines)


def test_a_transcript_is_bounded_and_keeps_the_end(tmp_path: Path) -> None:
    """Of each file and in all; the first line says that something is missing."""
    line = b"a line of output\n"
    (tmp_path / "stdout").write_bytes(line * (2 * LARGEST // len(line)) + b"the end\n")
    for number in range(12):
        (tmp_path / f"check-{number}.stdout").write_bytes(b"x" * (LARGEST + 9))
    found = files_of(tmp_path, NOTHING)
    assert found["stdout"].startswith(b"[gitfleet: only the end is kept, of ")
    assert found["stdout"].endswith(b"the end\n") and len(found["stdout"]) < LARGEST + 100
    assert sum(map(len, found.values())) < ALL + 100 * len(found)
    assert set(found) == {"stdout", *(f"check-{number}.stdout" for number in range(12))}


def test_a_transcript_is_masked_before_it_is_cut(tmp_path: Path) -> None:
    """Half a secret, at the very place of the cut, is one, too."""
    mask = Mask(["a-secret-of-some-length"])
    for shift in range(0, 40, 3):
        text = b"y" * 5000 + b"a-secret-of-some-length" + b"x" * (LARGEST - 20 + shift)
        (tmp_path / "stdout").write_bytes(text)
        found = files_of(tmp_path, mask)["stdout"]
        assert b"secret" not in found and b"-length" not in found
    (tmp_path / "stderr").write_bytes(b"\xff a-secret-of-some-length \xfe")
    assert files_of(tmp_path, mask)["stderr"] == b"\xff <masked> \xfe"


def test_what_an_attempt_put_into_its_folder_leads_nowhere(tmp_path: Path) -> None:
    """A link to somebody's key, a pipe, a folder, a name of its own."""
    (tmp_path / "key").write_text("private")
    (tmp_path / "stdout").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "stderr")
    (tmp_path / "prompt.md").mkdir()
    (tmp_path / "check-1.stdout").write_text("fine")
    began = time.monotonic()
    assert files_of(tmp_path, NOTHING) == {"check-1.stdout": b"fine"}
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_what_somebody_pushed_as_a_transcript_is_read_with_care(world: World) -> None:
    """Only files of ours, none too large, and nothing that is no commit."""
    work(world.box)
    objects = Store(find(world.box)).objects
    who = Store(find(world.box), runner="x").signature()
    big = b"x" * (2 * LARGEST + 1)
    tree = objects.write_tree(None, {"stdout": b"\x1b[31mred", "stderr": big, "evil": b"x"})
    oid = objects.write_commit(tree, [], "x", who, who)
    git("push", "-q", "--force", "origin", f"{oid}:{REF}", f"{tree}:{REF[:-1]}2", cwd=world.box)
    world.look()
    store = Store(find(world.desk))
    assert transcript_sync.read(store, "origin", "say", 1) == {"stdout": b"\x1b[31mred"}
    assert transcript_sync.read(store, "origin", "say", 2) == {}
    assert transcript_sync.read(store, "origin", "say", 77) == {}
    assert transcript_sync.read(store, "origin", "../../heads/main", 1) == {}
    assert "its output is not in this clone" in gitfleet("log", "say", cwd=world.desk).stdout
