"""Tasks that agents and people add to a board. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gitfleet.files import edit_key, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.ids import is_id, slug
from gitfleet.plan.transitions.event_files import claimed_by


class Addition(Struct, frozen=True, kw_only=True):
    """A new task: its text as written, the id it wants, and a key if an agent filed it."""

    text: bytes
    id: str  # wanted
    key: str = ""  # identifies the same addition from an outbox, so that it is added once


def added_files(
    board: Board, source: str, addition: Addition, others: Mapping[str, bytes | None]
) -> Iterator[tuple[str, bytes]]:
    """A task from an outbox, once: the key in its file shows whether it was added already."""
    text = edit_key.set_key(addition.text, "discovered_from", edit_key.scalar(source))
    text = edit_key.set_key(text, "outbox", edit_key.scalar(addition.key))
    if _present(board, addition.key) or text in others.values():
        return
    wanted = addition.id if is_id(addition.id) else slug(addition.id)
    if board.taken(wanted) or layout.task_path(wanted) in others:
        wanted = f"{wanted[:56]}-{addition.key[:6]}"
    if board.taken(wanted) or layout.task_path(wanted) in others:
        return
    yield layout.task_path(wanted), text


def _present(board: Board, key: str) -> bool:
    return any(
        entry.task is not None and entry.task.outbox == key for entry in board.entries.values()
    )


def file_additions(
    board: Board, *, task: str, nonce: str, additions: Sequence[Addition]
) -> Change | None:
    """Tasks that an agent filed while working; None if all are there, or its claim is gone."""
    entry = claimed_by(board, task, nonce)
    if entry is None:
        return None
    files: dict[str, bytes | None] = {}
    for addition in additions:
        files.update(added_files(board, task, addition, files))
    if not files:
        return None
    names = ", ".join(layout.place(path).task for path in files)
    return Change(subject=f"{task} creates {names}", files=files, tasks=(task,))
