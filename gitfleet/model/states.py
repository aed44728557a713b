"""The words for a task's status, an attempt's role and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What an attempt is for."""

    WORK = "work"
    VALIDATE = "validate"
    PLAN = "plan"


class Status(StrEnum):
    """The status of a task; derived from the board, never stored (docs/lifecycle.md)."""

    WORKING = "working"  # a claim exists, for work
    VALIDATING = "validating"  # a claim exists, for validation
    PLANNING = "planning"  # a claim exists, for a plan
    DONE = "done"  # landed or closed
    CANCELLED = "cancelled"  # a person cancelled it, or removed its file
    INVALID = "invalid"  # its file does not validate
    HELD = "held"  # a person put it on hold
    FAILED = "failed"  # it needs a person
    ASKING = "asking"  # it waits for an answer
    FIXING = "fixing"  # another task repairs it
    ACCEPTED = "accepted"  # checks and review passed, not landed yet
    SUBMITTED = "submitted"  # the work is committed, not validated yet
    DELAYED = "delayed"  # a time to wait for has not come
    WAITING = "waiting"  # a dependency is not done
    READY = "ready"  # it can be claimed


FINISHED: Final = frozenset({Status.DONE, Status.CANCELLED})
CLAIMED: Final = frozenset({Status.WORKING, Status.VALIDATING, Status.PLANNING})
FOR_A_PERSON: Final = frozenset({Status.FAILED, Status.ASKING, Status.INVALID})

STATUS_OF_ROLE: Final[Mapping[Role, Status]] = {
    Role.WORK: Status.WORKING,
    Role.VALIDATE: Status.VALIDATING,
    Role.PLAN: Status.PLANNING,
}


class Outcome(StrEnum):
    """How an attempt ended."""

    SUBMITTED = "submitted"
    ASKED = "asked"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    STALLED = "stalled"
    EMPTY = "empty"  # succeeded and changed nothing
    OUT_OF_SCOPE = "out-of-scope"  # changed what `paths` does not allow
    LIMITED = "limited"  # the coder's rate or quota is used up
    AUTH_FAILED = "auth-failed"  # the coder's key was refused
    CONTEXT_FULL = "context-full"
    INTERRUPTED = "interrupted"  # its runner stopped
    LOST = "lost"  # its runner vanished
    CANCELLED = "cancelled"
    OVER_BUDGET = "over-budget"
    MISCONFIGURED = "misconfigured"
    TAMPERED = "tampered"  # changed refs, hooks or config that are not its own
    TARGET_RED = "target-red"  # a check fails on the target itself; no task is at fault
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CHECKS_FAILED = "checks-failed"
    CONFLICT = "conflict"


class Failure(StrEnum):
    """Why a coder failed."""

    AUTH = "auth"  # its key or login is refused, or there is none
    LIMITED = "limited"  # a rate, a quota or a credit is used up
    OVERLOADED = "overloaded"  # its service does not answer, or asks to wait
    CONTEXT_FULL = "context-full"
    REFUSED = "refused"  # the model refuses the task
    DENIED = "permission-denied"  # it may not use the tools it needs
    CRASHED = "crashed"
    MISCONFIGURED = "misconfigured"  # a wrong model, flag or setting: retrying does not help
    OVER_BUDGET = "over-budget"  # according to its own settings
    NO_SESSION = "no-session"  # the session to resume does not exist


class Counter(StrEnum):
    """What an outcome counts against."""

    ATTEMPTS = "attempts"
    INTERRUPTIONS = "interruptions"
    CONTEXTS = "contexts"
    CONFLICTS = "conflicts"


VERDICTS: Final = frozenset(
    {Outcome.ACCEPTED, Outcome.REJECTED, Outcome.CHECKS_FAILED, Outcome.CONFLICT}
)
REJECTIONS: Final = frozenset({Outcome.REJECTED, Outcome.CHECKS_FAILED})
# These need a person at once: another attempt would end the same way, or do harm.
HOPELESS: Final = frozenset({Outcome.OVER_BUDGET, Outcome.MISCONFIGURED, Outcome.TAMPERED})

# These concern the coder, not the task: the coder cools down on that runner (plan/cooldown.py).
RESTS: Final = frozenset({Outcome.LIMITED, Outcome.AUTH_FAILED})
# Outcomes that say nothing about the coder's account: it was ended from outside, or never spoke.
SAYS_NOTHING: Final = frozenset(
    {
        Outcome.INTERRUPTED,
        Outcome.LOST,
        Outcome.CANCELLED,
        Outcome.MISCONFIGURED,
        Outcome.TARGET_RED,
        Outcome.CHECKS_FAILED,
        Outcome.CONFLICT,
    }
)

COUNTS: Final[Mapping[Outcome, Counter]] = {
    Outcome.FAILED: Counter.ATTEMPTS,
    Outcome.TIMED_OUT: Counter.ATTEMPTS,
    Outcome.STALLED: Counter.ATTEMPTS,
    Outcome.EMPTY: Counter.ATTEMPTS,
    Outcome.OUT_OF_SCOPE: Counter.ATTEMPTS,
    Outcome.INTERRUPTED: Counter.INTERRUPTIONS,
    Outcome.LOST: Counter.INTERRUPTIONS,
    Outcome.CONTEXT_FULL: Counter.CONTEXTS,
    Outcome.CONFLICT: Counter.CONFLICTS,
}
OWN_LIMITS: Final[Mapping[Counter, int]] = {
    Counter.INTERRUPTIONS: 5,
    Counter.CONTEXTS: 3,
    Counter.CONFLICTS: 3,
}


class Kind(StrEnum):
    """The kind of an event."""

    WORK = "work"
    VALIDATE = "validate"
    PLAN = "plan"
    RETRY = "retry"
    CANCEL = "cancel"
    HOLD = "hold"
    UNHOLD = "unhold"
    CLOSE = "close"
    NOTE = "note"
    LANDED = "landed"
    CLOSED = "closed"


ATTEMPT_KINDS: Final = frozenset({Kind.WORK, Kind.VALIDATE, Kind.PLAN})
PERSON_KINDS: Final = frozenset(
    {Kind.RETRY, Kind.CANCEL, Kind.HOLD, Kind.UNHOLD, Kind.CLOSE, Kind.NOTE}
)
RUNNER_KINDS: Final = frozenset({Kind.LANDED, Kind.CLOSED}) | ATTEMPT_KINDS
