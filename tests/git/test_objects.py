"""Objects, read and written without a checkout; git itself is the judge."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitfleet.errors import GitError
from gitfleet.git.commits import Signature, trailers
from gitfleet.git.objects import EMPTY_TREE, Objects, TreeEntry, blob_id
from gitfleet.git.repo import find
from tests.conftest import git

WHO = Signature("Ämil", "e@example.org", 1_700_000_000, 60)


@pytest.fixture
def objects(repo_path: Path) -> Objects:
    """The objects of `repo_path`."""
    return Objects(find(repo_path))


def _files(objects: Objects, tree: str) -> dict[str, bytes]:
    return {path: objects.blob(entry.oid) for path, entry in objects.walk(tree)}


def test_blobs(objects: Objects, repo_path: Path) -> None:
    """What is put comes back, and its id needs no repository."""
    data = b"\0\xff" * 1000
    oid = objects.put_blob(data)
    assert oid == blob_id(data)
    assert objects.blob(oid) == data
    assert objects.blob_size(oid) == 2000
    assert git("cat-file", "-s", oid, cwd=repo_path) == "2000"


def test_kinds_of_entries(objects: Objects, repo_path: Path) -> None:
    """Files, executables, links, folders and submodules are told apart."""
    (repo_path / "run").write_text("x")
    (repo_path / "run").chmod(0o755)
    (repo_path / "link").symlink_to("run")
    (repo_path / "d").mkdir()
    (repo_path / "d" / "f").touch()
    git("add", "-A", cwd=repo_path)
    head = git("rev-parse", "HEAD", cwd=repo_path)
    git("update-index", "--add", "--cacheinfo", f"160000,{head},sub", cwd=repo_path)
    tree = git("write-tree", cwd=repo_path)
    kinds = {e.name: (e.kind, e.executable) for e in objects.read_tree(tree)}
    assert kinds == {
        "README": ("blob", False),
        "d": ("tree", False),
        "link": ("link", False),
        "run": ("blob", True),
        "sub": ("commit", False),
    }
    assert {path for path, _ in objects.walk(tree, "x/")} == {
        "x/README",
        "x/d/f",
        "x/link",
        "x/run",
        "x/sub",
    }
    found = objects.find(tree, "d/f")
    assert found is not None and found.oid == blob_id(b"")
    assert objects.find(tree, "d/f/g") is None and objects.find(tree, "nope") is None


def test_names_that_are_not_utf8(objects: Objects, repo_path: Path) -> None:
    """They survive reading and writing."""
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    tree = objects.write_tree(None, {f"d/{name}": b"x"})
    assert git("ls-tree", "-r", "--name-only", tree, cwd=repo_path) == '"d/caf\\351"'
    assert [path for path, _ in objects.walk(tree)] == [f"d/{name}"]


def test_trees_are_as_git_writes_them(objects: Objects, repo_path: Path) -> None:
    """Same bytes, same order: the id is what git would have made."""
    changes = {"a.b": b"1", "a/x": b"2", "a0": b"3", "ü/deep er/z": b"4", "a-": b"5"}
    for path, data in changes.items():
        (repo_path / path).parent.mkdir(parents=True, exist_ok=True)
        (repo_path / path).write_bytes(data)
    git("rm", "-q", "--cached", "README", cwd=repo_path)
    (repo_path / "README").unlink()
    git("add", "-A", cwd=repo_path)
    assert objects.write_tree(None, changes) == git("write-tree", cwd=repo_path)
    git("fsck", "--strict", cwd=repo_path)


def test_changing_a_tree(objects: Objects, repo_path: Path) -> None:
    """New, changed, deleted, moved: what is not named stays."""
    base = objects.write_tree(None, {"t/a": b"a", "t/b": b"b", "c/x": b"x", "keep": b"k"})
    moved = objects.find(base, "t/b")
    assert moved is not None
    tree = objects.write_tree(
        base, {"t/a": b"A", "t/b": None, "done/b": moved, "c/x": None, "gone/never": None}
    )
    assert _files(objects, tree) == {"t/a": b"A", "done/b": b"b", "keep": b"k"}
    assert "c" not in {entry.name for entry in objects.read_tree(tree)}


def test_a_folder_can_be_moved_or_deleted_whole(objects: Objects) -> None:
    """An Entry may be a folder, and None too."""
    base = objects.write_tree(None, {"t/a": b"a", "t/d/b": b"b"})
    folder = objects.find(base, "t")
    assert folder is not None
    tree = objects.write_tree(base, {"t": None, "done/t": folder})
    assert _files(objects, tree) == {"done/t/a": b"a", "done/t/d/b": b"b"}


def test_a_file_can_become_a_folder_only_on_purpose(objects: Objects) -> None:
    """Writing below a file is refused unless the file is deleted in the same change."""
    base = objects.write_tree(None, {"a": b"file"})
    with pytest.raises(GitError, match="below a"):
        objects.write_tree(base, {"a/b": b"x"})
    assert objects.write_tree(base, {"a/b": None}) == base
    assert _files(objects, objects.write_tree(base, {"a": None, "a/b": b"x"})) == {"a/b": b"x"}
    with pytest.raises(GitError, match="above"):
        objects.write_tree(None, {"a": b"1", "a/b": b"2"})


def test_new_content_keeps_the_executable_bit(objects: Objects) -> None:
    """Changing a script leaves it a script."""
    script = TreeEntry("run", objects.put_blob(b"1"), "blob", executable=True)
    base = objects.write_tree(None, {"run": script})
    found = objects.find(objects.write_tree(base, {"run": b"2"}), "run")
    assert found is not None and found.executable


def test_nothing_left_is_the_empty_tree(objects: Objects) -> None:
    """Folders vanish with their last file, up to the top."""
    base = objects.write_tree(None, {"a/b/c": b"x"})
    assert objects.write_tree(base, {"a/b/c": None}) == EMPTY_TREE
    assert objects.write_tree(None, {}) == EMPTY_TREE


@pytest.mark.parametrize(
    "path",
    [
        *("", "/a", "a//b", "a/", "../a", "a/../b", ".", "a\\b", "a\0b"),
        *(".git/config", "a/.GIT/x", "git~1/x", ".git /x", ".g\u200cit/x", ".git./x"),
    ],
)
def test_paths_that_do_harm_are_refused(objects: Objects, path: str) -> None:
    """No tree of ours can write outside a checkout or into .git."""
    with pytest.raises(GitError, match="not a path"):
        objects.write_tree(None, {path: b"x"})


def test_diff_names_files_only(objects: Objects) -> None:
    """Added, changed and deleted files; a file that became a folder is both."""
    old = objects.write_tree(None, {"same/x": b"s", "d/a": b"1", "d/b": b"2", "f": b"f"})
    new = objects.write_tree(None, {"same/x": b"s", "d/a": b"!", "n/new": b"n", "f/x": b"f"})
    found = {c.path: (c.old is not None, c.new is not None) for c in objects.diff(old, new)}
    assert found == {
        "d/a": (True, True),
        "d/b": (True, False),
        "f": (True, False),
        "f/x": (False, True),
        "n/new": (False, True),
    }
    assert len(objects.diff(None, new)) == 4
    assert objects.diff(new, new) == []


def test_diff_reads_only_what_differs(objects: Objects, repo_path: Path) -> None:
    """Equal folders are never opened: one that is missing does not matter."""
    old = objects.write_tree(None, {"same/x": b"s", "d/a": b"1"})
    same = objects.find(old, "same")
    assert same is not None
    new = objects.write_tree(old, {"d/a": b"2"})
    (repo_path / ".git" / "objects" / same.oid[:2] / same.oid[2:]).unlink()
    assert [c.path for c in Objects(find(repo_path)).diff(old, new)] == ["d/a"]


def test_an_executable_bit_is_a_difference(objects: Objects) -> None:
    """Mode changes count."""
    oid = objects.put_blob(b"1")
    old = objects.write_tree(None, {"r": TreeEntry("r", oid, "blob")})
    new = objects.write_tree(None, {"r": TreeEntry("r", oid, "blob", executable=True)})
    assert len(objects.diff(old, new)) == 1


def test_commits(objects: Objects, repo_path: Path) -> None:
    """A commit comes back as it was written, and no ref moves."""
    head = git("rev-parse", "HEAD", cwd=repo_path)
    tree = objects.tree_of(head)
    oid = objects.write_commit(tree, (head,), "Ünïcode\n\nKey: value\n", WHO, WHO)
    found = objects.commit(oid)
    assert (found.oid, found.tree, found.parents) == (oid, tree, (head,))
    assert (found.message, found.author, found.committer) == ("Ünïcode\n\nKey: value\n", WHO, WHO)
    assert git("log", "-1", "--format=%an %ae %at", oid, cwd=repo_path).startswith("Ämil e@ex")
    assert git("rev-parse", "HEAD", cwd=repo_path) == head
    assert objects.is_ancestor(head, oid) and objects.is_ancestor(head, head)
    assert not objects.is_ancestor(oid, head)
    assert objects.merge_base(head, oid) == head
    orphan = objects.write_commit(
        EMPTY_TREE if objects.exists(EMPTY_TREE) else tree, (), "x", WHO, WHO
    )
    assert objects.merge_base(orphan, head) is None


def test_what_is_missing_is_our_error(objects: Objects, repo_path: Path) -> None:
    """No exception of pygit2 ever leaves this room."""
    gone = "1" * 40
    head = git("rev-parse", "HEAD", cwd=repo_path)
    for call in (
        lambda: objects.blob(gone),
        lambda: objects.blob_size(gone),
        lambda: objects.commit(gone),
        lambda: objects.commit(objects.tree_of(head)),
        lambda: objects.read_tree(gone),
        lambda: objects.blob(head),
        lambda: objects.blob_size(head),
        lambda: objects.is_ancestor(gone, head),
        lambda: objects.merge_base(gone, head),
        lambda: objects.write_commit(gone, (), "x", WHO, WHO),
        lambda: objects.write_commit(objects.tree_of(head), (gone,), "x", WHO, WHO),
        lambda: objects.write_commit(objects.tree_of(head), (), "x", Signature("", "", 0), WHO),
        lambda: objects.blob("no id"),
    ):
        with pytest.raises(GitError):
            call()
    assert not objects.exists(gone)


def test_broken_objects_are_our_error(objects: Objects, repo_path: Path) -> None:
    """A torn file in the object store is told as such."""
    oid = objects.put_blob(b"whole")
    file = repo_path / ".git" / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(b"torn")
    with pytest.raises(GitError, match=oid):
        Objects(find(repo_path)).blob(oid)


def test_a_tree_without_end_is_refused(objects: Objects) -> None:
    """Depth is bounded, so that no tree can exhaust us."""
    tree = objects.write_tree(None, {"/".join("d" * 70): b"x"})
    with pytest.raises(GitError, match="deep"):
        list(objects.walk(tree))
    with pytest.raises(GitError, match="deep"):
        objects.diff(None, tree)


def test_objects_of_other_processes_are_seen(objects: Objects, repo_path: Path) -> None:
    """What git writes or packs later is found by a handle opened before."""
    oid = git("hash-object", "-w", "--stdin", cwd=repo_path, input="later")
    assert objects.blob(oid) == b"later"
    git("tag", "t", git("commit-tree", "-m", "x", "HEAD^{tree}", cwd=repo_path), cwd=repo_path)
    git("gc", "-q", cwd=repo_path)
    assert objects.commit(git("rev-parse", "t", cwd=repo_path)).message == "x\n"


def test_any_thread_may_use_it(objects: Objects) -> None:
    """Every thread has a handle of its own."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(50):
                data = f"{number} {i}".encode()
                assert objects.blob(objects.put_blob(data)) == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_trailers_are_the_last_paragraph() -> None:
    """Text that merely looks like a trailer is none."""
    message = "Subject\n\nBody: no\n\nGitfleet-Txn: a\nGitfleet-Txn: b\nLong: one\n  two\n"
    assert trailers(message) == {"Gitfleet-Txn": "b", "Long": "one two"}
    assert trailers("fix: only a subject") == {}
    assert trailers("Subject\n\nKey: value\nand prose") == {}
    assert trailers("") == {}
