"""Claim a task. Pure."""

from __future__ import annotations

from datetime import datetime

from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.claim import Claim
from gitfleet.model.ids import is_id
from gitfleet.plan.status import status_of


def claim(
    board: Board,
    now: datetime,
    *,
    task: str,
    claim: Claim,
    due: bool = False,
    locks: frozenset[str] = frozenset(),
) -> Change | None:
    """Claim a task; None if it is no longer claimable.

    `due`: it waits for a target that was red, and the target has moved. `locks`: those of the
    attempt, besides the task's own.
    """
    entry = board.get(task)
    if entry is None or entry.blob != claim.task_blob or not is_id(task):
        return None
    where = status_of(board, task, now)
    if where.role is not claim.role or not (due or where.claimable(now)):
        return None
    if entry.next_attempt != claim.attempt:
        return None
    return Change(
        subject=f"Claim {task} ({claim.role}, attempt {claim.attempt})",
        files={layout.claim_path(task): codec.write(claim)},
        tasks=(task,),
        locks=locks | frozenset(entry.task.locks if entry.task else ()),
    )
