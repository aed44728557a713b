"""What a running coder is doing, and whether it must end. Pure, from observations.

Observed are its events, the growth of its output, and the processor time of its processes; never
the agent's own statements.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.durations import seconds, spoken
from gitfleet.model.event import Tokens
from gitfleet.model.task import Budget
from gitfleet.plan.budget import Spent, context_full, exceeded, spent

_FRESH: Final = 30.0  # seconds for which an event counts as activity
_PATIENCE: Final = 60.0  # seconds that a coder may keep its slot while it waits for a limit
_LONG: Final = 1 / 3  # of the allowed silence; after that its state is `silent`


class Limit(StrEnum):
    """Which limit a run reached."""

    BUDGET = "budget"
    CONTEXT = "context"
    TIME = "time"
    STALL = "stall"  # silence, or retrying again and again
    LEASE = "lease"  # no runner renewed it


class LimitHit(Struct, frozen=True):
    """A limit that a run reached, and a sentence for a person."""

    limit: Limit
    reason: str


def too_long(limit: float) -> LimitHit:
    """It took longer than `limit` seconds."""
    return LimitHit(Limit.TIME, f"it took longer than {spoken(limit)}")


def silent_for(limit: float) -> LimitHit:
    """It was silent for `limit` seconds."""
    return LimitHit(Limit.STALL, f"it was silent for {spoken(limit)}")


def abandoned_for(limit: float) -> LimitHit:
    """No runner renewed its lease of `limit` seconds."""
    return LimitHit(Limit.LEASE, f"no runner renewed its lease for {spoken(limit)}")


class LivenessLimits(Struct, frozen=True, kw_only=True):
    """The limits of an attempt: seconds, money and context."""

    attempt: float
    first_event: float  # 0: it has no event protocol, so its silence means nothing
    silence: float
    tool: float
    context: int  # percent of its window
    budget: Budget | None = None
    before: Spent = Spent()  # spent by the task when the attempt started


class Observation(Struct, frozen=True, kw_only=True):
    """Observations of a run up to now. Times are seconds up to now."""

    elapsed: float
    quiet: float  # since its output last grew
    idle: float  # since its output last grew or its processes last worked
    heard: bool = False  # it reported anything at all
    tool: str = ""  # its oldest running tool
    tool_for: float = 0.0
    retrying: bool = False
    refused: bool = False  # it reported that its key was refused
    rests: float = 0.0  # until its limit resets, if it reported one
    tokens: Tokens = Tokens()
    usd: float | None = None
    used: int | None = None  # tokens in its context
    window: int | None = None  # and the size of its context window


def limits_of(board: Board, entry: Entry, *, speaks: bool) -> LivenessLimits:
    """The limits of an attempt: the task's own, else those of the settings."""
    timeouts, task = board.settings.timeouts, entry.task
    return LivenessLimits(
        attempt=seconds((task.timeout if task else None) or timeouts.attempt),
        first_event=seconds(timeouts.first_event) if speaks else 0.0,
        silence=seconds(timeouts.silence),
        tool=seconds(timeouts.tool),
        context=board.settings.context.stop,
        budget=task.budget if task else None,
        before=spent(entry),
    )


def why_kill(limits: LivenessLimits, signs: Observation) -> LimitHit | None:
    """The limit for which the run must end now, if any.

    `plan.outcome` names the outcome: the coder's own report may explain it (a limit of its service,
    a refused key).
    """
    over = exceeded(limits.budget, limits.before, signs.tokens, signs.usd)
    if over:
        return LimitHit(Limit.BUDGET, over)
    if context_full(signs.used, signs.window, limits.context):
        reason = f"{signs.used} of {signs.window} tokens of its context are used"
        return LimitHit(Limit.CONTEXT, reason)
    if signs.retrying and (signs.refused or signs.rests >= _PATIENCE):
        what = "its key was refused" if signs.refused else "its limit lasts too long"
        return LimitHit(Limit.STALL, f"it keeps retrying, but {what}")
    if signs.elapsed >= limits.attempt:
        return too_long(limits.attempt)
    if limits.first_event and not signs.heard and signs.elapsed >= limits.first_event:
        return LimitHit(Limit.STALL, f"it reported nothing for {spoken(limits.first_event)}")
    if signs.quiet >= limits.tool:
        what = f"{signs.tool} ran" if signs.tool else "it worked"
        return LimitHit(Limit.STALL, f"{what} without output for {spoken(limits.tool)}")
    if not signs.tool and signs.idle >= limits.silence:
        return silent_for(limits.silence)
    return None


def state_of(limits: LivenessLimits, signs: Observation) -> str:
    """Its current activity, in a few words."""
    if signs.retrying:
        return "limited"
    if signs.tool:
        return f"in tool {signs.tool} for {spoken(signs.tool_for)}"
    if limits.first_event and not signs.heard:
        return "starting"
    if signs.idle < _FRESH:
        return "active"
    return "silent" if signs.idle >= limits.silence * _LONG else "waiting"
