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

from gitfleet.coders import registry
from gitfleet.errors import FleetError
from gitfleet.git import checkout
from gitfleet.git.holders import holders
from gitfleet.git.remote import Refused, Unreachable
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.claim import Claim
from gitfleet.model.config import FORMAT
from gitfleet.model.states import FINISHED, FOR_A_PERSON, Outcome, Role, Status
from gitfleet.model.task import Task
from gitfleet.plan import settle
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.pick import Offer, Passed, Pick, picks, target_of
from gitfleet.plan.resting import resting
from gitfleet.plan.standing import Standing, standings
from gitfleet.process.orphans import reap_orphans
from gitfleet.process.wake import Wake
from gitfleet.runner.heart import Heart, claims_of
from gitfleet.runner.upkeep import Upkeep
from gitfleet.runner.vitals import Vitals
from gitfleet.runner.watch import watching
from gitfleet.shared import Shared
from gitfleet.work import hearing, history, letters, notify, publish
from gitfleet.work.askbranch import AskBranches
from gitfleet.work.beginning import Beginning
from gitfleet.work.claiming import claim_all, late_order, order_of
from gitfleet.work.fleet import Blocked, Control, Fleet, Live, Order, Underway
from gitfleet.work.notify import Notifier
from gitfleet.work.perform import begun, perform, settle_dead, settle_orphan
from gitfleet.work.publish import Publisher
from gitfleet.work.record import Record
from gitfleet.work.sweep import sweep
from gitfleet.work.transcripts import Transcripts

SLOW_POLL: Final = 30.0  # seconds; behind the watcher, in case it misses something
_AFTER_ERROR: Final = 5.0
_ASK_AGAIN: Final = 300.0  # seconds until a server that refused is asked again
_WINDOW_AGAIN: Final = 2.0
_PICK_AGAIN: Final = 20  # times in a row that others may be faster
_PASSING: Final = 5.0  # seconds
IDLE_DONE: Final = 0
IDLE_WAITS: Final = 4  # something waits for a person


@dataclass(frozen=True)
class Options:
    """How this run differs from running for ever on everything."""

    until_idle: bool = False
    once: str | None = None
    slots: int | None = None


@dataclass
class _Attempt:
    """An attempt of this runner: its thread, and the way to it."""

    order: Order
    control: Control
    live: Live
    thread: threading.Thread


