"""The paths of the board's files, and who writes each."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from gitfleet.files import renamed
from gitfleet.model.ids import is_id
from gitfleet.model.states import PERSON_KINDS, Kind

FOLDERS: Final = ("tasks", "claims", "log", "questions", "notes", "done", "prompts")
SETTINGS: Final = "fleet.yaml"
PAGE: Final = "README.md"
# Files that people write are small. A larger file is a mistake or an attack; it is not read.
LARGEST: Final = 256 * 1024

# No file of a board is in this many folders; a deeper one is an attack.
DEEPEST: Final = 8

_EVENT: Final = re.compile(r"([0-9]{3}|[1-9][0-9]{3,17})-([a-z]+)-([0-9a-f]{4,16})\.yaml\Z")
_QUESTION: Final = re.compile(r"(.+)-([0-9]{1,6})\.md\Z")
_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}\Z")


class FileKind(StrEnum):
    """The kinds of files on the branch."""

    TASK = "task"
    CLAIM = "claim"
    EVENT = "event"
    QUESTION = "question"
    NOTE = "note"
    SETTINGS = "settings"
    PROMPT = "prompt"
    PAGE = "page"
    ARCHIVED = "archived"
    OTHER = "other"


class BoardPath(NamedTuple):
    """The parts of a path: its kind, its task, and the rest of its name."""

    what: FileKind
    task: str = ""
    name: str = ""


_OTHER: Final = BoardPath(FileKind.OTHER)


class EventName(NamedTuple):
    """The parts of an event's file name."""

    number: int
    kind: Kind
    suffix: str
    word: str = ""  # an old word for the kind, if the name has one


def place(path: str) -> BoardPath:
    """The parts of `path`. A task file with a bad name is a TASK with an invalid id."""
    parts = path.split("/")
    match parts:
        case ["fleet.yaml"]:
            return BoardPath(FileKind.SETTINGS)
        case ["README.md"]:
            return BoardPath(FileKind.PAGE)
        case ["tasks", *rest] if path.endswith(".md"):
            return BoardPath(FileKind.TASK, "/".join(rest)[: -len(".md")])
        case ["claims", name] if name.endswith(".yaml") and is_id(name[:-5]):
            return BoardPath(FileKind.CLAIM, name[:-5])
        case ["log", task, name] if is_id(task) and name.endswith(".yaml"):
            return BoardPath(FileKind.EVENT, task, name)
        case ["questions", name] if (found := _QUESTION.match(name)) and is_id(found[1]):
            return BoardPath(FileKind.QUESTION, found[1], name[: -len(".md")])
        case ["notes", task, name] if is_id(task) and name != ".gitkeep":
            return BoardPath(FileKind.NOTE, task, name)
        case ["prompts", name] if name.endswith(".md"):
            return BoardPath(FileKind.PROMPT, "", name[: -len(".md")])
        case ["done", month, task, *rest] if _MONTH.match(month) and is_id(task) and rest:
            return BoardPath(FileKind.ARCHIVED, task, "/".join(rest))
    return _OTHER


def event_name(name: str) -> EventName | None:
    """The parts of an event's file name, or None if it is not one."""
    found = _EVENT.match(name)
    if found is None:
        return None
    number, word, suffix = int(found[1]), found[2], found[3]
    if word in renamed.KINDS:
        return EventName(number, renamed.KINDS[word], suffix, word)
    return EventName(number, Kind(word), suffix) if word in Kind.__members__.values() else None


def of_runner(path: str) -> bool:
    """Whether only runners (and gitfleet's verbs) write at this path."""
    there = place(path)
    match there.what:
        case FileKind.CLAIM | FileKind.ARCHIVED | FileKind.PAGE:
            return True
        case FileKind.EVENT:
            named = event_name(there.name)
            return named is None or named.kind not in PERSON_KINDS
    return False


def task_path(task: str) -> str:
    """tasks/<id>.md"""
    return f"tasks/{task}.md"


def claim_path(task: str) -> str:
    """claims/<id>.yaml"""
    return f"claims/{task}.yaml"


def event_path(task: str, name: str) -> str:
    """log/<id>/<name>"""
    return f"log/{task}/{name}"


def question_path(name: str) -> str:
    """questions/<id>-<n>.md"""
    return f"questions/{name}.md"


def prompt_path(role: str) -> str:
    """prompts/<role>.md"""
    return f"prompts/{role}.md"


def note_path(task: str, name: str) -> str:
    """notes/<id>/<name>"""
    return f"notes/{task}/{name}"


def archive_folder(task: str, month: str) -> str:
    """done/<yyyy-mm>/<id>"""
    return f"done/{month}/{task}"


def archived_path(path: str, folder: str) -> str:
    """The path of a task's file once the task is archived in `folder`; see docs/board.md."""
    there = place(path)
    match there.what:
        case FileKind.TASK:
            return f"{folder}/task.md"
        case FileKind.EVENT:
            return f"{folder}/log/{there.name}"
        case FileKind.QUESTION:
            return f"{folder}/questions/{there.name}.md"
        case FileKind.NOTE:
            return f"{folder}/notes/{there.name}"
    raise ValueError(f"nothing of a finished task: {path}")


def restored_path(task: str, inner: str) -> str:
    """The inverse of `archived_path`: the original path of `inner` in an archived task's folder."""
    if inner == "task.md":
        return task_path(task)
    folder, _, name = inner.partition("/")
    return f"questions/{name}" if folder == "questions" else f"{folder}/{task}/{name}"
