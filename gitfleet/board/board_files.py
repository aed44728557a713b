"""The files of a board in a tree, read within limits: anybody can push anything there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitfleet.files import layout
from gitfleet.files.boards import File
from gitfleet.git.objects import Changed, Objects, TreeEntry


def read_changed(objects: Objects, changed: Iterable[Changed]) -> Mapping[str, File | None]:
    """The board's files among these paths; None for a deleted file."""
    return {
        change.path: read_file(objects, change.new) if change.new else None
        for change in changed
        if layout.place(change.path).what is not layout.FileKind.OTHER
    }


def read_file(objects: Objects, entry: TreeEntry) -> File:
    """A file of a tree, or the reason why it is not read: a link, a submodule, or too large."""
    if entry.kind == "link":
        return File(entry.oid, trouble="a symbolic link; only plain files are read")
    if entry.kind == "commit":
        return File(entry.oid, trouble="a submodule; only plain files are read")
    if entry.kind == "tree":
        return File(entry.oid, trouble="a folder; only plain files are read")
    return read_blob(objects, entry.oid)


def read_blob(objects: Objects, oid: str) -> File:
    """A blob as a file of the board, unless it is larger than `layout.LARGEST` bytes."""
    size = objects.blob_size(oid)
    if size > layout.LARGEST:
        trouble = f"larger than {layout.LARGEST // 1024} KiB ({size // 1024} KiB)"
        return File(oid, trouble=trouble)
    return File(oid, objects.blob(oid))
