"""The board: everything known about the work, read at one commit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from gitfleet.model.claim import Claim
from gitfleet.model.config import Settings
from gitfleet.model.event import Attempt, Event
from gitfleet.model.question import Question
from gitfleet.model.states import Kind, Role
from gitfleet.model.task import Task

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Problem(Struct, frozen=True, order=True):
    """A problem in a file: what, where, and the remedy. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    what: str
    remedy: str = ""

    @property
    def where(self) -> str:
        """`path:line:column`, as compilers and editors have it."""
        return f"{self.path}:{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class Entry(Struct, frozen=True, kw_only=True):
    """One task with everything that belongs to it."""

    id: str
    task: Task | None = None  # None: there is no file, or it does not validate
    blob: str = ""  # the task file's object id; empty: there is no file
    problems: tuple[Problem, ...] = ()
    former: tuple[Problem, ...] = ()  # keys of its file that format 1 called by other names
    claim: Claim | None = None
    events: tuple[Event, ...] = ()  # in order
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()  # paths

    @property
    def gone(self) -> bool:
        """Whether its file was removed."""
        return not self.blob

    @property
    def title(self) -> str:
        """The title, or the id if no valid file has a title."""
        return self.task.title if self.task else self.id

    @property
    def current(self) -> tuple[Event, ...]:
        """The events since the last `retry`; all counts start there."""
        for index in range(len(self.events) - 1, -1, -1):
            if self.events[index].kind is Kind.RETRY:
                return self.events[index + 1 :]
        return self.events

    def attempts(self, *roles: Role) -> list[Attempt]:
        """The attempts since the last `retry`, of these roles or of all, oldest first."""
        return [
            event.content
            for event in self.current
            if isinstance(event.content, Attempt) and (not roles or event.role in roles)
        ]

    def last(self, *kinds: Kind) -> Event | None:
        """The newest event since the last `retry` of one of these kinds."""
        return next((e for e in reversed(self.current) if e.kind in kinds), None)

    @property
    def next_number(self) -> int:
        """The number of the next event."""
        return self.events[-1].number + 1 if self.events else 1

    @property
    def next_attempt(self) -> int:
        """The number of the next attempt, over all roles and all time."""
        return 1 + sum(1 for e in self.events if isinstance(e.content, Attempt))


class Board(Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """Everything on the fleet branch at one commit, parsed."""

    settings: Settings
    entries: Mapping[str, Entry]  # unfinished tasks, and the remains of removed ones
    archived: Mapping[str, str] = _NOTHING  # id -> its folder, done/<yyyy-mm>/<id>
    prompts: Mapping[str, str] = _NOTHING  # role -> a valid prompts/<role>.md's id
    damage: Mapping[str, tuple[Problem, ...]] = {}  # path -> its problems, except of task files
    # Files that were read but are not shown: leftovers of archived ids, a second file of one, notes
    # without a task, a task with keys of an older format. Kept, because a board is made from any
    # other board by the differences.
    hidden: Mapping[str, Entry] = {}
    settings_problems: tuple[Problem, ...] = ()  # of fleet.yaml; an older one is in force
    commit: str = ""

    def get(self, task: str) -> Entry | None:
        """The task of that id, if it is on the board and not archived."""
        return self.entries.get(task)

    def taken(self, task: str) -> bool:
        """Whether an id is in use anywhere on the board."""
        return task in self.entries or task in self.archived
