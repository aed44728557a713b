"""The signal by which a runner is told to end at once and to leave its attempts to their
supervisors: for an upgrade, after which another one goes on with them."""

from __future__ import annotations

import signal
from typing import Final

LEAVE: Final = signal.SIGUSR1
