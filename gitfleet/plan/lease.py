"""When a claim is lost: leases without comparing clocks. Pure.

Nobody compares wall clocks. A claim is lost when another runner has seen its owner's heartbeat
unchanged (or absent, or no longer listing the claim's nonce) for the length of a lease of its own
time, counting only the time between successful looks that are at most two heartbeats apart: a
runner that was itself cut off has seen nothing. The owner counts from the *start* of its last
heartbeat that arrived, in time that goes on while the machine sleeps, and stops by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Beat(Struct, frozen=True):
    """A runner's heartbeat as it was seen: something that differs each time, and what it holds."""

    mark: str
    nonces: frozenset[str]


class _Seen(Struct):
    mark: str  # of the heartbeat when it was last seen changed; empty: there was none
    unchanged: float  # seconds of our own time that count


class LeaseWatch:
    """Watches other runners' claims on behalf of one runner."""

    def __init__(self, *, heartbeat: float, lease: float) -> None:
        """Both in seconds."""
        self.heartbeat, self.lease = heartbeat, lease
        self._seen: dict[str, _Seen] = {}
        self._last_look: float | None = None

    def look(
        self, at: float, claims: Mapping[str, str], beats: Mapping[str, Beat]
    ) -> frozenset[str]:
        """Note what a successful look at `at` (our own seconds) showed; the nonces that are lost.

        `claims`: nonce -> runner, those of others on the board; `beats`: runner -> heartbeat.
        """
        passed = 0.0 if self._last_look is None else at - self._last_look
        counts = passed if 0 <= passed <= 2 * self.heartbeat else 0.0
        self._last_look = at
        for nonce in self._seen.keys() - claims.keys():
            del self._seen[nonce]
        for nonce, runner in claims.items():
            beat = beats.get(runner)
            alive = beat is not None and nonce in beat.nonces
            mark = beat.mark if beat is not None and alive else ""
            seen = self._seen.get(nonce)
            if seen is None or (alive and seen.mark != mark):
                self._seen[nonce] = _Seen(mark, 0.0)
            else:
                seen.unchanged += counts
        return frozenset(n for n, seen in self._seen.items() if seen.unchanged >= self.lease)


class OwnLease:
    """How long a runner may go on with what it holds while nobody hears of it."""

    def __init__(self, *, lease: float) -> None:
        """In seconds."""
        self.lease = lease
        self._heard: float | None = None

    def arrived(self, started: float) -> None:
        """A heartbeat arrived that was begun at `started` (seconds of boot time)."""
        self._heard = started if self._heard is None else max(self._heard, started)

    def over(self, now: float) -> bool:
        """Whether others may have taken our claims by now."""
        return self._heard is not None and now - self._heard >= self.lease
