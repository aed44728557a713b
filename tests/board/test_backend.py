"""The push as the swap: what it may not lose, believe or forget. Real git, on a path."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from gitfleet.board.backend import TxnStatus
from gitfleet.board.fairness import ClaimThrottle
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.git import remote
from gitfleet.git.command import CommandResult
from gitfleet.git.command import git as run_git
from gitfleet.git.remote import PushFate, PushResult, Unreachable
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move, Person
from tests.cli.acting import files, gitfleet, running
from tests.conftest import git, init, no_conflict
from tests.sharing.servers import serve_copy

ANN = Person("Ann", "ann@example.org")


class Desk(NamedTuple):
    """A clone, its store on the remote, and the remote's repository."""

    path: Path
    store: Store
    shared: RemoteBackend
    bare: Path


def desk(bare: Path, path: Path) -> Desk:
    git("clone", "-q", str(bare), str(path), cwd=bare)
    git("branch", "-q", "fleet", "origin/fleet", cwd=path)
    repo = find(path)
    shared = RemoteBackend(
        repo, "fleet", "origin", Store(repo, branch="fleet").signature, no_conflict
    )
    return Desk(path, Store(repo, branch="fleet", runner=path.name, swap=shared), shared, bare)


@pytest.fixture
def desks(tmp_path: Path) -> tuple[Desk, Desk]:
    """Two clones of one board."""
    seed = init(tmp_path / "seed", name="desks")
    gitfleet("init", cwd=seed)
    bare = serve_copy(seed, tmp_path / "srv")
    return desk(bare, tmp_path / "one"), desk(bare, tmp_path / "two")


def task(name: str, **more: object) -> Change:
    text = f"---\ntitle: {name}\n---\n".encode()
    return Change(subject=name, files={f"tasks/{name}.md": text}, author=ANN, **more)  # type: ignore[arg-type]


def test_what_was_decided_on_less_than_a_later_look_is_not_pushed(
    desks: tuple[Desk, Desk],
) -> None:
    """Whoever looks while deciding knows a newer tip than what was decided on: the change must not
    be laid over what came in between."""
    one, two = desks
    looked = False

    def decide(_board: Board, _now: datetime) -> Change:
        nonlocal looked
        if not looked:
            looked = True
            assert two.store.transact(lambda _b, _n: task("theirs")).won
            one.shared.fetch()
        return task("ours")

    assert one.store.transact(decide).won
    assert files(one.bare, "tasks") == ["tasks/.gitkeep", "tasks/ours.md", "tasks/theirs.md"]


