"""Refs move by compare-and-swap, whoever else moves them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitfleet.errors import GitError
from gitfleet.git import refs
from gitfleet.git.commits import Signature
from gitfleet.git.objects import Objects
from gitfleet.git.refs import RefMove, mutex, names, read, swap, swap_all
from gitfleet.git.repo import Repo, find
from tests.conftest import git

MAIN = "refs/heads/main"
GONE = "1" * 40


@pytest.fixture
def repo(repo_path: Path) -> Repo:
    """The repository at `repo_path`."""
    return find(repo_path)


def _commits(repo: Repo, count: int) -> list[str]:
    objects = Objects(repo)
    base = read(repo, MAIN)
    assert base is not None
    who = Signature("t", "t@example.org", 0)
    return [
        objects.write_commit(objects.tree_of(base), (base,), str(number), who, who)
        for number in range(count)
    ]


def test_read_sees_moves_by_others(repo: Repo, repo_path: Path) -> None:
    """Loose, packed, moved again, deleted: always what is true now."""
    (new,) = _commits(repo, 1)
    old = read(repo, MAIN)
    assert old == git("rev-parse", "main", cwd=repo_path)
    git("pack-refs", "--all", cwd=repo_path)
    assert read(repo, MAIN) == old
    git("update-ref", MAIN, new, cwd=repo_path)
    assert read(repo, MAIN) == new
    git("pack-refs", "--all", cwd=repo_path)
    assert read(repo, MAIN) == new
    git("update-ref", "-d", MAIN, cwd=repo_path)
    assert read(repo, MAIN) is None


def test_names_below_a_prefix(repo: Repo, repo_path: Path) -> None:
    """Every ref below the prefix, none that merely begins with its letters."""
    head = git("rev-parse", "main", cwd=repo_path)
    for ref in ("refs/gitfleet/runs/a/1", "refs/gitfleet/runs/ü", "refs/gitfleet/runsx/b"):
        git("update-ref", ref, head, cwd=repo_path)
    assert names(repo, "refs/gitfleet/runs/") == {
        "refs/gitfleet/runs/a/1": head,
        "refs/gitfleet/runs/ü": head,
    }
    assert names(repo, "refs/none/") == {}


def test_swap_moves_only_from_old(repo: Repo) -> None:
    """True once; False when the ref is not there any more; nothing is forced."""
    a, b = _commits(repo, 2)
    old = read(repo, MAIN)
    assert swap(repo, MAIN, old, a, message="x")
    assert not swap(repo, MAIN, old, b, message="x")
    assert read(repo, MAIN) == a


def test_swap_creates_and_deletes(repo: Repo) -> None:
    """None is a ref that does not exist."""
    a, b = _commits(repo, 2)
    ref = "refs/gitfleet/x"
    assert swap(repo, ref, None, a, message="new")
    assert not swap(repo, ref, None, b, message="new")
    assert not swap(repo, ref, b, None, message="del")
    assert swap(repo, ref, a, None, message="del")
    assert not swap(repo, ref, a, b, message="gone")
    assert read(repo, ref) is None


def test_swap_to_what_is_not_there_is_an_error(repo: Repo) -> None:
    """An id without an object is our mistake, not a lost race."""
    with pytest.raises(GitError):
        swap(repo, MAIN, read(repo, MAIN), GONE, message="x")
    with pytest.raises(GitError):
        swap_all(repo, [RefMove(MAIN, read(repo, MAIN), GONE)], message="x")
    with pytest.raises(GitError):
        swap(repo, "refs/heads/main/below", None, read(repo, MAIN), message="x")


def test_swap_all_is_all_or_nothing(repo: Repo) -> None:
    """One that is not as expected keeps all in place."""
    a, b = _commits(repo, 2)
    old = read(repo, MAIN)
    moves = [RefMove(MAIN, old, a), RefMove("refs/heads/board", b, a)]
    assert not swap_all(repo, moves, message="x")
    assert read(repo, MAIN) == old
    assert not swap_all(repo, [RefMove(MAIN, old, a), RefMove("refs/x/y", a, a)], message="x")
    assert read(repo, MAIN) == old
    assert swap_all(
        repo, [RefMove(MAIN, old, a), RefMove("refs/heads/board", None, b)], message="x"
    )
    assert (read(repo, MAIN), read(repo, "refs/heads/board")) == (a, b)
    assert swap_all(repo, [RefMove(MAIN, a, a), RefMove("refs/heads/board", b, None)], message="x")


def test_every_move_says_that_it_was_ours(repo: Repo, repo_path: Path) -> None:
    """`checkout` tells our lines in the log of HEAD from those of a person's commands."""
    a, b = _commits(repo, 2)
    old = read(repo, MAIN)
    assert swap(repo, MAIN, old, a, message="one")
    assert swap_all(repo, [RefMove(MAIN, a, b)], message="two")
    log = git("reflog", "--format=%gs", "HEAD", cwd=repo_path).splitlines()
    assert log[:2] == ["gitfleet: two", "gitfleet: one"]


def test_a_busy_lock_is_waited_for(repo: Repo) -> None:
    """Somebody else's lock costs a moment, not an error."""
    (a,) = _commits(repo, 1)
    lock = repo.common / f"{MAIN}.lock"
    lock.touch()
    with subprocess.Popen(["sh", "-c", 'sleep 0.5; rm "$1"', "sh", str(lock)]):
        assert swap(repo, MAIN, read(repo, MAIN), a, message="x")


