"""Renew the leases of running attempts, so that their supervisors know that the claims are ours.

Runs in a thread that waits for nothing else: an attempt's thread may wait for a slow server for
longer than a lease, and its agent must not be ended for that. Times are of the boot clock, which
continues while the machine sleeps: after waking up, every lease is renewed before a supervisor
gives up on its runner.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gitfleet.background_service import BackgroundService
from gitfleet.event_log import EventLog
from gitfleet.process.procfs import boot_seconds

_EVERY: Final = 1.0  # seconds between checks
_TIMES: Final = 20  # renewals within a lease


@dataclass
class _KeptLease:
    renew: Callable[[float], None]
    lease: float
    renewed: float = -math.inf


class LeaseKeeper:
    """Renews the leases of runs. Any thread may use it."""

    def __init__(self) -> None:
        # Seconds for which the claim with a nonce is ours; None before our first heartbeat arrived.
        # Unset if a claim is ours as long as the runner lives.
        self.lease_left: Callable[[str], float | None] | None = None
        self._kept: dict[str, _KeptLease] = {}
        self._lock = threading.Lock()

    def left(self, nonce: str, lease: float) -> float | None:
        """Seconds for which a claim is surely ours; None before our first heartbeat arrived."""
        return self.lease_left(nonce) if self.lease_left is not None else lease

    @contextlib.contextmanager
    def kept(self, nonce: str, renew: Callable[[float], None], lease: float) -> Iterator[None]:
        """Renew the lease of a run inside the context; `renew` takes a moment of boot time."""
        with self._lock:
            self._kept[nonce] = _KeptLease(renew, lease)
        try:
            self.renew()
            yield
        finally:
            with self._lock:
                del self._kept[nonce]

    def renew(self) -> None:
        """Renew the due leases."""
        with self._lock:
            now = boot_seconds()
            for nonce, one in self._kept.items():
                left = self.left(nonce, one.lease)
                # No heartbeat has arrived yet: the lease of the runner's earlier run holds.
                if left is None or now - one.renewed < one.lease / _TIMES:
                    continue
                with contextlib.suppress(OSError):  # a full disk: there are many more renewals
                    one.renew(now + left)
                    one.renewed = now

    def service(self, report: EventLog) -> BackgroundService:
        """The thread that renews."""
        return BackgroundService(
            "leases", self._turn, report, first_pause=_EVERY, last_pause=_EVERY
        )

    def _turn(self) -> float:
        self.renew()
        return _EVERY
