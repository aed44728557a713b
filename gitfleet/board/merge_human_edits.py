"""Merge people's edits into the board: a three-way merge of whole files.

An inbox branch, and commits of a clone that the remote lacks, are the same thing: files that people
changed since an older board. This module decides for both. It takes a file that the board has not
changed meanwhile. Of every other file it returns a conflict, which the caller must handle
(`board.edit_conflicts`): no edit is dropped silently, and no conflict marker reaches the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from gitfleet.files import codec, layout
from gitfleet.files.answers import united
from gitfleet.files.layout import BoardPath, FileKind
from gitfleet.git.objects import Changed, Objects, TreeEntry, is_path
from gitfleet.model.event import Decision
from gitfleet.model.ids import is_id
from gitfleet.model.states import Kind

_MOST: Final = 5_000  # files of one merge
_WELCOME: Final = frozenset(
    {FileKind.TASK, FileKind.QUESTION, FileKind.NOTE, FileKind.SETTINGS, FileKind.PROMPT}
)
_KEYS: Final = (6, 10, 16, 40)  # hex digits of the blob in a copy's id; more if the id exists
_LONGEST_ID: Final = 64
_LONGEST_NAME: Final = 200  # characters of one folder or file


@dataclass(frozen=True, slots=True)
class HumanEdits:
    """One person's changes: the trees before and after.

    `before` is None if the edits and the board share no history. `ahead`: the edits are commits
    directly on top of the board, as `git push` would send them; a runner that worked without the
    remote made some of them. Then every file passes that can be checked out, `.gitattributes` too.
    `audit.repair` checks and repairs what only runners may write.
    """

    before: str | None
    after: str
    by: str
    at: datetime
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class EditConflict:
    """An edit that is not on the board as the person made it."""

    path: str
    why: str  # for people, to follow a colon: "the board has another version"
    copy: str = ""  # the board's file with the person's version; empty: no such file
    held: bool = False  # `copy` is a task on hold
    removal: bool = False  # the person removed the file

    @property
    def went(self) -> str:
        """The fate of the person's version, for a log line."""
        return self.copy or f"ignored: {self.why}"


@dataclass(frozen=True, slots=True)
class MergedEdits:
    """The files to write to the board (None: to delete), and the conflicts, both by path."""

    files: dict[str, TreeEntry | bytes | None]
    conflicts: tuple[EditConflict, ...]


def merge(objects: Objects, here: str, edits: HumanEdits) -> MergedEdits:
    """Merge the edits into the board's tree `here`. Raises GitError if a tree cannot be read."""
    return _Merge(objects, here, edits).run()


class _Board(Enum):
    """How the board's file compares with the person's."""

    SAME = auto()  # as the person left it
    UNMOVED = auto()  # as the person found it
    CHANGED = auto()  # neither
    GONE = auto()  # the person found a file, and the board has none


class _Tree:
    """The files of a tree by path. Reads each folder once."""

    def __init__(self, objects: Objects, oid: str) -> None:
        self._objects = objects
        self._folders = {"": self._read(oid)}

    def find(self, path: str) -> TreeEntry | None:
        folder, _, name = path.rpartition("/")
        return self.folder(folder).get(name)

    def folder(self, path: str) -> Mapping[str, TreeEntry]:
        """The entries of a folder by name; none if there is no such folder."""
        known = self._folders.get(path)
        if known is None:
            entry = self.find(path)
            known = self._read(entry.oid) if entry and entry.kind == "tree" else {}
            self._folders[path] = known
        return known

    def _read(self, oid: str) -> dict[str, TreeEntry]:
        return {entry.name: entry for entry in self._objects.read_tree(oid)}


