"""Errors and warnings in the files of a board. Pure, from the files alone.

An error is a file that does not validate. A warning is a file that validates and still cannot work
as written: a missing dependency, a cycle, a task that no coder can do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import boards, codec, layout, yaml
from gitfleet.files.boards import File
from gitfleet.files.layout import FileKind
from gitfleet.model.board import Board, Entry, Problem
from gitfleet.model.config import ForgeSettings, RoleSettings, Settings
from gitfleet.model.ids import is_id
from gitfleet.model.states import Role
from gitfleet.model.task import Task
from gitfleet.plan import upgrade
from gitfleet.plan.coder_choice import choices
from gitfleet.plan.graph import cancelled, graph_of, is_over


class LintFinding(Struct, frozen=True):
    """One finding of lint; a warning blocks nothing."""

    problem: Problem
    warning: bool = False

    @property
    def order(self) -> tuple[str, int, int, bool, str]:
        """By place; errors before warnings."""
        p = self.problem
        return p.path, p.line, p.column, self.warning, p.what


# Why there is no coder of that name here; None: there is one.
Absence = Callable[[str, Settings], FleetError | None]
# Why there is no forge of the kind that the settings name.
NoForge = Callable[[ForgeSettings], FleetError | None]
# A coder's objection to a task's text; empty if it has none.
Objects = Callable[[str, Task], str]


def findings(
    files: Mapping[str, File], absence: Absence, objects: Objects, no_forge: NoForge
) -> list[LintFinding]:
    """All findings on these files (by path on the branch), sorted by place."""
    board = boards.read(files)
    found = [LintFinding(problem) for problem in _problems(board, files)]
    found += [
        LintFinding(problem, warning=True) for problem in _warnings(board, files, absence, objects)
    ]
    found += [LintFinding(problem, warning=True) for problem in _forge(board, files, no_forge)]
    return sorted(found, key=lambda one: one.order)


def doubts(
    board: Board, task: str, absence: Absence, objects: Objects
) -> Iterator[tuple[str, str]]:
    """Why a valid task cannot work as written: what, and the remedy."""
    entry = board.get(task)
    if entry is not None and entry.task is not None:
        for _, _, what, remedy in _of_task(board, entry, entry.task, absence, objects):
            yield what, remedy


def _problems(board: Board, files: Mapping[str, File]) -> Iterator[Problem]:
    yield from board.settings_problems
    for problems in board.damage.values():
        yield from problems
    for entry in board.entries.values():
        yield from entry.problems
    yield from _archived(files)
    for path, file in files.items():
        if file.trouble and layout.place(path).what is FileKind.OTHER:
            yield Problem(path, 1, 1, file.trouble, "remove it")


def _archived(files: Mapping[str, File]) -> Iterator[Problem]:
    """Findings on finished tasks, read as the files they were before they were archived."""
    folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path in files:
        there = layout.place(path)
        if there.what is FileKind.ARCHIVED:
            folder = path.removesuffix(there.name)
            folders[folder][layout.restored_path(there.task, there.name)] = path
    for restored in folders.values():
        board = boards.read_finished({origin: files[path] for origin, path in restored.items()})
        parts = [*board.damage.values(), *(entry.problems for entry in board.entries.values())]
        for problem in (problem for problems in parts for problem in problems):
            yield replace(problem, path=restored.get(problem.path, problem.path))


def _warnings(
    board: Board, files: Mapping[str, File], absence: Absence, objects: Objects
) -> Iterator[Problem]:
    if (old := upgrade.old_format(board)) is not None:
        line, column = _mark_in_settings(files.get(layout.SETTINGS), ("format",))
        yield replace(old, line=line, column=column)
    yield from _twins(board)
    yield from _strange_prompts(files)
    yield from _roles(board, files, absence)
    for entry in board.entries.values():
        if entry.task is None or not is_id(entry.id) or is_over(board, entry.id):
            continue
        path = layout.task_path(entry.id)
        for key, item, what, remedy in _of_task(board, entry, entry.task, absence, objects):
            line, column = _mark(files[path], key, item)
            yield Problem(path, line, column, what, remedy)


def _twins(board: Board) -> Iterator[Problem]:
    """Ids are in lower case.

    Where file names ignore case, a file that differs from another only in case is its twin, and a
    checkout there loses one of them.
    """
    same: defaultdict[str, list[str]] = defaultdict(list)
    for task, entry in board.entries.items():
        if entry.blob:
            same[task.casefold()].append(task)
    for twins in same.values():
        first, *others = sorted(twins, key=lambda task: (not is_id(task), task))
        for task in others:
            what = f"it differs from {layout.task_path(first)} only in case"
            remedy = "rename it: on some systems both are the same file"
            yield Problem(layout.task_path(task), 1, 1, what, remedy)


def _strange_prompts(files: Mapping[str, File]) -> Iterator[Problem]:
    """Prompts that no attempt uses."""
    for path in files:
        there = layout.place(path)
        if there.what is FileKind.PROMPT and there.name not in Role.__members__.values():
            what = f"no attempt has the role {there.name!r}, so it is never used"
            yield Problem(path, 1, 1, what, f"the roles are {', '.join(Role)}")


def _roles(board: Board, files: Mapping[str, File], absence: Absence) -> Iterator[Problem]:
    roles = board.settings.roles
    for name, role in (("work", roles.work), ("validate", roles.validate), ("plan", roles.plan)):
        for coder, key, item in _named(role) if role is not None else ():
            if error := absence(coder, board.settings):
                at = ("roles", name, key) if item is None else ("roles", name, key, item)
                line, column = _mark_in_settings(files.get(layout.SETTINGS), at)
                yield Problem(layout.SETTINGS, line, column, *_told(error))


def _forge(board: Board, files: Mapping[str, File], no_forge: NoForge) -> Iterator[Problem]:
    settings = board.settings.forge
    error = no_forge(settings) if settings is not None else None
    if error is not None:
        line, column = _mark_in_settings(files.get(layout.SETTINGS), ("forge", "kind"))
        yield Problem(layout.SETTINGS, line, column, *_told(error))


def _named(said: Task | RoleSettings) -> Iterator[tuple[str, str, int | None]]:
    """The coders named in one place: the key, and the item of its list."""
    if said.coder:
        yield said.coder, "coder", None
    for number, one in enumerate(said.coders):
        yield one if isinstance(one, str) else one.coder, "coders", number


def _told(error: FleetError) -> tuple[str, str]:
    """What is wrong and what to do, as a finding has them."""
    return error.what, f"{error.remedy[:1].lower()}{error.remedy[1:].rstrip('.')}"


_Found = tuple[str, int | None, str, str]  # key, which of its items, what, remedy


def _of_task(
    board: Board, entry: Entry, task: Task, absence: Absence, objects: Objects
) -> Iterator[_Found]:
    for number, need in enumerate(task.depends_on):
        why = _objection(board, entry, need)
        if why:
            yield "depends_on", number, why, f"remove {need} or fix it"
    cycle = graph_of(board).cycles.get(entry.id)
    if cycle and entry.id not in task.depends_on:
        what = f"its dependencies form a cycle: {' → '.join(cycle)}"
        yield "depends_on", None, what, "remove one of them"
    able = choices(board, entry, Role(task.role.value))
    if not able:
        yield "title", None, "it has no coder", "name one here, or in fleet.yaml under roles"
    errors = ((absence(coder, board.settings), key, item) for coder, key, item in _named(task))
    strange = [(error, key, item) for error, key, item in errors if error is not None]
    for error, key, item in strange:
        yield (key, item, *_told(error))
    for one in () if strange else able:
        if why := objects(one.coder, task):
            key = "coders" if task.coders else "coder"
            yield key, None, why, "write the commands in the text below the front matter"


def _objection(board: Board, entry: Entry, need: str) -> str:
    """The problem with one dependency; empty if there is none."""
    if need == entry.id:
        return "it depends on itself"
    if not board.taken(need):
        return f"it depends on {need}, which is not on the board"
    other = board.get(need)
    if other is not None and other.claim is None and cancelled(other):
        return f"it depends on {need}, which is cancelled"
    return ""


# -- positions


def _mark(file: File, key: str, item: int | None) -> tuple[int, int]:
    """Line and column of a valid task file's key, or of one item of its list; 1:1 if unknown.

    Parses again, but only a file with a finding.
    """
    text, _ = codec.decode(file.data, "")
    front, _, _ = codec.split(text, "")
    marks = yaml.load(front, Task, first_line=2).marks
    return _nearest(marks, (key,) if item is None else (key, item))


def _mark_in_settings(file: File | None, path: yaml.Path) -> tuple[int, int]:
    if file is None:
        return 1, 1
    text, _ = codec.decode(file.data, "")
    return _nearest(yaml.load(text, Settings).marks, path)


def _nearest(marks: Mapping[yaml.Path, yaml.Position], path: yaml.Path) -> tuple[int, int]:
    while path and path not in marks:
        path = path[:-1]
    found = marks.get(path, yaml.Position(1, 1)) if path else yaml.Position(1, 1)
    return found.line, found.column
