"""A branch moves together with the files of whoever has it checked out."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitfleet.git import follow_branch
from gitfleet.git.follow_branch import CannotFollow, LockedCheckout, catch_up, recover
from gitfleet.git.objects import TreeEntry
from gitfleet.git.repo import Repo, find
from gitfleet.git.synced_commit import in_step
from tests import warm
from tests.conftest import git
from tests.git.kit import MAIN, Board

# -- following


def test_files_and_index_follow(board: Board) -> None:
    """Added, changed and deleted files, odd names: afterwards it is as if git had done it."""
    new = board.land({"a": b"A\n", "b": None, "d/e": None, "neu ü/n \n m": b"n\n"})
    assert board.status == ""
    assert git("rev-parse", "HEAD", cwd=board.path) == new
    assert (board.path / "a").read_text() == "A\n"
    assert (board.path / "neu ü/n \n m").read_text() == "n\n"
    assert not (board.path / "b").exists() and not (board.path / "d").exists()
    assert board.clean_git_dir()


def test_modes_and_links_follow(board: Board) -> None:
    """An executable bit comes and goes, a file becomes a link, a folder a file."""
    objects = board.objects
    link = TreeEntry("c", objects.put_blob(b"a"), "link")
    run = TreeEntry("a", objects.put_blob(b"a\n"), "blob", executable=True)
    board.land({"a": run, "c": link, "d/e": None, "d": None})
    board.land({"d": b"a file now\n"})
    assert os.access(board.path / "a", os.X_OK)
    assert (board.path / "c").readlink() == Path("a")
    assert (board.path / "d").read_text() == "a file now\n"
    board.land({"a": TreeEntry("a", run.oid, "blob"), "d": None, "d/again": b"x"})
    assert not os.access(board.path / "a", os.X_OK)
    assert board.status == ""


def test_line_endings_are_the_persons(board: Board) -> None:
    """With core.autocrlf files get their CR LF, and are clean."""
    git("config", "core.autocrlf", "true", cwd=board.path)
    board.land({"a": b"1\n2\n"})
    assert (board.path / "a").read_bytes() == b"1\r\n2\r\n"
    assert board.status == ""


def test_edits_elsewhere_are_kept(board: Board) -> None:
    """Unstaged, staged, staged and edited again, staged new, staged deleted, untracked."""
    board.write("b", "edited\n")
    board.write("c", "staged\n")
    board.write("new", "staged\n")
    git("add", "c", "new", cwd=board.path)
    board.write("c", "staged, then edited\n")
    git("rm", "-q", "d/e", cwd=board.path)
    board.write("loose", "untracked\n")
    before = board.status
    board.land({"a": b"A\n", "more": b"m\n"})
    assert board.status == before
    assert (board.path / "c").read_text() == "staged, then edited\n"
    assert git("show", ":c", cwd=board.path) == "staged"
    assert (board.path / "more").read_text() == "m\n"


def test_a_touched_file_is_no_edit(board: Board) -> None:
    """A file that merely looks new to the index is not in the way."""
    os.utime(board.path / "a", (1, 1))
    board.land({"a": b"A\n"})
    assert board.status == ""


def test_who_has_the_same_already_is_not_in_the_way(board: Board) -> None:
    """Edited, staged, untracked or deleted just as it is to be."""
    board.write("a", "A\n")
    board.write("b", "B\n")
    git("add", "b", cwd=board.path)
    board.write("new", "n\n")
    (board.path / "c").unlink()
    board.land({"a": b"A\n", "b": b"B\n", "new": b"n\n", "c": None})
    assert board.status == ""


def test_a_move_back_follows_too(board: Board) -> None:
    """A rewound branch is where it is."""
    old = board.tip
    board.land({"a": b"A\n", "x/y": b"y"})
    with board.hold(old) as held:
        board.move(old)
        assert held.follow() is None
    assert board.status == "" and not (board.path / "x").exists()


def test_no_hook_of_theirs_runs(board: Board, tmp_path: Path) -> None:
    """post-index-change is for what a person does."""
    hook = board.repo.common / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    board.land({"a": b"A\n"})
    assert not (tmp_path / "ran").exists()


# -- refusing


def test_an_edit_in_the_way_is_refused(board: Board) -> None:
    """Every file is named, and what to do."""
    board.write("a", "mine\n")
    board.write("c", "mine\n")
    git("add", "c", cwd=board.path)
    reason = board.refused({"a": b"A\n", "b": b"B\n", "c": b"C\n"})
    assert "a, c; commit or stash them" in reason and "main" in reason


def test_an_edit_of_what_goes_is_refused(board: Board) -> None:
    """A deletion must not take an edit along."""
    board.write("a", "mine\n")
    assert " a;" in board.refused({"a": None})


def test_a_staged_deletion_of_what_changes_is_refused(board: Board) -> None:
    """git cannot know which of the two is meant."""
    git("rm", "-q", "a", cwd=board.path)
    assert " a;" in board.refused({"a": b"A\n"})


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    ("mine", "landed"), [("new", "new"), ("new", "new/deep"), ("new/deep", "new")]
)
def test_an_untracked_file_in_the_way_is_refused(
    board: Board, mine: str, landed: str, ignored: bool
) -> None:
    """Also an ignored one, which git itself would overwrite; also as a folder in a file's place."""
    if ignored:
        (board.repo.common / "info" / "exclude").write_text("new\n")
    board.write(mine, "mine\n")
    reason = board.refused({landed: b"landed\n"})
    assert f"{mine}; move or delete" in reason


