"""Merge people's edits into the board: a three-way merge of whole files.

An inbox branch, and commits of a clone that the remote lacks, are the same thing: files that people
changed since an older board. This module decides for both. It takes a file that the board has not
changed meanwhile. Of every other file it returns a conflict, which the caller must handle
(`board.edit_conflicts`): no edit is dropped silently, and no conflict marker reaches the board.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import cached_property
from itertools import islice
from typing import Final

from gitfleet.files import codec, layout
from gitfleet.files.answers import united
from gitfleet.files.layout import BoardPath, FileKind
from gitfleet.files.similarity import Traits, similarity, traits_of
from gitfleet.git.objects import Changed, Objects, TreeEntry, is_path
from gitfleet.model.event import Decision
from gitfleet.model.ids import is_id
from gitfleet.model.states import Kind

_MOST: Final = 5_000  # files of one merge
_WELCOME: Final = frozenset(
    {FileKind.TASK, FileKind.QUESTION, FileKind.NOTE, FileKind.SETTINGS, FileKind.PROMPT}
)
_KEYS: Final = (6, 10, 16, 40)  # hex digits of the blob in a copy's id; more if the id exists
_MOST_COMPARED: Final = 100  # tasks with which a new one is compared
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
        self._folders: set[str] = set()  # of the files to write
        self._conflicts: list[EditConflict] = []
        self._contested: dict[str, str] = {}  # text of a task removed here, changed there -> its id

    def run(self) -> MergedEdits:
        changes = self._objects.diff(self._edits.before, self._edits.after)
        limit = len(changes) if self._edits.ahead else _MOST
        self._contested = {
            change.old.oid: layout.place(change.path).task
            for change in changes[:limit]
            if change.old and change.old.kind == "blob" and self._is_contested(change)
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
        if new is None:
            return ""  # whatever its name is: somebody pushed it to the board
        if ours:
            return "" if is_path(path) else "its name is not a plain path"
        if there.what not in _WELCOME and there.what is not FileKind.EVENT and not ahead:
            return "it is not a file of a board"
        if not _is_plain(path, hidden=ahead):
            return "its name is not a plain path"
        if new.kind != "blob":
            return "not a plain file"
        if self._objects.blob_size(new.oid) > layout.LARGEST:
            return f"larger than {layout.LARGEST // 1024} KiB"
        return self._bad_event(path, there, new) if there.what is FileKind.EVENT else ""

    def _bad_event(self, path: str, there: BoardPath, new: TreeEntry) -> str:
        """Why a person's event is not valid. On the board it would break invariant 7, and a server
        that checks pushes would reject everything that comes with it."""
        _, problems = codec.read_event(self._objects.blob(new.oid), path, there.task, there.name)
        return f"not a valid event: {problems[0].what}" if problems else ""

    def _is_archived(self, task: str) -> bool:
        months = (f"done/{month}" for month in self._here.folder("done"))
        return any(task in self._here.folder(month) for month in months)

    # -- the fates of an edit

    def _take_new_task(self, change: Changed) -> None:
        """Take a new task; on hold if it is another task under a new name."""
        why, task = self._new_name(change), layout.place(change.path).task
        if why and is_id(task):
            self._file(change, task, why, hold=why)
        else:
            self._take(change)

    def _new_name(self, change: Changed) -> str:
        """Why a new task may be a contested one under a new name; empty if it is none."""
        assert change.new is not None
        origin = self._contested.get(change.new.oid)
        if origin:
            return f"it was {origin}, which was changed on the board meanwhile"
        if not self._contested:
            return ""
        mine = traits_of(self._text(change.new))
        like = {task: similarity(mine, theirs) for task, theirs in self._traits.items()}
        origin = max(like, key=lambda task: like[task])
        if not like[origin]:
            return ""
        return (
            f"it is like {origin}, which you removed and which was changed on the board meanwhile"
        )

    @cached_property
    def _traits(self) -> dict[str, Traits]:
        """The contested tasks as the person found them."""
        known = islice(self._contested.items(), _MOST_COMPARED)
        return {task: traits_of(self._text(TreeEntry("", oid, "blob"))) for oid, task in known}

    def _is_contested(self, change: Changed) -> bool:
        """Whether it removes a task that is on the board in another version."""
        if change.new is not None or layout.place(change.path).what is not FileKind.TASK:
            return False
        now = self._here.find(change.path)
        return _compare(now, change) is _Board.CHANGED

    def _take(self, change: Changed) -> None:
        """Write the person's version to the board."""
        if change.new is None:
            self._files[change.path] = None
        elif why := self._obstacle(change.path):
            self._refuse(change, why)
        else:
            self._put(change.path, change.new)

    def _put(self, path: str, content: TreeEntry | bytes) -> None:
        self._files[path] = content
        self._folders.update(_folders(path))

    def _obstacle(self, path: str) -> str:
        """Why no file can be written at the path; empty if one can."""
        for folder in _folders(path):
            if self._has_file(folder):
                return f"{folder} is a file on the board"
        found = self._here.find(path)
        if path in self._folders or (found is not None and found.kind == "tree"):
            return f"{path} is a folder on the board"
        return ""

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
        hold = f"another version of {task}, which was changed on the board meanwhile"
        if not is_edit:
            hold = self._new_name(change)
        self._file(change, self._free_id(task, change.new.oid), why, hold)

    def _file(self, change: Changed, task: str, why: str, hold: str) -> None:
        """File the person's version as `task`, unless the board has it already; on hold if `hold`
        is a reason for that."""
        assert change.new is not None
        goal, oid = layout.task_path(task), change.new.oid
        event = layout.event_path(task, self._hold_name(task, oid))
        if obstacle := self._obstacle(goal) or self._obstacle(event):
            self._refuse(change, obstacle)
            return
        is_new = self._here.find(goal) is None
        if is_new:
            self._put(goal, change.new)
        held = is_new and bool(hold)
        if held:
            said = Decision(at=self._edits.at, by=self._edits.by, reason=hold)
            self._put(event, codec.write(said))
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
        return goal not in self._folders and not self._is_archived(name)

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


def _folders(path: str) -> Iterator[str]:
    """The folders on the way to a path."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


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
