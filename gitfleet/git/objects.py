"""Read and write blobs, trees and commits without a checkout.

Trees are parsed and built here, byte for byte: names need not be UTF-8, and a tree of many thousand
entries costs one pass over its bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import pygit2
from pygit2.enums import ObjectType

from gitfleet.errors import GitError
from gitfleet.git.commits import Commit, Signature
from gitfleet.git.fsync import written
from gitfleet.git.libgit2 import asked, handle
from gitfleet.git.repo import Repo

Kind = Literal["blob", "tree", "link", "commit"]
EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MAX_DEPTH: Final = 64  # of folders; a deeper tree was made to do harm

_MODES: Final[dict[bytes, tuple[Kind, bool]]] = {
    b"40000": ("tree", False),
    b"100644": ("blob", False),
    b"100664": ("blob", False),
    b"100755": ("blob", True),
    b"120000": ("link", False),
    b"160000": ("commit", False),
}
# HFS+ ignores these code points in names, so `.g\u200cit` is `.git` there.
_IGNORED: Final = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a tree. `link` is a symlink, `commit` a submodule."""

    name: str
    oid: str
    kind: Kind
    executable: bool = False

    @property
    def mode(self) -> str:
        """As git writes it: six octal digits."""
        fixed = {"tree": "040000", "link": "120000", "commit": "160000"}
        return fixed.get(self.kind) or ("100755" if self.executable else "100644")


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that differs between two trees; None on the side where it does not exist."""

    path: str
    old: TreeEntry | None
    new: TreeEntry | None

    @property
    def bit_only(self) -> bool:
        """Whether only the executable bit differs and the content is the same."""
        old, new = self.old, self.new
        return old is not None and new is not None and (old.kind, old.oid) == (new.kind, new.oid)


# A tree while it is being changed: name -> (mode, binary id).
_Raw = dict[bytes, tuple[bytes, bytes]]
_Change = bytes | TreeEntry | None


@dataclass(slots=True)
class _Folder:
    """Changes below one folder; `afresh` if the previous entry of that name is deleted first."""

    changes: dict[bytes, _Change | _Folder]
    afresh: bool = False


def blob_id(data: bytes) -> str:
    """The id that git gives these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Objects:
    """The objects of one repository. Any thread may use it."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    @property
    def _git(self) -> pygit2.Repository:
        return handle(self._repo)

    def exists(self, oid: str) -> bool:
        """Whether the object exists here, of any type."""
        with asked(f"cannot look for object {oid}"):
            return pygit2.Oid(hex=oid) in self._git

    # -- blobs

    def blob(self, oid: str) -> bytes:
        """A file's bytes."""
        return self._read(oid, ObjectType.BLOB)

    def blob_size(self, oid: str) -> int:
        """A file's size in bytes, from the object's header alone."""
        with asked(f"cannot read object {oid}"):
            kind, size = self._git.odb.read_header(oid)
        if kind != ObjectType.BLOB:
            raise GitError(f"object {oid} is not a blob")
        return int(size)

    def put_blob(self, data: bytes) -> str:
        """Store the bytes and return their id."""
        with asked("cannot write a blob"):
            return written(self._repo, str(self._git.create_blob(data)))

    def _read(self, oid: str, wanted: ObjectType) -> bytes:
        with asked(f"cannot read object {oid}"):
            kind, data = self._git.read(oid)
        if kind != wanted:
            raise GitError(f"object {oid} is not a {wanted.name.lower()}")
        return bytes(data)

    # -- trees

    def tree_of(self, commit: str) -> str:
        """The id of a commit's tree."""
        return self.commit(commit).tree

    def read_tree(self, tree_oid: str) -> list[TreeEntry]:
        """A tree's entries, in git's order. Names that are not UTF-8 carry surrogates."""
        return [
            TreeEntry(os.fsdecode(name), oid.hex(), *_kind(mode, tree_oid))
            for name, (mode, oid) in self._raw(tree_oid).items()
        ]

    def find(self, tree_oid: str, path: str) -> TreeEntry | None:
        """The entry at `path` below a tree, or None; reads only the trees on the way."""
        here = TreeEntry("", tree_oid, "tree")
        for name in path.split("/"):
            if here.kind != "tree":
                return None
            raw = self._raw(here.oid).get(os.fsencode(name))
            if raw is None:
                return None
            here = TreeEntry(name, raw[1].hex(), *_kind(raw[0], here.oid))
        return here

    def walk(self, tree_oid: str, prefix: str = "") -> Iterator[tuple[str, TreeEntry]]:
        """Every file below a tree with its path from there, after `prefix`."""
        yield from self._walk(tree_oid, prefix, MAX_DEPTH)

    def _walk(self, tree_oid: str, prefix: str, depth: int) -> Iterator[tuple[str, TreeEntry]]:
        _bounded(depth, prefix)
        for entry in self.read_tree(tree_oid):
            path = prefix + entry.name
            if entry.kind == "tree":
                yield from self._walk(entry.oid, f"{path}/", depth - 1)
            else:
                yield path, entry

    def diff(
        self, old_tree: str | None, new_tree: str | None, *, deepest: int | None = None
    ) -> list[Changed]:
        """The files that differ, sorted by path. Equal trees are not read.

        Files more than `deepest` folders deep are left out; without `deepest` such a tree is an
        error.
        """
        depth = MAX_DEPTH if deepest is None else deepest
        found = self._diff(old_tree, new_tree, "", depth, strict=deepest is None)
        return sorted(found, key=lambda change: change.path)

    def _diff(
        self, old_tree: str | None, new_tree: str | None, prefix: str, depth: int, *, strict: bool
    ) -> Iterator[Changed]:
        if old_tree == new_tree or (depth <= 0 and not strict):
            return
        _bounded(depth, prefix)
        old = self._raw(old_tree) if old_tree else {}
        new = self._raw(new_tree) if new_tree else {}
        for name in old.keys() | new.keys():
            if old.get(name) == new.get(name):
                continue
            was, subtree_was = _side(old.get(name), name, prefix)
            now, subtree_now = _side(new.get(name), name, prefix)
            path = prefix + os.fsdecode(name)
            if was != now:
                yield Changed(path, was, now)
            yield from self._diff(subtree_was, subtree_now, f"{path}/", depth - 1, strict=strict)

    def write_tree(self, base_tree: str | None, changes: Mapping[str, _Change]) -> str:
        """The tree that results from `changes` to `base_tree` (None: the empty tree).

        Keys are paths `a/b/c`. Bytes are a file's new content (it keeps its executable bit), None
        deletes a file or folder (fine if it does not exist), a TreeEntry puts an existing object
        there. A folder without files vanishes. Reads and writes only the trees on the paths.
        """
        top = _Folder({})
        for path in sorted(changes):  # a folder's own deletion comes before new content in it
            _nest(top, path, changes[path])
        return self._apply(base_tree, top, "") or self._write_raw({})

    def _apply(self, base: str | None, folder: _Folder, prefix: str) -> str | None:
        """The new tree's id; None if it is empty."""
        raw = self._raw(base) if base else {}
        for name, change in folder.changes.items():
            old = raw.get(name)
            if isinstance(change, _Folder):
                made = self._descend(old, change, prefix + os.fsdecode(name))
            else:
                made = self._place(old, change)
            if made is None:
                raw.pop(name, None)
            else:
                raw[name] = made
        return self._write_raw(raw) if raw else None

    def _descend(
        self, old: tuple[bytes, bytes] | None, folder: _Folder, path: str
    ) -> tuple[bytes, bytes] | None:
        if folder.afresh:
            old = None
        if old is not None and old[0] != b"40000":
            if not _only_deletes(folder):
                raise GitError(f"cannot write below {path}: it is a file")
            return old
        subtree = self._apply(old[1].hex() if old else None, folder, f"{path}/")
        return (b"40000", bytes.fromhex(subtree)) if subtree else None

    def _place(
        self, old: tuple[bytes, bytes] | None, change: _Change
    ) -> tuple[bytes, bytes] | None:
        if change is None:
            return None
        if isinstance(change, TreeEntry):
            if change.oid == EMPTY_TREE:
                return None
            return change.mode.lstrip("0").encode(), bytes.fromhex(change.oid)
        mode = old[0] if old and old[0].startswith(b"100") else b"100644"
        return mode, bytes.fromhex(self.put_blob(change))

    def _raw(self, tree_oid: str) -> _Raw:
        data = self._read(tree_oid, ObjectType.TREE)
        found: _Raw = {}
        at = 0
        try:
            while at < len(data):
                space = data.index(b" ", at)
                end = data.index(b"\0", space)
                found[data[space + 1 : end]] = (data[at:space], data[end + 1 : end + 21])
                at = end + 21
        except ValueError as error:
            raise GitError(f"tree {tree_oid} is broken") from error
        return found

    def _write_raw(self, raw: _Raw) -> str:
        # git sorts a folder as if its name ended with a slash
        order = sorted(raw, key=lambda name: name + b"/" if raw[name][0] == b"40000" else name)
        data = b"".join(b"%b %b\0%b" % (raw[name][0], name, raw[name][1]) for name in order)
        with asked("cannot write a tree"):
            return written(self._repo, str(self._git.write(ObjectType.TREE, data)))

    # -- commits

    def write_commit(
        self,
        tree: str,
        parents: tuple[str, ...] | list[str],
        message: str,
        author: Signature,
        committer: Signature,
    ) -> str:
        """Store a commit and return its id. No ref moves."""
        with asked("cannot write a commit"):
            oid = self._git.create_commit(
                None, _signed(author), _signed(committer), message, tree, list(parents)
            )
        return written(self._repo, str(oid))

    def commit(self, oid: str) -> Commit:
        """The commit with this id."""
        with asked(f"cannot read commit {oid}"):
            found: object = self._git.get(oid)  # its type annotation does not know commits
            if found is None:
                raise GitError(f"commit {oid} is not here")
            if not isinstance(found, pygit2.Commit):
                raise GitError(f"object {oid} is not a commit")
            return Commit(
                oid=str(found.id),
                tree=str(found.tree_id),
                parents=tuple(str(parent) for parent in found.parent_ids),
                message=found.raw_message.decode("utf-8", "replace"),
                author=_signature(found.author),
                committer=_signature(found.committer),
            )

    def is_ancestor(self, a: str, b: str) -> bool:
        """Whether commit `a` is `b` or comes before it."""
        if a == b:
            return True
        with asked(f"cannot compare {a} with {b}"):
            return bool(self._git.descendant_of(b, a))

    def merge_base(self, a: str, b: str) -> str | None:
        """A best common ancestor of two commits, None if their histories never met."""
        with asked(f"cannot compare {a} with {b}"):
            found = self._git.merge_base(a, b)
        return str(found) if found is not None else None


