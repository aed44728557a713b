"""End an attempt with its event. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitfleet.files import layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move
from gitfleet.model.event import Attempt
from gitfleet.model.states import Kind, Role
from gitfleet.plan.transitions.add_tasks import Addition, added_files
from gitfleet.plan.transitions.event_files import claimed_by, event_file, headline, new_event


def end_attempt(
    board: Board,
    *,
    task: str,
    attempt: Attempt,
    role: Role,
    additions: Sequence[Addition] = (),
    extra: Mapping[str, bytes | None] | None = None,
    publish: tuple[Move, ...] = (),
) -> Change | None:
    """End an attempt with its event; None if its claim is gone, so that it no longer counts."""
    entry = claimed_by(board, task, attempt.nonce)
    if entry is None:
        return None
    event = new_event(entry, Kind(role.value), attempt.nonce[:4], attempt)
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([event_file(event)])
    files.update(extra or {})
    for addition in additions:
        files.update(added_files(board, entry.id, addition, files))
    return Change(
        subject=f"{task}: {role} {attempt.outcome}: {headline(attempt.reason)}",
        files=files,
        tasks=(task,),
        publish=publish,
    )


def has_ended(board: Board, task: str, attempt: Attempt) -> bool:
    """Whether this end of the attempt is on the board.

    Another end, such as the `lost` of a takeover, does not count.
    """
    entry = board.get(task)
    return entry is not None and any(
        event.attempt is not None
        and event.attempt.nonce == attempt.nonce
        and event.attempt.outcome is attempt.outcome
        for event in entry.events
    )
