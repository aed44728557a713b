"""Settle claims without a running attempt: this runner's own, and those that other runners lost."""

from __future__ import annotations

from collections.abc import Iterable

from gitfleet.attempt.claim_tasks import late_claim
from gitfleet.attempt.context import Project
from gitfleet.event_log import Action
from gitfleet.model.board import Board
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome
from gitfleet.plan.claim_state import ClaimsKnown, ClaimState, claim_state
from gitfleet.plan.transitions import on_end
from gitfleet.presence.heartbeat_thread import HeartbeatThread, claims_of
from gitfleet.runner.attempt_thread import end_orphan_claim
from gitfleet.runner.running_attempts import RunningAttempts


class ClaimSettlement:
    """Keeps claims from getting stuck. Call it in the thread that claims."""

    def __init__(
        self, project: Project, attempts: RunningAttempts, heartbeat: HeartbeatThread | None
    ) -> None:
        self._fleet, self._attempts, self._heartbeat = project, attempts, heartbeat
        self._former: frozenset[str] = frozenset()

    def remember_former(self) -> None:
        """Record the nonces that were sent before this process started."""
        self._former = frozenset(self._fleet.clone.pending_claims())

    def settle_own(self, board: Board, *, draining: bool) -> None:
        """Make sure that every claim of ours has an attempt or is being ended."""
        known = ClaimsKnown(
            running=self._attempts.nonces,
            pending=self._fleet.clone.pending_claims().keys(),
            started=self._attempts.started,
            former=self._former,
            busy=self._attempts.tasks,
            draining=draining,
        )
        for nonce, task in claims_of(board, self._fleet.runner).items():
            match claim_state(known, nonce=nonce, task=task):
                case ClaimState.RUNNING | ClaimState.POSTPONED:
                    pass
                case ClaimState.LATE:
                    self._start_late(board, task)
                case ClaimState.DEAD | ClaimState.FORGOTTEN:
                    end_orphan_claim(self._fleet, task, nonce)

    def _start_late(self, board: Board, task: str) -> None:
        late = late_claim(self._fleet, board, task)
        if late is not None:
            self._fleet.report.action(Action.LATE_CLAIM, task=task)
            self._attempts.start(*late)

    def settle_lost(self, board: Board) -> None:
        """On a shared board: take over claims that their runner lost; forget dead nonces."""
        if self._heartbeat is None:
            return
        self._forget(self._heartbeat, self._heartbeat.too_late())
        for entry in board.entries.values():
            if entry.claim is not None and entry.claim.nonce in self._heartbeat.lost:
                self._take_over(entry.id, entry.claim)

    def _forget(self, heartbeat: HeartbeatThread, nonces: Iterable[str]) -> None:
        for nonce in nonces:
            heartbeat.own.forgotten(nonce)
            self._fleet.clone.drop_pending(nonce)

    def _take_over(self, task: str, claim: Claim) -> None:
        reason = f"{claim.runner} was not seen for a whole lease"
        attempt = Attempt.of(claim, Outcome.LOST, reason, self._fleet.store.now())
        result = self._fleet.store.transact(
            lambda board, now: on_end.end_attempt(
                board, task=task, attempt=attempt, role=claim.role
            )
        )
        if result.won:
            self._fleet.report.action(Action.TAKEN_OVER, task=task, runner=claim.runner)
