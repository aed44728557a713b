"""One run: a world from a seed, faults for a while, then calm, then a person who tidies up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from gitfleet.files import codec, layout
from gitfleet.model.board import Entry
from gitfleet.model.event import Attempt
from gitfleet.model.states import CLAIMED, Kind, Outcome, Status
from gitfleet.model.task import Task
from gitfleet.plan.graph import cancelled, is_done
from gitfleet.plan.status import status_of, statuses
from gitfleet.plan.transitions import by_person
from tests.simulation.clone import Disk
from tests.simulation.faults import plan_of
from tests.simulation.folk import Folk
from tests.simulation.runner import KNOWN_REASONS, SCRIPTED, Runner, Scenes
from tests.simulation.server import FLEET, JUDGED, SETTINGS, TARGET, Library, Server
from tests.simulation.world import EPOCH, Breach, Machine, Steps, World

PATIENCE = 4000.0  # virtual seconds in which all must come to rest
ENDS = frozenset({Status.DONE, Status.CANCELLED, Status.HELD, Status.FAILED, Status.WAITING,
                  Status.INVALID, Status.FIXING})  # fmt: skip


@dataclass
class Result:
    """What became of a run."""

    seed: int
    violation: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class Play:
    """A world with its runners and people."""

    def __init__(
        self, seed: int, mutants: frozenset[str], say: Callable[[str], None] | None
    ) -> None:
        self.plan = plan_of(seed, mutants)
        self.world = World(seed, self.plan, say)
        self.library = Library(self.world)
        self.server = Server(self.world, self.library)
        self.scenes = Scenes()
        self.disks: dict[str, Disk] = {}
        self.machines: list[Machine] = []
        self.runners: dict[str, Runner] = {}
        self.folk: list[Folk] = []
        self.crashes = 0
        self._found()
        self.world.on_death = self._died
        for number in range(self.plan.runners):
            machine = Machine(self.world, f"r{number}", mortal=True)
            self.machines.append(machine)
            self.disks[machine.name] = Disk()
            self._boot(machine)
        for number in range(max(1, self.plan.people)):
            machine = Machine(self.world, f"p{number}", mortal=False)
            one = Folk(machine, self.server, list(self.disks.values()))
            self.folk.append(one)
            if number < self.plan.people:
                self.world.spawn(machine, one.live())
        self.world.spawn(None, self._weather())

    def _found(self) -> None:
        dice = self.world.dice
        files: dict[str, bytes | str | None] = {
            layout.SETTINGS: JUDGED if self.plan.judge else SETTINGS
        }
        ids = [f"t{number}" for number in range(self.plan.tasks)]
        for number, task in enumerate(ids):
            needs = (dice.choice(ids[:number]),) if number and dice.random() < 0.3 else ()
            locks = ("port",) if dice.random() < 0.2 else ()
            keys = Task(title=task, depends_on=needs, locks=locks)
            files[layout.task_path(task)] = codec.write_task(keys)
        root = self.library.commit((), files, at=EPOCH, by_runner=False, subject="Begin")
        self.server.refs[FLEET] = root.id
        self.server.refs[TARGET] = self.library.code((), {"shared": "0"}).id

    def _boot(self, machine: Machine) -> None:
        machine.up = True
        self.world.say(machine.name, "starts")
        runner = Runner(machine, self.server, self.disks[machine.name], self.scenes)
        self.runners[machine.name] = runner
        self.world.spawn(machine, runner.run())

    def _died(self, machine: Machine) -> None:
        self.crashes += 1
        dice = self.world.dice
        after = dice.choice([0.5, 5.0, 30.0, 150.0]) * (0.5 + dice.random())
        self.world.at(after, lambda: self._boot(machine))

    # -- what the world does to them

    def _weather(self) -> Steps[None]:
        plan, world, dice = self.plan, self.world, self.world.dice
        while not world.calm:
            yield 10 * dice.random()
            for machine in self.machines:
                if world.chance(plan.cut):
                    self._cut(machine)
                if world.chance(plan.suspend):
                    machine.sleep(dice.choice([3.0, 40.0, 95.0, 130.0, 200.0]))
                    world.say(machine.name, f"asleep until {machine.asleep_until:.0f}")
                if world.chance(plan.jump):
                    machine.skew += dice.choice([-600.0, -150.0, -20.0, 20.0, 150.0, 600.0])
                machine.skew = max(-900.0, min(900.0, machine.skew))
            if world.chance(plan.outage):
                self._outage(dice.choice([10.0, 25.0, 60.0, 150.0]))
            if world.chance(plan.slow):
                self._slow(self.machines, dice.choice([10.0, 30.0]))
            if world.chance(plan.refuse):
                self.server.protected = not self.server.protected
                world.say("server", f"protected: {self.server.protected}")

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
        if any(self._unforgotten(name) for name in self.disks):
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
        return [nonce for nonce in self.disks[name].held if not runner.waits_for(nonce)]

    def _tidy_up(self) -> None:
        """A person frees what is held and tries again what failed; coders succeed from here on."""
        self.world.say("world", "a person tidies up")
        folk = self.folk[0]

        def tidy() -> Steps[None]:
            yield from folk.clone.look()
            board = folk.clone.board()
            for task, entry in sorted(board.entries.items()):
                status = status_of(board, task, folk.machine.clock()).status
                if by_person._on_hold(entry) and not cancelled(entry) and not entry.gone:
                    yield from folk.freed(task)
                if status is Status.FAILED:
                    yield from folk.said(task, Kind.RETRY)

        for _ in range(4):  # what was held may turn out to have failed
            self.world.spawn(folk.machine, tidy())
            self.world.run(self.world.now + 60.0)
            self.world.run(self.world.now + PATIENCE, self.rested)

    # -- what must be true in the end

    def _check(self, when: str) -> None:
        board = self.server.board()
        now = EPOCH + timedelta(seconds=self.world.now)
        for task, where in sorted(statuses(board, now).items()):
            if where.status not in ENDS or where.role is not None:
                raise Breach(f"{when}: {task} is stuck, {where.status}: {where.reason}")
        for name in self.disks:
            if left := self._unforgotten(name):
                raise Breach(f"{when}: {name} still remembers {len(left)} nonces")
        for entry in board.entries.values():
            self._check_log(entry)
        for ghost, outcome in self.scenes.believed:
            if self.server.ended.get(ghost) is not outcome:
                really = self.server.ended.get(ghost)
                raise Breach(f"#{ghost} was told to have ended {outcome}; in truth {really}")
        self._check_target()
        self._check_letters()

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
        if attempt.outcome in SCRIPTED and attempt.reason != "so it played":
            raise Breach(f"{task} is blamed: {attempt.outcome}: {attempt.reason}")

    def _check_target(self) -> None:
        codes = self.library.codes
        heads: Counter[str] = Counter()
        at = self.server.refs[TARGET]
        while codes[at].parents:
            if len(codes[at].parents) > 1:
                heads[codes[at].parents[1]] += 1
            at = codes[at].parents[0]
        twice = [head for head, times in heads.items() if times > 1]
        if twice:
            raise Breach(f"{codes[twice[0]].task} is in the target twice")

    def _check_letters(self) -> None:
        there = Counter(
            entry.task.outbox
            for entry in self.server.board().entries.values()
            if entry.task is not None
            and (key := entry.task.outbox)
            # What a person's edit went beside of is a copy of it, key and all.
            and entry.id in (f"found-{key[:4]}", f"found-{key[:4]}-{key[:6]}")
        )
        believed = {ghost for ghost, _ in self.scenes.believed}
        for key, ghost in self.scenes.filed.items():
            if there[key] > 1:
                raise Breach(f"what #{ghost} filed is on the board twice")
            if ghost in believed and key not in self.server.filed:
                raise Breach(f"what #{ghost} filed is not on the board")

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


def play(
    seed: int,
    mutants: frozenset[str] = frozenset(),
    say: Callable[[str], None] | None = None,
) -> Result:
    """One run; its breach, if there is one."""
    result = Result(seed)
    game = Play(seed, mutants, say)
    try:
        game.run()
    except Exception as error:  # what the code asserts counts as much as what we look for
        result.violation = str(error) if isinstance(error, Breach) else repr(error)
        if say is not None and not isinstance(error, Breach):
            raise
    result.counts.update(
        runs=1,
        commits=game.server.commits,
        takeovers=game.server.takeovers,
        crashes=game.crashes,
        events=game.world.events,
        tasks=len(game.server.board().entries),
        seconds=int(game.world.now),
    )
    return result
