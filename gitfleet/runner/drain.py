"""The signal to end at once and leave running attempts to their supervisors:

for an upgrade, after which the next runner continues them.
"""

from __future__ import annotations

import signal
from typing import Final

LEAVE: Final = signal.SIGUSR1
