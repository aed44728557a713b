"""What a coder that runs is doing, and whether it must end: pure, from what was seen of it.

Seen are its events, how its output grows, and what its processes use of the processor; never what
the agent says of itself.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.durations import seconds, spoken
from gitfleet.model.event import Tokens
from gitfleet.model.states import Outcome
from gitfleet.model.task import Budget
from gitfleet.plan.budget import Spent, context_full, exceeded, spent

_FRESH: Final = 30.0  # seconds for which something heard counts as activity
_PATIENCE: Final = 60.0  # seconds that a coder may hold its slot while it waits for a limit
_LONG: Final = 1 / 3  # of the silence that is allowed; after that it is called silent


class LivenessLimits(Struct, frozen=True, kw_only=True):
    """What an attempt may take, in seconds, money and room."""

    attempt: float
    first_event: float  # 0: it speaks no protocol, so that its silence means nothing
    silence: float
    tool: float
    context: int  # percent of its window
    budget: Budget | None = None
    before: Spent = Spent()  # what the task had cost when the attempt began


class Observation(Struct, frozen=True, kw_only=True):
    """What was seen of a run up to now. Times are seconds up to now."""

    elapsed: float
    quiet: float  # since its output last grew
    idle: float  # since its output last grew or its processes last worked
    heard: bool = False  # it told of anything at all
    tool: str = ""  # what it has at work, the oldest
    tool_for: float = 0.0
    retrying: bool = False
    refused: bool = False  # its key was, and it says so itself
    rests: float = 0.0  # until its limit resets, where it told of one
    tokens: Tokens = Tokens()
    usd: float | None = None
    used: int | None = None  # tokens in its context
    window: int | None = None  # and how many fit into it


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


def why_kill(limits: LivenessLimits, signs: Observation) -> tuple[Outcome, str] | None:
    """Why the run must end now, if it must. Where the coder's own words explain it (a limit, a
    refused key), they decide what it is called."""
    over = exceeded(limits.budget, limits.before, signs.tokens, signs.usd)
    if over:
        return Outcome.OVER_BUDGET, over
    if context_full(signs.used, signs.window, limits.context):
        reason = f"{signs.used} of {signs.window} tokens of its context are used"
        return Outcome.CONTEXT_FULL, reason
    if signs.retrying and (signs.refused or signs.rests >= _PATIENCE):
        what = "its key is refused" if signs.refused else "its limit lasts longer than that"
        return Outcome.STALLED, f"it tries again and again, and {what}"
    if signs.elapsed >= limits.attempt:
        return Outcome.TIMED_OUT, f"it took longer than {spoken(limits.attempt)}"
    if limits.first_event and not signs.heard and signs.elapsed >= limits.first_event:
        return Outcome.STALLED, f"nothing was heard of it for {spoken(limits.first_event)}"
    if signs.quiet >= limits.tool:
        what = f"{signs.tool} ran" if signs.tool else "it worked"
        return Outcome.STALLED, f"{what} without a word for {spoken(limits.tool)}"
    if not signs.tool and signs.idle >= limits.silence:
        return Outcome.STALLED, f"it was silent for {spoken(limits.silence)}"
    return None


def state_of(limits: LivenessLimits, signs: Observation) -> str:
    """What it does just now, in a few words."""
    if signs.retrying:
        return "limited"
    if signs.tool:
        return f"in tool {signs.tool} for {spoken(signs.tool_for)}"
    if limits.first_event and not signs.heard:
        return "starting"
    if signs.idle < _FRESH:
        return "active"
    return "silent" if signs.idle >= limits.silence * _LONG else "waiting"
