"""Virtual time, machines that crash, sleep and disagree about the time, and a network that lies.

Each process of this world is a thread, and only one of them runs at a time: until it sleeps or
waits. Then the next one that is due runs. So the same seed gives the same run. Whenever a process
continues, its machine may die instead.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from tests.simulation.faults import Plan

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FOREVER = 1e9
MOMENT = 1e-4  # seconds that a process waits at least, as real ones do
T = TypeVar("T")


class Breach(AssertionError):
    """Something that must never be was seen."""


class Killed(BaseException):
    """The machine of the running process died."""


class Signal:
    """Something that can be waited for; it stays given until it is taken back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.given = False
        self.waiting: list[tuple[Proc, int]] = []

    def give(self) -> None:
        self.given = True
        waiting, self.waiting = self.waiting, []
        for proc, turn in waiting:
            if proc.turn == turn:
                self.world.push(self.world.now, proc)

    def clear(self) -> None:
        self.given = False


class _Worker:
    """A thread that runs one process after another."""

    idle: list[_Worker] = []  # noqa: RUF012 - shared by all worlds: threads are expensive

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.job: Callable[[], None] = lambda: None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.baton.acquire()
            self.job()


class Proc:
    """A process on a machine, in one of its lives; or a part of the world itself."""

    def __init__(self, world: World, machine: Machine | None, work: Callable[[], object]) -> None:
        self.world, self.machine, self._work = world, machine, work
        self.life = machine.life if machine else 0
        self.turn = 0
        self.running = True
        self.killed = False
        self.ended = Signal(world)
        self.ghost: int | None = None  # the attempt that it makes
        self._worker: _Worker | None = None

    @property
    def alive(self) -> bool:
        return self.running and (self.machine is None or self.machine.life == self.life)

    def resume(self) -> None:
        """Let it run until it waits, or ends."""
        if self._worker is None:
            self._worker = _Worker.idle.pop() if _Worker.idle else _Worker()
            self._worker.job = self._run
        self._worker.baton.release()
        self.world.baton.acquire()

    def pause(self) -> None:
        """Called by the process itself: let others run. Raises Killed."""
        assert self._worker is not None
        self.world.baton.release()
        self._worker.baton.acquire()
        if self.killed:
            raise Killed

    def kill(self) -> None:
        """End it where it waits."""
        self.killed = True
        if self._worker is not None:
            self.resume()
        self.running = False

    def _run(self) -> None:
        try:
            if not self.killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self.world.error = self.world.error or error
        self.running = False
        self.ended.give()
        assert self._worker is not None
        _Worker.idle.append(self._worker)
        self.world.baton.release()


class Machine:
    """A computer: it has clocks, it sleeps, it dies, and it may be cut off from the server."""

    def __init__(self, world: World, name: str, *, mortal: bool) -> None:
        self.world, self.name, self.mortal = world, name, mortal
        self.life = 0
        self.up = True
        self.asleep_until = 0.0
        self.slow_until = 0.0  # answers take their time
        self.doomed = 0.0  # for so long its link fails, once an answer has come late
        self.cut_until = 0.0
        self.shaken = False  # a conversation has just failed
        self.slept = 0.0
        self.skew = 0.0  # of the wall clock, seconds

    def boot(self) -> float:
        """Seconds that go on while it sleeps."""
        return self.world.now

    def mono(self) -> float:
        """Seconds that stand still while it sleeps."""
        return self.world.now - self.slept

    def wall(self) -> float:
        return self.world.now + self.skew

    def clock(self) -> datetime:
        """What it would write into an event."""
        return EPOCH + timedelta(seconds=int(self.wall()))

    def sleep(self, seconds: float) -> None:
        """Be suspended."""
        start = max(self.world.now, self.asleep_until)
        self.asleep_until = self.world.now + seconds
        self.slept += max(0.0, self.asleep_until - start)

    @property
    def cut(self) -> bool:
        return max(self.cut_until, self.world.outage_until) > self.world.now