def test_a_look_waits_for_a_push_under_way(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was asked before the push and answered after it would move what we know back to
    before a claim of ours, and its attempt would be ended for nothing."""
    one, _ = desks
    order: list[str] = []
    fetch = remote.fetch

    def noted(*args: object, **kwargs: object) -> list[str]:
        order.append("look")
        return fetch(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "fetch", noted)
    begun = threading.Event()

    def look() -> None:
        begun.set()
        one.shared.fetch()

    with one.shared.exclusive():
        thread = threading.Thread(target=look)
        thread.start()
        assert begun.wait(60)
        order.append("push")
    thread.join(60)
    assert order == ["push", "look"]


@pytest.mark.parametrize("what", ["moved", "gone"])
def test_a_tasks_branch_that_is_elsewhere_is_looked_at(desks: tuple[Desk, Desk], what: str) -> None:
    """Another machine pushed to it, or somebody tidied it away: the event that goes up with it is
    not refused for ever."""
    one, two = desks
    ref = "refs/heads/gitfleet/task/t"

    def publish(at: Desk, name: str, head: str) -> bool:
        move = Move(ref, None, head)
        return at.store.transact(lambda _b, _n: task(name, publish=(move,))).won

    tip = git("rev-parse", "main", cwd=one.path)
    assert publish(one, "first", tip)
    if what == "gone":
        git("update-ref", "-d", ref, cwd=one.bare)
    else:
        made = git("commit-tree", "main^{tree}", "-p", "main", "-m", "more", cwd=two.path)
        assert publish(two, "between", made)
    last = git("commit-tree", "main^{tree}", "-p", "main", "-m", "last", cwd=one.path)
    assert publish(one, "second", last)
    assert git("rev-parse", ref, cwd=one.bare) == last


def test_a_connection_that_broke_after_the_push_was_sent_is_no_refusal() -> None:
    """Only the server can refuse; a ref whose fate was not heard may have moved."""
    said = "!\tHEAD:refs/heads/fleet\t[remote failure] (remote failed to report status)\nDone\n"
    wanted = {"refs/heads/fleet"}
    assert remote._judged(CommandResult(1, said.encode(), ""), wanted).fate is PushFate.UNKNOWN
    assert remote._judged(CommandResult(0, b"Done\n", ""), wanted).fate is PushFate.UNKNOWN
    moved = b" \tHEAD:refs/heads/fleet\tabc..def\nDone\n"
    assert remote._judged(CommandResult(0, moved, ""), wanted).fate is PushFate.DONE
    hook = b"!\tHEAD:refs/heads/fleet\t[remote rejected] (pre-receive hook declined)\nDone\n"
    assert remote._judged(CommandResult(1, hook, ""), wanted).fate is PushFate.REFUSED


def test_a_push_of_which_nobody_knows_is_not_called_lost(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the board is where it was, the push may arrive; once it has moved on, it cannot."""
    one, two = desks
    push = remote.push
    monkeypatch.setattr(
        remote, "push", lambda *_a, **_k: PushResult(PushFate.UNKNOWN, reason="silence")
    )
    result = one.store.transact(lambda _b, _n: task("mine"))
    assert result.status is TxnStatus.UNKNOWN
    monkeypatch.setattr(remote, "push", push)
    assert two.store.transact(lambda _b, _n: task("theirs")).won
    assert one.store.transact(lambda _b, _n: task("mine")).won


def test_a_letter_on_the_remote_is_taken_in_by_a_runner(desks: tuple[Desk, Desk]) -> None:
    """Its author's commit, its branch gone in the same push: a person who pushes there never loses
    a race, wherever the runner sits."""
    one, two = desks
    git("checkout", "-q", "--detach", "fleet", cwd=two.path)
    (two.path / "tasks" / "by-letter.md").write_text("---\ntitle: By letter\nhold: true\n---\n")
    git("add", "-A", cwd=two.path)
    git("commit", "-q", "-m", "By an inbox branch", cwd=two.path)
    git("push", "-q", "origin", "HEAD:refs/heads/gitfleet/in/post", cwd=two.path)
    with running(one.path) as runner:
        runner.until(" inbox-merged ", "gitfleet/in/post")
    assert "tasks/by-letter.md" in files(one.bare, "tasks")
    assert git("for-each-ref", "refs/heads/gitfleet/in", cwd=one.bare) == ""
    authors = git("log", "--format=%an %s", "fleet", cwd=one.bare).splitlines()
    assert "Ada Author By an inbox branch" in authors


def test_the_store_waits_as_its_pace_has_it(desks: tuple[Desk, Desk]) -> None:
    """After a lost race; and the pace hears who else beats."""
    one, two = desks
    asked: list[int] = []
    heard: list[int] = []

    class Told(ClaimThrottle):
        def patience(self, losses: int) -> float:
            asked.append(losses)
            return 0.0

        def heard(self, beats: Mapping[str, str]) -> None:
            heard.append(len(beats))

    one.shared.pace = Told()
    first = [True]

    def late(_board: Board, _now: datetime) -> Change:
        if first:
            first.clear()
            assert two.store.transact(lambda _b, _n: task("theirs")).won
            git("push", "-q", "origin", "HEAD:refs/gitfleet/runners/two", cwd=two.path)
        return task("mine")

    assert one.store.transact(late).won
    assert asked == [1]
    assert heard == [0, 1]


@pytest.mark.parametrize(
    "said",
    ["error: /srv/board.git did not send all necessary objects", "error: cannot lock ref 'x'"],
)
def test_a_fetch_that_met_another_one_is_made_again(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """What passes by itself is no remote that cannot be reached, and nobody hears of it."""
    one, two = desks
    assert two.store.transact(lambda _b, _n: task("theirs")).won
    calls = iter([CommandResult(1, b"", said)])
    real = run_git
    monkeypatch.setattr(remote, "git", lambda *a, **k: next(calls, None) or real(*a, **k))
    assert remote.fetch(find(one.path), "origin", ["+refs/heads/fleet:refs/x/fleet"]) == []
    assert next(calls, None) is None
    there = git("rev-parse", "fleet", cwd=one.bare)
    assert git("rev-parse", "refs/x/fleet", cwd=one.path) == there


def test_an_unreachable_remote_is_named_by_its_cause(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the advice that git adds below the error of ssh."""
    one, _ = desks
    ssh = one.path.parent / "ssh"
    ssh.write_text("#!/bin/sh\necho 'git@box: Permission denied (publickey).' >&2\nexit 255\n")
    ssh.chmod(0o755)
    git("config", "core.sshCommand", str(ssh), cwd=one.path)
    git("remote", "set-url", "origin", "git@box:board.git", cwd=one.path)
    monkeypatch.delenv("GIT_SSH_COMMAND")
    with pytest.raises(Unreachable) as told:
        remote.fetch(find(one.path), "origin", ["+refs/heads/fleet:refs/x/fleet"])
    assert told.value.what == "origin cannot be reached: git@box: Permission denied (publickey)."
