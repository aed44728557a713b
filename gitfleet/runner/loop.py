"""The daemon's loop: see the board, decide, act; woken by refs, processes, signals and timers."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from gitfleet.attempt.claim_tasks import claim_all
from gitfleet.attempt.cleanup import sweep
from gitfleet.attempt.context import LiveStatus, Project
from gitfleet.audit import repair
from gitfleet.background_service import (
    FailedRound,
    HealthRecord,
    ServiceHealth,
    failure_of,
    write_trace,
)
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.git import follow_branch
from gitfleet.git.remote import RemoteRejected, Unreachable
from gitfleet.intake import inbox_branches
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.board import Board
from gitfleet.model.states import Outcome, Role
from gitfleet.plan import upgrade
from gitfleet.plan.scheduler import Assignment, Skipped
from gitfleet.process.orphans import reap_orphans
from gitfleet.process.wakeup import Wakeup
from gitfleet.questions.question_branch import AskBranches
from gitfleet.runner.alerts import Alerts
from gitfleet.runner.attempt_thread import end_dead_attempts, survivors
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.claim_settlement import ClaimSettlement
from gitfleet.runner.duties import Duties, WindowCatchUp, follow_up
from gitfleet.runner.idle import IDLE_DONE, Idle
from gitfleet.runner.maintenance import Maintenance
from gitfleet.runner.options import Options
from gitfleet.runner.running_attempts import RunningAttempts
from gitfleet.runner.services import RunnerServices
from gitfleet.runner.watch import watching

_AFTER_ERROR: Final = 5.0
_WINDOW_AGAIN: Final = 2.0
_CHOOSE_AGAIN: Final = 20  # consecutive rounds in which others may be faster


class Runner:
    """One runner of one clone. `run` returns the exit status."""

    def __init__(self, project: Project, options: Options) -> None:
        self.fleet = project
        self.options = options
        self.wake = Wakeup()
        blocked = BlockedLandings(project)
        self.attempts = RunningAttempts(project, blocked, self.wake.set)
        self.services = RunnerServices(
            project, options.slots, self.attempts.lives, self.wake.set, self._health
        )
        self.heartbeat = self.services.heartbeat
        self.claims = ClaimSettlement(project, self.attempts, self.heartbeat)
        self.maintenance = Maintenance(project, first=self.services.is_leader)
        self.windows = WindowCatchUp(project)
        self.duties = Duties(project, self._duties())
        self.capacity = LocalCapacity(project, options, blocked)
        self.alerts = Alerts(project)
        self.idle = Idle(project, options, self.capacity, self.heartbeat)
        self.draining = False
        self.ending = False
        self._signals = 0
        self._leaving = False
        self._rounds = HealthRecord("loop", project.report)

    def _duties(self) -> dict[str, Callable[[], object]]:
        """The jobs besides the work, in this order."""
        project, asks = self.fleet, AskBranches(self.fleet, first=self.services.is_leader)
        repairer = project.store.repairer = repair.Repairer(project)

        def questions() -> None:
            if self.heartbeat is None or not self.heartbeat.offline:
                asks.keep()

        def read_inbox() -> None:
            found = self.heartbeat.inbox() if self.heartbeat is not None else {}
            inbox_branches.read_inbox(project, found)

        return {
            "window": self.windows.keep,
            "repair": repairer.remember,
            "questions": questions,
            "inbox": read_inbox,
            "follow-up": lambda: follow_up(project),
            "upkeep": self.maintenance.round,
            "orphans": reap_orphans,  # of attempts: this process is their subreaper
        }

    # -- calls from outside

    def signalled(self) -> None:
        """First: claim nothing more. Second: end running attempts. Called from a signal handler."""
        self._signals += 1
        self.wake.set()

    def told_to_leave(self) -> None:
        """End at once; leave attempts to their supervisors. Called from a signal handler."""
        self._leaving = True
        self.wake.set()

    @property
    def lives(self) -> list[LiveStatus]:
        """The live status of every attempt."""
        return list(self.attempts.lives().values())

    def _health(self) -> list[ServiceHealth]:
        """The health of the loop and its duties."""
        return [self._rounds.health, *self.duties.health()]

    # -- the loop

    def run(self) -> int:
        """Work until stopped or, if so asked, until no work is left."""
        leases = self.services.leases_kept()
        with self.fleet.clone.only_runner(), self._watcher(), leases:
            if not self._begun():
                return IDLE_DONE
            with self.services.running():
                while True:
                    pause = self._guarded()
                    if self._leaving:
                        self._leave()
                        return IDLE_DONE
                    if pause is None:
                        with contextlib.suppress(FleetError):  # then the next runner writes it
                            self.maintenance.draw()
                        return self.idle.exit_status()
                    self._wait(pause)

    def _leave(self) -> None:
        """Leave without a goodbye heartbeat: our claims stay ours until the lease runs out."""
        self.fleet.report.action(Action.LEAVING, attempts=len(self.attempts))
        if self.heartbeat is not None:
            self.heartbeat.leave()

    def _begun(self) -> bool:
        """Start, and wait for a board whose remote cannot be reached. False: stopped meanwhile."""
        while not (self._signals or self._leaving):
            try:
                self._begin()
            except (RemoteRejected, Unreachable) as error:
                self.fleet.report.once(
                    "offline",
                    Action.OFFLINE,
                    reason=error.what,
                    remedy="the board is on the remote; the runner waits for it",
                )
                self._wait(_AFTER_ERROR)
            else:
                return True
        return False

    @contextlib.contextmanager
    def _watcher(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(watching(self.fleet.repo.common, self.wake.set))
            except FleetError as error:
                self.fleet.report.action(
                    Action.WATCH_FAILED, reason=error.what, remedy=error.remedy
                )
            yield

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self.wake.fileno(), select.POLLIN)
        poll.poll(max(0, seconds) * 1000)
        self.wake.clear()

    def _begin(self) -> None:
        commit = self.fleet.store.backend.refresh()  # raises Unreachable: the board is remote
        upgrade.refuse_old(self.fleet.store.board_at(commit))
        for path, refusal in follow_branch.recover(self.fleet.repo):
            self.fleet.report.action(Action.CHECKOUT_BEHIND, path=path, reason=refusal.reason)
        # Our claims first: other runners' can wait, and the leases of ours run out.
        for claimed, known in survivors(self.fleet, self.attempts.nonces):
            self.attempts.resume(claimed, known)
        end_dead_attempts(self.fleet, self.attempts.nonces)
        self.claims.remember_former()
        sweep(self.fleet, self.attempts.tasks)
        board = self.fleet.store.board()
        self.fleet.report.action(
            Action.RUNNING,
            runner=self.fleet.runner,
            board=self.fleet.store.branch,
            target=board.settings.target or self.fleet.default_target,
            **self.options.fields(),
        )

    def _guarded(self) -> float | None:
        """One round; a transient error is logged once and retried."""
        try:
            pause = self._round()
        except Exception as error:
            fields = failure_of(error).fields
            if not isinstance(error, FleetError):
                fields = {**fields, "trace": write_trace(self.fleet.clone.folder, "loop")}
            self._rounds.failed(FailedRound(Action.ERROR, fields))
        else:
            self._rounds.succeeded()
            return pause
        return None if self.draining and not self.attempts else _AFTER_ERROR

    def _round(self) -> float | None:
        """Read the board, decide, act. Seconds to the next round at the latest; None: finished."""
        if self.heartbeat is not None:
            self.heartbeat.turned()
        if self.attempts.join_finished():
            self.services.attempt_ended()
        self._handle_signals()
        self.attempts.end_expired(self.heartbeat)
        self.duties.run()
        self.services.board_moved()
        board = self.fleet.store.board()
        self.attempts.end_superseded(board)
        self.claims.settle_lost(board)
        self.claims.settle_own(board, draining=self.draining)
        self.attempts.deliver_answers(board)
        self.alerts.board(board)
        now = self.fleet.store.now()
        self.alerts.coders(board, now)
        if self._may_claim(board):
            self._claim(board, now)
        if self.draining and not self.attempts:
            return None
        pause = self.idle.next_wakeup(
            board := self.fleet.store.board(),
            now,
            busy=bool(self.attempts),
            may_claim=self._may_claim(board),
        )
        # Until a busy window is checked again, people's commits are refused; until a target's
        # checkout is, they may undo what landed.
        soon = self.windows.behind or self.windows.settling
        return min(pause, _WINDOW_AGAIN) if pause is not None and soon else pause

    def _handle_signals(self) -> None:
        """Act on the signals so far."""
        if self._signals >= 1 and not self.draining:
            self.draining = True
            self.fleet.report.action(Action.STOPPING, attempts=len(self.attempts))
        if self._signals >= 2 and not self.ending:
            self.ending = True
            self.fleet.giving_up.set()
            self.fleet.report.action(Action.ENDING_ATTEMPTS, attempts=len(self.attempts))
            self.attempts.stop_all(Outcome.INTERRUPTED, "its runner was stopped")

    # -- claiming

    def _may_claim(self, board: Board) -> bool:
        away = self.heartbeat is not None and (self.heartbeat.offline or self.heartbeat.expired())
        if self.draining or self._leaving or away:
            return False
        return self._format_known(board) and not self.maintenance.short_of_disk()

    def _format_known(self, board: Board) -> bool:
        newer = upgrade.new_format(board)
        if newer is not None:
            self.fleet.report.once(
                "format", Action.NEWER_FORMAT, reason=newer.what, remedy="upgrade"
            )
        older = upgrade.old_format(board)
        if older is not None:
            self.fleet.report.once(
                "format", Action.OLDER_FORMAT, reason=older.what, remedy=older.remedy
            )
        return newer is None and older is None

    def _claim(self, board: Board, now: datetime) -> None:
        passed: list[Skipped] = []
        for _ in range(_CHOOSE_AGAIN):
            chosen, passed = self.capacity.picks(board, now)
            if not self._claim_and_start(board, chosen):
                break
            # Other runners were faster with some of them: choose again from the rest, at once.
            board, now = self.fleet.store.board(), self.fleet.store.now()
        for one in passed:
            if (one.for_a_person and not one.rests) or self.options.once:
                self.fleet.report.once(
                    f"skipped {one.task}", Action.SKIPPED, task=one.task, reason=one.reason
                )

    def _claim_and_start(self, board: Board, chosen: list[Assignment]) -> bool:
        """Claim and start these. Returns whether others got some of them first."""
        busy = self.attempts.tasks  # an earlier attempt may still be ending in its workspace
        free = self._when_fair([assignment for assignment in chosen if assignment.task not in busy])
        sending = self.heartbeat.claiming if self.heartbeat is not None else lambda _nonce: None
        taken = claim_all(self.fleet, board, free, sending)
        for claimed, begin in taken:
            self.attempts.start(claimed, begin)
        new = any(claimed.claim.role is not Role.VALIDATE for claimed, _ in taken)
        if self.heartbeat is not None and new:
            self.heartbeat.remote.pace.begun()
        return len(taken) < len(free) and self.fleet.store.board().commit != board.commit

    def _when_fair(self, chosen: list[Assignment]) -> list[Assignment]:
        """The chosen tasks, without new work if it is another runner's turn on a shared board.

        Started work is finished first anyway.
        """
        if self.heartbeat is None or self.heartbeat.remote.pace.left() <= 0:
            return chosen
        return [assignment for assignment in chosen if assignment.role is Role.VALIDATE]
