"""A git command that was slow puts an old index back: that is corrected, and edits stay."""

from __future__ import annotations

from pathlib import Path

from gitfleet.git.follow_branch import catch_up, refusal, undoes_a_move
from gitfleet.git.worktree import git_dir
from tests.conftest import git
from tests.git.kit import MAIN, Board, SlowCommand


def slow_commit(board: Board, folder: Path) -> SlowCommand:
    """A person stages a file, and their commit has just read the index."""
    board.write("mine", "mine\n")
    git("add", "mine", cwd=board.path)
    return SlowCommand(folder, board.path, "commit", "-q", "-m", "person")


def staged(board: Board) -> list[str]:
    """The staged paths."""
    return git("diff", "--cached", "--name-only", cwd=board.path).split()


def test_the_next_move_corrects_what_a_slow_commit_put_back(board: Board, tmp_path: Path) -> None:
    """A file changed and changed again, one added, one deleted: a commit that read the index before
    and wrote it after leaves all of that staged as undone. The checkout follows all the same."""
    board.land({"claim": b"first\n"})
    with slow_commit(board, tmp_path) as commit:
        board.land({"claim": b"second\n", "added": b"x\n", "b": None})
        status, said = commit.go_on()
    assert status != 0 and "cannot lock ref" in said
    assert staged(board) == ["added", "b", "claim", "mine"]
    board.land({"claim": None})
    assert staged(board) == ["mine"] and board.status == "A  mine"
    assert not (board.path / "claim").exists() and not (board.path / "b").exists()
    assert board.clean_git_dir()


def test_catching_up_corrects_it_without_a_move(board: Board, tmp_path: Path) -> None:
    """The branch stays where it is; files that several moves brought are all corrected."""
    with slow_commit(board, tmp_path) as commit:
        board.land({"a": b"1\n"})
        board.land({"a": b"2\n", "x": b"x\n"})
        commit.go_on()
    assert staged(board) == ["a", "mine", "x"]
    assert refusal(board.repo, board.path, MAIN, board.tip, board.tip) is None
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == "A  mine"
    git("commit", "-q", "-m", "person", cwd=board.path)
    assert git("show", "HEAD:a", cwd=board.path) == "2"
    assert git("show", "HEAD:x", cwd=board.path) == "x"


def test_an_index_from_before_a_persons_commit_is_corrected(board: Board) -> None:
    """Two commands of theirs at once: the slow one also puts back what the other committed."""
    board.land({"a": b"1\n"})
    index = git_dir(board.path) / "index"
    old = index.read_bytes()
    board.land({"b": b"moved\n", "x": b"x\n"})
    board.commit(c="mine\n")
    index.write_bytes(old)
    assert staged(board) == ["b", "c", "x"]
    assert catch_up(board.repo, board.path, MAIN) is None
    assert board.status == ""


def test_an_edit_of_such_a_file_is_kept(board: Board, tmp_path: Path) -> None:
    """Only entries whose file is as the move left it are corrected; the others may be edits."""
    with slow_commit(board, tmp_path) as commit:
        board.land({"a": b"1\n", "b": b"1\n", "c": None})
        commit.go_on()
    board.write("a", "edited since\n")
    board.write("c", "kept\n")
    assert catch_up(board.repo, board.path, MAIN) is None
    assert staged(board) == ["a", "c", "mine"]
    assert (board.path / "a").read_text() == "edited since\n"
    assert (board.path / "c").read_text() == "kept\n"


def test_who_takes_a_move_back_has_done_so(board: Board) -> None:
    """Files staged as they were before, and changed back, are an edit."""
    before = board.tip
    board.land({"a": b"1\n", "x": b"x\n", "b": None})
    git("rm", "-q", "x", cwd=board.path)
    git("checkout", "-q", before, "--", "a", "b", cwd=board.path)
    status = board.status
    assert staged(board) == ["a", "b", "x"]
    assert catch_up(board.repo, board.path, MAIN) is None
    board.land({"y": b"y\n"})
    assert board.status == status


def test_a_coming_commit_is_known_to_undo_a_move(board: Board, tmp_path: Path) -> None:
    """By the index that git names to its hook: the worktree's own, or the one of `commit -a`."""
    own = git_dir(board.path) / "index"
    other = own.with_name("index.of-a-commit")

    def undoes(index: Path) -> bool:
        return undoes_a_move(board.repo, board.path, MAIN, board.tip, index)

    with slow_commit(board, tmp_path) as commit:
        other.write_bytes(own.read_bytes())
        board.land({"a": b"1\n"})
        assert undoes(other) and not undoes(own)
        commit.go_on()
    assert undoes(own)
    assert catch_up(board.repo, board.path, MAIN) is None
    assert not undoes(own)
    assert not [*own.parent.glob("gitfleet-*")]