class _Merge:
    """One merge: what it has taken and refused so far."""

    def __init__(self, objects: Objects, here: str, edits: HumanEdits) -> None:
        self._objects, self._here, self._edits = objects, _Tree(objects, here), edits
        self._files: dict[str, TreeEntry | bytes | None] = {}
        self._conflicts: list[EditConflict] = []
        self._contested: dict[str, str] = {}  # text of a task removed here, changed there -> its id

    def run(self) -> MergedEdits:
        changes = self._objects.diff(self._edits.before, self._edits.after)
        limit = len(changes) if self._edits.ahead else _MOST
        self._contested = {
            change.old.oid: layout.place(change.path).task
            for change in changes[:limit]
            if change.old is not None and change.new is None and self._is_contested(change)
        }
        for change in changes[:limit]:
            self._one(change)
        for change in changes[limit:]:
            self._refuse(change, f"more than {_MOST} files at once")
        return MergedEdits(self._files, tuple(self._conflicts))

    def _one(self, change: Changed) -> None:
        there = layout.place(change.path)
        board = _compare(self._here.find(change.path), change)
        archived = there.what is FileKind.TASK and self._is_archived(there.task)
        if change.bit_only or (board is _Board.SAME and not archived):
            return
        if why := self._objection(change, there):
            self._refuse(change, why)
            return
        removal = change.new is None
        match (archived, board, removal, there.what):
            case (True, _, True, _):
                self._refuse(change, "not removed: it is finished and archived")
            case (True, _, False, _):
                self._copy(change, "a finished task has its id")
            case (_, _Board.UNMOVED, _, FileKind.EVENT) if change.old and not self._edits.ahead:
                self._refuse(change, "an event is never changed")
            case (_, _Board.UNMOVED, False, FileKind.TASK) if change.old is None:
                self._take_new_task(change)
            case (_, _Board.UNMOVED, _, _):
                self._take(change)
            case (_, _, True, _):
                self._refuse(change, "not removed: the board has another version")
            case (_, _, False, FileKind.TASK) if is_id(there.task):
                self._copy(change, _why(board))
            case (_, _Board.CHANGED, False, FileKind.QUESTION):
                self._unite(change)
            case _:
                self._refuse(change, _why(board))

    # -- changes that the board never takes

    def _objection(self, change: Changed, there: BoardPath) -> str:
        """Why no board takes such a change; empty if a board may."""
        path, new, ahead = change.path, change.new, self._edits.ahead
        ours = layout.of_runner(path)
        if ours and not ahead:
            return "only runners write there"
        if new is None or ours:
            return "" if is_path(path) else "its name is not a plain path"
        if there.what not in _WELCOME and there.what is not FileKind.EVENT and not ahead:
            return "it is not a file of a board"
        if not _is_plain(path, hidden=ahead):
            return "its name is not a plain path"
        if new.kind != "blob":
            return "not a plain file"
        if self._objects.blob_size(new.oid) > layout.LARGEST:
            return f"larger than {layout.LARGEST // 1024} KiB"
        return ""

    def _is_archived(self, task: str) -> bool:
        months = (f"done/{month}" for month in self._here.folder("done"))
        return any(task in self._here.folder(month) for month in months)

    # -- the fates of an edit

    def _take_new_task(self, change: Changed) -> None:
        """Take a new task; on hold if it is another task under a new name."""
        assert change.new is not None
        origin, task = self._contested.get(change.new.oid), layout.place(change.path).task
        if not origin or not is_id(task):
            self._take(change)
            return
        why = f"it was {origin}, which was changed on the board meanwhile"
        self._file(change, task, why, origin)

    def _is_contested(self, change: Changed) -> bool:
        """Whether a removed task is on the board in another version."""
        if layout.place(change.path).what is not FileKind.TASK:
            return False
        now = self._here.find(change.path)
        return _compare(now, change) is _Board.CHANGED

    def _take(self, change: Changed) -> None:
        """Write the person's version to the board."""
        blocking = self._blocking(change.path) if change.new is not None else ""
        if blocking:
            self._refuse(change, f"{blocking} is a file on the board")
        else:
            self._files[change.path] = change.new

    def _blocking(self, path: str) -> str:
        """The file at a place where the path needs a folder; empty if there is none."""
        parts = path.split("/")
        folders = ("/".join(parts[:end]) for end in range(1, len(parts)))
        return next((folder for folder in folders if self._has_file(folder)), "")

    def _has_file(self, path: str) -> bool:
        if path in self._files:
            return self._files[path] is not None
        found = self._here.find(path)
        return found is not None and found.kind != "tree"

    def _refuse(self, change: Changed, why: str) -> None:
        removal = change.new is None
        self._conflicts.append(EditConflict(change.path, why, removal=removal))

    def _copy(self, change: Changed, why: str) -> None:
        """File the person's version as a separate task.

        A new task is simply another task. An edit goes on hold, because two versions of one task
        are not two tasks to do.
        """
        assert change.new is not None
        task = layout.place(change.path).task
        # Without a common history the new task may be an edit as well.
        is_edit = change.old is not None or self._edits.before is None
        self._file(change, self._free_id(task, change.new.oid), why, task if is_edit else "")

    def _file(self, change: Changed, task: str, why: str, origin: str) -> None:
        """File the person's version as `task`, unless the board has it already; on hold if it is
        another version of `origin`."""
        assert change.new is not None
        goal, oid = layout.task_path(task), change.new.oid
        hold = layout.event_path(task, self._hold_name(task, oid))
        if blocking := self._blocking(goal) or self._blocking(hold):
            self._refuse(change, f"{blocking} is a file on the board")
            return
        is_new = self._here.find(goal) is None
        if is_new:
            self._files[goal] = change.new
        if is_new and origin:
            reason = f"another version of {origin}, which was changed on the board meanwhile"
            said = Decision(at=self._edits.at, by=self._edits.by, reason=reason)
            self._files[hold] = codec.write(said)
        held = is_new and bool(origin)
        self._conflicts.append(EditConflict(change.path, why, copy=goal, held=held))

    def _hold_name(self, task: str, oid: str) -> str:
        """The file name of an event that puts the task on hold, whatever its last event was."""
        known = self._here.folder(f"log/{task}")
        numbers = [found.number for name in known if (found := layout.event_name(name))]
        return f"{max(numbers, default=0) + 1:03d}-{Kind.HOLD}-{oid[:4]}.yaml"

    def _free_id(self, task: str, oid: str) -> str:
        """An id for a copy of this content: the same id each time, and not another task's."""
        names = [f"{task[: _LONGEST_ID - 1 - size]}-{oid[:size]}" for size in _KEYS]
        return next((name for name in names if self._is_free(name, oid)), names[-1])

    def _is_free(self, name: str, oid: str) -> bool:
        goal = layout.task_path(name)
        here, taken = self._here.find(goal), self._files.get(goal)
        if here is not None:
            return (here.kind, here.oid) == ("blob", oid)
        if isinstance(taken, TreeEntry):
            return taken.oid == oid
        return not self._is_archived(name)

    def _unite(self, change: Changed) -> None:
        """Keep both answers to a question: the first counts, the other becomes a comment."""
        assert change.new is not None
        path = change.path
        here, theirs = self._text(self._here.find(path)), self._text(change.new)
        both = united(here, theirs, path, self._edits.by)
        if both is None:
            self._refuse(change, "the board has this answer, or another version")
            return
        self._files[path] = both.data
        if both.late:
            why = "another answer came first; this one is a comment below it"
            self._conflicts.append(EditConflict(path, why, copy=path))
        elif both.data != theirs:
            why = "the board has another version and took only this one's answer"
            self._conflicts.append(EditConflict(path, why, copy=path))

    def _text(self, entry: TreeEntry | None) -> bytes:
        """The bytes of a file; empty for an entry that cannot be a question."""
        if entry is None or entry.kind != "blob":
            return b""
        if self._objects.blob_size(entry.oid) > layout.LARGEST:
            return b""
        return self._objects.blob(entry.oid)


def _compare(now: TreeEntry | None, change: Changed) -> _Board:
    if _key(now) == _key(change.new):
        return _Board.SAME
    if _key(now) == _key(change.old):
        return _Board.UNMOVED
    return _Board.GONE if now is None else _Board.CHANGED


def _key(entry: TreeEntry | None) -> tuple[str, str] | None:
    return (entry.kind, entry.oid) if entry is not None else None


def _why(board: _Board) -> str:
    gone = board is _Board.GONE
    return "the board has removed it" if gone else "the board has another version"


def _is_plain(path: str, *, hidden: bool) -> bool:
    """Whether every system can check the path out and keeps it apart from other paths.

    `hidden`: names may begin with a dot.
    """
    parts = path.split("/")
    return (
        is_path(path)
        and len(parts) <= layout.DEEPEST
        and all(
            part.isprintable()
            and (hidden or not part.startswith("."))
            and not part.endswith((".", " "))
            and "\\" not in part
            and "~" not in part
            and len(part) <= _LONGEST_NAME
            for part in parts
        )
    )
