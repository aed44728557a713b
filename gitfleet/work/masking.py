"""Keep what is secret on this machine off the board, which everybody reads.

What a coder prints last, and the output of a check that failed, stand in events. A program that
fails likes to print what it was given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from gitfleet.git.command import mask as mask_addresses
from gitfleet.model.event import Attempt

_NAMES: Final = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|_KEY\Z|\AKEY\Z", re.I
)
_SHORTEST: Final = 8  # characters: `1` or `main` as a value would black out half of every text


def masked(text: str, env: Mapping[str, str] | None = None) -> str:
    """The text without the values of variables whose names say that they are secret."""
    given = os.environ if env is None else env
    values = {
        value.strip()
        for name, value in given.items()
        if _NAMES.search(name) and len(value.strip()) >= _SHORTEST
    }
    for value in sorted(values, key=len, reverse=True):  # one may be part of another
        text = text.replace(value, "***")
    return mask_addresses(text)


def masked_attempt(attempt: Attempt) -> Attempt:
    """The event with its texts masked."""
    return replace(
        attempt,
        reason=masked(attempt.reason),
        findings=tuple(masked(finding) for finding in attempt.findings),
        checks=tuple(replace(check, tail=masked(check.tail)) for check in attempt.checks),
    )
