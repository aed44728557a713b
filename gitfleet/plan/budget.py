"""A task's budget, what it has spent, and when a context is full. Pure.

Spending is the sum over the board's log of all attempts since the last `retry`: work, plan and
validate, with any outcome. So a restart forgets nothing, and every runner computes the same sum. A
coder that does not report its usage counts as zero. A budget per day or per account would be a
second sum over the same log.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

from msgspec import Struct

from gitfleet.model.board import Entry
from gitfleet.model.event import Tokens
from gitfleet.model.task import Budget


class Spent(Struct, frozen=True):
    """US dollars and tokens (input and output) that were used."""

    usd: float = 0.0
    tokens: int = 0


def spent(entry: Entry) -> Spent:
    """What the attempts on a task have used since the last `retry`."""
    made = entry.attempts()
    # A coder's report counts as it is, but never as a gain.
    return Spent(
        sum(max(0.0, one.usd) for one in made), sum(max(0, one.tokens.total) for one in made)
    )


def used_up(budget: Budget | None, before: Spent) -> str:
    """Why no further attempt may start, in a sentence; empty if budget is left."""
    return "; ".join(_said(budget, before, operator.ge))


def exceeded(
    budget: Budget | None, before: Spent, tokens: Tokens | None = None, usd: float | None = None
) -> str:
    """Why a running attempt must end, in a sentence; empty while it may continue.

    `before`: spent when the task was claimed. `tokens`, `usd`: of this attempt so far.
    """
    read = max(0, tokens.total) if tokens else 0
    sofar = Spent(before.usd + max(0.0, usd or 0.0), before.tokens + read)
    return "; ".join(_said(budget, sofar, operator.gt))


def _said(
    budget: Budget | None, used: Spent, over: Callable[[float, float], bool]
) -> Iterator[str]:
    if budget is None:
        return
    if budget.usd is not None and over(used.usd, budget.usd):
        yield f"its budget of {budget.usd:.2f} USD is used up ({used.usd:.2f} USD)"
    if budget.tokens is not None and over(used.tokens, budget.tokens):
        yield f"its budget of {budget.tokens} tokens is used up ({used.tokens} tokens)"


def context_full(used: int | None, window: int | None, stop: int) -> bool:
    """Whether to replace a context by a fresh one.

    `used` of the `window`'s tokens are in it; `stop` is in percent. None means unknown: then not.
    """
    return bool(used and window) and (used or 0) * 100 >= stop * (window or 0)