def _kind(mode: bytes, tree_oid: str) -> tuple[Kind, bool]:
    found = _MODES.get(mode)
    if found is not None:
        return found
    # git maps any other mode to one of these (canon_mode); only a hand-made tree has others.
    try:
        bits = int(mode, 8)
    except ValueError:
        raise GitError(f"tree {tree_oid} has an entry of mode {mode!r}") from None
    if stat.S_ISREG(bits):
        return "blob", bool(bits & stat.S_IXUSR)
    return "tree" if stat.S_ISDIR(bits) else "link" if stat.S_ISLNK(bits) else "commit", False


def _side(
    raw: tuple[bytes, bytes] | None, name: bytes, prefix: str
) -> tuple[TreeEntry | None, str | None]:
    """One side of a difference: the file there, or the id of the tree there."""
    if raw is None:
        return None, None
    kind, executable = _kind(raw[0], prefix or "at the top")
    if kind == "tree":
        return None, raw[1].hex()
    return TreeEntry(os.fsdecode(name), raw[1].hex(), kind, executable), None


def _bounded(depth: int, prefix: str) -> None:
    if depth <= 0:
        raise GitError(f"{prefix[:80]}… is more than {MAX_DEPTH} folders deep")


def _nest(top: _Folder, path: str, change: _Change) -> None:
    *folders, last = (_component(name, path) for name in path.split("/"))
    here = top
    for name in folders:
        inner = here.changes.get(name)
        if inner is None:
            inner = here.changes[name] = _Folder({}, afresh=name in here.changes)
        if not isinstance(inner, _Folder):
            raise GitError(f"cannot write both {path} and something above it")
        here = inner
    here.changes[last] = change


def is_path(path: str) -> bool:
    """Whether `write_tree` takes the path: git can check it out, on any system."""
    return all(_is_component(name) for name in path.split("/"))


def _is_component(name: str) -> bool:
    plain = name.translate(_IGNORED).rstrip(". ").lower()
    bad = name in ("", ".", "..") or plain in (".git", "git~1") or re.search(r"[\0\\]", name)
    return not bad


def _component(name: str, path: str) -> bytes:
    if not _is_component(name):
        raise GitError(f"{path!r} is not a path a tree may have")
    return os.fsencode(name)


def _only_deletes(folder: _Folder) -> bool:
    return all(
        _only_deletes(change) if isinstance(change, _Folder) else change is None
        for change in folder.changes.values()
    )


def _signed(who: Signature) -> pygit2.Signature:
    return pygit2.Signature(who.name, who.email, who.when, who.offset)


def _signature(found: pygit2.Signature) -> Signature:
    name = found.raw_name.decode("utf-8", "replace")
    email = found.raw_email.decode("utf-8", "replace")
    return Signature(name, email, found.time, found.offset)
