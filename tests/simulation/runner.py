"""A runner: gitfleet/runner/loop.py, runner/heart.py and work/*, in their own order of steps.

What decides is theirs (gitfleet.plan); what runs, merges and checks is played by dice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from msgspec.structs import replace

from gitfleet.board.backend import TxnStatus
from gitfleet.errors import FleetError
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change
from gitfleet.model.change import Move as Ref
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Landed
from gitfleet.model.states import REJECTIONS, Kind, Outcome, Role
from gitfleet.plan import scheduler as picking
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.landing_terms import (
    ClaimGone,
    Refusal,
    TargetMoved,
    Terms,
    TermsChanged,
    blocker_on,
    current_terms,
    landing_refusal,
)
from gitfleet.plan.lease import Beat, InFlightClaims, LeaseWatch, OwnLease, foreign_claims
from gitfleet.plan.scheduler import Assignment, Capacity, picks
from gitfleet.plan.status import status_of, statuses
from gitfleet.plan.task_history import submission_of, verdict_of
from gitfleet.plan.transitions import (
    add_tasks,
    by_person,
    event_files,
    on_claim,
    on_end,
    on_landing,
    on_rejection,
)
from gitfleet.plan.transitions.add_tasks import Addition
from gitfleet.plan.transitions.on_landing import OnHold, Withdrawn
from tests.simulation.clone import Clone, Decide, Disk, Held, Request, Unreachable, task_ref
from tests.simulation.server import BEATS, HEARTBEAT, LEASE, TARGET, Act, Move, Server
from tests.simulation.world import Breach, Lost, Machine, Signal, Steps, Wait, converse

POLL, SLOW_POLL, ASK_AGAIN, GRACE = 5.0, 10.0, 60.0, 4.0
DIED = "its runner died"
UNHEARD = "the remote did not answer for a whole lease"
GAVE_WAY = "moved too often"
KNOWN_REASONS = (
    DIED,
    UNHEARD,
    GAVE_WAY,
    OnHold().reason,
    *(TermsChanged(what).reason for what in ("the task", "the settings")),
)
SCRIPTED = frozenset({Outcome.FAILED, Outcome.EMPTY, Outcome.TIMED_OUT})


class Scenes:
    """What coders, checks and validators come to, by the dice; and what they really said."""

    def __init__(self) -> None:
        self.ghosts = 0
        self.told: dict[int, Outcome] = {}
        self.believed: list[tuple[int, Outcome]] = []  # results that their runner says counted
        self.filed: dict[str, int] = {}  # key of what an agent filed -> its attempt


class Stopped(Exception):
    """The attempt is to end before its time."""


class _Moved(FleetError):
    """The target, the task or the settings changed: prove it again."""


class Way:
    """An attempt under way."""

    def __init__(self, runner: Runner, claim: Claim, task: str, ghost: int, board: Board) -> None:
        self.claim, self.task, self.ghost, self.board = claim, task, ghost, board
        self.stop = Signal(runner.world)
        self.stopped: tuple[Outcome, str] | None = None
        self.running = True
        self.letters: list[Addition] = []

    @property
    def nonce(self) -> str:
        return self.claim.nonce

    def end(self, outcome: Outcome, reason: str) -> None:
        if self.stopped is None:
            self.stopped = (outcome, reason)
        self.stop.give()


class Runner:
    """One life of one runner."""

    def __init__(self, machine: Machine, server: Server, disk: Disk, scenes: Scenes) -> None:
        self.machine, self.server, self.disk, self.scenes = machine, server, disk, scenes
        self.world, self.library, self.dice = machine.world, server.library, machine.world.dice
        self.name, self.life = machine.name, machine.life
        self.mutants = self.world.plan.mutants
        self.clone = Clone(machine, server, disk, runner=self.name)
        self.attempts: dict[str, Way] = {}
        self.rooms: dict[str, int] = {}  # workspaces in use
        self.blocked: dict[str, tuple[str, float]] = {}
        self.wake = Signal(self.world)
        self.watch = LeaseWatch(heartbeat=HEARTBEAT, lease=LEASE)
        if "cut-off-counts" in self.mutants:
            self.watch.heartbeat = 1e9
        self.own = OwnLease(lease=LEASE)
        self.limbo = InFlightClaims()
        self.mine: set[str] = set()  # nonces of this life
        self.lost: frozenset[str] = frozenset()
        self.offline = False
        self._due = 0.0
        self._followed = ""

    def say(self, what: str) -> None:
        self.world.say(self.name, what)

    def holds_on(self, ghost: int) -> str:
        """Why another may not take over this claim of ours now: asked by the server."""
        if not self.machine.up or self.machine.life != self.life:
            return ""
        way = next((w for w in self.attempts.values() if w.ghost == ghost), None)
        if way is None:
            known = any(held.ghost == ghost for held in self.disk.held.values())
            return "" if known else f"{self.name} lives, and has forgotten it"
        if way.running and not self._over(way.nonce):
            return f"{self.name} works on it and believes that its lease still lasts"
        return ""

    def _over(self, nonce: str) -> bool:
        if "own-lease-of-all" in self.mutants:
            return self.own.over(self.machine.boot())
        return self.own.over(self.machine.boot(), nonce)

    # -- the loop

    def run(self) -> Steps[None]:
        while True:
            try:
                yield from self._begin()
                break
            except Unreachable:
                yield 2.0
        yield from self._beat()
        self.world.spawn(self.machine, self._beats())
        while True:
            try:
                pause = yield from self._round()
            except FleetError:
                pause = 2.0
            yield Wait(self.wake, pause)
            self.wake.clear()

    def _begin(self) -> Steps[None]:
        yield from self.clone.base()
        yield from self._settle_dead()

    def _round(self) -> Steps[float]:
        for nonce, way in list(self.attempts.items()):
            if not way.running:
                del self.attempts[nonce]
        yield from self._follow_up()
        board = self.clone.board()
        self._end_superseded(board)
        yield from self._keep_leases(board)
        yield from self._start_late(board)
        if not self.offline and not self._unheard():
            yield from self._claim(board)
        return self._pause(self.clone.board())

    def _unheard(self) -> bool:
        return self.own.over(self.machine.boot())

    def _follow_up(self) -> Steps[None]:
        def decide(board: Board, now: datetime) -> Change | None:
            return by_person.close_by_hand(board, now, runner=self.name, suffix=self.world.hex(4))

        while self.clone.board().commit != self._followed:
            self._followed = self.clone.board().commit
            made = yield from self.clone.transact(decide)
            if made.answer is TxnStatus.UNKNOWN:
                self._followed = ""
                return

    def _end_superseded(self, board: Board) -> None:
        for nonce, way in self.attempts.items():
            entry = board.get(way.task)
            if entry is None or entry.claim is None or entry.claim.nonce != nonce:
                way.end(Outcome.CANCELLED, "its claim is gone from the board")
            elif cancelled(entry):
                way.end(Outcome.CANCELLED, "the task was cancelled")
            elif done(entry):
                way.end(Outcome.CANCELLED, "the task was closed by hand")

    def _keep_leases(self, board: Board) -> Steps[None]:
        for nonce, way in self.attempts.items():
            if self._over(nonce):
                way.end(Outcome.INTERRUPTED, UNHEARD)
        for entry in list(board.entries.values()):
            if entry.claim is not None and entry.claim.nonce in self.lost:
                yield from self._take_over(entry.id, entry.claim)

    def _take_over(self, task: str, claim: Claim) -> Steps[None]:
        attempt = Attempt.of(claim, Outcome.LOST, "it was not seen", self.machine.clock())
        yield from self.clone.transact(
            lambda board, now: on_end.end_attempt(
                board, task=task, attempt=attempt, role=claim.role
            ),
            Act("lost", task, -1),
        )

    def _start_late(self, board: Board) -> Steps[None]:
        on_board = {e.claim.nonce: e for e in board.entries.values() if e.claim is not None}
        for nonce, held in list(self.disk.held.items()):
            entry = on_board.get(nonce)
            if nonce in self.attempts or entry is None or entry.claim is None:
                continue
            if nonce not in self.mine:  # of a former life: its age is not known any more
                yield from self._settle_one(nonce, entry.id, entry.claim, held)
                continue
            if self._busy(entry.id):
                continue
            target = picking.target_of(board, entry, TARGET)
            pick = Assignment(
                task=entry.id, role=entry.claim.role, coder=entry.claim.coder, model="",
                target=target,
            )  # fmt: skip
            begin = yield from self._beginning(board, entry, pick)
            self.say(f"turned up: {entry.id} #{held.ghost}")
            self._start(Way(self, entry.claim, entry.id, held.ghost, board), begin)
        if "limbo-kept" not in self.mutants:
            adrift_now = self.disk.held.keys() - self.attempts.keys() - on_board.keys()
            for nonce in self.limbo.look(self.clone.tip() or "", adrift_now):
                self._forget(nonce)

    def _busy(self, task: str) -> bool:
        """Whether a former attempt on the task is still ending in its workspace here."""
        if "claims-beside-ending" in self.mutants:
            return False
        return any(way.task == task and way.running for way in self.attempts.values())

    def _pause(self, board: Board) -> float:
        now = self.machine.clock()
        ends = [w.until for w in statuses(board, now).values() if w.role and w.until]
        due = [(until - now).total_seconds() + 0.05 for until in ends if until > now]
        return min([SLOW_POLL, *due])

    # -- the heart

    def _beats(self) -> Steps[None]:
        while True:
            yield min(HEARTBEAT, POLL)
            yield from self._beat()

    def _beat(self) -> Steps[None]:
        before = self.clone.tip()
        began = self.machine.mono()
        try:
            yield from self.clone.look()
            yield from self.clone.turn()
            self.clone.follow()
            if self.machine.mono() >= self._due:
                yield from self._send(tuple(self.attempts))
            self._judge(began)
        except Unreachable:
            self.offline = True
            self.wake.give()
            return
        back, self.offline = self.offline, False
        if back or self.lost or self.clone.tip() != before:
            self.wake.give()

    def _send(self, nonces: tuple[str, ...]) -> Steps[None]:
        started = self.machine.boot()
        oid = self.world.hex(40)
        self.library.beats[oid] = (self.name, frozenset(nonces), self.machine.wall())
        ref = f"{BEATS}{self.name}"
        move = Move(ref, self.disk.track.get(ref), oid)
        try:
            push = self.server.push
            fate = yield from converse(self.machine, lambda: push([move]), pushes=True)
        except Lost:
            raise Unreachable("could not push the heartbeat") from None
        if fate == "done":
            end = "own-lease-from-end" in self.mutants
            heard = self.machine.boot() if end else started
            self.own.arrived(heard, nonces)
            self._due = self.machine.mono() + HEARTBEAT
            self.disk.track[ref] = oid
            self.clone.known_at[ref] = self.world.now

    def _judge(self, began: float) -> None:
        tip = self.clone.tip()
        if tip is None:
            return
        board = self.library.boards[tip].board
        others = foreign_claims(board, self.disk.held)
        if "dead-forgotten" in self.mutants:
            others = {n: runner for n, runner in others.items() if runner != self.name}
        beats: dict[str, Beat] = {}
        old: set[str] = set()
        for ref, oid in self.disk.track.items():
            if ref.startswith(BEATS):
                runner, nonces, wall = self.library.beats[oid]
                beats[runner] = Beat(oid, nonces)
                if self.machine.wall() - wall >= LEASE:
                    old |= nonces
        if "look-timed-at-end" in self.mutants:
            began = self.machine.mono()
        self.lost = self.watch.look(self.machine.mono(), others, beats, began=began)
        if "wall-clock-lease" in self.mutants:
            self.lost = frozenset(old & others.keys())

    # -- claiming

    def _claim(self, board: Board) -> Steps[None]:
        tip = yield from self.clone.tip_of(TARGET)
        for task, (at, since) in list(self.blocked.items()):
            if at != tip or self.machine.mono() - since >= ASK_AGAIN:
                del self.blocked[task]
        offer = Capacity(
            runner=self.name,
            slots=2,
            blocked=dict.fromkeys(self.blocked, "the target is protected"),
            tips={TARGET: tip} if tip else {},
        )
        chosen, _ = picks(board, self.machine.clock(), offer, TARGET)
        for pick in chosen:
            if self._busy(pick.task):
                continue
            try:
                yield from self._claim_one(board, pick)
            except FleetError as error:
                self.say(f"cannot begin {pick.task}: {error.what}")
            board = self.clone.board()

    def _claim_one(self, board: Board, pick: Assignment) -> Steps[None]:
        entry = board.get(pick.task)
        if entry is None:
            return
        begin = yield from self._beginning(board, entry, pick)
        submitted = submission_of(entry)
        head = submitted.attempt.head if submitted and submitted.attempt else None
        if head is not None and not (yield from self.clone.ensure(head, task_ref(pick.task))):
            raise FleetError(f"the work on {pick.task} cannot be fetched")
        self.scenes.ghosts += 1
        ghost = self.scenes.ghosts
        nonce = self.world.hex(32)
        if "no-nonce" in self.mutants:
            nonce = hashlib.md5(f"{self.name} {pick.task}".encode()).hexdigest()
        wanted = Claim(
            runner=self.name,
            nonce=nonce,
            role=pick.role,
            attempt=entry.next_attempt,
            coder=pick.coder,
            task_blob=entry.blob,
            base=begin[0],
            head=head if pick.role is Role.VALIDATE else None,
            branch=task_ref(pick.task),
            at=self.machine.clock(),
        )
        due = status_of(board, pick.task, self.machine.clock()).red is not None
        self.disk.held[nonce] = Held(pick.task, pick.role, wanted.attempt, ghost)
        self.mine.add(nonce)
        self.server.owner_of[ghost] = self
        yield 0.01
        locks = frozenset({f"validate {pick.target}"} if pick.role is Role.VALIDATE else ())

        def decide(now_board: Board, now: datetime) -> Change | None:
            if picking.collides(now_board, pick, TARGET):
                return None
            return on_claim.claim(
                now_board, now, task=pick.task, claim=wanted, due=due, locks=locks
            )

        self.own.claimed(nonce, self.machine.boot())
        result = yield from self.clone.transact(decide, Act("claim", pick.task, ghost))
        if result.answer is TxnStatus.UNKNOWN:
            return
        if not result.won:
            self._forget(nonce)
            return
        yield 0.01
        assert result.board is not None
        self._start(Way(self, wanted, pick.task, ghost, result.board), begin)

    def waits_for(self, nonce: str) -> bool:
        """Whether a nonce of ours may be remembered still: its push may arrive on this tip."""
        return self.limbo._first.get(nonce) == self.clone.tip()

    def _forget(self, nonce: str) -> None:
        self.disk.held.pop(nonce, None)
        self.own.forgotten(nonce)

    def _beginning(
        self, board: Board, entry: Entry, pick: Assignment
    ) -> Steps[tuple[str, str | None]]:
        """The base, and what lies on top of it: a former attempt's work, or what conflicted."""
        target = yield from self.clone.tip_of(pick.target)
        if target is None:
            raise FleetError("there is no target")
        if pick.role is Role.VALIDATE:
            return target, None
        fresh = self.world.plan.fresh
        last = entry.last(Kind.WORK, Kind.PLAN)
        verdict = verdict_of(entry)
        if verdict and verdict.attempt and verdict.attempt.outcome is Outcome.CONFLICT:
            submitted = submission_of(entry)
            head = submitted.attempt.head if submitted and submitted.attempt else None
            return (target, None) if fresh or head is None else (target, head)
        if last is not None and last.attempt is not None and not fresh:
            base = last.attempt.base
            tip = last.attempt.head or self.disk.local.get(task_ref(entry.id))
            if tip is not None and base is not None and (
                yield from self.clone.ensure(tip, task_ref(entry.id))
            ) and base in self.library.codes[tip].line:  # fmt: skip
                return base, tip
        return (yield from self._rejected_head(board, entry)) or target, None

    def _rejected_head(self, board: Board, entry: Entry) -> Steps[str | None]:
        fixed = board.get(entry.task.fixes) if entry.task and entry.task.fixes else None
        for event in reversed(fixed.events if fixed else ()):
            attempt = event.attempt
            if attempt and attempt.outcome in REJECTIONS and attempt.fixed_by == entry.id:
                assert attempt.head is not None and fixed is not None
                if "fixer-head-not-fetched" not in self.mutants:
                    yield from self.clone.ensure(attempt.head, task_ref(fixed.id))
                return attempt.head
        return None

    def _start(self, way: Way, begin: tuple[str, str | None]) -> None:
        self.attempts[way.nonce] = way
        self.world.spawn(self.machine, self._perform(way, begin))

    # -- an attempt

    def _perform(self, way: Way, begin: tuple[str, str | None]) -> Steps[None]:
        try:
            try:
                if way.claim.role is Role.VALIDATE:
                    yield from self._validate(way)
                else:
                    yield from self._implement(way, begin)
            except FleetError as error:
                outcome = way.stopped[0] if way.stopped else Outcome.INTERRUPTED
                yield from self._write(way, self._attempt(way, outcome, error.what))
        except FleetError as error:
            self.say(f"an attempt on {way.task} died: {error.what}")
        way.running = False
        self.rooms.pop(way.task, None)
        self.wake.give()

    def _while(self, most: float) -> float:
        return self.dice.random() * most * self.world.plan.pace

    def _spend(self, way: Way, seconds: float) -> Steps[None]:
        yield Wait(way.stop, seconds)
        if way.stopped is not None:
            raise Stopped

    def _implement(self, way: Way, begin: tuple[str, str | None]) -> Steps[None]:
        base, tip = begin
        if way.task in self.rooms:
            raise Breach(f"two attempts on {way.task} are in one workspace of {self.name}")
        self.rooms[way.task] = way.ghost
        yield self.dice.random()
        start = tip or base
        if start not in self.disk.codes:
            raise FleetError(f"unknown commit {start[:8]}")
        ref = task_ref(way.task)
        if tip is not None and base not in self.library.codes[tip].line:  # merged in
            files = {**self.library.codes[base].files, **self._own_files(tip, base)}
            start = self._code((base, tip), files, way)
        self.disk.local[ref] = start
        outcome, reason = self._scene(way)
        try:
            for _ in range(2):
                yield from self._spend(way, self._while(self.dice.choice([8.0, 40.0])))
                start = self._code((start,), self._edit(start, way), way)
                self.disk.local[ref] = start
                if self.dice.random() < 0.1:
                    self._file(way)
                yield from self._collect(way)
        except Stopped:
            assert way.stopped is not None
            outcome, reason = way.stopped
            yield self.dice.random() * GRACE
        if way.claim.base not in self.library.codes[start].line:
            raise Breach(f"{way.task}: its work does not contain where it started")
        attempt = self._attempt(way, outcome, reason, head=start)
        yield from self._write(way, attempt)

    def _own_files(self, head: str, other: str) -> Mapping[str, str]:
        """What `head` changed since it left the line of `other`."""
        codes = self.library.codes
        base = codes[self._merge_base(head, other)].files
        return {f: w for f, w in codes[head].files.items() if base.get(f) != w}

    def _merge_base(self, one: str, two: str) -> str:
        codes = self.library.codes
        return max(codes[one].line & codes[two].line, key=lambda c: (len(codes[c].line), c))

    def _code(self, parents: tuple[str, ...], files: Mapping[str, str], way: Way) -> str:
        made = self.library.code(parents, files, nonce=way.nonce, task=way.task).id
        self.disk.codes.add(made)
        return made

    def _edit(self, start: str, way: Way) -> Mapping[str, str]:
        file = self.dice.choice(["shared", f"of-{way.task}", f"of-{way.task}", f"of-{way.task}"])
        return {**self.library.codes[start].files, file: self.world.hex(8)}

    def _scene(self, way: Way) -> tuple[Outcome, str]:
        outcome = Outcome.SUBMITTED
        if self.world.chance(self.world.plan.fails):
            outcome = self.dice.choice([Outcome.FAILED, Outcome.EMPTY, Outcome.TIMED_OUT])
        self.scenes.told[way.ghost] = outcome
        return outcome, "so it played"

    def _file(self, way: Way) -> None:
        """An agent comes across a task."""
        key = self.world.hex(16)
        self.scenes.filed[key] = way.ghost
        text = b"---\ntitle: Come across\n---\nWell.\n"
        way.letters.append(Addition(text=text, id=f"found-{key[:4]}", key=key))

    def _collect(self, way: Way) -> Steps[None]:
        if not way.letters:
            return
        letters = list(way.letters)
        try:
            made = yield from self.clone.transact(
                lambda board, now: add_tasks.file_additions(
                    board, task=way.task, nonce=way.nonce, additions=letters
                )
            )
        except Unreachable:
            if "letters-interrupt" in self.mutants:
                raise
            return  # next time, or together with the attempt's end
        if made.answer is not TxnStatus.UNKNOWN or "letters-dropped" in self.mutants:
            way.letters.clear()

    # -- an attempt's end

    def _attempt(self, way: Way, outcome: Outcome, reason: str, **facts: Any) -> Attempt:
        attempt = Attempt.of(way.claim, outcome, reason, self.machine.clock())
        return replace(attempt, **facts)

    def _view(self, board: Board, way: Way) -> Board:
        """The board as an attempt sees it: with the fence taken away it sees its claim always."""
        entry = board.get(way.task)
        if "no-fence" not in self.mutants or entry is None:
            return board
        forged = replace(entry, claim=way.claim)
        return replace(board, entries={**board.entries, way.task: forged})

    def _write(self, way: Way, attempt: Attempt) -> Steps[bool]:
        work = way.claim.role is Role.WORK and attempt.head is not None
        publish = (Ref(task_ref(way.task), None, attempt.head),) if work else ()
        letters = list(way.letters)
        way.letters.clear()
        made = yield from self._finish(
            way,
            attempt,
            lambda board, now: on_end.end_attempt(
                self._view(board, way),
                task=way.task,
                attempt=attempt,
                role=way.claim.role,
                additions=letters,
                publish=publish,
            ),
        )
        return made.won

    def _finish(self, way: Way, attempt: Attempt, decide: Decide) -> Steps[Request]:
        pause = 0.5
        while True:
            try:
                act = Act("settle", way.task, way.ghost)
                made = yield from self.clone.transact(decide, act)
                if made.answer is not TxnStatus.UNKNOWN:
                    break
            except Unreachable:
                pass
            yield pause
            pause = min(10.0, pause * 2)
        assert made.board is not None
        if made.won or self._settled(made.board, way, attempt):
            yield 0.01
            self._forget(way.nonce)
            self.scenes.believed.append((way.ghost, attempt.outcome))
            made.answer = TxnStatus.WON
        elif not made.why and event_files.claimed_by(made.board, way.task, way.nonce) is None:
            self._forget(way.nonce)
            self.say(f"fenced: {way.task} #{way.ghost} {attempt.outcome}")
        return made

    def _settled(self, board: Board, way: Way, attempt: Attempt) -> bool:
        if "lost-is-settled" not in self.mutants:
            return on_end.has_ended(board, way.task, attempt)
        entry = board.get(way.task)
        return entry is not None and any(
            event.attempt is not None and event.attempt.nonce == way.nonce for event in entry.events
        )

    # -- validating and landing

    def _validate(self, way: Way) -> Steps[None]:
        try:
            for _ in range(20):
                try:
                    yield from self._prove(way)
                    return
                except _Moved:
                    continue
            yield from self._write(way, self._attempt(way, Outcome.INTERRUPTED, GAVE_WAY))
        except Stopped:
            assert way.stopped is not None
            yield from self._write(way, self._attempt(way, *way.stopped))

    def _give_way(self, way: Way, refusal: Refusal) -> Steps[None]:
        match refusal:
            case TargetMoved():
                raise _Moved("the target moved")
            case OnHold(reason=reason) | TermsChanged(reason=reason):
                outcome = Outcome.INTERRUPTED
            case Withdrawn(reason=reason) | ClaimGone(reason=reason):
                outcome = Outcome.CANCELLED
        yield from self._write(way, self._attempt(way, outcome, reason))

    def _prove(self, way: Way) -> Steps[None]:
        board = self._view(self.clone.board(), way)
        claimed = Terms(way.board, way.board.entries[way.task])
        terms = current_terms(board, claimed, way.claim)
        if not isinstance(terms, Terms):
            yield from self._give_way(way, terms)
            return
        head = way.claim.head
        assert head is not None
        tip = yield from self.clone.tip_of(TARGET)
        if tip is None or head not in self.disk.codes:
            raise FleetError(f"unknown commit {head[:8]}")
        codes = self.library.codes
        if head in codes[tip].line:
            yield from self._land(way, terms, tip, tip, by_hand=True)
            return
        ours, base = codes[tip].files, codes[self._merge_base(tip, head)].files
        own = self._own_files(head, tip)
        clash = [f for f, w in own.items() if ours.get(f) != base.get(f) and ours.get(f) != w]
        if clash:
            attempt = self._attempt(way, Outcome.CONFLICT, "it conflicts", base=tip)
            self.scenes.told[way.ghost] = Outcome.CONFLICT
            yield from self._write(way, attempt)
            return
        merge = self._code((tip, head), {**ours, **own}, way)
        yield from self._spend(way, self._while(10.0))
        if self.world.chance(self.world.plan.fails / 2):
            yield from self._reject(way)
            return
        if way.claim.coder:
            yield from self._spend(way, self._while(10.0))
        yield from self._land(way, terms, tip, merge, by_hand=False)

    def _reject(self, way: Way) -> Steps[None]:
        if self.dice.random() < 0.2:
            tip = self.disk.track[TARGET]
            attempt = self._attempt(way, Outcome.TARGET_RED, "the target is red", base=tip)
            yield from self._write(way, attempt)
            return
        outcome = self.dice.choice([Outcome.REJECTED, Outcome.CHECKS_FAILED])
        self.scenes.told[way.ghost] = outcome
        attempt = self._attempt(way, outcome, "so it played")
        yield from self._finish(
            way,
            attempt,
            lambda board, now: on_rejection.reject(
                self._view(board, way), task=way.task, attempt=attempt, fix=None
            ),
        )

    def _land(self, way: Way, terms: Terms, tip: str, merge: str, *, by_hand: bool) -> Steps[None]:
        attempt = self._attempt(way, Outcome.ACCEPTED, "it passed", base=tip)
        landed = Landed(
            runner=self.name, nonce=way.nonce, at=self.machine.clock(), target=TARGET,
            merge=merge, head=way.claim.head,
        )  # fmt: skip
        move = None if by_hand else Ref(TARGET, tip, merge)
        refusal = cast(Refusal | None, None)

        def decide(board: Board, now: datetime) -> Change | None:
            board = self._view(board, way)
            nonlocal refusal
            refusal = (
                blocker_on(board, way.task, way.nonce)
                if by_hand
                else landing_refusal(
                    board, terms, way.nonce, before=tip, tip=self.disk.track.get(TARGET)
                )
            )
            if refusal is not None:
                return None
            return on_landing.land(
                board, now, task=way.task, attempt=attempt, landed=landed, move=move
            )

        made = yield from self._finish(way, attempt, decide)
        assert made.board is not None
        if made.won:
            self.blocked.pop(way.task, None)
        elif made.why:
            self.blocked[way.task] = (tip, self.machine.mono())
            yield from self._write(way, attempt)
        elif refusal is not None and not isinstance(refusal, ClaimGone):
            yield from self._give_way(way, refusal)

    # -- after a crash

    def _settle_dead(self) -> Steps[None]:
        on_board = {
            e.claim.nonce: (e.id, e.claim)
            for e in self.clone.board().entries.values()
            if e.claim is not None
        }
        for nonce, held in list(self.disk.held.items()):
            yield 0.01
            if nonce not in on_board:
                if "dead-forgotten" in self.mutants:
                    self._forget(nonce)
                continue  # it may turn up yet: then it is worked on
            task, claim = on_board[nonce]
            yield from self._settle_one(nonce, task, claim, held)

    def _settle_one(self, nonce: str, task: str, claim: Claim, held: Held) -> Steps[None]:
        attempt = Attempt.of(claim, Outcome.INTERRUPTED, DIED, self.machine.clock())
        head = self.disk.local.get(task_ref(task))
        publish: tuple[Ref, ...] = ()
        if claim.role is Role.WORK and head is not None:
            attempt = replace(attempt, head=head)
            publish = (Ref(task_ref(task), None, head),)
        if "dead-unpublished" in self.mutants:
            publish = ()
        made = yield from self.clone.transact(
            self._settling(task, attempt, claim.role, publish),
            Act("settle", task, held.ghost),
        )
        if made.answer is not TxnStatus.UNKNOWN or "dead-forgotten" in self.mutants:
            self._forget(nonce)

    def _settling(
        self, task: str, attempt: Attempt, role: Role, publish: tuple[Ref, ...]
    ) -> Decide:
        return lambda board, now: on_end.end_attempt(
            board, task=task, attempt=attempt, role=role, publish=publish
        )
