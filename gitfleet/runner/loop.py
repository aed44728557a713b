"""The daemon: see the board, decide, do; woken by refs, exits, signals and timers."""

from __future__ import annotations

import contextlib
import select
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from gitfleet.attempt import mailbox
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.claim_tasks import claim_all, late_claim
from gitfleet.attempt.cleanup import sweep
from gitfleet.attempt.context import AttemptContext, CancelToken, ClaimedTask, LiveStatus, Project
from gitfleet.attempt.start_point import StartPoint
from gitfleet.audit import repair
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.errors import FleetError
from gitfleet.git import follow_branch
from gitfleet.git.remote import RemoteRejected, Unreachable
from gitfleet.intake import inbox_branches
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.claim import Claim
from gitfleet.model.config import FORMAT
from gitfleet.model.states import Outcome, Role
from gitfleet.notify import notifier
from gitfleet.notify.notifier import Notifier
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.scheduler import Assignment, Skipped
from gitfleet.plan.transitions import by_person, on_end
from gitfleet.presence.heartbeat_thread import HeartbeatThread, claims_of
from gitfleet.presence.payload import LiveStatusFile
from gitfleet.process.orphans import reap_orphans
from gitfleet.process.wakeup import Wakeup
from gitfleet.questions import forge_service
from gitfleet.questions.forge_service import ForgeService
from gitfleet.questions.question_branch import AskBranches
from gitfleet.runner.alerts import Alerts
from gitfleet.runner.attempt_thread import (
    end_dead_attempts,
    end_orphan_claim,
    run_attempt,
    survivors,
)
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.idle import IDLE_DONE, Idle
from gitfleet.runner.maintenance import Maintenance
from gitfleet.runner.options import Options
from gitfleet.runner.transcript_sync import TranscriptSync
from gitfleet.runner.watch import watching

_AFTER_ERROR: Final = 5.0
_WINDOW_AGAIN: Final = 2.0
_PICK_AGAIN: Final = 20  # times in a row that others may be faster
_PASSING: Final = 5.0  # seconds


@dataclass
class _RunningAttempt:
    """An attempt of this runner: its thread, and the way to it."""

    claimed: ClaimedTask
    control: CancelToken
    live: LiveStatus
    thread: threading.Thread