def test_a_busy_index_is_refused(board: Board) -> None:
    """Somebody commits in this moment; their lock stays theirs."""
    lock = Path(git("rev-parse", "--absolute-git-dir", cwd=board.path)) / "index.lock"
    lock.touch()
    assert "a commit is in progress" in board.refused({"a": b"A\n"})
    assert lock.exists()


@pytest.mark.parametrize("command", [("merge", "topic"), ("cherry-pick", "topic")])
def test_something_unfinished_is_refused(board: Board, command: tuple[str, ...]) -> None:
    """A merge would be finished with files it never saw."""
    topic = board.make({"a": b"topic\n"})
    git("branch", "topic", topic, cwd=board.path)
    board.commit(a="person\n")
    git(*command, cwd=board.path, check=False)
    assert f"a {command[0]} is unfinished" in board.refused({"b": b"B\n"})


def test_another_branch_is_refused(board: Board) -> None:
    """Who has left the branch does not follow it."""
    git("switch", "-q", "-c", "mine", cwd=board.path)
    assert "is not on main" in board.refused({"a": b"A\n"})


def test_two_runners_do_not_hold_one_checkout(board: Board) -> None:
    """The second one is told; the first one's record and lock stay."""
    new = board.make({"a": b"A\n"})
    with board.hold(new) as held:
        second = board.prepare(new)
        assert isinstance(second, CannotFollow) and "another runner" in second.reason
        assert recover(board.repo) == []
        board.move(new)
        assert held.follow() is None
    assert board.status == ""


def test_release_leaves_all_as_it_was(board: Board) -> None:
    """A swap that was lost costs nothing."""
    before = board.everything()
    board.hold(board.make({"a": b"A\n"})).release()
    assert board.everything() == before
    assert board.clean_git_dir()


def test_an_edit_in_the_last_moment_is_kept(board: Board) -> None:
    """Between holding and following: the files stay, and catch up when it is out of the way."""
    new = board.make({"a": b"A\n", "b": b"B\n"})
    with board.hold(new) as held:
        board.move(new)
        board.write("a", "in the last moment\n")
        assert isinstance(held.follow(), CannotFollow)
    assert (board.path / "a").read_text() == "in the last moment\n"
    assert (board.path / "b").read_text() == "b\n"
    assert board.clean_git_dir()
    assert isinstance(catch_up(board.repo, board.path, MAIN), CannotFollow)
    git("stash", "-q", cwd=board.path)
    git("stash", "drop", "-q", cwd=board.path)
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == ""


# -- the failure this is all about


def test_without_following_a_commit_undoes_the_move(board: Board) -> None:
    """What git does to an index that lags: the landed file is gone from history, status 0."""
    board.move(board.make({"landed": b"work\n"}))
    board.write("a", "person\n")
    git("commit", "-q", "-a", "-m", "person", cwd=board.path)
    assert git("ls-tree", "--name-only", "HEAD", "landed", cwd=board.path) == ""


