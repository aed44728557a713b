"""The standard library in virtual time, and a way to put it in place of the real one.

The product runs as it is: in each of its modules at once, a name gets another value.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.simulation.world import EPOCH, Proc, Signal, World


@contextlib.contextmanager
def replaced(those: list[tuple[object, object]]) -> Iterator[None]:
    """Put the second of each pair wherever a module of gitfleet has the first."""
    by_id = {id(real): fake for real, fake in those}
    before: list[tuple[ModuleType, str, object]] = []
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "gitfleet"]:
        for name, value in vars(module).items():
            if id(value) in by_id:
                before.append((module, name, value))
    try:
        for module, name, value in before:
            setattr(module, name, by_id[id(value)])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class Time:
    """As the module `time`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sleep = world.sleep

    def monotonic(self) -> float:
        machine = self._world.machine
        return machine.mono() if machine else self._world.now

    def time(self) -> float:
        machine = self._world.machine
        seconds = machine.wall() if machine else self._world.now
        return (EPOCH + timedelta(seconds=seconds)).timestamp()

    def boot_seconds(self) -> float:
        machine = self._world.machine
        return machine.boot() if machine else self._world.now


class Lock:
    """As `threading.Lock`, or `threading.RLock`."""

    def __init__(self, world: World, *, again: bool = False) -> None:
        self._world, self._again = world, again
        self._free = Signal(world)
        self._owner: Proc | None = None
        self._depth = 0

    def acquire(self) -> bool:
        me = self._world.current
        while self._depth and not (self._again and self._owner is me):
            self._free.clear()
            self._world.wait(self._free)
        self._owner, self._depth = me, self._depth + 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            self._free.give()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Event:
    """As `threading.Event`."""

    def __init__(self, world: World) -> None:
        self._world, self._signal = world, Signal(world)
        self.set, self.clear = self._signal.give, self._signal.clear

    def is_set(self) -> bool:
        return self._signal.given

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return self._world.wait(self._signal)
        return self._world.wait(self._signal, timeout)


class Thread:
    """As `threading.Thread`: a process on the same machine."""

    def __init__(
        self,
        world: World,
        *,
        target: Callable[..., object],
        args: tuple[Any, ...] = (),
        name: str = "",
        daemon: bool = True,
    ) -> None:
        assert daemon
        self._world, self._work, self.name = world, lambda: target(*args), name
        self._proc: Proc | None = None

    @property
    def ident(self) -> int | None:
        return None if self._proc is None else id(self._proc)

    def start(self) -> None:
        self._world.check()
        self._proc = self._world.spawn(self._world.machine, self._work)

    def is_alive(self) -> bool:
        return self._proc is not None and self._proc.alive

    def join(self, timeout: float | None = None) -> None:
        if self._proc is not None:
            self._world.wait(self._proc.ended, 1e9 if timeout is None else timeout)


class Wakeup:
    """As `gitfleet.process.wakeup.Wakeup`."""

    def __init__(self, world: World) -> None:
        self.signal = Signal(world)
        self.set, self.clear = self.signal.give, self.signal.clear

    def fileno(self) -> Signal:
        return self.signal

    def close(self) -> None:
        pass


class Poll:
    """As the object that `select.poll` makes, for one Wakeup."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._signal = Signal(world)

    def register(self, signal: Signal, _events: int) -> None:
        self._signal = signal

    def poll(self, milliseconds: float) -> None:
        self._world.wait(self._signal, milliseconds / 1000)


def threading_of(world: World) -> object:
    return SimpleNamespace(
        Lock=lambda: Lock(world),
        RLock=lambda: Lock(world, again=True),
        Event=lambda: Event(world),
        Thread=lambda **given: Thread(world, **given),
    )


def random_of(world: World) -> object:
    return SimpleNamespace(random=world.dice.random, uniform=world.dice.uniform)


def secrets_of(world: World) -> object:
    return SimpleNamespace(token_hex=lambda size: world.hex(2 * size))


def select_of(world: World) -> object:
    return SimpleNamespace(poll=lambda: Poll(world), POLLIN=1)
