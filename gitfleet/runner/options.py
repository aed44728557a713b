"""How one run differs from running for ever on everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    until_idle: bool = False
    once: str | None = None
    slots: int | None = None
