"""git in memory: the objects of all clones, each clone's refs, and what a merge of two commits is.

It replaces `gitfleet.git` below the product's own code. A tree is flat: it maps paths to blobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gitfleet.errors import GitError
from gitfleet.git.command import CommandResult
from gitfleet.git.commits import Commit, Signature
from gitfleet.git.merge import Merged
from gitfleet.git.objects import Changed, TreeEntry
from gitfleet.git.refs import RefMove
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from tests.simulation.world import World

Files = Mapping[str, str]  # path -> id of the blob


def oid_of(*parts: object) -> str:
    return hashlib.sha1(repr(parts).encode()).hexdigest()


class Library:
    """Every object that anyone ever made; a clone has those that it made or fetched."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, Files] = {}
        self.commits: dict[str, Commit] = {}
        self.lines: dict[str, frozenset[str]] = {}  # a commit and all before it
        self.boards: dict[str, Board] = {}

    def files(self, commit: str) -> Files:
        return self.trees[self.commits[commit].tree]

    def merge_base(self, one: str, two: str) -> str | None:
        both = self.lines[one] & self.lines[two]
        return max(both, key=lambda oid: (len(self.lines[oid]), oid), default=None)

    def git(self, *args: str, cwd: Path, **_options: object) -> CommandResult:
        """The only git command that the product starts here."""
        match args:
            case ("rev-list", "--count", span):
                old, _, new = span.partition("..")
                return CommandResult(0, str(len(self.lines[new] - self.lines[old])).encode(), "")
            case ("rev-list", tip, stop) if stop.startswith("^"):
                found = self.lines[tip] - self.lines[stop[1:]]
                ordered = sorted(found, key=lambda oid: (-len(self.lines[oid]), oid))
                return CommandResult(0, "".join(f"{oid}\n" for oid in ordered).encode(), "")
        raise self.world.breach(f"git {' '.join(args)} was started in {cwd}")

    def merge(self, ours: str, theirs: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """The files of a merge, and the paths that conflict: those have our version."""
        base_commit = self.merge_base(ours, theirs)
        base = self.files(base_commit) if base_commit else {}
        here, there = self.files(ours), self.files(theirs)
        files, clash = dict(here), list[str]()
        for path in sorted(here.keys() | there.keys() | base.keys()):
            mine, other = here.get(path), there.get(path)
            if other in (base.get(path), mine):
                continue
            if mine != base.get(path):
                clash.append(path)
            elif other is None:
                files.pop(path, None)
            else:
                files[path] = other
        return files, tuple(clash)


@dataclass(frozen=True)
class MemoryRepo(Repo):
    """A clone. Its refs and objects outlive the processes that work in it."""

    library: Library = field(kw_only=True, compare=False, repr=False)
    refs: dict[str, str] = field(default_factory=dict, compare=False)
    here_now: set[str] = field(default_factory=set, compare=False)  # commits

    def take(self, commits: Iterable[str]) -> None:
        """Have these commits, with all before them."""
        for oid in commits:
            if oid not in self.here_now:
                self.here_now.update(self.library.lines[oid])


class _Everything(set[str]):
    """All commits of a library: the server is where every object is."""

    def __contains__(self, _: object) -> bool:
        return True


def server_at(folder: Path, library: Library) -> MemoryRepo:
    """The repository of the server."""
    return MemoryRepo(folder, None, True, library=library, here_now=_Everything())


def clone_at(folder: Path, library: Library, refs: Mapping[str, str]) -> MemoryRepo:
    """A new clone with these refs."""
    repo = MemoryRepo(folder, None, True, library=library, refs=dict(refs))
    repo.take(refs.values())
    return repo


def _of(repo: Repo) -> MemoryRepo:
    assert isinstance(repo, MemoryRepo)
    repo.library.world.check()
    return repo


class MemoryObjects:
    """As `gitfleet.git.objects.Objects`."""

    def __init__(self, repo: Repo) -> None:
        assert isinstance(repo, MemoryRepo)
        self._repo, self._library = repo, repo.library

    def exists(self, oid: str) -> bool:
        return oid in self._repo.here_now

    def commit(self, oid: str) -> Commit:
        if oid not in self._repo.here_now:
            raise GitError(f"unknown commit {oid[:8]}")
        return self._library.commits[oid]

    def tree_of(self, commit: str) -> str:
        return self.commit(commit).tree

    def blob(self, oid: str) -> bytes:
        return self._library.blobs[oid]

    def blob_size(self, oid: str) -> int:
        return len(self._library.blobs[oid])

    def find(self, tree: str, path: str) -> TreeEntry | None:
        files = self._library.trees[tree]
        if path in files:
            return TreeEntry(path.rpartition("/")[2], files[path], "blob")
        assert not any(one.startswith(f"{path}/") for one in files), "no folder is looked up here"
        return None

    def read_tree(self, tree: str) -> list[TreeEntry]:
        """A folder's entries; its id is the tree's, a colon, and the path with a slash."""
        root, _, folder = tree.partition(":")
        found: dict[str, TreeEntry] = {}
        for path, oid in self._library.trees[root].items():
            if path.startswith(folder):
                name, _, below = path[len(folder) :].partition("/")
                inner = TreeEntry(name, f"{root}:{folder}{name}/", "tree")
                found[name] = inner if below else TreeEntry(name, oid, "blob")
        return list(found.values())

    def diff(
        self, old_tree: str | None, new_tree: str | None, *, deepest: int | None = None
    ) -> list[Changed]:
        assert deepest is None or deepest > 0  # nothing here lies deep
        old = self._library.trees[old_tree] if old_tree else {}
        new = self._library.trees[new_tree] if new_tree else {}
        paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
        return [Changed(path, _entry(old.get(path)), _entry(new.get(path))) for path in paths]

    def write_tree(
        self, base_tree: str | None, changes: Mapping[str, bytes | TreeEntry | None]
    ) -> str:
        files = dict(self._library.trees[base_tree]) if base_tree else {}
        for path, change in changes.items():
            if change is None:
                files.pop(path, None)
            elif isinstance(change, TreeEntry):
                files[path] = change.oid
            else:
                files[path] = self.put_blob(change)
        return self.put_tree(files)

    def put_blob(self, data: bytes) -> str:
        oid = oid_of(data)
        self._library.blobs[oid] = data
        return oid

    def put_tree(self, files: Files) -> str:
        oid = oid_of(sorted(files.items()))
        self._library.trees[oid] = files
        return oid

    def write_commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        author: Signature,
        committer: Signature,
    ) -> str:
        oid = oid_of(tree, *parents, message, author, committer)
        library = self._library
        if oid not in library.commits:
            library.commits[oid] = Commit(oid, tree, tuple(parents), message, author, committer)
            above = (library.lines[parent] for parent in parents)
            library.lines[oid] = frozenset([oid]).union(*above)
        self._repo.take([oid])
        return oid

    def is_ancestor(self, a: str, b: str) -> bool:
        for oid in (a, b):
            self.commit(oid)
        return a in self._library.lines[b]

    def merge_base(self, a: str, b: str) -> str | None:
        return self._library.merge_base(a, b)


def _entry(oid: str | None) -> TreeEntry | None:
    return TreeEntry("", oid, "blob") if oid else None


# -- as gitfleet.git.refs


def read(repo: Repo, ref: str) -> str | None:
    return _of(repo).refs.get(ref)


def names(repo: Repo, prefix: str) -> dict[str, str]:
    return {ref: oid for ref, oid in sorted(_of(repo).refs.items()) if ref.startswith(prefix)}


def swap(repo: Repo, ref: str, old: str | None, new: str | None, *, message: str) -> bool:
    return swap_all(repo, [RefMove(ref, old, new)], message=message)


def swap_all(repo: Repo, moves: Sequence[RefMove], *, message: str) -> bool:
    here = _of(repo)
    assert message
    if any(here.refs.get(move.ref) != move.old for move in moves):
        return False
    for move in moves:
        if move.new is None:
            here.refs.pop(move.ref, None)
        else:
            here.refs[move.ref] = move.new
    return True


def merge_trees(repo: Repo, ours: str, theirs: str) -> Merged:
    """As in `gitfleet.git.merge`."""
    here = _of(repo)
    files, clash = here.library.merge(ours, theirs)
    tree = None if clash else MemoryObjects(here).put_tree(files)
    return Merged(tree, clash, "")