def test_with_following_it_does_not(board: Board) -> None:
    """Before, during and after a move a person's commit keeps what landed, or fails loudly."""
    new = board.make({"landed": b"work\n"})
    board.write("a", "person\n")
    with board.hold(new) as held:
        commit = ["git", "commit", "-q", "-a", "-m", "person"]
        during = subprocess.run(commit, cwd=board.path, capture_output=True, text=True, check=False)
        assert during.returncode != 0 and "index.lock" in during.stderr
        board.move(new)
        during = subprocess.run(commit, cwd=board.path, capture_output=True, text=True, check=False)
        assert during.returncode != 0 and "index.lock" in during.stderr
        assert held.follow() is None
    git("commit", "-q", "-a", "-m", "person", cwd=board.path)
    assert git("show", "HEAD:landed", cwd=board.path) == "work"
    assert git("show", "HEAD:a", cwd=board.path) == "person"


def test_a_commit_message_being_written_is_safe(board: Board, tmp_path: Path) -> None:
    """While the editor is open no lock is held: that commit fails, and the next one is right."""
    editor = tmp_path / "editor"
    (tmp_path / "go").unlink(missing_ok=True)
    editor.write_text(
        f'#!/bin/sh\ntouch "{tmp_path}/open"\n'
        f'while ! test -e "{tmp_path}/go"; do sleep 0.02; done\necho person >"$1"\n'
    )
    editor.chmod(0o755)
    board.write("a", "person\n")
    git("add", "a", cwd=board.path)
    env = {**os.environ, "GIT_EDITOR": str(editor)}
    with subprocess.Popen(
        ["git", "commit", "-q"], cwd=board.path, env=env, stderr=subprocess.PIPE
    ) as person:
        while not (tmp_path / "open").exists():
            assert person.poll() is None
        board.land({"landed": b"work\n"})
        (tmp_path / "go").touch()
        assert person.wait(30) != 0
    git("commit", "-q", "-m", "person", cwd=board.path)
    assert git("show", "HEAD:landed", cwd=board.path) == "work"
    assert git("show", "HEAD:a", cwd=board.path) == "person"


# -- catching up


def test_left_behind_twice_it_goes_all_the_way(board: Board) -> None:
    """The base is where the files are, not where the ref was a moment ago."""
    board.land({"a": b"1\n"})
    board.move(board.make({"a": b"2\n", "x": b"x\n"}))
    board.move(board.make({"b": None}))
    board.write("c", "edited\n")
    board.land({"y": b"y\n"})
    assert board.status == "M c"
    assert (board.path / "a").read_text() == "2\n" and not (board.path / "b").exists()


def test_catching_up_without_a_note(board: Board) -> None:
    """The first thing that ever happens is a move that could not be followed."""
    board.move(board.make({"a": b"2\n", "x": b"x\n"}))
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == ""
    assert catch_up(board.repo, board.path, MAIN) is None


def test_catching_up_keeps_edits(board: Board) -> None:
    """And says why where it cannot."""
    board.move(board.make({"a": b"2\n"}))
    board.write("a", "mine\n")
    outcome = catch_up(board.repo, board.path, MAIN)
    assert isinstance(outcome, CannotFollow) and " a;" in outcome.reason
    assert (board.path / "a").read_text() == "mine\n"


# -- which commit the files are at


def test_in_step_after_a_persons_commands(board: Board) -> None:
    """Commit, reset, switch there and back: the last line of HEAD's log is right."""
    board.land({"a": b"1\n"})
    assert in_step(board.repo, board.path) == board.tip
    mine = board.commit(a="2\n")
    assert in_step(board.repo, board.path) == mine
    git("reset", "-q", "--hard", "HEAD~1", cwd=board.path)
    assert in_step(board.repo, board.path) == board.tip
    git("switch", "-q", "-c", "other", mine, cwd=board.path)
    assert in_step(board.repo, board.path) == mine
    git("switch", "-q", "main", cwd=board.path)
    assert in_step(board.repo, board.path) == board.tip
    board.land({"x": b"x\n"})
    assert board.status == ""


