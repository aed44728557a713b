"""Who waits for whom: cycles, and how much hangs on a task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from weakref import WeakKeyDictionary

from gitfleet.model.board import Board, Entry
from gitfleet.model.states import Kind

_GRAPHS: WeakKeyDictionary[Board, Graph] = WeakKeyDictionary()


def done(entry: Entry) -> bool:
    """Whether a task was landed or closed, and not reopened since."""
    return entry.last(Kind.LANDED, Kind.CLOSED, Kind.CLOSE) is not None


def cancelled(entry: Entry) -> bool:
    """Whether a person cancelled the task or removed its file."""
    return entry.gone or entry.last(Kind.CANCEL) is not None


def is_done(board: Board, task: str) -> bool:
    """Whether the task of that id is done, wherever its files lie."""
    entry = board.get(task)
    if entry is None:
        return task in board.archived
    return entry.claim is None and done(entry)


def is_over(board: Board, task: str) -> bool:
    """Whether nothing will happen to a task any more: done, cancelled or gone."""
    entry = board.get(task)
    if entry is None:
        return True
    return entry.claim is None and (done(entry) or cancelled(entry))


class Graph:
    """The unfinished tasks of one board and their dependencies; computed when first asked."""

    def __init__(self, board: Board) -> None:
        self._needs = {
            entry.id: tuple(d for d in entry.task.depends_on if d in board.entries)
            for entry in board.entries.values()
            if entry.task is not None and entry.task.depends_on and not is_over(board, entry.id)
        }

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """Who depends directly on each task."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for task, needs in self._needs.items():
            for need in dict.fromkeys(needs):
                found[need].append(task)
        return {task: tuple(waiting) for task, waiting in found.items()}

    def behind(self, task: str) -> int:
        """How many unfinished tasks wait for this one, directly or not."""
        seen: set[str] = set()
        todo = list(self.dependents.get(task, ()))
        while todo:
            other = todo.pop()
            if other not in seen:
                seen.add(other)
                todo.extend(self.dependents.get(other, ()))
        return len(seen - {task})

    @cached_property
    def cycles(self) -> Mapping[str, tuple[str, ...]]:
        """For each task on a cycle of dependencies, that cycle, beginning and ending with it."""
        found: dict[str, tuple[str, ...]] = {}
        for start in self._needs:
            if start not in found:
                path = self._way_back(start)
                for index in range(len(path) - 1):
                    turned = path[index:-1] + path[:index]
                    found.setdefault(path[index], (*turned, path[index]))
        return found

    def _way_back(self, start: str) -> tuple[str, ...]:
        came: dict[str, str] = {}
        todo = [start]
        while todo:
            task = todo.pop()
            for need in self._needs.get(task, ()):
                if need == start:
                    path = [task]
                    while path[-1] != start:
                        path.append(came[path[-1]])
                    return (*reversed(path), start)
                if need not in came:
                    came[need] = task
                    todo.append(need)
        return ()


def graph_of(board: Board) -> Graph:
    """The graph of a board, made once."""
    graph = _GRAPHS.get(board)
    if graph is None:
        graph = _GRAPHS[board] = Graph(board)
    return graph
