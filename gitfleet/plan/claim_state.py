"""The state of a claim that the board says is this runner's: pure, from what the runner knows."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct


class ClaimState(StrEnum):
    """What is to be done with a claim of this runner."""

    RUNNING = "running"  # an attempt works on it
    LATE = "late"  # its push was given up, and it arrived after all: start its attempt
    POSTPONED = "postponed"  # late, and its attempt cannot start just now
    DEAD = "dead"  # its attempt has ended without an event: end the claim
    FORGOTTEN = "forgotten"  # its nonce is not pending: the board was rewound, end the claim


class ClaimsKnown(Struct, frozen=True, kw_only=True):
    """What a runner knows of its claims, each by its nonce, and of tasks."""

    running: Collection[str]  # nonces of attempts under way
    pending: Collection[str]  # nonces remembered on disk: sent, and not settled
    started: Collection[str]  # nonces of attempts that began in this process
    former: Collection[str]  # nonces that were pending when this process began
    busy: Collection[str]  # tasks whose workspace an attempt of ours is using
    draining: bool  # nothing new is started


def claim_state(known: ClaimsKnown, *, nonce: str, task: str) -> ClaimState:
    """The state of a claim that stands on the board in this runner's name."""
    if nonce in known.running:
        return ClaimState.RUNNING
    if nonce not in known.pending:
        return ClaimState.FORGOTTEN
    if nonce in known.started or nonce in known.former:
        return ClaimState.DEAD
    if known.draining or task in known.busy:
        return ClaimState.POSTPONED
    return ClaimState.LATE