def test_our_own_moves_do_not_count(board: Board) -> None:
    """git writes them into the log of HEAD, though no file moved."""
    at = board.tip
    board.move(board.make({"a": b"1\n"}))
    assert in_step(board.repo, board.path) == at


def test_in_step_before_the_first_commit(tmp_path: Path) -> None:
    """There is none."""
    git("init", "-q", str(tmp_path / "new"), cwd=tmp_path)
    assert in_step(find(tmp_path / "new"), tmp_path / "new") is None


def test_in_step_without_logs(board: Board) -> None:
    """core.logAllRefUpdates=false: our note, else HEAD."""
    git("reflog", "expire", "--expire=all", "--all", cwd=board.path)
    (Path(git("rev-parse", "--absolute-git-dir", cwd=board.path)) / "logs" / "HEAD").unlink()
    git("config", "core.logAllRefUpdates", "false", cwd=board.path)
    assert in_step(board.repo, board.path) == board.tip
    at = board.land({"a": b"1\n"})
    board.move(board.make({"a": b"2\n"}))
    assert in_step(board.repo, board.path) == at


def test_a_commit_of_one_path_does_not_bring_the_rest_in_step(board: Board) -> None:
    """`git commit -- PATH` takes HEAD's tree and that path; the index stays behind elsewhere."""
    at = board.land({"a": b"1\n"})
    board.move(board.make({"b": b"landed\n", "x": b"x\n"}))
    board.write("c", "mine\n")
    git("commit", "-q", "-m", "person", "--", "c", cwd=board.path)
    assert in_step(board.repo, board.path) == at
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == ""
    assert (board.path / "b").read_text() == "landed\n"
    assert (board.path / "c").read_text() == "mine\n"


def test_a_new_branch_from_behind_does_not_either(board: Board) -> None:
    """`git switch -c` moves HEAD and leaves the index alone."""
    at = board.land({"a": b"1\n"})
    board.move(board.make({"b": b"landed\n"}))
    git("switch", "-q", "-c", "mine", cwd=board.path)
    assert in_step(board.repo, board.path) == at
    assert catch_up(board.repo, board.path, "refs/heads/mine") is None
    assert board.status == ""


def test_a_staged_step_back_is_the_persons(board: Board) -> None:
    """Who stages old content on purpose, in step, keeps it."""
    at = board.land({"a": b"1\n"})
    board.land({"a": b"2\n"})
    board.commit(c="mine\n")
    git("checkout", "-q", at, "--", "a", cwd=board.path)
    board.land({"x": b"x\n"})
    assert board.status == "M  a"
    assert (board.path / "a").read_text() == "1\n"


# -- crashes

CRASH = """
import os, signal, sys
from pathlib import Path
from gitfleet.git import index_lock
from gitfleet.git.follow_branch import LockedCheckout, prepare
from gitfleet.git.refs import read, swap
from gitfleet.git.repo import find
path, new, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def die(*args, **options): os.kill(os.getpid(), signal.SIGKILL)
repo = find(path)
old = read(repo, "refs/heads/main")
if where == "before the lock": Path.hardlink_to = die
if where == "locked": index_lock.shutil.copy2 = die
held = prepare(repo, path, "refs/heads/main", old, new)
assert isinstance(held, LockedCheckout), held
if where == "held": die()
swap(repo, "refs/heads/main", old, new, message="landed")
if where == "refs moved": die()
if where == "files moved": Path.replace = die
if where == "index moved":
    from gitfleet.git import follow_branch
    follow_branch.write_step = die
if where == "lock dropped": Path.unlink = lambda self, missing_ok=False: (
    os.unlink(self), die())
held.follow()
"""


def _crash(board: Board, new: str, where: str, **env: str) -> None:
    args = ("-c", CRASH, str(board.path), new, where)
    done = warm.run(*args, cwd=board.path, env={**os.environ, **env})
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("where", ["before the lock", "locked", "held"])
def test_a_crash_before_the_move_leaves_nothing(board: Board, where: str) -> None:
    """The lock goes, files and refs stay."""
    before = board.everything()
    _crash(board, board.make({"a": b"A\n", "x": b"x\n"}), where)
    assert recover(board.repo) == []
    assert board.everything() == before
    assert board.clean_git_dir()


