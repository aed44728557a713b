"""Build a board from its files, at the cost of what changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from gitfleet.files import codec, layout, templates
from gitfleet.files.layout import FileKind
from gitfleet.model.board import Board, Entry, Problem
from gitfleet.model.config import FORMAT, Settings
from gitfleet.model.ids import is_id
from gitfleet.model.states import Role


class File(NamedTuple):
    """One file of the branch: its object id and its bytes, or why it cannot be read."""

    oid: str
    data: bytes = b""
    trouble: str = ""


EMPTY = Board(
    settings=Settings(format=FORMAT),
    entries={},
    settings_problems=(
        Problem(layout.SETTINGS, 1, 1, "fleet.yaml is missing", "run `gitfleet init`"),
    ),
)


def update(board: Board, changed: Mapping[str, File | None], commit: str = "") -> Board:
    """The board after some files changed (None: were removed). Nothing else is read again."""
    work = _Update(board)
    for path, file in changed.items():
        work.take(path, file)
    return work.finish(commit)


def read(files: Mapping[str, File], commit: str = "") -> Board:
    """The board that consists of these files."""
    return update(EMPTY, files, commit)


def read_finished(files: Mapping[str, File]) -> Board:
    """The files of finished tasks, by the paths that they had before.

    They may have any format; each is read as far as possible.
    """
    work = _Update(EMPTY, finished=True)
    for path, file in files.items():
        work.take(path, file)
    return work.finish("")


def with_settings(board: Board, settings: Settings) -> Board:
    """The board with other settings, because its own fleet.yaml cannot be read."""
    work = _Update(board)
    work.settings = settings
    return work.finish(board.commit)


class _Update:
    """Collects the parts that change; everything else is shared with the old board."""

    def __init__(self, board: Board, *, finished: bool = False) -> None:
        self.board = board
        self.finished = finished  # task files are final: their readable parts count
        self.entries: dict[str, dict[str, Any]] = {}
        self.archived: dict[str, str] | None = None
        self.prompts = dict(board.prompts)
        self.damage = dict(board.damage)
        self.settings = board.settings
        self.settings_problems = board.settings_problems

    def take(self, path: str, file: File | None) -> None:
        there = layout.place(path)
        if there.what is not FileKind.OTHER:
            self.damage.pop(path, None)
        match there.what:
            case FileKind.TASK:
                self._task(path, there.task, file)
            case FileKind.CLAIM | FileKind.EVENT | FileKind.QUESTION:
                self._part(path, there, file)
            case FileKind.NOTE:
                self._note(path, there.task, file)
            case FileKind.SETTINGS:
                self._settings(file)
            case FileKind.PROMPT:
                self._prompt(path, there.name, file)
            case FileKind.ARCHIVED if there.name == "task.md":
                self._archived(path, there.task, file)

    def _of(self, task: str) -> dict[str, Any]:
        if task not in self.entries:
            board = self.board
            old = board.hidden.get(task) or board.entries.get(task) or Entry(id=task)
            self.entries[task] = {
                "task": old.task,
                "blob": old.blob,
                "problems": old.problems,
                "former": old.former,
                "claim": old.claim,
                "events": {event.name: event for event in old.events},
                "questions": {question.name: question for question in old.questions},
                "notes": set(old.notes),
            }
        return self.entries[task]

    def _task(self, path: str, task: str, file: File | None) -> None:
        entry = self._of(task)
        entry.update(task=None, blob="", problems=(), former=())
        if file is None:
            return
        entry["blob"] = file.oid
        if file.trouble:
            entry["problems"] = (_trouble(path, file),)
        elif self.finished:
            entry["task"], entry["problems"] = codec.read_finished_task(file.data, path)
        else:
            found = codec.read_task_of_any_format(file.data, path)
            entry.update(task=found.value, problems=found.problems, former=found.former)

    def _part(self, path: str, there: layout.BoardPath, file: File | None) -> None:
        entry = self._of(there.task)
        value: Any = None
        problems: tuple[Problem, ...] = ()
        if file is not None and file.trouble:
            problems = (_trouble(path, file),)
        elif file is not None:
            match there.what:
                case FileKind.CLAIM:
                    value, problems = codec.read_claim(file.data, path)
                case FileKind.EVENT:
                    value, problems = codec.read_event(file.data, path, there.task, there.name)
                case _:
                    value, problems = codec.read_question(file.data, path)
        if problems:
            self.damage[path] = problems
        if there.what is FileKind.CLAIM:
            entry["claim"] = value
            return
        parts = entry["events" if there.what is FileKind.EVENT else "questions"]
        key = value.name if value is not None else there.name
        parts.pop(there.name, None)
        if value is not None:
            parts[key] = value

    def _note(self, path: str, task: str, file: File | None) -> None:
        notes = self._of(task)["notes"]
        notes.discard(path)
        if file is not None:
            notes.add(path)

    def _prompt(self, path: str, name: str, file: File | None) -> None:
        """Take a board's prompt; one that does not validate is reported, and the default stays in
        force."""
        self.prompts.pop(name, None)
        if file is None or name not in Role.__members__.values():
            return
        problems: tuple[Problem, ...] = (_trouble(path, file),) if file.trouble else ()
        if not problems:
            _, problems = templates.read_prompt(file.data, path, Role(name))
        if problems:
            self.damage[path] = problems
        else:
            self.prompts[name] = file.oid

    def _settings(self, file: File | None) -> None:
        if file is None:
            self.settings_problems = EMPTY.settings_problems
            return
        if file.trouble:
            self.settings_problems = (_trouble(layout.SETTINGS, file),)
            return
        settings, problems = codec.read_settings(file.data)
        self.settings_problems = problems
        if settings is not None:
            self.settings = settings

    def _archived(self, path: str, task: str, file: File | None) -> None:
        if self.archived is None:
            self.archived = dict(self.board.archived)
        folder = path.rsplit("/", 1)[0]
        if file is not None:
            self.archived[task] = folder
        elif self.archived.get(task) == folder:
            del self.archived[task]

    def finish(self, commit: str) -> Board:
        archived = self.board.archived if self.archived is None else self.archived
        entries, hidden = dict(self.board.entries), dict(self.board.hidden)
        old = self.settings.old_format
        touched = set(self.entries)
        if old != self.board.settings.old_format:
            touched |= {e.id for e in (*entries.values(), *hidden.values()) if e.former}
        if archived is not self.board.archived:
            touched |= {task for task, _ in archived.items() ^ self.board.archived.items()}
        for task in touched:
            whole = _entry(task, self._of(task))
            shown = _shown(whole, archived.get(task), old_format=old)
            for place, entry in (
                (entries, shown),
                (hidden, None if whole is shown or whole == Entry(id=task) else whole),
            ):
                if entry is None:
                    place.pop(task, None)
                else:
                    place[task] = entry
        return Board(
            hidden=hidden,
            settings=self.settings,
            entries=entries,
            archived=archived,
            prompts=self.prompts,
            damage=self.damage,
            settings_problems=self.settings_problems,
            commit=commit,
        )


def _shown(entry: Entry, folder: str | None, *, old_format: bool) -> Entry | None:
    """The entry as the board shows it; `folder` is where its id is archived, if it is."""
    if not (entry.blob or entry.claim or entry.events or entry.questions):
        return None  # a note alone is not a task
    if entry.former and not old_format:
        task, problems = codec.AnyFormat(entry.task, entry.problems, entry.former).newest
        entry = msgspec.structs.replace(entry, task=task, problems=problems)
    if folder is None:
        return entry
    if not entry.blob:
        return None  # late files of a finished task: the next archiving takes them along
    what = f"the id {entry.id} is taken by {folder}"
    twin = Problem(layout.task_path(entry.id), 1, 1, what, "give the new task another name")
    return msgspec.structs.replace(entry, task=None, problems=(*entry.problems, twin))


def _entry(task: str, parts: Mapping[str, Any]) -> Entry:
    return Entry(
        id=task,
        task=parts["task"],
        blob=parts["blob"],
        problems=parts["problems"],
        former=parts["former"],
        claim=parts["claim"],
        events=tuple(sorted(parts["events"].values(), key=lambda event: event.order)),
        questions=tuple(sorted(parts["questions"].values(), key=_by_number)),
        notes=tuple(sorted(parts["notes"])),
    )


def _by_number(question: Any) -> tuple[int, str]:
    return int(question.name.rpartition("-")[2]), question.name


def _trouble(path: str, file: File) -> Problem:
    return Problem(path, 1, 1, file.trouble, "put a plain file of text there")


def ids(board: Board) -> Iterable[str]:
    """The valid ids on the board (a badly named file is shown, but no attempt works on it)."""
    return (task for task in board.entries if is_id(task))
