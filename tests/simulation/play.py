"""One run: a world from a seed, faults for a while, then calm, then a person who tidies up."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from gitfleet.files import codec, layout
from gitfleet.model.board import Entry
from gitfleet.model.event import Attempt
from gitfleet.model.states import CLAIMED, Kind, Outcome, Status
from gitfleet.model.task import Task
from gitfleet.plan import questions
from gitfleet.plan.graph import cancelled, is_done
from gitfleet.plan.landing_terms import TermsChanged
from gitfleet.plan.status import status_of, statuses
from gitfleet.plan.transitions import by_person
from gitfleet.plan.transitions.on_landing import OnHold
from tests.simulation.broken_rules import broken
from tests.simulation.coders import SCRIPTED, Coders
from tests.simulation.faults import plan_of
from tests.simulation.folk import ANN, Folk
from tests.simulation.memory_git import Library, MemoryObjects, MemoryRepo, clone_at, server_at
from tests.simulation.outside import stand_ins_of
from tests.simulation.runner import Runner
from tests.simulation.server import FLEET, HEADS, JUDGED, SETTINGS, TARGET, Server
from tests.simulation.site import REMOTE, TRACKED, MemoryClone, NotingStore, folder_of
from tests.simulation.stand_ins import replaced
from tests.simulation.world import EPOCH, Breach, Machine, World

PATIENCE = 4000.0  # virtual seconds in which all must come to rest
ENDS = frozenset({Status.DONE, Status.CANCELLED, Status.HELD, Status.FAILED, Status.WAITING,
                  Status.INVALID, Status.FIXING, Status.ASKING})  # fmt: skip
KNOWN_REASONS = (
    "its runner died",
    f"{REMOTE} did not answer for a whole lease",
    "main moved 20 times",
    OnHold().reason,
    *(TermsChanged(what).reason for what in ("the task", "the settings")),
)


@dataclass
class Result:
    """What became of a run."""

    seed: int
    violation: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class Play:
    """A world with its runners and people."""

    def __init__(self, world: World, server: Server, coders: Coders, folder: Path) -> None:
        self.world, self.plan, self.server, self.coders = world, world.plan, server, coders
        self.library, self.folder = server.library, folder
        self.clones: dict[str, MemoryClone] = {}
        self.machines: list[Machine] = []
        self.runners: dict[str, Runner] = {}
        self.folk: list[Folk] = []
        self.crashes = 0
        self._found()
        self.world.on_death = self._died
        repos: list[MemoryRepo] = []
        for number in range(self.plan.runners):
            machine = Machine(self.world, f"r{number}", mortal=True)
            self.machines.append(machine)
            repos.append(self._clone(machine.name))
            self.clones[machine.name] = MemoryClone(server, repos[-1])
            self._boot(machine)
        for number in range(max(1, self.plan.people)):
            machine = Machine(self.world, f"p{number}", mortal=False)
            one = Folk(machine, self.server, self._clone(machine.name), repos)
            self.folk.append(one)
            if number < self.plan.people:
                self.world.spawn(machine, one.live)
        self.world.spawn(None, self._weather)

    def _found(self) -> None:
        dice = self.world.dice
        files: dict[str, bytes] = {layout.SETTINGS: JUDGED if self.plan.judge else SETTINGS}
        ids = [f"t{number}" for number in range(self.plan.tasks)]
        for number, task in enumerate(ids):
            needs = (dice.choice(ids[:number]),) if number and dice.random() < 0.3 else ()
            locks = ("port",) if dice.random() < 0.2 else ()
            keys = Task(title=task, depends_on=needs, locks=locks)
            files[layout.task_path(task)] = codec.write_task(keys)
        self.server.refs[FLEET] = self._first(files)
        self.server.refs[TARGET] = self._first({"shared": b"0"})

    def _first(self, files: dict[str, bytes]) -> str:
        objects, who = MemoryObjects(self.server.repo), self.server.store.signature(ANN)
        return objects.write_commit(objects.write_tree(None, files), [], "Begin\n", who, who)

    def _clone(self, name: str) -> MemoryRepo:
        here = {FLEET: self.server.refs[FLEET]}
        for ref, oid in self.server.refs.items():
            here[f"{TRACKED}{ref.removeprefix(HEADS)}"] = oid
        return clone_at(folder_of(self.folder, name), self.library, here)

    def _boot(self, machine: Machine) -> None:
        machine.up = True
        self.world.say(machine.name, "starts")
        runner = Runner(machine, self.server, self.clones[machine.name])
        self.runners[machine.name] = runner
        self.world.spawn(machine, runner.run)

    def _died(self, machine: Machine) -> None:
        self.crashes += 1
        dice = self.world.dice
        after = dice.choice([0.5, 5.0, 30.0, 150.0]) * (0.5 + dice.random())
        self.world.at(after, lambda: self._boot(machine))

    # -- what the world does to them

    def _weather(self) -> None:
        plan, world, dice = self.plan, self.world, self.world.dice
        while not world.calm:
            world.sleep(10 * dice.random())
            for machine in self.machines:
                if world.chance(plan.cut):
                    self._cut(machine)
                if world.chance(plan.suspend):
                    machine.sleep(dice.choice([3.0, 40.0, 95.0, 130.0, 200.0]))
                    world.say(machine.name, f"asleep until {machine.asleep_until:.0f}")
                if world.chance(plan.jump):
                    machine.skew += dice.choice([-600.0, -150.0, -20.0, 20.0, 150.0, 600.0])
                machine.skew = max(-900.0, min(900.0, machine.skew))
                if not machine.cut and dice.random() < 0.5:
                    self._fetch_beside(self.clones[machine.name])
            if world.chance(plan.outage):
                self._outage(dice.choice([10.0, 25.0, 60.0, 150.0]))
            if world.chance(plan.slow):
                self._slow(self.machines, dice.choice([10.0, 30.0]))
            if world.chance(plan.refuse):
                self.server.protected = not self.server.protected
                world.say("server", f"protected: {self.server.protected}")

    def _fetch_beside(self, clone: MemoryClone) -> None:
        """Another process fetches in a runner's clone, as editors do."""
        for ref in (FLEET, TARGET):
            oid = self.server.refs[ref]
            clone.memory.refs[f"{TRACKED}{ref.removeprefix(HEADS)}"] = oid
            clone.memory.take([oid])

    def _cut(self, machine: Machine) -> None:
        """A link that goes at once, or right after an answer that took its time to come."""
        dice, world = self.world.dice, self.world
        seconds = dice.choice([16.0, 30.0, 84.0, 92.0, 110.0, 150.0])
        if dice.random() < 0.5:
            machine.doomed = seconds
            return
        machine.cut_until = max(machine.cut_until, world.now + seconds)
        world.say(machine.name, f"cut off until {machine.cut_until:.0f}")
        if dice.random() < 0.5:  # just before it is back answers to the others take their time

            def slow() -> None:
                others = [m for m in self.machines if m is not machine and not world.calm]
                self._slow(others, 30.0)

            world.at(seconds - 10.0, slow)

    def _slow(self, machines: list[Machine], seconds: float) -> None:
        for machine in machines:
            machine.slow_until = self.world.now + seconds

    def _outage(self, seconds: float) -> None:
        world = self.world
        start, end = world.now, world.now + seconds
        world.say("server", f"away until {end:.0f}")
        if world.outages and world.outages[-1][1] >= start:
            start = world.outages.pop()[0]
            end = max(end, world.outage_until)
        world.outages.append((start, end))
        world.outage_until = end

    # -- a run

    def run(self) -> None:
        """Play it all. Raises Breach."""
        world = self.world
        world.run(self.plan.busy)
        self._calm()
        world.run(world.now + PATIENCE, self.rested)
        self._check("when faults had stopped")
        self._tidy_up()
        world.run(world.now + PATIENCE, self.rested)
        self._check("when a person had tidied up")
        self._check_all_done()

    def _calm(self) -> None:
        world = self.world
        world.calm = True
        world.say("world", "calm from here on")
        world.outage_until = world.now
        if world.outages and world.outages[-1][1] > world.now:
            world.outages[-1] = (world.outages[-1][0], world.now)
        self.server.protected = False
        for machine in self.machines:
            machine.cut_until = machine.slow_until = machine.doomed = 0.0

    def rested(self) -> bool:
        """Whether nothing is left to do for anybody."""
        board = self.server.board()
        if not all(machine.up for machine in self.machines):
            return False
        if any(self._unforgotten(name) for name in self.clones):
            return False
        # The slowest clock decides whether a pause is over.
        now = EPOCH + timedelta(seconds=self.world.now)
        for where in statuses(board, now).values():
            if where.status in CLAIMED or where.role is not None:
                return False
        return by_person.close_by_hand(board, now, runner="x", suffix="0000") is None

    def _unforgotten(self, name: str) -> list[str]:
        """Nonces that a runner remembers without a reason."""
        runner = self.runners[name]
        return [nonce for nonce in self.clones[name].pending if not runner.waits_for(nonce)]

    def _tidy_up(self) -> None:
        """A person frees what is held and tries again what failed; coders succeed from here on."""
        self.world.say("world", "a person tidies up")
        folk = self.folk[0]

        def tidy() -> None:
            folk.look()
            board = folk.store.board()
            for task, entry in sorted(board.entries.items()):
                status = status_of(board, task, folk.machine.clock()).status
                if by_person._on_hold(entry) and not cancelled(entry) and not entry.gone:
                    folk.freed(task)
                if status is Status.FAILED:
                    folk.said(task, Kind.RETRY)
            for one in questions.waiting(board, folk.store.now()):
                folk.answered(one.name)

        for _ in range(4):  # what was held may turn out to have failed
            self.world.spawn(folk.machine, tidy)
            self.world.run(self.world.now + 60.0)
            self.world.run(self.world.now + PATIENCE, self.rested)

    # -- what must be true in the end

    def _check(self, when: str) -> None:
        board = self.server.board()
        now = EPOCH + timedelta(seconds=self.world.now)
        for task, where in sorted(statuses(board, now).items()):
            if where.status not in ENDS or where.role is not None:
                raise Breach(f"{when}: {task} is stuck, {where.status}: {where.reason}")
        for name in self.clones:
            if left := self._unforgotten(name):
                raise Breach(f"{when}: {name} still remembers {len(left)} nonces")
        for entry in board.entries.values():
            self._check_log(entry)
        for ghost, outcome in self.coders.believed:
            if self.server.ended.get(ghost) is not outcome:
                really = self.server.ended.get(ghost)
                raise Breach(f"#{ghost} was told to have ended {outcome}; in truth {really}")
        self._check_target()
        self._check_filed()
        self._check_asked()

    def _check_log(self, entry: Entry) -> None:
        numbers: Counter[int] = Counter()
        landed = 0
        for event in entry.events:
            if event.kind is Kind.RETRY:
                landed = 0
            if event.kind is Kind.LANDED:
                landed += 1
            if landed > 1:
                raise Breach(f"{entry.id} landed twice")
            if event.attempt is not None:
                self._check_attempt(entry.id, event.attempt)
                numbers[event.attempt.attempt] += event.attempt.outcome is not Outcome.LOST
        twice = [number for number, times in numbers.items() if times > 1]
        if twice:
            raise Breach(f"attempt {twice[0]} of {entry.id} ended twice")

    def _check_attempt(self, task: str, attempt: Attempt) -> None:
        if attempt.outcome is Outcome.INTERRUPTED and attempt.reason not in KNOWN_REASONS:
            raise Breach(f"{task} was interrupted for no reason of this world: {attempt.reason}")
        if attempt.outcome in SCRIPTED - self.coders.told.get(attempt.nonce, set()):
            raise Breach(f"{task} is blamed: {attempt.outcome}: {attempt.reason}")

    def _check_target(self) -> None:
        commits = self.library.commits
        heads: Counter[str] = Counter()
        at = commits[self.server.refs[TARGET]]
        while at.parents:
            heads.update(at.parents[1:])
            at = commits[at.parents[0]]
        twice = [head for head, times in heads.items() if times > 1]
        if twice:
            raise Breach(f"{twice[0][:8]} is in the target twice")

    def _check_filed(self) -> None:
        there: Counter[str] = Counter()
        for entry in self.server.board().entries.values():
            key = entry.task.outbox if entry.task is not None else None
            _, name = self.coders.filed.get(key or "", (0, ""))
            # A person's edit may be kept beside: it is a copy of the task, key and all.
            there[key or ""] += entry.id in (name, f"{name}-{(key or '')[:6]}")
        believed = {ghost for ghost, _ in self.coders.believed}
        for key, (ghost, _) in self.coders.filed.items():
            if there[key] > 1:
                raise Breach(f"what #{ghost} filed is on the board twice")
            if ghost in believed and key not in self.server.filed:
                raise Breach(f"what #{ghost} filed is not on the board")

    def _check_asked(self) -> None:
        there = Counter(
            question.text.strip()
            for entry in self.server.board().entries.values()
            for question in entry.questions
        )
        believed = {ghost for ghost, _ in self.coders.believed}
        for text, ghost in self.coders.asked.items():
            if there[text] > 1:
                raise Breach(f"what #{ghost} asked is on the board twice")
            if ghost in believed and text not in self.server.asked:
                raise Breach(f"what #{ghost} asked is not on the board")

    def _check_all_done(self) -> None:
        board = self.server.board()
        now = EPOCH + timedelta(seconds=self.world.now)
        for task, where in sorted(statuses(board, now).items()):
            entry = board.entries[task]
            if where.status in (Status.DONE, Status.CANCELLED, Status.INVALID):
                continue
            hopeless = entry.task is not None and any(
                not is_done(board, need) for need in entry.task.depends_on
            )
            if where.status is Status.WAITING and hopeless:
                continue
            raise Breach(f"in the end {task} is {where.status}: {where.reason}")


