"""What every attempt ends with: its event on the board, its claim gone, its nonce forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt.context import Fleet, Underway, task_branch
from gitfleet.attempt.workspace import discard
from gitfleet.board.backend import Answer
from gitfleet.board.store import Result
from gitfleet.git import refs
from gitfleet.git.remote import Refused, Unreachable
from gitfleet.model.change import Decide, Move
from gitfleet.model.event import Attempt, Check
from gitfleet.model.states import Outcome, Role
from gitfleet.plan import settle
from gitfleet.plan.settle import Addition


def attempt_of(way: Underway, *, outcome: Outcome, reason: str, **facts: Any) -> Attempt:
    """The event's content: what is known from the claim, and the facts given."""
    claim = way.order.claim
    reason = way.fleet.mask.text(reason)
    facts = {key: _masked(way, fact) for key, fact in facts.items()}
    return Attempt(
        **{
            "runner": claim.runner,
            "nonce": claim.nonce,
            "attempt": claim.attempt,
            "outcome": outcome,
            "reason": reason,
            "started": claim.at,
            "ended": way.fleet.store.now(),
            "coder": claim.coder,
            "model": claim.model,
            "task_blob": claim.task_blob,
            "base": claim.base,
            "head": claim.head,
            "branch": claim.branch,
            **facts,
        }
    )


def _masked(way: Underway, fact: Any) -> Any:
    """A fact without secrets; checks hold text of others, too."""
    if isinstance(fact, tuple):
        return tuple(_masked(way, item) for item in fact)
    if isinstance(fact, Check):
        text = way.fleet.mask.text
        return replace(fact, command=text(fact.command), tail=text(fact.tail))
    return way.fleet.mask.text(fact) if isinstance(fact, str) else fact


def write(way: Underway, attempt: Attempt, additions: Sequence[Addition] = ()) -> bool:
    """End the attempt with this event. False if its claim is gone: then nothing of it counts."""
    role = way.order.claim.role
    work = role is Role.WORK and attempt.head is not None
    branch = f"refs/heads/{task_branch(way.task)}"
    return finish(
        way,
        attempt,
        lambda board, now: settle.settle(
            board,
            task=way.task,
            attempt=attempt,
            role=role,
            additions=additions,
            publish=(Move(branch, None, attempt.head),) if work else (),
        ),
    ).won


def finish(way: Underway, attempt: Attempt, decide: Decide) -> Result:
    """Make the change that ends the attempt, and tell what became of it."""
    result = patiently(way, decide)
    if result is None:
        return Result(answer=Answer.UNKNOWN, board=way.fleet.store.board(), why="unreachable")
    if result.won or settle.settled(result.board, way.task, attempt):
        failpoints.point("work-settled")
        way.fleet.clone.forget(way.nonce)
        tell(way, attempt)
        return replace(result, answer=Answer.WON)
    if not result.why and settle.holds(result.board, way.task, way.nonce) is None:
        way.fleet.clone.forget(way.nonce)
        way.fleet.report.action(
            "fenced", task=way.task, role=way.order.claim.role, outcome=attempt.outcome
        )
    return result


def patiently(way: Underway, decide: Decide) -> Result | None:
    """Transact until the answer is known, however long the remote is away; None if the runner is
    to end before that: then its next start settles the claim, which is still remembered."""
    pause = 0.5
    while True:
        try:
            result = way.fleet.store.transact(decide)
            if result.answer is not Answer.UNKNOWN:
                return result
        except (Unreachable, Refused) as error:
            way.fleet.report.once(
                f"offline {way.nonce}", "waits-for-remote", task=way.task, reason=error.what
            )
        if way.fleet.giving_up.wait(pause):
            return None
        pause = min(30.0, pause * 2)


def tell(way: Underway, attempt: Attempt) -> None:
    """Say how the attempt ended."""
    way.fleet.report.action(
        "ended",
        task=way.task,
        role=way.order.claim.role,
        attempt=attempt.attempt,
        outcome=attempt.outcome,
        reason=attempt.reason,
        coder=attempt.coder,
    )


def with_head(fleet: Fleet, task: str, attempt: Attempt) -> Attempt:
    """The event with the tip of the task's branch, so that the next attempt finds the work."""
    head = refs.read(fleet.repo, f"refs/heads/{task_branch(task)}")
    return replace(attempt, head=head) if head else attempt


def drop_workspaces(fleet: Fleet, task: str) -> None:
    """Remove the workspaces of a task that landed and of those it repairs; all is saved first."""
    board = fleet.store.board()
    entry = board.get(task)
    for done in [task, *(above.id for above in settle.chain(board, entry))] if entry else []:
        path = fleet.clone.workspace(done)
        if path.exists():
            with fleet.worktrees:
                discard(fleet, done, path)


def clear_away(way: Underway, path: Path) -> None:
    """Remove a workspace that nobody will go on in, saving what is in it."""
    with way.fleet.worktrees:
        discard(way.fleet, way.task, path)
