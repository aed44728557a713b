"""One attempt from its claim to its end, whatever happens on the way."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.git import worktree
from gitfleet.git.objects import trailers
from gitfleet.model.change import Move
from gitfleet.model.claim import Claim
from gitfleet.model.event import Landed
from gitfleet.model.states import Outcome, Role
from gitfleet.plan import settle
from gitfleet.process.end import end
from gitfleet.process.look import marked
from gitfleet.process.start import load
from gitfleet.shared import Shared
from gitfleet.swap import Answer
from gitfleet.work import endings, hearing, record
from gitfleet.work.beginning import Beginning
from gitfleet.work.coding import GRACE
from gitfleet.work.fleet import Fleet, Underway, task_branch
from gitfleet.work.implement import go_on, implement
from gitfleet.work.record import Record
from gitfleet.work.sweep import drop_scratch
from gitfleet.work.validate import validate

_STARTING: Final = 10.0  # seconds
_LOOK_AGAIN: Final = 0.05
_FAR = 10_000  # commits of the target looked at for a landing that was cut short


def perform(way: Underway, begin: Beginning | Record) -> None:
    """Do the attempt, or with a Record go on with it: its coder was started by another life of
    this runner. Never raises: an error of ours ends it as `interrupted`, and is told."""
    way.run_dir.joinpath("outbox").mkdir(parents=True, exist_ok=True)
    hearing.inbox_of(way.run_dir).mkdir(exist_ok=True)
    hearing.deliver(way.fleet, way.order.board, way.task, way.run_dir)
    try:
        match way.order.claim.role, begin:
            case Role.VALIDATE, Record():
                validate(way, begin)
            case Role.VALIDATE, _:
                validate(way)
            case _, Record():
                go_on(way, begin)
            case _, Beginning():
                implement(way, begin)
    except FleetError as error:
        _give_up(way, error.what)
    except Exception as error:
        (way.run_dir / "error.txt").write_text(traceback.format_exc())
        _give_up(way, f"gitfleet failed: {type(error).__name__}: {error}")


def _give_up(way: Underway, reason: str) -> None:
    way.fleet.report.action("error", task=way.task, reason=reason)
    stopped = way.control.stopped
    outcome = stopped.outcome if stopped else Outcome.INTERRUPTED
    endings.write(way, endings.attempt_of(way, outcome=outcome, reason=reason))


# -- after a crash


class Begun(Struct, frozen=True):
    """An attempt of a runner that died, whose coder was started: it may be gone on with."""

    task: str
    record: Record


def begun(fleet: Fleet) -> dict[str, Begun]:
    """The attempts of this clone whose coders were started and whose claims still stand, by nonce:
    they go on, or tell how they ended meanwhile."""
    board, found = fleet.store.board(), {}
    for nonce, held in fleet.clone.held().items():
        run_dir = fleet.clone.run_dir(held.task, held.attempt, nonce)
        if settle.holds(board, held.task, nonce) and (known := _begun(run_dir, nonce)) is not None:
            found[nonce] = Begun(held.task, known)
    return found


def _begun(run_dir: Path, nonce: str) -> Record | None:
    known = record.kept(run_dir)
    if known is None:
        return None
    deadline = time.monotonic() + _STARTING
    while load(run_dir) is None:
        # The runner died while a supervisor was starting: it says so any moment.
        if time.monotonic() >= deadline or not marked(nonce):
            return None
        time.sleep(_LOOK_AGAIN)
    return known


def settle_dead(fleet: Fleet, spared: Collection[str] = ()) -> None:
    """End what a runner of this clone left behind when it died: only claims that are ours, and
    none whose nonce is in `spared`."""
    board = fleet.store.board()
    claims = {
        entry.claim.nonce: (entry.id, entry.claim)
        for entry in board.entries.values()
        if entry.claim is not None
    }
    for nonce, held in fleet.clone.held().items():
        if nonce in spared:
            continue
        child = load(fleet.clone.run_dir(held.task, held.attempt, nonce))
        # By pid and start time, and by the marker that every process of the attempt carries.
        end(child[0] if child else None, nonce, grace=GRACE)
        drop_scratch(nonce)
        if nonce in claims:
            task, claim = claims[nonce]
            if not _settle_one(fleet, task, claim):
                continue
        elif isinstance(fleet.store.swap, Shared):
            continue  # its push may arrive yet: the loop knows when it is too late for that
        fleet.clone.forget(nonce)


def settle_orphan(fleet: Fleet, task: str, nonce: str) -> None:
    """End a claim of this runner's that no attempt of it works on.

    Its thread has died, or the board was rewound to where the claim still stood. Raises FleetError
    while the board cannot be written: then it is tried again.
    """
    entry = fleet.store.board().get(task)
    if entry is None or entry.claim is None or entry.claim.nonce != nonce:
        return
    end(None, nonce, grace=GRACE)
    drop_scratch(nonce)
    if _settle_one(fleet, task, entry.claim):
        fleet.clone.forget(nonce)


def _settle_one(fleet: Fleet, task: str, claim: Claim) -> bool:
    """Write the end of a claim that nothing works on. False if nobody knows whether it arrived."""
    if claim.role is Role.VALIDATE and (commit := _landed_commit(fleet, task, claim)):
        return _complete(fleet, task, claim, commit)
    died = settle.interrupted(
        claim, fleet.store.now(), Outcome.INTERRUPTED, "its runner died", fleet.runner
    )
    run_dir = fleet.clone.run_dir(task, claim.attempt, claim.nonce)
    attempt = hearing.of_dead(fleet, task, claim, run_dir, died)
    if attempt is None:
        return False
    if claim.role is Role.WORK:
        attempt = endings.with_head(fleet, task, attempt)
    # The work of other machines goes on at that head: it must be there for them.
    branch = f"refs/heads/{task_branch(task)}"
    work = claim.role is Role.WORK and attempt.head is not None
    publish = (Move(branch, None, attempt.head),) if work else ()
    result = fleet.store.transact(
        lambda board, now: settle.settle(
            board, task=task, attempt=attempt, role=claim.role, publish=publish
        )
    )
    if result.answer is Answer.UNKNOWN:
        return False
    fleet.report.action("recovered", task=task, role=claim.role, outcome=attempt.outcome)
    if claim.role is Role.VALIDATE:
        worktree.remove(fleet.repo, fleet.clone.check_workspace(task))
    return True


def _landed_commit(fleet: Fleet, task: str, claim: Claim) -> str | None:
    """The merge of this very claim in the target, if the runner died between the two refs.

    Believed only if it is on the first-parent line, carries the claim's nonce, and its second
    parent is the submitted head.
    """
    entry = fleet.store.board().get(task)
    if entry is None or entry.task is None:
        return None
    at = fleet.tip_of(_target(fleet, task))
    for _ in range(_FAR):
        if at is None or at == claim.base:
            return None
        commit = fleet.objects.commit(at)
        if trailers(commit.message).get("Gitfleet-Nonce") == claim.nonce:
            return at if commit.parents[1:] == (claim.head,) else None
        at = commit.parents[0] if commit.parents else None
    return None


def _target(fleet: Fleet, task: str) -> str:
    board = fleet.store.board()
    entry = board.get(task)
    own = entry.task.base if entry and entry.task else None
    return own or board.settings.target or fleet.default_target


def _complete(fleet: Fleet, task: str, claim: Claim, commit: str) -> bool:
    attempt = settle.interrupted(
        claim,
        fleet.store.now(),
        Outcome.ACCEPTED,
        "landed; its runner died just then",
        fleet.runner,
    )
    landed = Landed(
        runner=fleet.runner,
        nonce=claim.nonce,
        at=fleet.store.now(),
        target=_target(fleet, task),
        merge=commit,
        head=claim.head,
    )
    result = fleet.store.transact(
        lambda board, now: settle.land(
            board, now, task=task, attempt=attempt, landed=landed, move=None, forced=True
        )
    )
    if result.answer is Answer.UNKNOWN:
        return False
    fleet.report.action("recovered", task=task, role=claim.role, outcome="landed")
    worktree.remove(fleet.repo, fleet.clone.check_workspace(task))
    endings.drop_workspaces(fleet, task)
    return True
