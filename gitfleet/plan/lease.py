"""When a claim is lost: leases without comparing clocks. Pure.

No runner compares wall clocks. A claim is lost when another runner has seen its owner's heartbeat
unchanged (or absent, or no longer listing the claim's nonce) for the length of a lease. The watcher
measures its own time and counts only the time between successful fetches that are at most two
heartbeats apart: a runner that was itself cut off has seen nothing. The owner counts from the
*start* of its last heartbeat that arrived, in time that continues while the machine sleeps, and
stops by itself.

Both sides err on the safe side. The result of a fetch was true at some moment between its start and
its end: a watcher counts from the end of the first fetch to the start of the last; the owner counts
from the start of the heartbeat that arrived. So an owner knows that a claim may be lost before
another runner takes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from gitfleet.model.board import Board


class LastHeartbeat(Struct, frozen=True):
    """A runner's heartbeat as seen: a mark that differs each time, and the nonces it lists."""

    mark: str
    nonces: frozenset[str]


class _Seen(Struct):
    mark: str  # of the heartbeat when it last changed; empty: there was none
    since: float  # the end of the fetch that showed it first, or the time counted up to
    unchanged: float  # seconds of our own time that count


class LeaseWatch:
    """Watches other runners' claims on behalf of one runner."""

    def __init__(self, *, heartbeat: float, lease: float) -> None:
        """Both in seconds."""
        self.heartbeat, self.lease = heartbeat, lease
        self._seen: dict[str, _Seen] = {}
        self._last_look: float | None = None

    def look(
        self,
        at: float,
        claims: Mapping[str, str],
        beats: Mapping[str, LastHeartbeat],
        *,
        began: float | None = None,
    ) -> frozenset[str]:
        """Record the result of a successful fetch; return the nonces of lost claims.

        The fetch started at `began` and finished at `at` (our own seconds). `claims`: nonce ->
        runner, the claims on the board that are not ours (`foreign_claims`); `beats`: runner ->
        heartbeat.
        """
        began = at if began is None else began
        passed = 0.0 if self._last_look is None else began - self._last_look
        near = 0 <= passed <= 2 * self.heartbeat
        self._last_look = began
        for nonce in self._seen.keys() - claims.keys():
            del self._seen[nonce]
        for nonce, runner in claims.items():
            heartbeat = beats.get(runner)
            alive = heartbeat is not None and nonce in heartbeat.nonces
            mark = heartbeat.mark if heartbeat is not None and alive else ""
            seen = self._seen.get(nonce)
            if seen is None or (alive and seen.mark != mark):
                self._seen[nonce] = _Seen(mark, at, 0.0)
                continue
            if near:
                seen.unchanged += max(0.0, began - seen.since)
            seen.since = max(began, seen.since)
        return frozenset(n for n, seen in self._seen.items() if seen.unchanged >= self.lease)


class OwnLease:
    """How long a runner may continue with its claims while its heartbeats do not arrive."""

    def __init__(self, *, lease: float) -> None:
        """All times are seconds of boot time: they continue while the machine sleeps."""
        self.lease = lease
        self._heard: float | None = None
        self._of: dict[str, float] = {}

    def claimed(self, nonce: str, started: float) -> None:
        """A claim is about to be sent: no other runner can have seen it before."""
        self._of[nonce] = started

    @property
    def heard(self) -> bool:
        """Whether any heartbeat of ours ever arrived."""
        return self._heard is not None

    def forgotten(self, nonce: str) -> None:
        """The claim is over; forget it."""
        self._of.pop(nonce, None)

    def arrived(self, started: float, nonces: Collection[str] = ()) -> None:
        """A heartbeat arrived that was started at `started` and listed these nonces.

        An expired lease stays expired: another runner may be taking the claim at this moment.
        """
        self._heard = started if self._heard is None else max(self._heard, started)
        for nonce in nonces:
            known = self._of.get(nonce, started)
            if started - known < self.lease:
                self._of[nonce] = max(known, started)

    def over(self, now: float, nonce: str | None = None) -> bool:
        """Whether others may have taken this claim of ours by now.

        Without a nonce: whether no heartbeat has arrived for so long, or ever; then we should hold
        nothing at all.

        A heartbeat keeps only the claims that it lists: a claim made after the heartbeat started is
        unknown to others until the next one.
        """
        return self.left(now, nonce) <= 0

    def left(self, now: float, nonce: str | None = None) -> float:
        """Seconds until then."""
        heard = self._heard if nonce is None else self._of.get(nonce, self._heard)
        return 0.0 if heard is None else heard + self.lease - now


class InFlightClaims:
    """Nonces of ours that were sent, and whose claims may or may not have arrived."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def look(self, tip: str, unconfirmed: Collection[str]) -> frozenset[str]:
        """After a successful fetch that showed the board at `tip`:

        which of the nonces `adrift` (sent, given up, and without a claim on the board) can no
        longer arrive.

        A push succeeds only on the tip that it was made for. That was the tip of the first fetch
        after it was given up, or an earlier one: once the board has left that tip, the push is too
        late.
        """
        for nonce in self._first.keys() - set(unconfirmed):
            del self._first[nonce]
        for nonce in unconfirmed:
            self._first.setdefault(nonce, tip)
        return frozenset(nonce for nonce, first in self._first.items() if first != tip)


def foreign_claims(board: Board, held: Collection[str]) -> dict[str, str]:
    """nonce -> runner, for every claim that is not ours; ours are those whose nonce we remember.

    A claim with our name and an unknown nonce is watched like any other: its runner died and its
    memory is lost, and without a second runner only we can free the task.
    """
    return {
        entry.claim.nonce: entry.claim.runner
        for entry in board.entries.values()
        if entry.claim is not None and entry.claim.nonce not in held
    }
