"""The floors hold: a drawn direction drifts unless a test holds it."""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests import module_map

PACKAGE: Final = Path(__file__).resolve().parent.parent / "gitfleet"

# docs/architecture.md draws it. A room imports from floors below, and from itself.
FLOORS: Final[Mapping[str, int]] = {
    "assets": 0,
    "errors": 0,
    "event_log": 0,
    "failpoints": 0,
    "model": 0,
    "run_dir": 0,
    "background_service": 1,
    "files": 1,
    "plugins": 1,
    "process": 1,
    "execution": 2,
    "git": 2,
    "plan": 2,
    "agent": 3,
    "board": 3,
    "coders": 3,
    "forges": 3,
    "transcripts": 4,
    "attempt": 5,
    "demo": 5,
    "mcp": 5,
    "audit": 6,
    "install": 6,
    "intake": 6,
    "landing": 6,
    "notify": 6,
    "presence": 6,
    "questions": 6,
    "doctor": 7,
    "runner": 7,
    "cli": 8,
    "__main__": 9,
}
# One library, one room; a module may be named where its room as a whole may not.
HOMES: Final[Mapping[str, frozenset[str]]] = {
    "pygit2": frozenset({"git"}),
    "click": frozenset({"cli"}),
    "rich": frozenset({"cli"}),
    "watchdog": frozenset({"runner", "cli.log"}),
    "yaml": frozenset({"files"}),
    "mcp": frozenset({"mcp"}),
    "anyio": frozenset({"mcp"}),
    "jsonschema": frozenset({"files"}),
    "httpx": frozenset({"forges.http_client"}),
    "apprise": frozenset({"notify"}),
    "subprocess": frozenset({"process", "cli", "demo"}),  # above: a person's pager, a whole play
}


def _name(path: Path) -> str:
    """A module's name within the package: `git.refs`; the package's own is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Final[Mapping[str, Path]] = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _room(module: str) -> str:
    return module.partition(".")[0]


@cache
def _imports(module: str) -> frozenset[str]:
    """Everything a module imports, wherever in it: `gitfleet.git.refs`, `os.path`."""
    return frozenset(_found(ast.parse(MODULES[module].read_text())))


def _found(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("gitfleet.") in MODULES else str(node.module)


def _own(module: str) -> frozenset[str]:
    """The modules of ours that one imports, by their names within the package."""
    ours = (name for name in _imports(module) if _room(name) == "gitfleet")
    return frozenset(name.removeprefix("gitfleet").removeprefix(".") for name in ours)


def test_every_room_has_a_floor() -> None:
    """No room stands beside the drawing, and none is drawn that is not there."""
    assert {_room(module) for module in MODULES} - {""} == set(FLOORS)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_from_floors_below_or_from_itself(module: str) -> None:
    """Neither from a floor above nor from a neighbour."""
    room = _room(module)
    wrong = {
        other
        for other in _own(module)
        if _room(other) != room and FLOORS.get(_room(other), -1) >= FLOORS.get(room, -1)
    }
    assert not wrong


def test_there_are_no_import_cycles() -> None:
    """Not even among the modules of one room, nor by an import inside a function."""
    graph = {module: _own(module) - {module} for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", sorted(m for m in MODULES if _room(m) != "board"))
def test_only_the_board_asks_of_which_kind_a_backend_is(module: str) -> None:
    """Others ask what it can: `backend.remote` is None, or has the capabilities of a remote."""
    tree = ast.parse(MODULES[module].read_text())
    asked = [
        node.args[1] if isinstance(node, ast.Call) else node.cls
        for node in ast.walk(tree)
        if isinstance(node, ast.MatchClass)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        )
    ]
    assert not [kind for kind in asked if "Backend" in ast.unparse(kind)]


def test_every_init_is_empty() -> None:
    """A package that re-exports makes cycles; the name of the module is the way to it."""
    assert not [path for path in PACKAGE.rglob("__init__.py") if path.read_bytes()]


@pytest.mark.parametrize("library", sorted(HOMES))
def test_one_library_has_one_room(library: str) -> None:
    """What a library is for is done in one place, so that it can be replaced there."""
    users = {
        module for module in MODULES if any(_room(name) == library for name in _imports(module))
    }
    strangers = {m for m in users if not {m, _room(m)} & HOMES[library]}
    assert not strangers


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("coders.")))
def test_a_plug_knows_its_base_and_no_sibling(module: str) -> None:
    """A coder can be read, and taken out, by itself. The registry alone knows them."""
    shared = {
        f"coders.{name}" for name in ("base", "classify", "jsonl", "message_blocks", "reset_time")
    }
    if module != "coders.registry":
        siblings = {other for other in _own(module) if _room(other) == "coders"}
        assert siblings <= shared


@pytest.mark.parametrize("module", sorted(m for m in MODULES if m.startswith("forges.")))
def test_a_forge_knows_its_base_and_no_sibling(module: str) -> None:
    """The same of forges."""
    if module != "forges.registry":
        siblings = {other for other in _own(module) if _room(other) == "forges"}
        assert siblings <= {"forges.base", "forges.http_client", "forges.http_errors"}


def test_no_two_modules_have_one_name() -> None:
    """A name says which file is meant. Verbs and plugs bear the names that people use for them."""
    theirs = ("cli.", "coders.")
    files = (m for m, path in MODULES.items() if path.name != "__init__.py")
    names = Counter(m.rpartition(".")[2] for m in files if not m.startswith(theirs))
    twice = {name for name, number in names.items() if number > 1} - {"base", "registry"}
    assert not twice
    assert not {"util", "utils", "helpers", "common", "misc"} & set(names)


def test_no_two_classes_have_one_name() -> None:
    """A class's name says which class is meant, in a traceback, in a log and to a search."""
    names = Counter(
        node.name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name for name, number in names.items() if number > 1}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_long(module: str) -> None:
    """A module has one subject. Past 400 lines it has two."""
    assert len(MODULES[module].read_text().splitlines()) <= 400


def test_the_map_names_every_module() -> None:
    """docs/architecture.md lists each module with its docstring's first sentence, as it is now."""
    page = module_map.PAGE.read_text()
    assert page == module_map.drawn(page), "run: python -m tests.module_map"
    assert all(path.stem in page for path in MODULES.values() if path.name != "__init__.py")
