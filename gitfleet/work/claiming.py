"""Take tasks: where each begins, nonces that are remembered first, few commits."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from gitfleet import faults
from gitfleet.clone import Held
from gitfleet.errors import FleetError
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Decide
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
    order = order_of(fleet, board, task)
    return (order, beginning_of(fleet, board, order.entry, order.pick)) if order else None


def order_of(fleet: Fleet, board: Board, task: str) -> Order | None:
    """The order for a claim that stands on the board; None if there is none."""
    entry = board.get(task)
    if entry is None or entry.claim is None:
        return None
    claim = entry.claim
    target = picking.target_of(board, entry, fleet.default_target)
    pick = Pick(task=task, role=claim.role, coder=claim.coder, model=claim.model, target=target)
    return Order(board=board, entry=entry, pick=pick, claim=claim, claimed=time.monotonic())


class _Wanted(NamedTuple):
    """A claim that is about to be sent."""

    pick: Pick
    claim: Claim
    begin: Beginning
    decide: Decide


def claim_all(
    fleet: Fleet,
    board: Board,
    picks: Sequence[Pick],
    sending: Callable[[str], None] = lambda _nonce: None,
) -> list[tuple[Order, Beginning]]:
    """Claim what was picked, in as few commits as can be; those that we got.

    `sending` is told each nonce right before it is sent. What cannot begin (its target does not
    exist) is told, and keeps nothing else from it.
    """
    wanted = [one for pick in picks if (one := _prepared(fleet, board, pick)) is not None]
    if not wanted:
        return []
    faults.point("nonce-remembered")
    for one in wanted:
        sending(one.claim.nonce)
    try:
        results = fleet.store.transact_all([one.decide for one in wanted])
    except FleetError as error:
        # They may have been sent: their nonces stay remembered until that is known.
        for one in wanted:
            _cannot_begin(fleet, one.pick, error)
        return []
    taken = []
    for one, result in zip(wanted, results, strict=True):
        if result.answer is Answer.UNKNOWN:
            continue  # it may turn up yet: then the claim is worked on
        if not result.won:
            fleet.clone.forget(one.claim.nonce)
            continue
        faults.point("claimed")
        taken.append((_order(fleet, one, result.board), one.begin))
    return taken


def _cannot_begin(fleet: Fleet, pick: Pick, error: FleetError) -> None:
    fleet.report.once(
        f"begin {pick.task}", "cannot-begin", task=pick.task, reason=error.what, remedy=error.remedy
    )


def _prepared(fleet: Fleet, board: Board, pick: Pick) -> _Wanted | None:
    """The claim on a picked task, its nonce remembered; None if it is not to be had any more."""
    entry = board.get(pick.task)
    if entry is None:
        return None
    try:
        begin = _begin(fleet, board, entry, pick)
    except FleetError as error:
        _cannot_begin(fleet, pick, error)
        return None
    submitted = submission_of(entry)
    wanted = Claim(
        runner=fleet.runner,
        nonce=secrets.token_hex(16),
        role=pick.role,
        attempt=entry.next_attempt,
        coder=pick.coder,
        model=pick.model,
        task_blob=entry.blob,
        base=begin.base,
        head=submitted.attempt.head
        if pick.role is Role.VALIDATE and submitted and submitted.attempt
        else None,
        branch=task_branch(pick.task),
        at=fleet.store.now(),
    )
    held = Held(nonce=wanted.nonce, task=pick.task, role=pick.role, attempt=wanted.attempt)
    fleet.clone.remember(held)
    return _Wanted(pick, wanted, begin, _decision(fleet, board, pick, wanted))


def _begin(fleet: Fleet, board: Board, entry: Entry, pick: Pick) -> Beginning:
    begin = beginning_of(fleet, board, entry, pick)
    submitted = submission_of(entry)
    head = submitted.attempt.head if submitted and submitted.attempt else None
    if head is not None and not fleet.store.swap.ensure(head, task_branch(pick.task)):
        raise FleetError(
            f"the work on {pick.task} ({head[:10]}) is on no branch that can be fetched",
            remedy=f"`gitfleet retry {pick.task}` starts it afresh.",
        )
    return begin


def _decision(fleet: Fleet, board: Board, pick: Pick, wanted: Claim) -> Decide:
    due = standing(board, pick.task, fleet.store.now()).red is not None
    # Two changes of one commit are each judged without the other: what excludes must be said.
    locks = frozenset({f"validate {pick.target}"} if pick.role is Role.VALIDATE else ())

    def decide(now_board: Board, now: datetime) -> Change | None:
        if picking.collides(now_board, pick, fleet.default_target):
            return None
        return settle.claim(now_board, now, task=pick.task, claim=wanted, due=due, locks=locks)

    return decide


def _order(fleet: Fleet, one: _Wanted, board: Board) -> Order:
    pick, mine = one.pick, board.get(one.pick.task)
    assert mine is not None
    fleet.report.action(
        "claimed",
        task=pick.task,
        role=pick.role,
        attempt=one.claim.attempt,
        coder=pick.coder,
        model=pick.model,
    )
    return Order(board=board, entry=mine, pick=pick, claim=one.claim, claimed=time.monotonic())