class Runner:
    """One runner of one clone. `run` returns the exit status."""

    def __init__(self, project: Project, options: Options) -> None:
        self.fleet = project
        self.options = options
        self.wake = Wakeup()
        self.attempts: dict[str, _RunningAttempt] = {}
        self.draining = False
        self.ending = False
        self.upkeep = Maintenance(
            project, first=lambda: self.heart is None or self.heart.is_leader()
        )
        self.transcripts = TranscriptSync(project)
        self.asks = AskBranches(project, first=lambda: self.heart is None or self.heart.is_leader())
        self.publisher = ForgeService(project, lambda: self._is_leader_for(forge_service.DUTY)[0])
        self.notifier = Notifier(project, lambda: self._is_leader_for(notifier.DUTY))
        self._mender = project.store.repairer = repair.Repairer(project)
        shared = project.store.backend
        self.heart = (
            HeartbeatThread(
                project, shared, self._beating, self.wake.set, options.slots, self._able
            )
            if isinstance(shared, RemoteBackend)
            else None
        )
        if self.heart is not None:
            project.leases.told = self.heart.lease_left
        self.vitals = LiveStatusFile(project, self._beating, options.slots)
        self._started: set[str] = set()
        self._former: frozenset[str] = frozenset()  # nonces that a former life sent
        self._signals = 0
        self._leaving = False
        self._behind: dict[Path, float] = {}  # windows left behind, since when
        self._blocked = BlockedLandings(project)
        self.offers = LocalCapacity(project, options, self._blocked)
        self.notable = Alerts(project)
        self.idle = Idle(project, options, self.offers, self.heart)

    # -- from outside

    def signalled(self) -> None:
        """First: claim nothing more. Second: end what runs. Called from a signal handler."""
        self._signals += 1
        self.wake.set()

    def told_to_leave(self) -> None:
        """End at once; attempts are left to their supervisors. Called from a signal handler."""
        self._leaving = True
        self.wake.set()

    @property
    def lives(self) -> list[LiveStatus]:
        """What every attempt does just now."""
        return [attempt.live for attempt in list(self.attempts.values())]

    def _beating(self) -> dict[str, LiveStatus]:
        """What the heartbeat tells: every claim that is held, by its nonce."""
        return {nonce: attempt.live for nonce, attempt in list(self.attempts.items())}

    def _able(self) -> list[str]:
        """What this runner could do for all beside the work; asked by the heart, which must not
        wait for the store."""
        able = {forge_service.DUTY: self.publisher.able, notifier.DUTY: notifier.able(self.fleet)}
        return [duty for duty, can in able.items() if can]

    def _is_leader_for(self, duty: str) -> tuple[bool, float]:
        """Whether of several runners it is this one that does it; and when another one was last
        heard of that did."""
        return (True, 0.0) if self.heart is None else self.heart.leader_since(duty)

    # -- the loop

    def run(self) -> int:
        """Work until told to stop, or until nothing is left if so asked."""
        with self.fleet.clone.only_runner(), self._watcher(), _underway(self.fleet.leases):
            if not self._begun():
                return IDLE_DONE
            beside = (self.transcripts, self.publisher, self.notifier)
            with self._beats(), _underway(*beside), self.vitals.kept():
                while True:
                    pause = self._guarded()
                    if self._leaving:
                        self._leave()
                        return IDLE_DONE
                    if pause is None:
                        with contextlib.suppress(FleetError):  # drawn by the next runner, then
                            self.upkeep.draw()
                        return self.idle.exit_status()
                    self._wait(pause)

    def _leave(self) -> None:
        """Say nothing to the others: what we hold is ours for a lease yet."""
        self.fleet.report.action("leaving", attempts=len(self.attempts))
        if self.heart is not None:
            self.heart.leave()

    def _begun(self) -> bool:
        """Begin; a board whose remote cannot be reached is waited for. False: told to stop."""
        while not (self._signals or self._leaving):
            try:
                self._begin()
            except (RemoteRejected, Unreachable) as error:
                self.fleet.report.once(
                    "offline",
                    "offline",
                    reason=error.what,
                    remedy="the board is there; it is waited for",
                )
                self._wait(_AFTER_ERROR)
            else:
                return True
        return False

    @contextlib.contextmanager
    def _beats(self) -> Iterator[None]:
        if self.heart is None:
            yield
            return
        self.heart.beat()
        self.heart.start()
        try:
            yield
        finally:
            self.heart.stop()

    @contextlib.contextmanager
    def _watcher(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(watching(self.fleet.repo.common, self.wake.set))
            except FleetError as error:
                self.fleet.report.action("not-watching", reason=error.what, remedy=error.remedy)
            yield

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self.wake.fileno(), select.POLLIN)
        poll.poll(max(0, seconds) * 1000)
        self.wake.clear()

    def _begin(self) -> None:
        self.fleet.store.backend.refresh()  # raises Unreachable where the board is far away
        for path, refusal in follow_branch.recover(self.fleet.repo):
            self.fleet.report.action("left-behind", path=path, reason=refusal.reason)
        # Those first: the others may take their time, and the leases of these run out.
        for claimed, known in survivors(self.fleet, self.attempts.keys()):
            self._go_on(claimed, known)
        end_dead_attempts(self.fleet, self.attempts.keys())
        self._former = frozenset(self.fleet.clone.pending_claims())
        sweep(self.fleet, {attempt.claimed.task for attempt in self.attempts.values()})
        board = self.fleet.store.board()
        self.fleet.report.action(
            "running",
            runner=self.fleet.runner,
            board=self.fleet.store.branch,
            target=board.settings.target or self.fleet.default_target,
        )

    def _guarded(self) -> float | None:
        """One round; a transient error is told once and tried again."""
        try:
            pause = self._round()
        except FleetError as error:
            self.fleet.report.once("round", "error", reason=error.what, remedy=error.remedy)
        except Exception as error:
            path = self.fleet.clone.folder / "error.txt"
            with contextlib.suppress(OSError):  # a full disk must not end the runner
                path.write_text(traceback.format_exc())
            self.fleet.report.once("round", "error", reason=repr(error), trace=path)
        else:
            self.fleet.report.settled("round")
            return pause
        return None if self.draining and not self.attempts else _AFTER_ERROR

    def _round(self) -> float | None:
        """See, decide, do. Seconds until the next round at the latest; None: finished."""
        if self.heart is not None:
            self.heart.turned()
        self._join_finished()
        self._handle_signals()
        self._end_expired()
        for name, duty in self._duties.items():
            self._safely(name, duty)
        board = self.fleet.store.board()
        self._end_superseded(board)
        self._keep_leases(board)
        self._settle_orphans(board)
        self._deliver_answers(board)
        self.notable.board(board)
        now = self.fleet.store.now()
        self.notable.coders(board, now)
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
        # A window that was busy is looked after soon: until then people's commits are refused.
        return min(pause, _WINDOW_AGAIN) if pause is not None and self._behind else pause

    @property
    def _duties(self) -> dict[str, Callable[[], None]]:
        """What is done beside the work, in this order."""
        return {
            "window": self._keep_window,
            "repair": self._mender.remember,
            "questions": self._keep_branches,
            "letters": lambda: inbox_branches.empty_box(self.fleet, self._letters()),
            "follow-up": self._follow_up,
            "publish": self.publisher.wake,
            "notify": self.notifier.wake,
            "upkeep": self.upkeep.round,
            "orphans": self._reap_orphans,
        }

    def _safely(self, name: str, duty: Callable[[], None]) -> None:
        """One duty that fails must not stop the others, nor the work."""
        try:
            duty()
        except Unreachable:
            raise
        except Exception as error:
            what = error.what if isinstance(error, FleetError) else repr(error)
            self.fleet.report.once(f"duty {name}", "error", doing=name, reason=what)
        else:
            self.fleet.report.settled(f"duty {name}")

    def _keep_branches(self) -> None:
        """Every open question has a branch to answer on."""
        if self.heart is None or not self.heart.offline:
            self.asks.keep()

    def _reap_orphans(self) -> None:
        """Collect what attempts left to us: we are the subreaper of their processes."""
        reap_orphans()

    def _join_finished(self) -> None:
        for nonce, attempt in list(self.attempts.items()):
            if not attempt.thread.is_alive():
                attempt.thread.join()
                attempt.control.wake.close()
                del self.attempts[nonce]
                self.transcripts.wake()

    def _handle_signals(self) -> None:
        """Do what the signals so far ask."""
        if self._signals >= 1 and not self.draining:
            self.draining = True
            self.fleet.report.action("draining", attempts=len(self.attempts))
        if self._signals >= 2 and not self.ending:
            self.ending = True
            self.fleet.giving_up.set()
            self.fleet.report.action("ending", attempts=len(self.attempts))
            for attempt in self.attempts.values():
                attempt.control.stop(Outcome.INTERRUPTED, "its runner was stopped")

    def _keep_window(self) -> None:
        """Checkouts of the board whose index was busy when it moved catch up now."""
        behind = self.fleet.store.keep_windows()
        now = time.monotonic()
        for path, refusal in behind.items():
            since = self._behind.setdefault(path, now)
            # A commit of somebody's takes a moment; only what lasts longer is worth a line.
            if not refusal.passing or now - since > _PASSING:
                self.fleet.report.once(
                    f"window {path}", "window-behind", path=path, reason=refusal.reason
                )
        for path in self._behind.keys() - behind.keys():
            del self._behind[path]
            self.fleet.report.settled(f"window {path}")

    def _follow_up(self) -> None:
        """Write what is due after people's decisions, one change at a time."""

        def decide(board: Board, now: datetime) -> Change | None:
            return by_person.close_by_hand(
                board, now, runner=self.fleet.runner, suffix=_suffix(now)
            )

        while self.fleet.store.transact(decide).won:
            pass

    def _end_superseded(self, board: Board) -> None:
        """End attempts whose claim is gone, or whose task nobody wants any more."""
        for nonce, attempt in self.attempts.items():
            entry = board.get(attempt.claimed.task)
            if entry is None or entry.claim is None or entry.claim.nonce != nonce:
                if attempt.thread.is_alive():
                    attempt.control.stop(Outcome.CANCELLED, "its claim is gone from the board")
            elif cancelled(entry):
                attempt.control.stop(Outcome.CANCELLED, "the task was cancelled")
            elif done(entry):
                attempt.control.stop(Outcome.CANCELLED, "the task was closed by hand")

    def _letters(self) -> dict[str, str]:
        return self.heart.letters() if self.heart is not None else {}

    def _end_expired(self) -> None:
        """On a shared board: give up what others may have taken by now."""
        if self.heart is None:
            return
        for nonce, attempt in self.attempts.items():
            if self.heart.expired(nonce) and attempt.control.stopped is None:
                reason = f"{self.heart.shared.name} did not answer for a whole lease"
                self.fleet.report.action("lease-over", task=attempt.claimed.task, reason=reason)
                attempt.control.stop(Outcome.INTERRUPTED, reason)

    def _keep_leases(self, board: Board) -> None:
        """On a shared board: take over what its runner lost, forget what can never turn up."""
        if self.heart is None:
            return
        for nonce in self.heart.too_late():
            self.heart.own.forgotten(nonce)
            self.fleet.clone.drop_pending(nonce)
        for entry in board.entries.values():
            if entry.claim is not None and entry.claim.nonce in self.heart.lost:
                self._take_over(entry.id, entry.claim)

    def _deliver_answers(self, board: Board) -> None:
        """Answers reach the attempts that may still wait for them."""
        for nonce, attempt in self.attempts.items():
            claimed = attempt.claimed
            run_dir = self.fleet.clone.run_dir(claimed.task, claimed.claim.attempt, nonce)
            mailbox.deliver(self.fleet, board, claimed.task, run_dir)

    def _take_over(self, task: str, claim: Claim) -> None:
        reason = f"nothing was heard of {claim.runner} for a whole lease"
        attempt = on_end.interrupted(
            claim, self.fleet.store.now(), Outcome.LOST, reason, claim.runner
        )
        result = self.fleet.store.transact(
            lambda board, now: on_end.end_attempt(
                board, task=task, attempt=attempt, role=claim.role
            )
        )
        if result.won:
            self.fleet.report.action("taken-over", task=task, runner=claim.runner)

    def _settle_orphans(self, board: Board) -> None:
        """Every claim of ours is under way, or being ended: none may be stuck.

        One whose push was given up for unknown and that arrived after all is worked on. One whose
        attempt has died without its event, or that came back with a rewound board, is ended.
        """
        held = self.fleet.clone.pending_claims()
        for nonce, task in claims_of(board, self.fleet.runner).items():
            if nonce in self.attempts:
                continue
            if nonce in held and nonce not in self._started | self._former:
                if not self.draining and not self._still_ending(task):
                    self._start_late(board, task)
            else:
                end_orphan_claim(self.fleet, task, nonce)

    def _start_late(self, board: Board, task: str) -> None:
        late = late_claim(self.fleet, board, task)
        if late is not None:
            self.fleet.report.action("turned-up", task=task)
            self._start(late[0].assignment, *late)

    # -- claiming

    def _may_claim(self, board: Board) -> bool:
        away = self.heart is not None and (self.heart.offline or self.heart.expired())
        if self.draining or self._leaving or away:
            return False
        return self._format_known(board) and not self.upkeep.short_of_disk()

    def _format_known(self, board: Board) -> bool:
        newer = next((p for p in board.settings_problems if "has format" in p.what), None)
        if newer is not None:
            self.fleet.report.once("format", "newer-format", reason=newer.what, remedy="upgrade")
        return newer is None and board.settings.format <= FORMAT

    def _claim(self, board: Board, now: datetime) -> None:
        passed: list[Skipped] = []
        for _ in range(_PICK_AGAIN):
            chosen, passed = self.offers.picks(board, now)
            if not self._claim_and_start(board, chosen):
                break
            # Somebody was faster with some of them: pick again from what is left, at once.
            board, now = self.fleet.store.board(), self.fleet.store.now()
        for one in passed:
            if (one.for_a_person and not one.rests) or self.options.once:
                self.fleet.report.once(
                    f"passed {one.task}", "passed", task=one.task, reason=one.reason
                )

    def _claim_and_start(self, board: Board, chosen: list[Assignment]) -> bool:
        """Claim and start these. Whether others got some of them first."""
        free = self._when_fair([pick for pick in chosen if not self._still_ending(pick.task)])
        sending = self.heart.claiming if self.heart is not None else lambda _nonce: None
        taken = claim_all(self.fleet, board, free, sending)
        for claimed, begin in taken:
            self._start(claimed.assignment, claimed, begin)
        new = any(claimed.claim.role is not Role.VALIDATE for claimed, _ in taken)
        if self.heart is not None and new:
            self.heart.shared.pace.begun()
        return len(taken) < len(free) and self.fleet.store.board().commit != board.commit

    def _when_fair(self, chosen: list[Assignment]) -> list[Assignment]:
        """Without what is new, if it is the turn of others on a shared board to begin something;
        what was begun is finished first anyway."""
        if self.heart is None or self.heart.shared.pace.left() <= 0:
            return chosen
        return [pick for pick in chosen if pick.role is Role.VALIDATE]

    def _still_ending(self, task: str) -> bool:
        """Whether a former attempt on the task is still ending in its workspace here."""
        return any(attempt.claimed.task == task for attempt in self.attempts.values())

    def _go_on(self, claimed: ClaimedTask, known: Checkpoint) -> None:
        """Take an attempt up again whose coder did not notice that its runner died."""
        claim = claimed.claim
        self.fleet.report.action(
            "gone-on", task=claimed.task, role=claim.role, attempt=claim.attempt
        )
        self._start(claimed.assignment, claimed, known)
        since = (self.fleet.store.now() - claim.at).total_seconds()
        self.attempts[claim.nonce].live.began -= max(0.0, since)

    def _start(
        self, pick: Assignment, claimed: ClaimedTask, begin: StartPoint | Checkpoint
    ) -> None:
        control = CancelToken()
        live = LiveStatus(pick.task, pick.role, pick.coder or "checks", claimed.claim.attempt)
        run_dir = self.fleet.clone.run_dir(pick.task, claimed.claim.attempt, claimed.claim.nonce)
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        ctx = AttemptContext(self.fleet, claimed, control, live, run_dir)
        thread = threading.Thread(
            target=_then(lambda: run_attempt(ctx, begin, self._blocked), self.wake.set),
            name=pick.task,
            daemon=True,
        )
        nonce = claimed.claim.nonce
        self._started.add(nonce)
        self.attempts[nonce] = _RunningAttempt(claimed, control, live, thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads: its claim is ended like that of a dead one
            del self.attempts[nonce]
            control.wake.close()
            raise


class _Companion(Protocol):
    """A thread beside the loop."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextlib.contextmanager
def _underway(*threads: _Companion) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for thread in threads:
            stack.callback(thread.stop)
            thread.start()
        yield


def _suffix(now: datetime) -> str:
    return f"{int(now.timestamp()) & 0xFFFF:04x}"


def _then(first: Callable[[], None], last: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        try:
            first()
        finally:
            last()

    return both
