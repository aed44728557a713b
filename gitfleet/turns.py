"""How often it is fair to begin something on a board that others write to as well."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Final

_SHARE: Final = 5.0  # how many of our conversations long the others and people have, each round
_LONGEST: Final = 15.0  # seconds
_RECENT: Final = 30.0  # seconds; who wrote to the board since is there


class Pace:
    """How often it is fair to begin something new, on a board that others write to as well.

    Everybody who pushes as fast as the server takes it wins nothing: most pushes are too late, and
    a person's pull and push, which takes longer than a runner's, never gets through. So each
    leaves room for as many as were seen on the board lately. Whoever sees the same leaves the same
    room, so that all get their share. What was begun is finished without a pause.
    """

    def __init__(self) -> None:
        # Seconds that conversations took. The shortest counts: what a crowd makes of it must not
        # make everybody wait ever longer.
        self._looks, self._pushes = deque[float](maxlen=8), deque[float](maxlen=8)
        self._met: dict[str, float] = {}
        self._next, self._pause = 0.0, 0.0

    def looked(self, seconds: float) -> None:
        """A look took so long."""
        self._looks.append(seconds)

    def pushed(self, seconds: float) -> None:
        """A push took so long."""
        self._pushes.append(seconds)

    def met(self, name: str) -> None:
        """Somebody else wrote to the board."""
        self._met[name] = time.monotonic()

    def crowded(self) -> bool:
        """Whether others write to the board just now."""
        since = time.monotonic() - max(_RECENT, 2 * self._pause)
        self._met = {name: at for name, at in list(self._met.items()) if at >= since}
        return bool(self._met)

    def begun(self) -> None:
        """Something new was begun just now."""
        now = time.monotonic()
        self.crowded()  # forgets who is gone
        takes = min(self._looks, default=0.0) + min(self._pushes, default=0.0)
        self._pause = min(_LONGEST, _SHARE * takes * (1 + len(self._met)))
        self._next = now + random.uniform(0.7, 1.3) * self._pause  # noqa: S311 - spreads tries

    def left(self) -> float:
        """Seconds until the next new thing may be begun."""
        return max(0.0, self._next - time.monotonic())
