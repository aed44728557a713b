"""The background services of a runner: wired together, started and stopped in one order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from gitfleet.attempt.context import LiveStatus, Project
from gitfleet.background_service import BackgroundService, ServiceHealth
from gitfleet.notify import notifier
from gitfleet.notify.notifier import Notifier
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.presence.payload import LiveStatusFile
from gitfleet.questions import forge_service
from gitfleet.questions.forge_service import ForgeService
from gitfleet.runner.transcript_sync import TranscriptSync


class RunnerServices:
    """All threads of a runner, besides its attempts and the loop."""

    def __init__(
        self,
        project: Project,
        slots: int | None,
        lives: Callable[[], Mapping[str, LiveStatus]],
        wake: Callable[[], None],
        loop: Callable[[], list[ServiceHealth]],
    ) -> None:
        """`lives`: the live status of each attempt, by its nonce. `wake` wakes the loop.

        `loop`: the health of the loop and its duties.
        """
        self._project, self._loop = project, loop
        self.forge = ForgeService(project, lambda: self.leader_since(forge_service.DUTY)[0])
        self.notifier = Notifier(project, lambda: self.leader_since(notifier.DUTY))
        self.transcripts = TranscriptSync(project)
        self.live_status = LiveStatusFile(project, lives, slots, self.health)
        self._leases = project.leases.service(project.report)
        remote = project.store.backend.remote
        self.heartbeat = (
            HeartbeatThread(project, remote, lives, wake, slots, self._able, self.health)
            if remote is not None
            else None
        )
        if self.heartbeat is not None:
            project.leases.lease_left = self.heartbeat.lease_left

    def _able(self) -> list[str]:
        """The duties that this runner could do for all.

        The heartbeat thread calls it, and must not wait for the store.
        """
        able = {
            forge_service.DUTY: self.forge.able,
            notifier.DUTY: notifier.able(self._project),
        }
        return [duty for duty, can in able.items() if can]

    def leader_since(self, duty: str) -> tuple[bool, float]:
        """Whether this runner does a duty for all, and when another that does it was last heard of.

        That time is in monotonic seconds.
        """
        return (True, 0.0) if self.heartbeat is None else self.heartbeat.leader_since(duty)

    def is_leader(self) -> bool:
        """Whether this runner is the leader of all live runners."""
        return self.heartbeat is None or self.heartbeat.is_leader()

    # -- start and stop

    def leases_kept(self) -> contextlib.AbstractContextManager[None]:
        """Renew leases inside the context, even while the board's remote cannot be reached."""
        return _running([self._leases])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run all other services inside the context. The first heartbeat was sent before."""
        if self.heartbeat is not None:
            self.heartbeat.service.attempt()
        with _running(self._ordered()):
            yield

    def _ordered(self) -> list[BackgroundService]:
        """In the order of their start; the heartbeat ends last, with its goodbye."""
        heartbeat = [self.heartbeat.service] if self.heartbeat is not None else []
        others = (self.transcripts, self.forge, self.notifier, self.live_status)
        return [*heartbeat, *(one.service for one in others)]

    def health(self) -> list[ServiceHealth]:
        """The health of the loop, its duties, and every service."""
        plain = [self._leases, *self._ordered()]
        found = [one.health for one in plain if one is not self.notifier.service]
        return [*self._loop(), *found, *self.notifier.health()]

    # -- notifications to services

    def board_moved(self) -> None:
        """Wake the services that follow the board."""
        self.forge.service.wake()
        self.notifier.service.wake()

    def attempt_ended(self) -> None:
        """Wake the service that pushes transcripts."""
        self.transcripts.service.wake()


@contextlib.contextmanager
def _running(services: Sequence[BackgroundService]) -> Iterator[None]:
    """Start these in their order; stop them in reverse."""
    with contextlib.ExitStack() as stack:
        for service in services:
            stack.callback(service.stop)
            service.start()
        yield
