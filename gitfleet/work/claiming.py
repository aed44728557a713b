"""Take a task: where it begins, a nonce that is remembered first, one atomic commit."""

from __future__ import annotations

import secrets
import time
from datetime import datetime

from gitfleet import faults
from gitfleet.clone import Held
from gitfleet.errors import FleetError
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.claim import Claim
from gitfleet.model.states import Role
from gitfleet.plan import pick as picking
from gitfleet.plan import settle
from gitfleet.plan.pick import Pick
from gitfleet.plan.standing import standing, submission_of
from gitfleet.swap import Answer
from gitfleet.work.beginning import Beginning, beginning_of
from gitfleet.work.fleet import Fleet, Order, task_branch


def late_order(fleet: Fleet, board: Board, task: str) -> tuple[Order, Beginning] | None:
    """The order for a claim of ours that turned up after its push was given up for unknown."""
    entry = board.get(task)
    if entry is None or entry.claim is None:
        return None
    claim = entry.claim
    target = picking.target_of(board, entry, fleet.default_target)
    pick = Pick(task=task, role=claim.role, coder=claim.coder, model=claim.model, target=target)
    begin = beginning_of(fleet, board, entry, pick)
    order = Order(board=board, entry=entry, pick=pick, claim=claim, claimed=time.monotonic())
    return order, begin


def claim(fleet: Fleet, board: Board, pick: Pick) -> tuple[Order, Beginning] | None:
    """Claim the picked task; None if it is not to be had any more.

    FleetError if it cannot begin: its target does not exist.
    """
    entry = board.get(pick.task)
    if entry is None:
        return None
    begin = beginning_of(fleet, board, entry, pick)
    submitted = submission_of(entry)
    head = submitted.attempt.head if submitted and submitted.attempt else None
    if head is not None and not fleet.store.swap.ensure(head, task_branch(pick.task)):
        raise FleetError(
            f"the work on {pick.task} ({head[:10]}) is on no branch that can be fetched",
            remedy=f"`gitfleet retry {pick.task}` starts it afresh.",
        )
    nonce = secrets.token_hex(16)
    wanted = Claim(
        runner=fleet.runner,
        nonce=nonce,
        role=pick.role,
        attempt=entry.next_attempt,
        coder=pick.coder,
        model=pick.model,
        task_blob=entry.blob,
        base=begin.base,
        head=head if pick.role is Role.VALIDATE else None,
        branch=task_branch(pick.task),
        at=fleet.store.now(),
    )
    due = standing(board, pick.task, fleet.store.now()).red is not None
    held = Held(nonce=nonce, task=pick.task, role=pick.role, attempt=wanted.attempt)
    fleet.clone.remember(held)
    faults.point("nonce-remembered")

    # Two changes of one commit are each judged without the other: what excludes must be said.
    words = frozenset({f"validate {pick.target}"} if pick.role is Role.VALIDATE else ())

    def decide(now_board: Board, now: datetime) -> Change | None:
        if picking.collides(now_board, pick, fleet.default_target):
            return None
        return settle.claim(now_board, now, task=pick.task, claim=wanted, due=due, words=words)

    result = fleet.store.transact(decide)
    if result.answer is Answer.UNKNOWN:
        return None  # it may turn up yet: the nonce stays remembered, and the claim is worked on
    if not result.won:
        fleet.clone.forget(nonce)
        return None
    faults.point("claimed")
    mine = result.board.get(pick.task)
    assert mine is not None
    fleet.report.action(
        "claimed",
        task=pick.task,
        role=pick.role,
        attempt=wanted.attempt,
        coder=pick.coder,
        model=pick.model,
    )
    order = Order(board=result.board, entry=mine, pick=pick, claim=wanted, claimed=time.monotonic())
    return order, begin