@pytest.mark.parametrize("where", ["refs moved", "files moved", "index moved", "lock dropped"])
def test_a_crash_after_the_move_is_healed(board: Board, where: str) -> None:
    """Files and index arrive, edits stay, and doing it twice does no harm."""
    board.write("c", "edited\n")
    _crash(board, board.make({"a": b"A\n", "b": None, "x ü/y": b"x\n"}), where)
    for _ in range(2):
        assert recover(board.repo) == []
        assert board.status == "M c"
        assert (board.path / "x ü" / "y").read_text() == "x\n"
        assert board.clean_git_dir()


def test_a_crash_at_the_fault_point_is_healed(board: Board) -> None:
    """The point stands where the lock is held and the intent is recorded."""
    before = board.everything()
    _crash(board, board.make({"a": b"A\n"}), "-", GITFLEET_FAULT="sync-announced")
    assert recover(board.repo) == []
    assert board.everything() == before


STEPS = """
import os, signal, sys
from pathlib import Path
from gitfleet.git.follow_branch import LockedCheckout, catch_up, prepare, recover
from gitfleet.git.refs import read, swap
from gitfleet.git.repo import find
path, old, new, how = Path(sys.argv[1]), *sys.argv[2:]
repo, seen = find(path), 0
def work(last):
    def count(event, args):
        global seen
        if event not in ("open", "os.link", "os.rename", "os.remove", "subprocess.Popen"): return
        seen += 1
        if seen > last: os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    held = prepare(repo, path, "refs/heads/main", old, new)
    assert isinstance(held, LockedCheckout), held
    if how == "release": held.release(); os._exit(0)
    swap(repo, "refs/heads/main", old, new, message="landed")
    held.follow()
    os._exit(0)
step, killed = 0, True
while killed:
    child = os.fork()
    if not child: work(step)
    status = os.waitpid(child, 0)[1]
    killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert killed or status == 0, status
    assert recover(repo) == []
    moved = read(repo, "refs/heads/main") == new
    assert (path / "a").read_text() == ("A\\n" if moved else "a\\n"), step
    if killed and moved:  # once more from the beginning
        assert swap(repo, "refs/heads/main", new, old, message="back")
        assert catch_up(repo, path, "refs/heads/main") is None
    left = [p.name for p in repo.common.rglob("*") if p.name.startswith(("gitfleet-", "index."))]
    assert left == [], (step, left)
    step += 1
print(step)
"""


