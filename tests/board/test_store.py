"""The board on its branch: nothing is lost, whoever writes; what is read depends on the commit."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pytest

from gitfleet.board.backend import TxnResult, TxnStatus
from gitfleet.board.store import Store
from gitfleet.errors import FleetError
from gitfleet.files import layout
from gitfleet.git.commits import Signature
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move, Person
from tests import warm
from tests.board.counting import count_up, task
from tests.conftest import git
from tests.lanes import sample

ANN = Person("Ann", "ann@example.org")
GOOD = b"format: 2\ntarget: main\nconcurrency: 7\n"
BROKEN = b"format: 2\nconcurency: 7\n"
PARTS = ("entries", "archived", "hidden", "damage", "prompts", "settings", "settings_problems")


@pytest.fixture
def store(repo_path: Path) -> Store:
    made = Store(find(repo_path), runner="box-1")
    made.create({layout.SETTINGS: GOOD}, ANN)
    return made


def put(store: Store, files: Mapping[str, bytes | None], subject: str = "Put") -> Board:
    result = store.transact(lambda _board, _now: Change(subject=subject, files=files))
    assert result.won
    return result.board


def parts(board: Board) -> dict[str, object]:
    return {name: getattr(board, name) for name in PARTS}


def cold(store: Store, commit: str) -> Board:
    return Store(store.repo).board_at(commit)


# -- nothing is lost


def _all_there(store: Store, names: list[str], rounds: int) -> None:
    board = Store(store.repo).board()
    counter = board.entries["counter"].task
    assert counter is not None and int(counter.body) == len(names) * rounds
    assert set(board.entries) - {"counter"} == {
        f"{me}-{number}" for me in names for number in range(0, rounds, 10)
    }
    commits = git("rev-list", "--count", "--first-parent", "fleet", cwd=store.repo.here)
    assert int(commits) == 3 + len(names) * rounds


@pytest.mark.parametrize("rounds", sample([8, 200], 8))
def test_no_update_of_eight_processes_is_lost(store: Store, rounds: int) -> None:
    """Eight writers on one board: each of their transactions counts, in one line of commits."""
    put(store, {layout.task_path("counter"): task("Count", "0\n")})
    names = [f"p{n}" for n in range(8)]
    code = "import sys; from tests.board.counting import main; main(*sys.argv[1:])"
    root = Path(__file__).parents[2]
    args = (str(store.repo.here), str(rounds))
    writers = [
        warm.start(
            "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}", *args, me, cwd=root
        )
        for me in names
    ]
    assert [writer.wait(600) for writer in writers] == [0] * len(names)
    _all_there(store, names, rounds)


def test_no_update_of_many_threads_with_one_store_is_lost(store: Store) -> None:
    """Any thread may use a Store."""
    put(store, {layout.task_path("counter"): task("Count", "0\n")})
    names = [f"t{n}" for n in range(12)]
    errors: list[BaseException] = []

    def work(me: str) -> None:
        try:
            count_up(store, me, 20)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    _all_there(store, names, 20)


def test_a_person_who_commits_with_plain_git_loses_nothing_and_is_seen(
    store: Store, tmp_path: Path
) -> None:
    """A commit by plain git between two reads is read; one during a decision makes it decide
    again."""
    window = tmp_path / "window"
    git("worktree", "add", "-q", str(window), "fleet", cwd=store.repo.here)
    store.board()
    (window / "tasks" / "hers.md").write_bytes(task("Hers"))
    git("add", "-A", cwd=window)
    git("commit", "-q", "-m", "By hand", cwd=window)
    assert "hers" in store.board().entries
    asked: list[str] = []

    def decide(board: Board, _now: datetime) -> Change:
        asked.append(board.commit)
        if len(asked) == 1:
            (window / "tasks" / "more.md").write_bytes(task("More"))
            git("add", "-A", cwd=window)
            git("commit", "-q", "-m", "In between", cwd=window)
        return Change(subject="Mine", files={layout.task_path("mine"): task("Mine")})

    result = store.transact(decide)
    assert result.won and len(set(asked)) == 2
    assert {"hers", "more", "mine"} <= set(result.board.entries)
    assert git("status", "--porcelain", cwd=window) == ""


# -- what a transaction answers


def test_a_decision_against_a_change_is_lost_and_writes_nothing(store: Store) -> None:
    """None from `decide`: lost, with the board it was decided on."""
    tip = store.tip()
    result = store.transact(lambda _board, _now: None)
    assert (result.status, result.why, result.board.commit) == (TxnStatus.LOST, "", tip)
    assert store.tip() == tip


def test_a_refusal_of_a_decision_comes_out_and_writes_nothing(store: Store) -> None:
    """What `decide` raises is raised."""
    tip = store.tip()

    def decide(_board: Board, _now: datetime) -> Change:
        raise FleetError("no")

    with pytest.raises(FleetError, match="no"):
        store.transact(decide)
    assert store.tip() == tip


def test_a_target_that_moved_meanwhile_moves_neither_ref(store: Store) -> None:
    """The target and the board move together or not at all."""
    top = store.repo.main_top()
    assert top is not None
    main = git("rev-parse", "main", cwd=top)
    git("switch", "-q", "--detach", cwd=top)
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=top)
    newer = git("rev-parse", "HEAD", cwd=top)
    tip = store.tip()
    seen: list[str] = []

    def decide(board: Board, _now: datetime) -> Change | None:
        seen.append(board.commit)
        if len(seen) > 2:
            return None
        return Change(
            subject="Land", files={"log/x": b"x"}, moves=(Move("refs/heads/main", newer, main),)
        )

    assert store.transact(decide).status is TxnStatus.LOST
    assert (store.tip(), git("rev-parse", "main", cwd=top)) == (tip, main)


def test_a_prune_between_the_objects_and_the_ref_is_a_lost_race(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git gc --prune=now` by a person takes what no ref holds yet; it is written again."""
    real = store.backend.commit
    tries: list[str] = []

    def commit(old: str, new: str, change: Change) -> TxnResult | None:
        if not tries:
            git("prune", "--expire=now", cwd=store.repo.common)
        tries.append(new)
        return real(old, new, change)

    monkeypatch.setattr(store.backend, "commit", commit)
    assert put(store, {"tasks/one.md": task()}).get("one") is not None
    assert len(tries) == 2
    assert git("fsck", cwd=store.repo.common) == ""


