"""A board of an older format: it can be read, and the only write to it is its upgrade. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.board import Board, Problem
from gitfleet.model.change import Change, Person
from gitfleet.model.config import FORMAT

if TYPE_CHECKING:
    from gitfleet.files.rename_keys import Renamed

REMEDY: Final = f"run `gitfleet lint --fix`: one commit brings the board to format {FORMAT}"


class Upgrade(Struct, frozen=True):
    """The files of a board to rewrite, by path."""

    files: Mapping[str, Renamed]

    def change(self, person: Person) -> Change:
        """The commit that rewrites them."""
        tasks = (place.task for place in map(layout.place, self.files) if place.task)
        keys = any(renamed.keys for renamed in self.files.values())
        what = "Rename keys to those of" if keys else "Bring the board to"
        return Change(
            subject=f"{what} format {FORMAT}",
            files={path: renamed.data for path, renamed in self.files.items()},
            tasks=tuple(tasks),
            author=person,
        )

    def lines(self) -> Iterator[str]:
        """The changes, one line per file."""
        for path, renamed in self.files.items():
            said = [f"{old} → {new}" for old, new in renamed.keys]
            if path == layout.SETTINGS:
                said.append(f"format {FORMAT}")
            yield f"{path}: {', '.join(said)}"


def upgrade(board: Board, read: Callable[[str], bytes | None]) -> Upgrade:
    """The open files of the board with old names; `read` gives the bytes at a path.

    FleetError if fleet.yaml cannot be rewritten: without it the rest would have no format.
    """
    from gitfleet.files import rename_keys  # noqa: PLC0415 - 2 ms that only an old board costs

    found: dict[str, Renamed] = {}
    for path in _open_files(board):
        data = read(path)
        if data is None:
            continue
        in_file = rename_keys.in_settings if path == layout.SETTINGS else rename_keys.in_task
        renamed = in_file(data)
        if renamed.data != data:
            found[path] = renamed
    return Upgrade(found)


def number_only(board: Board, read: Callable[[str], bytes | None]) -> Upgrade | None:
    """The upgrade of an old board that changes only the number in fleet.yaml; None for any other.

    It renames nothing that people wrote, and no runner holds a claim: one of an older version that
    is at work would not understand the board any more.
    """
    if old_format(board) is None or any(entry.claim for entry in board.entries.values()):
        return None
    try:
        found = upgrade(board, read)
    except FleetError:
        return None
    return None if any(renamed.keys for renamed in found.files.values()) else found


def _open_files(board: Board) -> Iterator[str]:
    yield layout.SETTINGS
    entries = {**board.entries, **board.hidden}.values()
    yield from sorted(layout.task_path(entry.id) for entry in entries if entry.former)


def new_format(board: Board) -> Problem | None:
    """The problem of a board whose format is newer than this gitfleet; None for any other."""
    return next((one for one in board.settings_problems if one.remedy == codec.UPGRADE), None)


def old_format(board: Board) -> Problem | None:
    """A sentence for a board of an older format, with the remedy; None for any other."""
    if not board.settings.old_format or new_format(board) is not None:
        return None
    what = f"the board has format {board.settings.format}, which this gitfleet only reads"
    return Problem(layout.SETTINGS, 1, 1, what, REMEDY)


def refuse_old(board: Board) -> None:
    """Raise FleetError before a write to a board of an older format."""
    problem = old_format(board)
    if problem is not None:
        raise FleetError(problem.what, remedy=f"R{problem.remedy[1:]}.")
