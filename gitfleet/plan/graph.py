"""The graph of dependencies: cycles, and how many tasks depend on a task."""

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
    """Whether the task of that id is done, archived or not."""
    entry = board.get(task)
    if entry is None:
        return task in board.archived
    return entry.claim is None and done(entry)


def is_over(board: Board, task: str) -> bool:
    """Whether the task is final: done, cancelled or removed."""
    entry = board.get(task)
    if entry is None:
        return True
    return entry.claim is None and (done(entry) or cancelled(entry))


class Graph:
    """The unfinished tasks of one board and their dependencies, computed on demand."""

    def __init__(self, board: Board) -> None:
        self._needs = {
            entry.id: tuple(d for d in entry.task.depends_on if d in board.entries)
            for entry in board.entries.values()
            if entry.task is not None and entry.task.depends_on and not is_over(board, entry.id)
        }

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """The tasks that depend directly on each task."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for task, needs in self._needs.items():
            for need in dict.fromkeys(needs):
                found[need].append(task)
        return {task: tuple(waiting) for task, waiting in found.items()}

    def behind(self, task: str) -> int:
        """How many unfinished tasks wait for this one, directly or indirectly."""
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
        """For each task on a cycle of dependencies, that cycle, starting and ending with it."""
        found: dict[str, tuple[str, ...]] = {}
        ring = self._knot()
        for start in sorted(ring):
            if start not in found:
                path = self._way_back(start, ring)
                for index in range(len(path) - 1):
                    turned = path[index:-1] + path[:index]
                    found.setdefault(path[index], (*turned, path[index]))
        return found

    def _knot(self) -> frozenset[str]:
        """The tasks on a cycle or between two cycles; computed in linear time."""
        ahead = {
            task: [n for n in needs if n in self._needs] for task, needs in self._needs.items()
        }
        back = _turned(_peeled(ahead))
        return frozenset(_peeled(back))

    def _way_back(self, start: str, ring: frozenset[str]) -> tuple[str, ...]:
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
                if need in ring and need not in came:
                    came[need] = task
                    todo.append(need)
        return ()


_Edges = dict[str, list[str]]


def _turned(edges: _Edges) -> _Edges:
    turned: _Edges = {node: [] for node in edges}
    for node, others in edges.items():
        for other in others:
            turned[other].append(node)
    return turned


def _peeled(edges: _Edges) -> _Edges:
    """The nodes that remain after repeatedly removing nodes without outgoing edges."""
    back = _turned(edges)
    out = {node: len(others) for node, others in edges.items()}
    todo = [node for node, number in out.items() if not number]
    gone: set[str] = set()
    while todo:
        node = todo.pop()
        gone.add(node)
        for other in back[node]:
            out[other] -= 1
            if not out[other]:
                todo.append(other)
    return {
        node: [other for other in others if other not in gone]
        for node, others in edges.items()
        if node not in gone
    }


def graph_of(board: Board) -> Graph:
    """The graph of a board, computed once."""
    graph = _GRAPHS.get(board)
    if graph is None:
        graph = _GRAPHS[board] = Graph(board)
    return graph


def unmet_dependency(board: Board, entry: Entry) -> str | None:
    """Why the dependencies of a task are not all done; None if they are."""
    assert entry.task is not None
    waiting = [d for d in entry.task.depends_on if not is_done(board, d)]
    if not waiting:
        return None
    if entry.id in entry.task.depends_on:
        return f"it depends on itself; remove {entry.id} from depends_on"
    for need in waiting:
        other = board.get(need)
        if other is None:
            return f"it depends on {need}, which is not on the board"
        if other.claim is None and cancelled(other):
            return f"it depends on {need}, which is cancelled"
    cycle = graph_of(board).cycles.get(entry.id)
    if cycle:
        return f"its dependencies form a cycle: {' → '.join(cycle)}"
    return f"waits for {', '.join(waiting)}"