def test_a_checkout_in_the_way_of_a_move_is_the_reason(store: Store) -> None:
    """`why` says what of a person's would be overwritten; nothing has moved."""
    top = store.repo.main_top()
    assert top is not None
    main = git("rev-parse", "main", cwd=top)
    made = store.objects.write_tree(store.objects.tree_of(main), {"README": b"theirs\n"})
    who = Signature("x", "x@example.org", 1)
    newer = store.objects.write_commit(made, [main], "x\n", who, who)
    (top / "README").write_text("mine\n")
    tip = store.tip()
    move = Move("refs/heads/main", main, newer)
    result = store.transact(
        lambda _board, _now: Change(subject="Land", files={"x": b"x"}, moves=(move,))
    )
    assert (result.status, store.tip()) == (TxnStatus.LOST, tip)
    assert "README" in result.why
    (top / "README").write_text("hello\n")
    assert store.transact(
        lambda _board, _now: Change(subject="Land", files={"x": b"x"}, moves=(move,))
    ).won
    assert (top / "README").read_text() == "theirs\n"


def test_every_commit_of_a_runner_says_so_and_no_two_are_the_same(store: Store) -> None:
    """Two machines that make the same bytes would both believe that they won."""
    same = {layout.task_path("x"): task("X")}
    put(store, same)
    first = store.tip()
    put(store, {layout.task_path("x"): None})
    put(store, same)
    message = git("log", "-1", "--format=%B", "fleet", cwd=store.repo.here)
    assert "Gitfleet-Runner: box-1" in message and "Gitfleet-Txn: " in message
    assert store.tip() != first


