"""Recognize a task that was renamed and edited at once, as git recognizes a renamed file."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from gitfleet.files import codec, layout

_MOST_LINES: Final = 200  # of a file; a comparison must be cheap, whatever people push
_ENOUGH: Final = 0.5
_FENCES: Final = ("---", "```", "~~~")


class Traits(NamedTuple):
    """The parts of a task file by which it is recognized."""

    title: str
    lines: Counter[str]


def traits_of(data: bytes) -> Traits:
    """The title and lines of a task file. Blank lines and fences, which every task has, are left
    out; a file that does not validate has no title."""
    task = codec.read_task_of_any_format(data, layout.task_path("any")).value
    lines = [line.strip() for line in codec.decode(data, "")[0].splitlines()[:_MOST_LINES]]
    told = Counter(line for line in lines if line and not line.startswith(_FENCES))
    return Traits(task.title if task is not None else "", told)


def similarity(one: Traits, other: Traits) -> float:
    """1 for the same title, else the part of the longer file's lines that both have; 0 if that is
    less than half."""
    if one.title and one.title == other.title:
        return 1.0
    longer = max(one.lines.total(), other.lines.total(), 1)
    part = (one.lines & other.lines).total() / longer
    return part if part >= _ENOUGH else 0.0
