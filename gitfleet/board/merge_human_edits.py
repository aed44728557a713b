"""Take over what people changed elsewhere: file by file, never by lines into YAML.

A letter, and commits on the fleet branch that the remote does not have yet, are the same thing:
files that people changed since some older board. What the board has not changed meanwhile is taken.
What contradicts goes beside, under another name, or is named; nothing is dropped in silence, and no
conflict marker reaches the board.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gitfleet.files import layout
from gitfleet.files.answers import united
from gitfleet.files.layout import What
from gitfleet.git.objects import Changed, Entry, Objects
from gitfleet.model.ids import is_id

_MOST: Final = 5_000  # files at once
_WELCOME: Final = frozenset({What.TASK, What.QUESTION, What.NOTE, What.SETTINGS, What.PROMPT})


class Taken(Struct, frozen=True):
    """What goes onto the board, and what could not go where it wanted, and why."""

    files: dict[str, Entry | bytes | None]
    beside: dict[str, str]  # path -> where it went instead, or why nowhere


def take(
    objects: Objects, here: str, before: str | None, after: str, by: str = "Somebody"
) -> Taken:
    """What people changed between the trees `before` and `after`, for the board's tree `here`.

    `by`: who, for an answer that comes to stand under another one.
    """
    changes = objects.diff(before, after, deepest=layout.DEEPEST)
    taken = Taken({}, {})
    for change in changes[:_MOST]:
        _one(objects, here, change, taken, by)
    for change in changes[_MOST:]:
        taken.beside[change.path] = f"nowhere: more than {_MOST} files at once"
    return taken


def _one(objects: Objects, here: str, change: Changed, taken: Taken, by: str) -> None:
    path, new = change.path, change.new
    refused = _refused(objects, change)
    if refused is not None:
        if refused:
            taken.beside[path] = f"nowhere: {refused}"
        return
    now = objects.find(here, path)
    now_oid = now.oid if now else None
    if now_oid == (new.oid if new else None):
        return
    there = layout.place(path)
    if now_oid == (change.old.oid if change.old else None):
        taken.files[path] = new
    elif new is not None and there.what is What.TASK and is_id(there.task):
        goal = layout.task_path(_beside(there.task, new.oid))
        if objects.find(here, goal) is None:
            taken.files[goal] = new
        taken.beside[path] = goal
    elif now is not None and new is not None and there.what is What.QUESTION:
        _question(objects, now, new, path, taken, by)
    else:
        taken.beside[path] = "nowhere: the board has another version"


def _question(objects: Objects, now: Entry, new: Entry, path: str, taken: Taken, by: str) -> None:
    """Two people answered, each without the other: the first counts, the other goes under it."""
    both = united(objects.blob(now.oid), objects.blob(new.oid), path, by)
    if both is None:
        taken.beside[path] = "nowhere: the board has this answer, or another version"
    else:
        taken.files[path] = both


def _refused(objects: Objects, change: Changed) -> str | None:
    """Why a change is not a person's to make; empty if it is nobody's business; None if it is."""
    there = layout.place(change.path)
    said = there.what is What.EVENT and not layout.of_runner(change.path) and change.old is None
    if there.what not in _WELCOME and not said:
        return "" if there.what is What.OTHER else "only runners write there"
    if change.new is None:
        return None
    if change.new.kind != "blob":
        return "not a plain file"
    if objects.blob_size(change.new.oid) > layout.LARGEST:
        return f"larger than {layout.LARGEST // 1024} KiB"
    return None


def _beside(task: str, key: str) -> str:
    """Another id for a task whose own is taken; the same for the same content."""
    wanted = f"{task[:56]}-{key[:6]}"
    return wanted if is_id(wanted) else f"task-{key[:8]}"