def test_two_machines_that_begin_a_board_begin_the_same_history(
    store: Store, tmp_path: Path
) -> None:
    """The root is the same bytes everywhere."""
    git("init", "-q", str(tmp_path / "other"), cwd=tmp_path)
    assert Store(find(tmp_path / "other")).root() == store.root()


# -- what is read


def test_reading_what_changed_gives_the_same_board_as_reading_all(store: Store) -> None:
    """On a random history with everything in it, in any order of reading, cold equals warm."""
    rng = random.Random(20261120)
    line = [str(store.tip())]
    ids = ["a", "b", "c", "Bad Name", "d"]
    contents: list[bytes | None] = [
        task("One"),
        task("Two", "text"),
        b"---\ntitel: x\n---\n",
        b"no front matter",
        b"\xff",
        None,
    ]
    settings: list[bytes | None] = [GOOD, GOOD.replace(b"7", b"8"), BROKEN, b"format: 2\nx", None]
    for number in range(60):
        files: dict[str, bytes | None] = {}
        for _ in range(rng.randint(1, 3)):
            id = rng.choice(ids)
            kind = rng.choice(["tasks", "tasks", "settings", "claim", "log", "done", "note", "ask"])
            match kind:
                case "tasks":
                    files[f"tasks/{id}.md"] = rng.choice(contents)
                case "settings":
                    files[layout.SETTINGS] = rng.choice(settings)
                case "claim":
                    files["claims/a.yaml"] = rng.choice([b"runner: x\n", None])
                case "log":
                    said = b"at: 2026-01-01T00:00:00Z\n"
                    files["log/b/001-hold-0000.yaml"] = rng.choice([said, b"at: never\n", None])
                case "done":
                    files["done/2026-01/c/task.md"] = rng.choice([task("Old"), None])
                case "note":
                    files["notes/d/plan.md"] = rng.choice([b"plan", None])
                case _:
                    files["questions/a-1.md"] = rng.choice([b"---\ntask: a\n", None])
        base = store.objects.tree_of(line[-1])
        there = {
            path: data
            for path, data in files.items()
            if data is not None or store.objects.find(base, path)
        }
        tree = store.objects.write_tree(base, dict(there))
        who = Signature("x", "x@example.org", number)
        line.append(store.objects.write_commit(tree, [line[-1]], f"{number}\n", who, who))
    wanted = {commit: parts(cold(store, commit)) for commit in line}
    for _ in range(6):
        warm = Store(store.repo)
        for commit in rng.sample(line, len(line)):
            assert parts(warm.board_at(commit)) == wanted[commit]
    assert any(found["settings_problems"] for found in wanted.values())


def test_broken_settings_leave_the_nearest_older_ones_in_force(store: Store) -> None:
    """Whatever this process read before: the settings of a commit depend on its history alone."""
    first = put(store, {layout.SETTINGS: BROKEN})
    put(store, {layout.SETTINGS: GOOD.replace(b"7", b"9")})
    third = put(store, {layout.SETTINGS: BROKEN})
    warm = Store(store.repo)
    assert [warm.board_at(board.commit).settings.concurrency for board in (first, third)] == [7, 9]
    assert cold(store, third.commit).settings.concurrency == 9
    assert warm.board_at(third.commit).settings_problems
    later = put(store, {layout.task_path("x"): task("X")})
    assert (later.settings.concurrency, cold(store, later.commit).settings.concurrency) == (9, 9)
    gone = put(store, {layout.SETTINGS: None})
    assert gone.settings.concurrency == 9 and "missing" in gone.settings_problems[0].what


