"""What a task may cost, what it has cost, and when a context is full. Pure.

Spent is what the log on the board tells, of all attempts since the last `retry`: to work, to plan
and to validate, however they ended. So no restart forgets it, and every runner counts the same. A
coder that does not tell what it uses uses nothing here. A budget per day or per account would be a
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
    """US dollars and tokens, read and written, that were used."""

    usd: float = 0.0
    tokens: int = 0


def spent(entry: Entry) -> Spent:
    """What the attempts on a task have used since the last `retry`."""
    made = entry.attempts()
    # What a coder reports is taken as it is, but never as a gain.
    return Spent(
        sum(max(0.0, one.usd) for one in made), sum(max(0, one.tokens.total) for one in made)
    )


def used_up(budget: Budget | None, before: Spent) -> str:
    """Why no further attempt may be begun, in a sentence; empty if something is left."""
    return "; ".join(_said(budget, before, operator.ge))


def exceeded(
    budget: Budget | None, before: Spent, tokens: Tokens | None = None, usd: float | None = None
) -> str:
    """Why an attempt that runs must end, in a sentence; empty while it may go on.

    `before`: what was spent when it was claimed. `tokens`, `usd`: of this attempt so far.
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
    """Whether a context is to be given up for a fresh one.

    `used` of the `window`'s tokens are in it, `stop` is in percent; None: nobody knows, then not.
    """
    return bool(used and window) and (used or 0) * 100 >= stop * (window or 0)