class World:
    """The time, what is to happen, and everybody's dice."""

    def __init__(self, seed: int, plan: Plan, say: Callable[[str], None] | None) -> None:
        self.seed, self.plan = seed, plan
        self.dice = random.Random(seed)
        self.now = 0.0
        self.outage_until = 0.0
        self.outages: list[tuple[float, float]] = []
        self.calm = False  # faults have stopped
        self.ghosts = 0  # attempts that anyone ever tried to claim
        self.events = 0
        self.error: BaseException | None = None  # the first that a process ended with
        self.current: Proc | None = None  # the process that runs now
        self.procs: dict[Proc, None] = {}
        self.baton = threading.Lock()
        self.baton.acquire()
        self._say = say
        self._due: list[tuple[float, int, Proc | Callable[[], None], int]] = []
        self._number = 0
        self.on_death: Callable[[Machine], None] = lambda machine: None

    def say(self, who: str, what: str) -> None:
        if self._say is not None:
            self._say(f"{self.now:9.2f} {who:8} {what}")

    def hex(self, digits: int) -> str:
        return f"{self.dice.getrandbits(digits * 4):0{digits}x}"

    def chance(self, of: float) -> bool:
        """Whether a mishap of that probability happens; none once all is calm."""
        return not self.calm and self.dice.random() < of

    def breach(self, what: str) -> Breach:
        """What a process raises that saw something that must never be; it counts if caught, too."""
        error = Breach(what)
        self.error = self.error or error
        return error

    # -- for processes

    @property
    def machine(self) -> Machine | None:
        """Where the running process runs."""
        return self.current.machine if self.current else None

    def check(self) -> None:
        """Raises Killed in a process whose machine died: it has no effect any more."""
        if self.current is not None and self.current.killed:
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.check()
        if (proc := self.current) is not None:
            self.push(self.now + seconds, proc)
            proc.pause()

    def wait(self, signal: Signal, timeout: float = FOREVER) -> bool:
        """Until the signal is given, or so many seconds have passed. Whether it is given."""
        self.check()
        proc = self.current
        if proc is not None and not signal.given:
            signal.waiting.append((proc, proc.turn))
            if timeout < FOREVER:
                self.push(self.now + max(MOMENT, timeout), proc)
            proc.pause()
        return signal.given

    # -- what happens

    def push(self, at: float, what: Proc | Callable[[], None]) -> None:
        self._number += 1
        turn = what.turn if isinstance(what, Proc) else 0
        heapq.heappush(self._due, (at, self._number, what, turn))

    def at(self, after: float, call: Callable[[], None]) -> None:
        """Call something so many seconds from now."""
        self.push(self.now + after, call)

    def spawn(self, machine: Machine | None, work: Callable[[], object]) -> Proc:
        proc = Proc(self, machine, work)
        self.procs[proc] = None
        self.push(self.now, proc)
        return proc

    def run(self, until: float, finished: Callable[[], bool] = lambda: False) -> None:
        """Let happen what is due, in order, until a time, or until all is finished."""
        asked = self.now
        while self._due and self._due[0][0] <= until:
            at, _, what, turn = heapq.heappop(self._due)
            self.now = max(self.now, at)
            self.events += 1
            if not isinstance(what, Proc):
                what()
            elif what.turn == turn and what.alive:
                self._step(what)
            if self.now - asked >= 5.0:
                asked = self.now
                if finished():
                    return
        self.now = max(self.now, until)

    def _step(self, proc: Proc) -> None:
        machine = proc.machine
        if machine is not None and machine.asleep_until > self.now:
            self.push(machine.asleep_until + self.dice.random() * 0.1, proc)
            return
        if machine is not None and machine.mortal:
            # What goes wrong seldom goes wrong alone.
            risk = self.plan.crash * (15 if machine.shaken else 1)
            machine.shaken = False
            if self.chance(risk):
                self.crash(machine, machine.life)
                return
        self._let(proc, proc.resume)
        if self.error is not None:
            raise self.error

    def _let(self, proc: Proc, run: Callable[[], None]) -> None:
        proc.turn += 1
        before, self.current = self.current, proc
        run()
        self.current = before
        if not proc.running:
            del self.procs[proc]

    def crash(self, machine: Machine, life: int) -> None:
        """Everything that runs on the machine ends at once, in the middle of whatever it does.

        Nothing happens if that life of it is over.
        """
        if machine.life != life or self.calm:
            return
        self.say(machine.name, "CRASH")
        machine.life += 1
        machine.up = False
        self.on_death(machine)
        for proc in [p for p in self.procs if p.machine is machine and p.life != machine.life]:
            self._let(proc, proc.kill)

    def close(self) -> None:
        """End every process."""
        for proc in list(self.procs):
            self._let(proc, proc.kill)


class Lost(Exception):
    """No answer came, or an error of the network: what became of it nobody knows."""


TIMEOUT = 20.0  # seconds a client waits; a third of the real one, as all times here


def converse(world: World, act: Callable[[], T], *, pushes: bool = False) -> T:
    """One conversation of the running process with the server: `act` happens there, perhaps. Raises
    Lost.

    What was sent may arrive although the client was told otherwise, even long after.
    """
    world.check()
    machine, dice = world.machine, world.dice
    assert machine is not None
    answered = Signal(world)
    answer: list[T] = []
    swift = 0.02 + dice.random() * 0.3
    if machine.cut:
        world.sleep(dice.choice([0.5, 1.0, TIMEOUT]))
        raise Lost
    patience = TIMEOUT
    there, back = swift, swift
    lost_back = False
    doomed, machine.doomed = (machine.doomed, 0.0) if pushes else (0.0, machine.doomed)
    if doomed:
        back = 4 + dice.random() * 14
    elif world.now < machine.slow_until:
        back = dice.random() * 18
    elif world.chance(world.plan.mishap):
        match dice.randrange(5):
            case 0:  # slow both ways
                there, back = dice.random() * 10, dice.random() * 15
            case 1:  # it arrives, the answer does not
                lost_back = True
                patience = dice.choice([1.0, 4.0, TIMEOUT])
            case 2:  # it arrives after the client gave up
                patience = dice.choice([1.0, 4.0, TIMEOUT])
                there = patience + dice.random() * dice.choice([3.0, 20.0, 60.0])
                lost_back = True
                if machine.mortal and dice.random() < 30 * world.plan.crash:
                    world.at(dice.random() * patience, partial(world.crash, machine, machine.life))
            case 3:  # it never arrives
                there = FOREVER
                patience = dice.choice([1.0, 4.0, TIMEOUT])
            case 4:  # the answer takes its time
                back = dice.random() * 18

    def arrive() -> None:
        answer.append(act())
        if not lost_back:
            world.at(back, reply)

    def reply() -> None:
        if not machine.cut:
            answered.give()
            if doomed and not world.calm:
                machine.cut_until = max(machine.cut_until, world.now + doomed)
                world.say(machine.name, f"cut off until {machine.cut_until:.0f}, just now")

    if there < FOREVER:
        world.at(there, arrive)
    if not world.wait(answered, patience):
        machine.shaken = True
        raise Lost
    return answer[0]
