"""Claim tasks: choose where each starts, remember its nonce first, claim several in one commit."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from gitfleet import failpoints
from gitfleet.attempt.context import ClaimedTask, Project, task_branch
from gitfleet.attempt.start_point import StartPoint, start_point_of
from gitfleet.board.backend import TxnStatus
from gitfleet.board.clone_state import PendingClaim
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Decide
from gitfleet.model.claim import Claim
from gitfleet.model.states import Role
from gitfleet.plan import scheduler as picking
from gitfleet.plan.scheduler import Assignment
from gitfleet.plan.status import status_of
from gitfleet.plan.task_history import submission_of
from gitfleet.plan.transitions import on_claim


def late_claim(project: Project, board: Board, task: str) -> tuple[ClaimedTask, StartPoint] | None:
    """The claimed task for a claim of ours that appeared after its push was given up."""
    claimed = claimed_task_of(project, board, task)
    return (
        (claimed, start_point_of(project, board, claimed.entry, claimed.assignment))
        if claimed
        else None
    )


def claimed_task_of(project: Project, board: Board, task: str) -> ClaimedTask | None:
    """The claimed task for a claim on the board; None if there is none."""
    entry = board.get(task)
    if entry is None or entry.claim is None:
        return None
    claim = entry.claim
    target = picking.target_of(board, entry, project.default_target)
    assignment = Assignment(
        task=task, role=claim.role, coder=claim.coder, model=claim.model, target=target
    )
    return ClaimedTask(
        board=board, entry=entry, assignment=assignment, claim=claim, claimed_at=time.monotonic()
    )


class _ClaimRequest(NamedTuple):
    """A claim that is about to be sent."""

    assignment: Assignment
    claim: Claim
    start_point: StartPoint
    decide: Decide


def claim_all(
    project: Project,
    board: Board,
    picks: Sequence[Assignment],
    sending: Callable[[str], None] = lambda _nonce: None,
) -> list[tuple[ClaimedTask, StartPoint]]:
    """Claim the chosen tasks, in as few commits as possible; return those that we got.

    `sending` is called with each nonce right before it is sent. A task that cannot start (its
    target does not exist) is logged, and does not stop the others.
    """
    wanted = [
        one for assignment in picks if (one := _prepared(project, board, assignment)) is not None
    ]
    if not wanted:
        return []
    failpoints.point("nonce-remembered")
    for one in wanted:
        sending(one.claim.nonce)
    try:
        results = project.store.transact_all([one.decide for one in wanted])
    except FleetError as error:
        # They may have been sent: their nonces stay recorded until that is known.
        for one in wanted:
            _cannot_start(project, one.assignment, error)
        return []
    taken = []
    for one, result in zip(wanted, results, strict=True):
        if result.status is TxnStatus.UNKNOWN:
            continue  # it may still appear: then the runner works on the claim
        if not result.won:
            project.clone.drop_pending(one.claim.nonce)
            continue
        failpoints.point("claimed")
        taken.append((_taken(project, one, result.board), one.start_point))
    return taken


def _cannot_start(project: Project, assignment: Assignment, error: FleetError) -> None:
    project.report.once(
        f"begin {assignment.task}",
        Action.CANNOT_START,
        task=assignment.task,
        reason=error.what,
        remedy=error.remedy,
    )


def _prepared(project: Project, board: Board, assignment: Assignment) -> _ClaimRequest | None:
    """The claim on a chosen task, with its nonce recorded; None if the task is taken by now."""
    entry = board.get(assignment.task)
    if entry is None:
        return None
    try:
        start_point = _begin(project, board, entry, assignment)
    except FleetError as error:
        _cannot_start(project, assignment, error)
        return None
    submitted = submission_of(entry)
    wanted = Claim(
        runner=project.runner,
        nonce=secrets.token_hex(16),
        role=assignment.role,
        attempt=entry.next_attempt,
        coder=assignment.coder,
        model=assignment.model,
        task_blob=entry.blob,
        base=start_point.base,
        head=submitted.attempt.head
        if assignment.role is Role.VALIDATE and submitted and submitted.attempt
        else None,
        branch=task_branch(assignment.task),
        at=project.store.now(),
    )
    held = PendingClaim(
        nonce=wanted.nonce, task=assignment.task, role=assignment.role, attempt=wanted.attempt
    )
    project.clone.note_pending(held)
    return _ClaimRequest(
        assignment, wanted, start_point, _decision(project, board, assignment, wanted)
    )


def _begin(project: Project, board: Board, entry: Entry, assignment: Assignment) -> StartPoint:
    start_point = start_point_of(project, board, entry, assignment)
    submitted = submission_of(entry)
    head = submitted.attempt.head if submitted and submitted.attempt else None
    if head is not None and not project.store.backend.fetch_commit(
        head, task_branch(assignment.task)
    ):
        raise FleetError(
            f"the work on {assignment.task} ({head[:10]}) is not on any branch that can be fetched",
            remedy=f"`gitfleet retry {assignment.task}` starts it from scratch.",
        )
    return start_point


def _decision(project: Project, board: Board, assignment: Assignment, wanted: Claim) -> Decide:
    due = status_of(board, assignment.task, project.store.now()).red is not None
    # Two changes in one commit are checked independently, so each states its conflicts.
    locks = frozenset({f"validate {assignment.target}"} if assignment.role is Role.VALIDATE else ())

    def decide(now_board: Board, now: datetime) -> Change | None:
        if picking.collides(now_board, assignment, project.default_target):
            return None
        return on_claim.claim(
            now_board, now, task=assignment.task, claim=wanted, due=due, locks=locks
        )

    return decide


def _taken(project: Project, one: _ClaimRequest, board: Board) -> ClaimedTask:
    assignment, mine = one.assignment, board.get(one.assignment.task)
    assert mine is not None
    project.report.action(
        Action.CLAIMED,
        task=assignment.task,
        role=assignment.role,
        attempt=one.claim.attempt,
        coder=assignment.coder,
        model=assignment.model,
    )
    return ClaimedTask(
        board=board, entry=mine, assignment=assignment, claim=one.claim, claimed_at=time.monotonic()
    )