def test_a_link_a_submodule_and_a_huge_file_are_invalid_tasks_and_nothing_else(
    store: Store, tmp_path: Path
) -> None:
    """What is no plain file of text in a task's place is shown as invalid, and not read."""
    window = tmp_path / "window"
    git("worktree", "add", "-q", str(window), "fleet", cwd=store.repo.here)
    (window / "tasks" / "link.md").symlink_to("/etc/passwd")
    (window / "tasks" / "huge.md").write_bytes(task("Huge") + b"x" * 10_000_000)
    (window / "tasks" / "good.md").write_bytes(task("Good"))
    git("add", "-A", cwd=window)
    head = git("rev-parse", "main", cwd=window)
    git("update-index", "--add", "--cacheinfo", f"160000,{head},tasks/module.md", cwd=window)
    git("commit", "-q", "-m", "Strange things", cwd=window)
    board = store.board()
    what = {id: entry.problems[0].what for id, entry in board.entries.items() if entry.problems}
    assert what.keys() == {"link", "huge", "module"}
    assert "link" in what["link"] and "larger" in what["huge"] and "submodule" in what["module"]
    assert board.entries["good"].task is not None
    assert put(store, {layout.task_path("y"): task("Y")}).entries.keys() >= {"good", "y"}


def test_a_repository_without_a_board_says_what_to_do(repo_path: Path) -> None:
    """One sentence with the remedy."""
    with pytest.raises(FleetError, match="gitfleet init"):
        Store(find(repo_path)).board()


# -- the window


def test_the_window_follows_and_what_a_person_edits_there_survives(
    store: Store, tmp_path: Path
) -> None:
    """Every transaction brings the checkout of the board along; edits stay as they are."""
    window = tmp_path / "window"
    put(store, {layout.task_path(name): task(name) for name in ("one", "two")})
    git("worktree", "add", "-q", str(window), "fleet", cwd=store.repo.here)
    (window / "tasks" / "one.md").write_text("edited")
    (window / "tasks" / "mine.md").write_text("new of mine")
    put(store, {layout.task_path("three"): task("three"), layout.task_path("two"): None})
    assert (window / "tasks" / "three.md").exists() and not (window / "tasks" / "two.md").exists()
    assert (window / "tasks" / "one.md").read_text() == "edited"
    assert git("status", "--porcelain", cwd=window).split() == [
        "M",
        "tasks/one.md",
        "??",
        "tasks/mine.md",
    ]
    assert store.keep_windows() == {}


def test_a_window_whose_index_is_busy_catches_up_later(store: Store, tmp_path: Path) -> None:
    """A person's git command at work there holds up nobody; the files come along after it."""
    window = tmp_path / "window"
    git("worktree", "add", "-q", str(window), "fleet", cwd=store.repo.here)
    lock = Path(git("rev-parse", "--absolute-git-dir", cwd=window)) / "index.lock"
    lock.touch()
    put(store, {layout.task_path("one"): task("one")})
    assert not (window / "tasks" / "one.md").exists()
    assert [*store.keep_windows()] == [window]
    lock.unlink()
    assert store.keep_windows() == {}
    assert (window / "tasks" / "one.md").exists()
    assert git("status", "--porcelain", cwd=window) == ""


@pytest.mark.parametrize("round_", range(3))
def test_a_person_who_commits_in_the_window_all_the_time_loses_nothing(
    store: Store, tmp_path: Path, round_: int
) -> None:
    """While the board moves and its window is kept in step, commits by plain git arrive whole:
    bringing the files to where the branch is never undoes a commit that is just being made."""
    window = tmp_path / "window"
    git("worktree", "add", "-q", str(window), "fleet", cwd=store.repo.here)
    over = threading.Event()
    errors: list[BaseException] = []

    def keep() -> None:
        try:
            while not over.is_set():
                store.keep_windows()
        except BaseException as error:
            errors.append(error)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        for number in range(25):
            (window / "tasks" / f"p{number}.md").write_bytes(task(f"p{number}"))
            for args in (("add", "-A"), ("commit", "-q", "-m", f"p{number}")):
                _patiently(window, *args)
    finally:
        over.set()
        keeper.join(60)
    assert not errors
    assert store.board().entries.keys() == {f"p{number}" for number in range(25)}
    assert store.keep_windows() == {}
    assert git("status", "--porcelain", cwd=window) == ""


def _patiently(window: Path, *args: str) -> None:
    """A person tries again when the index is locked for a moment."""
    for _ in range(2000):
        done = subprocess.run(
            ["git", *args], cwd=window, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        assert "index.lock" in done.stderr, (args, done.stdout, done.stderr)
    raise AssertionError("the index is always locked")
