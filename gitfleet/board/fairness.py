"""Fairness on a shared board: pauses between claims, and the back-off after a lost race."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

_SHARE: Final = 4.0  # pause between rounds, as a multiple of our usual conversation's length
_LONGEST: Final = 15.0  # seconds
_RECENT: Final = 30.0  # seconds; a writer seen within this time counts as present
_FEW: Final = 2  # other writers with whom all may start at once
_LIVING: Final = 75.0  # seconds; a runner with a heartbeat in this time may be working


def _usual(times: Sequence[float]) -> float:
    return statistics.median(times) if times else 0.0


class ClaimThrottle:
    """Limits how often this runner starts something new on a board that others write to.

    If everybody pushes as fast as the server accepts, all lose: most pushes come too late, and a
    person's pull and push, which takes longer than a runner's, never succeeds. So each runner
    leaves time for as many writers as it saw on the board lately. All runners see the same writers
    and leave the same time, so all get their share. Started work is finished without a pause.
    """

    def __init__(self, most_patient: float = 4.0) -> None:
        """`most_patient`: the longest wait in seconds after a loss."""
        self._most_patient = most_patient
        # Durations of conversations in seconds. The usual one counts: where a crowd makes them
        # longer, all start less often, and they become shorter.
        self._looks, self._pushes = deque[float](maxlen=8), deque[float](maxlen=8)
        self._met: dict[str, float] = {}
        self._heard, self._beats = False, dict[str, tuple[str, float]]()
        self._next: float | None = None
        self._pause = 0.0

    def looked(self, seconds: float) -> None:
        """Record how long a fetch took."""
        self._looks.append(seconds)

    def pushed(self, seconds: float) -> None:
        """Record how long a timely push took; the server rejects a late push at once."""
        self._pushes.append(seconds)

    def saw_writer(self, name: str) -> None:
        """Record that another writer changed the board."""
        self._met[name] = time.monotonic()

    def heard(self, beats: Mapping[str, str]) -> None:
        """Record the runners' heartbeats, by a value that changes with each heartbeat.

        A runner with a new heartbeat may be working. Heartbeats of the first call may be old.
        """
        now, known = time.monotonic() if self._heard else -math.inf, self._beats
        self._heard = True
        self._beats = {
            name: known[name] if name in known and known[name][0] == mark else (mark, now)
            for name, mark in beats.items()
        }

    def crowded(self) -> bool:
        """Whether others write to the board now."""
        since = time.monotonic() - max(_RECENT, 2 * self._pause)
        self._met = {name: at for name, at in list(self._met.items()) if at >= since}
        return bool(self._met)

    def begun(self) -> None:
        """Record that something new was started."""
        now = time.monotonic()
        self.crowded()  # forgets writers that are gone
        self._pause = min(_LONGEST, _SHARE * self._takes() * (1 + len(self._met)))
        self._next = now + random.uniform(0.7, 1.3) * self._pause  # noqa: S311 - spreads tries

    def patience(self, losses: int) -> float:
        """The longest wait in seconds before the next try, after this many losses in a row.

        It doubles with each loss, from half the duration of a try, until every writer seen lately
        could have its turn. It grows no further, or a runner that lost often would always come
        last.
        """
        self.crowded()  # forgets writers that are gone
        takes = self._takes()
        others = max(len(self._met), self._living())
        growing = max(0.1, takes / 2) * 2.0 ** min(losses - 1, 20)
        return min(growing, 0.1 + 2 * takes * (1 + others), self._most_patient)

    def _takes(self) -> float:
        return _usual([*self._looks]) + _usual([*self._pushes] or [*self._looks])

    def _living(self) -> int:
        since = time.monotonic() - _LIVING
        return max(0, sum(at >= since for _, at in list(self._beats.values())) - 1)

    def left(self) -> float:
        """Seconds until something new may be started.

        In a crowd the first start waits too: after a power cut all machines come back at once.
        """
        if self._next is None:
            crowd = max(0, self._living() - _FEW)
            spread = min(_LONGEST, 2 * self._takes() * crowd)
            self._next = time.monotonic() + random.uniform(0, spread)  # noqa: S311 - spreads tries
        return max(0.0, self._next - time.monotonic())
