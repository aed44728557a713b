"""The running attempts of this runner: their threads, and how to stop them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gitfleet.attempt import mailbox
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.context import AttemptContext, CancelToken, ClaimedTask, LiveStatus, Project
from gitfleet.attempt.start_point import StartPoint
from gitfleet.event_log import Action
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.board import Board
from gitfleet.model.states import Outcome
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.outcome import StopOutcome
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.runner.attempt_thread import run_attempt


@dataclass
class _RunningAttempt:
    """An attempt of this runner, with its thread and its context."""

    claimed: ClaimedTask
    control: CancelToken
    live: LiveStatus
    thread: threading.Thread


class RunningAttempts:
    """Starts attempts and joins them. Only the loop's thread changes it; any thread may read."""

    def __init__(
        self, project: Project, blocked: BlockedLandings, wake: Callable[[], None]
    ) -> None:
        """`wake` is called from an attempt's thread when the attempt has ended."""
        self._fleet, self._blocked, self._wake = project, blocked, wake
        self._attempts: dict[str, _RunningAttempt] = {}
        self.started: set[str] = set()  # nonces of all attempts that ever started in this process

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def nonces(self) -> frozenset[str]:
        """The nonces of their claims."""
        return frozenset(self._attempts)

    @property
    def tasks(self) -> frozenset[str]:
        """The ids of their tasks."""
        return frozenset(attempt.claimed.task for attempt in self._attempts.values())

    def lives(self) -> dict[str, LiveStatus]:
        """The live status of each, by the nonce of its claim."""
        return {nonce: attempt.live for nonce, attempt in list(self._attempts.items())}

    # -- start

    def start(self, claimed: ClaimedTask, begin: StartPoint | Checkpoint) -> None:
        """Start the thread of an attempt. RuntimeError if the system has no more threads.

        The claim is then settled like a dead attempt's.
        """
        task, claim = claimed.task, claimed.claim
        control = CancelToken()
        live = LiveStatus(task, claim.role, claimed.assignment.coder or "checks", claim.attempt)
        run_dir = self._fleet.clone.run_dir(task, claim.attempt, claim.nonce)
        run_dir.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        ctx = AttemptContext(self._fleet, claimed, control, live, run_dir)
        thread = threading.Thread(target=self._run, args=(ctx, begin), name=task, daemon=True)
        self.started.add(claim.nonce)
        self._attempts[claim.nonce] = _RunningAttempt(claimed, control, live, thread)
        try:
            thread.start()
        except RuntimeError:
            del self._attempts[claim.nonce]
            control.wake.close()
            raise

    def _run(self, ctx: AttemptContext, begin: StartPoint | Checkpoint) -> None:
        try:
            run_attempt(ctx, begin, self._blocked)
        finally:
            self._wake()

    def resume(self, claimed: ClaimedTask, known: Checkpoint) -> None:
        """Resume an attempt whose coder survived the death of its runner."""
        claim = claimed.claim
        self._fleet.report.action(
            Action.RESUMED, task=claimed.task, role=claim.role, attempt=claim.attempt
        )
        self.start(claimed, known)
        since = (self._fleet.store.now() - claim.at).total_seconds()
        self._attempts[claim.nonce].live.began -= max(0.0, since)

    # -- end

    def join_finished(self) -> bool:
        """Forget the attempts whose thread has ended. Returns whether there was one."""
        finished = [n for n, attempt in self._attempts.items() if not attempt.thread.is_alive()]
        for nonce in finished:
            attempt = self._attempts[nonce]
            attempt.thread.join()
            attempt.control.wake.close()
            del self._attempts[nonce]
        return bool(finished)

    def stop_all(self, outcome: StopOutcome, reason: str) -> None:
        """Tell all of them to end."""
        for attempt in self._attempts.values():
            attempt.control.stop(outcome, reason)

    def end_superseded(self, board: Board) -> None:
        """End attempts whose claim is gone, or whose task was cancelled."""
        for nonce, attempt in self._attempts.items():
            entry = board.get(attempt.claimed.task)
            if entry is None or entry.claim is None or entry.claim.nonce != nonce:
                if attempt.thread.is_alive():
                    attempt.control.stop(Outcome.CANCELLED, "its claim is gone from the board")
            elif cancelled(entry):
                attempt.control.stop(Outcome.CANCELLED, "the task was cancelled")
            elif done(entry):
                attempt.control.stop(Outcome.CANCELLED, "the task was closed by hand")

    def end_expired(self, heart: HeartbeatThread | None) -> None:
        """On a shared board: end attempts whose claims others may have taken by now."""
        if heart is None:
            return
        for nonce, attempt in self._attempts.items():
            if heart.expired(nonce) and attempt.control.stopped is None:
                reason = f"{heart.remote.name} did not answer for a whole lease"
                self._fleet.report.action(
                    Action.LEASE_EXPIRED, task=attempt.claimed.task, reason=reason
                )
                attempt.control.stop(Outcome.INTERRUPTED, reason)

    # -- messages

    def deliver_answers(self, board: Board) -> None:
        """Deliver answers to the attempts that may still wait for them."""
        for nonce, attempt in self._attempts.items():
            claimed = attempt.claimed
            run_dir = self._fleet.clone.run_dir(claimed.task, claimed.claim.attempt, nonce)
            mailbox.deliver(self._fleet, board, claimed.task, run_dir)
