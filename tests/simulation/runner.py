"""A runner: the product's own, in one life of its machine."""

from __future__ import annotations

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.event_log import EventLog
from gitfleet.model.config import Machine as MachineSettings
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.runner.loop import Runner as Loop
from gitfleet.runner.options import Options
from tests.simulation import stand_ins
from tests.simulation.outside import NoProcesses
from tests.simulation.server import HEADS, TARGET, Server
from tests.simulation.site import MemoryClone, store_at
from tests.simulation.world import Machine


class Runner:
    """One life of one runner."""

    def __init__(self, machine: Machine, server: Server, clone: MemoryClone) -> None:
        self.machine, self.server, self.clone = machine, server, clone
        self.world, self.name, self.life = machine.world, machine.name, machine.life
        self.loop: Loop | None = None
        clone.owner = self

    def run(self) -> None:
        """Live until the machine dies."""
        repo = self.clone.memory
        report = EventLog(lambda line: self.world.say(self.name, line[21:]), self.machine.clock)
        store = store_at(
            self.machine, self.server, repo, report, runner=self.name, clone=self.clone
        )
        target = TARGET.removeprefix(HEADS)
        project = Project(
            repo, self.clone, store, report, self.name, target, WorkspacePool(repo),
            MachineSettings(),
            giving_up=stand_ins.Event(self.world),  # type: ignore[arg-type]  # it does the same
            executor=NoProcesses(),
        )  # fmt: skip
        self.loop = Loop(project, Options(slots=2))
        clock = stand_ins.Time(self.world).monotonic
        self.loop.attempts._blocked._clock = clock  # their default is the real time
        self.loop.windows._clock = clock
        self.loop.run()

    @property
    def heartbeat(self) -> HeartbeatThread:
        assert self.loop is not None and self.loop.heartbeat is not None
        return self.loop.heartbeat

    def holds_on(self, ghost: int) -> str:
        """Why another may not take over this claim of ours now: asked by the server."""
        if not self.machine.up or self.machine.life != self.life or self.loop is None:
            return ""
        mine = [nonce for nonce, known in self.clone.ghosts.items() if known == ghost]
        attempts = self.loop.attempts._attempts
        under_way = [nonce for nonce in mine if nonce in attempts]
        if not under_way:
            known = any(nonce in self.clone.pending for nonce in mine)
            return "" if known else f"{self.name} lives, and has forgotten it"
        over = self.heartbeat.own.over(self.machine.boot(), under_way[0])
        if attempts[under_way[0]].thread.is_alive() and not over:
            return f"{self.name} works on it and believes that its lease still lasts"
        return ""

    def waits_for(self, nonce: str) -> bool:
        """Whether a nonce of ours may be remembered still: its push may arrive on this tip."""
        if self.loop is None:
            return False
        first = self.heartbeat._in_flight._first.get(nonce)
        return first is not None and first == self.heartbeat.remote.tip()