@pytest.mark.parametrize("many", [False, True])
def test_a_lock_that_stays_is_an_error(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    """It names the file and says what to do; the lock is left alone."""
    monkeypatch.setattr(refs, "_WAIT", 0.3)
    (a,) = _commits(repo, 1)
    lock = repo.common / f"{MAIN}.lock"
    lock.touch()
    moves = [RefMove(MAIN, read(repo, MAIN), a)]
    moves += [RefMove("refs/heads/board", None, a)] if many else []
    with pytest.raises(GitError, match=r"main\.lock is held"):
        swap_all(repo, moves, message="x")
    with pytest.raises(GitError, match=r"main\.lock is held"):
        swap(repo, MAIN, read(repo, MAIN), a, message="x")
    assert lock.exists()


def test_a_stale_lock_is_removed(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old, not open anywhere, and no git at work: its owner is dead."""
    monkeypatch.setattr(refs, "_WAIT", 0.2)
    monkeypatch.setattr(refs, "_git_at_work", lambda repo: False)
    (a,) = _commits(repo, 1)
    lock = repo.common / f"{MAIN}.lock"
    lock.touch()
    os.utime(lock, (time.time() - 60, time.time() - 60))
    assert swap(repo, MAIN, read(repo, MAIN), a, message="x")
    assert not lock.exists()


def test_an_old_lock_that_is_open_stays(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Age alone proves nothing."""
    monkeypatch.setattr(refs, "_WAIT", 0.2)
    (a,) = _commits(repo, 1)
    lock = repo.common / f"{MAIN}.lock"
    with lock.open("w"):
        os.utime(lock, (time.time() - 60, time.time() - 60))
        with pytest.raises(GitError, match="held"):
            swap(repo, MAIN, read(repo, MAIN), a, message="x")


def test_git_at_work_is_noticed(repo: Repo, repo_path: Path) -> None:
    """A git process with its feet in this repository may hold a lock it has closed."""
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=repo_path, stdin=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 10
        while not refs._git_at_work(repo):  # the kernel names a process a moment after its exec
            assert time.monotonic() < deadline
        assert process.stdin is not None
        process.stdin.close()


INCREMENT = """
import subprocess, sys
from pathlib import Path
from gitfleet.git.objects import Objects
from gitfleet.git.commits import Signature
from gitfleet.git.refs import RefMove, read, swap, swap_all
from gitfleet.git.repo import find
path, number = Path(sys.argv[1]), int(sys.argv[2])
repo = find(path)
objects = Objects(repo)
who = Signature(f"p{number}", "p@example.org", 0)
REF = "refs/heads/counter"
done = 0
while done < 100:
    tip = read(repo, REF)
    entry = objects.find(objects.tree_of(tip), "n")
    value = int(objects.blob(entry.oid))
    tree = objects.write_tree(objects.tree_of(tip), {"n": str(value + 1).encode()})
    new = objects.write_commit(tree, (tip,), f"{number} {done}", who, who)
    if number == 0:
        won = subprocess.run(["git", "update-ref", REF, new, tip], cwd=path,
                             capture_output=True).returncode == 0
    elif number == 1:
        won = swap_all(repo, [RefMove(REF, tip, new)], message="n")
    else:
        won = swap(repo, REF, tip, new, message="n")
    done += won
"""


def test_no_update_is_lost(repo: Repo, repo_path: Path) -> None:
    """Four processes, three ways to move a ref, 400 increments, 400 counted."""
    objects = Objects(repo)
    who = Signature("t", "t@example.org", 0)
    root = objects.write_commit(objects.write_tree(None, {"n": b"0"}), (), "root", who, who)
    assert swap(repo, "refs/heads/counter", None, root, message="n")
    running = [
        subprocess.Popen([sys.executable, "-c", INCREMENT, str(repo_path), str(number)])
        for number in range(4)
    ]
    assert [process.wait(120) for process in running] == [0] * 4
    tip = read(repo, "refs/heads/counter")
    assert tip is not None
    found = objects.find(objects.tree_of(tip), "n")
    assert found is not None and objects.blob(found.oid) == b"400"
    assert git("rev-list", "--count", "counter", cwd=repo_path) == "401"


def test_one_creator_wins(repo: Repo, repo_path: Path) -> None:
    """An unborn ref is created by exactly one of many."""
    script = (
        "import sys; from pathlib import Path; from gitfleet.git.refs import swap\n"
        "from gitfleet.git.repo import find\n"
        "sys.exit(0 if swap(find(Path(sys.argv[1])), 'refs/heads/new', None, sys.argv[2],"
        " message='n') else 3)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(repo_path), commit])
        for commit in _commits(repo, 4)
    ]
    assert sorted(process.wait(60) for process in running) == [0, 3, 3, 3]


def test_the_mutex_keeps_others_out(repo: Repo) -> None:
    """While one holds it another process waits."""
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'a')\n"
        "try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: sys.exit(3)"
    )
    argv = [sys.executable, "-c", script, str(repo.common / "gitfleet" / "txn.lock")]
    with mutex(repo):
        assert subprocess.run(argv, check=False).returncode == 3
    assert subprocess.run(argv, check=False).returncode == 0
