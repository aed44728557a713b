"""Fairness on a shared board: pauses between claims, and the back-off after a lost race."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

_SHARE: Final = 4.0  # how many of our conversations long the others and people have, each round
_LONGEST: Final = 15.0  # seconds
_RECENT: Final = 30.0  # seconds; who wrote to the board since is there
_FEW: Final = 2  # others, with whom all may begin at once
_LIVING: Final = 75.0  # seconds; who has beaten since may be at work


def _usual(times: Sequence[float]) -> float:
    return statistics.median(times) if times else 0.0


class ClaimThrottle:
    """How often it is fair to begin something new, on a board that others write to as well.

    Everybody who pushes as fast as the server takes it wins nothing: most pushes are too late, and
    a person's pull and push, which takes longer than a runner's, never gets through. So each
    leaves room for as many as were seen on the board lately. Whoever sees the same leaves the same
    room, so that all get their share. What was begun is finished without a pause.
    """

    def __init__(self, most_patient: float = 4.0) -> None:
        """`most_patient`: seconds to wait at most after a loss."""
        self._most_patient = most_patient
        # Seconds that conversations took. What is usual counts: where a crowd makes them longer,
        # all begin less often, and they become shorter.
        self._looks, self._pushes = deque[float](maxlen=8), deque[float](maxlen=8)
        self._met: dict[str, float] = {}
        self._heard, self._beats = False, dict[str, tuple[str, float]]()
        self._next: float | None = None
        self._pause = 0.0

    def looked(self, seconds: float) -> None:
        """A look took so long."""
        self._looks.append(seconds)

    def pushed(self, seconds: float) -> None:
        """A push that counted took so long; one that comes too late is turned away at once."""
        self._pushes.append(seconds)

    def saw_writer(self, name: str) -> None:
        """Somebody else wrote to the board."""
        self._met[name] = time.monotonic()

    def heard(self, beats: Mapping[str, str]) -> None:
        """These are the heartbeats, by what changes with each: who beats may be at work.

        What is there at the first hearing may be of long ago.
        """
        now, known = time.monotonic() if self._heard else -math.inf, self._beats
        self._heard = True
        self._beats = {
            name: known[name] if name in known and known[name][0] == mark else (mark, now)
            for name, mark in beats.items()
        }

    def crowded(self) -> bool:
        """Whether others write to the board just now."""
        since = time.monotonic() - max(_RECENT, 2 * self._pause)
        self._met = {name: at for name, at in list(self._met.items()) if at >= since}
        return bool(self._met)

    def begun(self) -> None:
        """Something new was begun just now."""
        now = time.monotonic()
        self.crowded()  # forgets who is gone
        self._pause = min(_LONGEST, _SHARE * self._takes() * (1 + len(self._met)))
        self._next = now + random.uniform(0.7, 1.3) * self._pause  # noqa: S311 - spreads tries

    def patience(self, losses: int) -> float:
        """Seconds to wait at most before the next try, after so many losses in a row.

        Twice as long each time, from half the time that a try takes, until all who were seen
        lately would be served. Not longer, or who has lost often would always come last.
        """
        self.crowded()  # forgets who is gone
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
        """Seconds until the next new thing may be begun.

        In a crowd the first waits, too: after a power cut all machines come back at once.
        """
        if self._next is None:
            crowd = max(0, self._living() - _FEW)
            spread = min(_LONGEST, 2 * self._takes() * crowd)
            self._next = time.monotonic() + random.uniform(0, spread)  # noqa: S311 - spreads tries
        return max(0.0, self._next - time.monotonic())
