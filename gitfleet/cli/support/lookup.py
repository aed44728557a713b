"""What the reading verbs share: any task by its id, and the board at any commit."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from gitfleet.board.board_files import read_file
from gitfleet.board.store import Store
from gitfleet.cli.support.session import CliSession
from gitfleet.errors import FleetError
from gitfleet.files import boards, layout
from gitfleet.git.command import git
from gitfleet.model.board import Board, Entry
from gitfleet.model.states import Status
from gitfleet.plan.view import Row


def task_of(store: Store, board: Board, task: str) -> Entry:
    """The task with that id, open or archived; FleetError suggests similar ids."""
    entry = board.get(task) or store.archived(board, task)
    if entry is None:
        raise FleetError(f"there is no task {task!r}", remedy=_hint(board, task))
    return entry


def _hint(board: Board, task: str) -> str:
    known = sorted({*board.entries, *board.archived})
    begins = (one for one in known if task and one.startswith(task))
    alike = difflib.get_close_matches(task[:100], known, n=3)
    near = list(dict.fromkeys([*itertools.islice(begins, 3), *alike]))[:3]
    shown = "`gitfleet list --all` shows all ids"
    return f"did you mean {' or '.join(near)}? {shown}" if near else shown


def board_at(session: CliSession, revision: str) -> tuple[Board, datetime]:
    """The board at a revision, and that commit's time; FleetError if the revision has no board."""
    store = session.store
    args = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    said = git(*args, cwd=Path.cwd(), check=False)
    if said.code != 0:
        raise FleetError(
            f"{revision!r} is not a commit here",
            remedy=f"Name a revision of the board, such as {store.branch}~3, or a commit's id.",
        )
    commit = store.objects.commit(said.out)
    if not any(store.objects.find(commit.tree, p) for p in (layout.SETTINGS, "tasks/.gitkeep")):
        raise FleetError(
            f"{revision!r} is a commit without a board",
            remedy=f"Name a commit of the branch {store.branch}.",
        )
    return store.board_at(commit.oid), datetime.fromtimestamp(commit.committer.when, UTC)


def archive(store: Store, board: Board) -> Iterator[Entry]:
    """Every archived task. Each month's folder is read once, however many tasks it contains."""
    tree = store.objects.tree_of(board.commit)
    months: dict[str, dict[str, str]] = {}
    for task, folder in board.archived.items():
        month = folder.rpartition("/")[0]
        if month not in months:
            found = store.objects.find(tree, month)
            below = store.objects.read_tree(found.oid) if found else []
            months[month] = {one.name: one.oid for one in below}
        files = {
            layout.restored_path(task, path): read_file(store.objects, entry)
            for path, entry in store.objects.walk(months[month][task])
        }
        entry = boards.read_finished(files).get(task)
        if entry is not None:
            yield entry


def doubted(board: Board, row: Row) -> Row:
    """The row; for a ready task without a coder that exists, with that as its reason."""
    if row.status is not Status.READY:
        return row
    from gitfleet.cli.support import coder_checks  # noqa: PLC0415 - imports all coders

    why = coder_checks.missing(board, row.id)
    return replace(row, reason=why) if why else row