@pytest.mark.parametrize("how", ["release", "follow"])
def test_a_crash_between_any_two_steps_leaves_nothing(board: Board, how: str) -> None:
    """Killed before every single file that is opened, linked, moved or removed."""
    new = board.make({"a": b"A\n"})
    done = warm.run("-c", STEPS, str(board.path), board.tip, new, how, cwd=board.path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15
    assert board.clean_git_dir()
    assert board.status == ""


def test_healing_goes_on_to_where_the_branch_is_now(board: Board) -> None:
    """Others moved it further while we were dead."""
    _crash(board, board.make({"a": b"A\n"}), "refs moved")
    board.move(board.make({"b": b"B\n"}))
    assert recover(board.repo) == []
    assert board.status == "" and (board.path / "b").read_text() == "B\n"


def test_a_checkout_half_way_is_healed(board: Board) -> None:
    """Killed while it wrote files: those already new are no edits."""
    run = TreeEntry("run", board.objects.put_blob(b"#!/bin/sh\n"), "blob", executable=True)
    link = TreeEntry("link", board.objects.put_blob(b"a"), "link")
    changes = {"a": b"A\n", "b": b"B\n", "c": None, "x": b"x\n", "run": run, "link": link}
    _crash(board, board.make(changes), "refs moved")
    board.write("a", "A\n")
    board.write("x", "x\n")
    board.write("run", "#!/bin/sh\n").chmod(0o755)
    (board.path / "link").symlink_to("a")
    (board.path / "c").unlink()
    assert recover(board.repo) == []
    assert board.status == ""


def test_healing_never_overwrites_an_edit(board: Board) -> None:
    """What was edited since the crash wins; it is told, and heals when it is out of the way."""
    _crash(board, board.make({"a": b"A\n", "b": b"B\n"}), "refs moved")
    board.write("a", "since the crash\n")
    ((path, refusal),) = recover(board.repo)
    assert path == board.path and " a;" in refusal.reason
    assert (board.path / "a").read_text() == "since the crash\n"
    assert board.clean_git_dir()
    git("checkout", "-q", "main", "--", "a", cwd=board.path)
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == ""


def test_healing_leaves_the_record_of_who_came_meanwhile(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its lock would be nobody's, and stay."""
    _crash(board, board.make({"a": b"A\n"}), "index moved")
    came: list[LockedCheckout] = []
    real = follow_branch.catch_up

    def and_another_comes(repo: Repo, path: Path, ref: str) -> CannotFollow | None:
        outcome = real(repo, path, ref)
        came.append(board.hold(board.make({"b": b"B\n"})))
        return outcome

    monkeypatch.setattr(follow_branch, "catch_up", and_another_comes)
    assert recover(board.repo) == []
    follow = board.repo.common / "gitfleet" / "follow"
    assert [note for note in follow.glob("*.json") if ".step" not in note.name]
    came[0].release()
    assert board.clean_git_dir()
    board.commit(c="a person commits\n")


def test_who_moves_a_checkout_next_heals_it_first(board: Board) -> None:
    """A person's verb comes before the next runner does."""
    _crash(board, board.make({"a": b"A\n"}), "held")
    board.hold(board.make({"b": b"B\n"})).release()
    assert board.clean_git_dir()


def test_notes_that_were_never_finished_go(board: Board) -> None:
    """After an hour: younger ones may be just written."""
    follow = board.repo.common / "gitfleet" / "follow"
    follow.mkdir(parents=True)
    old, young = follow / "old.new", follow / "young.new"
    for file in (old, young):
        file.touch()
    os.utime(old, (0, 0))
    assert recover(board.repo) == []
    assert not old.exists() and young.exists()


def test_a_lock_that_is_not_ours_stays(board: Board) -> None:
    """The person removed our stale lock and commits right now."""
    _crash(board, board.make({"a": b"A\n"}), "refs moved")
    lock = Path(git("rev-parse", "--absolute-git-dir", cwd=board.path)) / "index.lock"
    lock.unlink()
    lock.touch()
    ((_, refusal),) = recover(board.repo)
    assert "a commit is in progress" in refusal.reason
    assert lock.exists()


def test_a_worktree_that_is_gone_is_forgotten(board: Board) -> None:
    """Nothing to heal where nothing is."""
    _crash(board, board.make({"a": b"A\n"}), "refs moved")
    follow = board.repo.common / "gitfleet" / "follow"
    (record,) = (note for note in follow.glob("*.json") if ".step" not in note.name)
    text = record.read_text().replace(str(board.path).encode("unicode_escape").decode(), "/gone")
    record.write_text(text.replace('"path": "', '"path": "/nowhere'))
    assert recover(board.repo) == []
    assert not record.exists()


def test_a_broken_record_does_not_stop_the_runner(board: Board) -> None:
    """It is dropped."""
    follow = board.repo.common / "gitfleet" / "follow"
    follow.mkdir(parents=True)
    (follow / "0123.json").write_text("{")
    assert recover(board.repo) == []
    assert list(follow.glob("*.json")) == []


def test_a_note_about_a_commit_that_git_collected_is_not_believed(board: Board) -> None:
    """Without logs a person's reset leaves no other trace; the files follow their branch again."""
    log = Path(git("rev-parse", "--absolute-git-dir", cwd=board.path)) / "logs" / "HEAD"
    git("config", "core.logAllRefUpdates", "false", cwd=board.path)
    before = board.tip
    log.unlink()
    board.land({"a": b"1\n"})
    git("reset", "-q", "--hard", before, cwd=board.path)
    git("update-ref", "-d", "ORIG_HEAD", cwd=board.path)
    git("reflog", "expire", "--expire=all", "--all", cwd=board.path)
    git("gc", "-q", "--prune=now", cwd=board.path)
    # A later process: in this thread libgit2 still has the commit in memory.
    with ThreadPoolExecutor(1) as later:
        assert later.submit(in_step, board.repo, board.path).result() == before
        later.submit(board.land, {"b": b"2\n"}).result()
    assert board.status == ""