class Runner:
    """One runner of one clone. `run` returns the exit status."""

    def __init__(self, fleet: Fleet, options: Options) -> None:
        self.fleet = fleet
        self.options = options
        self.wake = Wake()
        self.attempts: dict[str, _Attempt] = {}
        self.draining = False
        self.ending = False
        self.upkeep = Upkeep(fleet, first=lambda: self.heart is None or self.heart.first())
        self.transcripts = Transcripts(fleet)
        self.asks = AskBranches(fleet, first=lambda: self.heart is None or self.heart.first())
        self.publisher = Publisher(fleet, lambda: self._leads(publish.DUTY)[0])
        self.notifier = Notifier(fleet, lambda: self._leads(notify.DUTY))
        self._mender = fleet.store.mender = history.Mender(fleet)
        shared = fleet.store.swap
        self.heart = (
            Heart(fleet, shared, self._beating, self.wake.set, options.slots, self._able)
            if isinstance(shared, Shared)
            else None
        )
        if self.heart is not None:
            fleet.lease_left = self.heart.lease_left
        self.vitals = Vitals(fleet, self._beating, options.slots)
        self._started: set[str] = set()
        self._former: frozenset[str] = frozenset()  # nonces that a former life sent
        self._signals = 0
        self._leaving = False
        self._behind: dict[Path, float] = {}  # windows left behind, since when
        self._resting: dict[str, tuple[Outcome, datetime]] = {}  # of which coder what was told

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
    def lives(self) -> list[Live]:
        """What every attempt does just now."""
        return [attempt.live for attempt in list(self.attempts.values())]

    def _beating(self) -> dict[str, Live]:
        """What the heartbeat tells: every claim that is held, by its nonce."""
        return {nonce: attempt.live for nonce, attempt in list(self.attempts.items())}

    def _able(self) -> list[str]:
        """What this runner could do for all beside the work; asked by the heart, which must not
        wait for the store."""
        able = {publish.DUTY: self.publisher.able, notify.DUTY: notify.able(self.fleet)}
        return [duty for duty, can in able.items() if can]

    def _leads(self, duty: str) -> tuple[bool, float]:
        """Whether of several runners it is this one that does it; and when another one was last
        heard of that did."""
        return (True, 0.0) if self.heart is None else self.heart.since(duty)

    # -- the loop

    def run(self) -> int:
        """Work until told to stop, or until nothing is left if so asked."""
        with self.fleet.clone.only_runner(), self._watcher():
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
                        return self._exit_status()
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
            except (Refused, Unreachable) as error:
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
        self.fleet.store.swap.base()  # raises Unreachable where the board is far away
        for path, refusal in checkout.recover(self.fleet.repo):
            self.fleet.report.action("left-behind", path=path, reason=refusal.reason)
        going_on = begun(self.fleet)
        settle_dead(self.fleet, going_on.keys() | self.attempts.keys())
        self._former = frozenset(self.fleet.clone.held())
        sweep(self.fleet, {one.task for one in going_on.values()})
        board = self.fleet.store.board()
        self.fleet.report.action(
            "running",
            runner=self.fleet.runner,
            board=self.fleet.store.branch,
            target=board.settings.target or self.fleet.default_target,
        )
        for nonce, one in going_on.items():
            if nonce not in self.attempts:
                self._go_on(board, one.task, one.record)

    def _guarded(self) -> float | None:
        """One round; a transient error is told once and tried again."""
        try:
            pause = self._round()
        except FleetError as error:
            self.fleet.report.once("round", "error", reason=error.what, remedy=error.remedy)
        except Exception as error:
            path = self.fleet.clone.folder / "error.txt"
            path.write_text(traceback.format_exc())
            self.fleet.report.once("round", "error", reason=repr(error), trace=path)
        else:
            self.fleet.report.settled("round")
            return pause
        return None if self.draining and not self.attempts else _AFTER_ERROR

    def _round(self) -> float | None:
        """See, decide, do. Seconds until the next round at the latest; None: finished."""
        self._reap()
        self._obey()
        self._end_expired()
        for name, duty in self._duties.items():
            self._safely(name, duty)
        board = self.fleet.store.board()
        self._end_superseded(board)
        self._keep_leases(board)
        self._settle_orphans(board)
        self._deliver(board)
        self._tell(board)
        now = self.fleet.store.now()
        self._tell_of_coders(board, now)
        if self._may_claim(board):
            self._claim(board, now)
        if self.draining and not self.attempts:
            return None
        return self._pause(self.fleet.store.board(), now)

    @property
    def _duties(self) -> dict[str, Callable[[], None]]:
        """What is done beside the work, in this order."""
        return {
            "window": self._keep_window,
            "repair": self._mender.remember,
            "questions": self._keep_branches,
            "letters": lambda: letters.empty_box(self.fleet, self._letters()),
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

    def _reap(self) -> None:
        for nonce, attempt in list(self.attempts.items()):
            if not attempt.thread.is_alive():
                attempt.thread.join()
                attempt.control.wake.close()
                del self.attempts[nonce]
                self.transcripts.wake()

    def _obey(self) -> None:
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
            return settle.follow_up(board, now, runner=self.fleet.runner, suffix=_suffix(now))

        while self.fleet.store.transact(decide).won:
            pass

    def _end_superseded(self, board: Board) -> None:
        """End attempts whose claim is gone, or whose task nobody wants any more."""
        for nonce, attempt in self.attempts.items():
            entry = board.get(attempt.order.task)
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
                self.fleet.report.action("lease-over", task=attempt.order.task, reason=reason)
                attempt.control.stop(Outcome.INTERRUPTED, reason)

    def _keep_leases(self, board: Board) -> None:
        """On a shared board: take over what its runner lost, forget what can never turn up."""
        if self.heart is None:
            return
        for nonce in self.heart.too_late():
            self.heart.own.forgotten(nonce)
            self.fleet.clone.forget(nonce)
        for entry in board.entries.values():
            if entry.claim is not None and entry.claim.nonce in self.heart.lost:
                self._take_over(entry.id, entry.claim)

    def _deliver(self, board: Board) -> None:
        """Answers reach the attempts that may still wait for them."""
        for nonce, attempt in self.attempts.items():
            order = attempt.order
            run_dir = self.fleet.clone.run_dir(order.task, order.claim.attempt, nonce)
            hearing.deliver(self.fleet, board, order.task, run_dir)

    def _take_over(self, task: str, claim: Claim) -> None:
        reason = f"nothing was heard of {claim.runner} for a whole lease"
        attempt = settle.interrupted(
            claim, self.fleet.store.now(), Outcome.LOST, reason, claim.runner
        )
        result = self.fleet.store.transact(
            lambda board, now: settle.settle(board, task=task, attempt=attempt, role=claim.role)
        )
        if result.won:
            self.fleet.report.action("taken-over", task=task, runner=claim.runner)

    def _settle_orphans(self, board: Board) -> None:
        """Every claim of ours is under way, or being ended: none may be stuck.

        One whose push was given up for unknown and that arrived after all is worked on. One whose
        attempt has died without its event, or that came back with a rewound board, is ended.
        """
        held = self.fleet.clone.held()
        for nonce, task in claims_of(board, self.fleet.runner).items():
            if nonce in self.attempts:
                continue
            if nonce in held and nonce not in self._started | self._former:
                if not self.draining and not self._busy(task):
                    self._start_late(board, task)
            else:
                settle_orphan(self.fleet, task, nonce)

    def _start_late(self, board: Board, task: str) -> None:
        late = late_order(self.fleet, board, task)
        if late is not None:
            self.fleet.report.action("turned-up", task=task)
            self._start(late[0].pick, *late)

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

    def _offer(self, board: Board) -> Offer:
        machine = self.fleet.machine
        tips = self._tips(board)
        slots = self.options.slots or machine.concurrency or board.settings.concurrency
        return Offer(
            runner=self.fleet.runner,
            slots=slots,
            labels=frozenset(machine.labels),
            coders=frozenset(machine.coders) if machine.coders is not None else None,
            known=registry.KNOWN,
            only=self._only(board),
            blocked={**self._blocked(), **self._homeless(board, tips)},
            tips=tips,
        )

    def _only(self, board: Board) -> frozenset[str] | None:
        once = self.options.once
        if once is None:
            return None
        repairs = (
            entry.id
            for entry in board.entries.values()
            if any(above.id == once for above in settle.chain(board, entry))
        )
        return frozenset({once, *repairs})

    def _blocked(self) -> dict[str, str]:
        """What cannot land because of somebody's checkout, looked at afresh each time."""
        for task, blocked in list(self.fleet.blocked.items()):
            tip = self.fleet.tip_of(blocked.ref.removeprefix("refs/heads/"))
            if tip != blocked.old or self._unblocked(blocked):
                del self.fleet.blocked[task]
                self.fleet.report.settled(f"blocked {task}")
        return {task: blocked.reason for task, blocked in self.fleet.blocked.items()}

    def _unblocked(self, blocked: Blocked) -> bool:
        """Whether it is worth another try: the checkout is free, or a server may have changed."""
        if self.heart is not None:
            return time.monotonic() - blocked.since >= _ASK_AGAIN
        return self._could_follow(blocked.ref, blocked.old, blocked.new)

    def _could_follow(self, ref: str, old: str, new: str) -> bool:
        repo = self.fleet.repo
        return not any(checkout.refusal(repo, path, ref, old, new) for path in holders(repo, ref))

    def _tips(self, board: Board) -> dict[str, str]:
        targets = {
            target_of(board, entry, self.fleet.default_target) for entry in board.entries.values()
        }
        found = {target: self.fleet.tip_of(target) for target in targets}
        return {target: tip for target, tip in found.items() if tip is not None}

    def _homeless(self, board: Board, tips: dict[str, str]) -> dict[str, str]:
        """Tasks that are to land on a branch that does not exist."""
        default = self.fleet.default_target
        return {
            entry.id: f"it is to land on {target}, and there is no such branch"
            for entry in board.entries.values()
            if (target := target_of(board, entry, default)) not in tips
        }

    def _claim(self, board: Board, now: datetime) -> None:
        passed: list[Passed] = []
        for _ in range(_PICK_AGAIN):
            chosen, passed = self._picks(board, now)
            if not self._take(board, chosen):
                break
            # Somebody was faster with some of them: pick again from what is left, at once.
            board, now = self.fleet.store.board(), self.fleet.store.now()
        for one in passed:
            if (one.for_a_person and not one.rests) or self.options.once:
                self.fleet.report.once(
                    f"passed {one.task}", "passed", task=one.task, reason=one.reason
                )

    def _take(self, board: Board, chosen: list[Pick]) -> bool:
        """Claim and start these. Whether others got some of them first."""
        free = self._fair([pick for pick in chosen if not self._busy(pick.task)])
        sending = self.heart.claiming if self.heart is not None else lambda _nonce: None
        taken = claim_all(self.fleet, board, free, sending)
        for order, begin in taken:
            self._start(order.pick, order, begin)
        new = any(order.claim.role is not Role.VALIDATE for order, _ in taken)
        if self.heart is not None and new:
            self.heart.shared.pace.begun()
        return len(taken) < len(free) and self.fleet.store.board().commit != board.commit

    def _fair(self, chosen: list[Pick]) -> list[Pick]:
        """Without what is new, if it is the turn of others on a shared board to begin something;
        what was begun is finished first anyway."""
        if self.heart is None or self.heart.shared.pace.left() <= 0:
            return chosen
        return [pick for pick in chosen if pick.role is Role.VALIDATE]

    def _busy(self, task: str) -> bool:
        """Whether a former attempt on the task is still ending in its workspace here."""
        return any(attempt.order.task == task for attempt in self.attempts.values())

    def _go_on(self, board: Board, task: str, known: Record) -> None:
        """Take an attempt up again whose coder did not notice that its runner died."""
        order = order_of(self.fleet, board, task)
        if order is None:
            return
        claim = order.claim
        self.fleet.report.action("gone-on", task=task, role=claim.role, attempt=claim.attempt)
        self._start(order.pick, order, known)
        since = (self.fleet.store.now() - claim.at).total_seconds()
        self.attempts[claim.nonce].live.began -= max(0.0, since)

    def _start(self, pick: Pick, order: Order, begin: Beginning | Record) -> None:
        control = Control()
        live = Live(pick.task, pick.role, pick.coder or "checks", order.claim.attempt)
        run_dir = self.fleet.clone.run_dir(pick.task, order.claim.attempt, order.claim.nonce)
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        way = Underway(self.fleet, order, control, live, run_dir)
        thread = threading.Thread(
            target=_then(lambda: perform(way, begin), self.wake.set), name=pick.task, daemon=True
        )
        self._started.add(order.claim.nonce)
        self.attempts[order.claim.nonce] = _Attempt(order, control, live, thread)
        thread.start()

    # -- people, and the end

    def _tell(self, board: Board) -> None:
        """Every problem reaches a person once."""
        report = self.fleet.report
        for problem in board.settings_problems:
            report.once("settings", "broken-settings", reason=problem)
        for path, problems in board.damage.items():
            report.once(f"damage {path}", "damaged", reason=problems[0])
        known = standings(board, self.fleet.store.now())
        for entry in board.entries.values():
            if entry.problems or entry.events:
                where = known[entry.id]
                if where.status in FOR_A_PERSON:
                    report.once(
                        f"person {entry.id}",
                        "waits-for-you",
                        task=entry.id,
                        status=where.status,
                        reason=where.reason,
                    )
                else:
                    report.settled(f"person {entry.id}")

    def _tell_of_coders(self, board: Board, now: datetime) -> None:
        """Which coders rest here: a limit each time, a refused key once until it works again."""
        for coder, rest in resting(board, self.fleet.runner, now).items():
            what = (rest.outcome, rest.since if rest.refused else rest.until)
            if self._resting.get(coder) == what:
                continue
            self._resting[coder] = what
            if rest.refused:
                remedy = "mend it on this machine; `gitfleet doctor` looks at it"
                self.fleet.report.action(
                    "key-refused", coder=coder, reason=rest.reason, remedy=remedy
                )
            else:
                self.fleet.report.action(
                    "resting", coder=coder, until=rest.until.isoformat(), reason=rest.reason
                )

    def _pause(self, board: Board, now: datetime) -> float | None:
        """Until when nothing is to do; None if all that can be done is done and that was asked."""
        # A window that was busy is looked after soon: until then people's commits are refused.
        due: list[float] = [_WINDOW_AGAIN] if self._behind else []
        rests = resting(board, self.fleet.runner, now).values()
        due += [(rest.until - now).total_seconds() + 0.05 for rest in rests]
        if self.heart is not None and (left := self.heart.left()) > 0:
            due.append(left)  # others may take what we hold: it is ended just then
        if self.heart is not None and (turn := self.heart.shared.pace.left()) > 0:
            due.append(turn)
        waits = bool(self.attempts) or bool(claims_of(board, self.fleet.runner))
        only = self._only(board)
        known = standings(board, now)
        for entry in board.entries.values():
            where = known[entry.id]
            if where.role is None or where.until is None or where.until <= now or where.rests:
                continue
            due.append((where.until - now).total_seconds() + 0.05)
            mine = only is None or entry.id in only
            waits = waits or (mine and entry.task is not None and _worth(entry.task, where, now))
        if self.options.until_idle or self.options.once:
            # What nothing may be claimed of now (a full disk, a newer format) is not waited for.
            chosen, passed = self._picks(board, now) if self._may_claim(board) else ([], [])
            waits = waits or any(one.until is not None for one in passed)
            away = self.heart is not None and bool(self.heart.offline)
            if not (waits or chosen or away):
                return None
            due += [1.0] if chosen else []
        return min([SLOW_POLL, *due])

    def _picks(self, board: Board, now: datetime) -> tuple[list[Pick], list[Passed]]:
        return picks(board, now, self._offer(board), self.fleet.default_target)

    def _exit_status(self) -> int:
        if not (self.options.until_idle or self.options.once):
            return IDLE_DONE
        board = self.fleet.store.board()
        now = self.fleet.store.now()
        only = self._only(board)
        found = [
            where.status
            for task, where in standings(board, now).items()
            if only is None or task in only
        ]
        waiting = FOR_A_PERSON | {Status.SUBMITTED, Status.ACCEPTED}
        if any(status in waiting for status in found):
            return IDLE_WAITS
        if self.options.once and not all(status in FINISHED for status in found):
            return IDLE_WAITS  # the one task that was asked for is not done
        chosen, passed = self._picks(board, now)
        stuck = bool(chosen) or any(one.for_a_person for one in passed)
        return IDLE_WAITS if stuck else IDLE_DONE


def _worth(task: Task, where: Standing, now: datetime) -> bool:
    """Whether --until-idle waits for a pause: for a back-off, but for nobody's `not_before`, and
    not for a target that only a person or another task can repair."""
    later = task.not_before is not None and task.not_before > now
    return where.red is None and not later


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