def _memory() -> str | None:
    """A file system in memory, where the machine has one: removing files from a disk takes long."""
    return next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)


def play(
    seed: int,
    mutants: frozenset[str] = frozenset(),
    say: Callable[[str], None] | None = None,
) -> Result:
    """One run; its breach, if there is one."""
    result = Result(seed)
    world = World(seed, plan_of(seed, mutants), say)
    library = Library(world)
    with tempfile.TemporaryDirectory(dir=_memory(), prefix="gitfleet-") as top, broken(mutants):
        here = Path(top)
        server = Server(world, server_at(here, library))
        coders = Coders(world)
        with replaced(stand_ins_of(world, server, coders)):
            server.store = NotingStore(None, server.repo, None)
            server.store.now = lambda: EPOCH
            game = Play(world, server, coders, here)
            try:
                game.run()
            except Exception as error:  # what the code asserts counts as much as what we look for
                result.violation = str(error) if isinstance(error, Breach) else repr(error)
                if say is not None and not isinstance(error, Breach):
                    raise
            finally:
                world.close()
    result.counts.update(
        runs=1,
        commits=server.commits,
        takeovers=server.takeovers,
        crashes=game.crashes,
        events=world.events,
        tasks=len(server.board().entries),
        seconds=int(world.now),
    )
    return result
