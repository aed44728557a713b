"""Which coders rest on which runner, and until when: pure, from the log on the board.

A coder whose limit is reached, or whose key was refused, is not tried again at once by the runner
that saw it: an account is a matter of a machine, so others may go on. What its last attempts there
came to is on the board, so no restart forgets it. (Only what an archived task's log alone tells is
forgotten, a day or more later: one attempt finds it out again.)

This is where what is known of an account from elsewhere would come in: gauges, several accounts of
one coder, a budget per day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.durations import clock, later, seconds
from gitfleet.model.event import Attempt
from gitfleet.model.states import RESTS, SAYS_NOTHING, Kind, Outcome, Role
from gitfleet.plan.coder_choice import choices

LONGEST: Final = 3600.0  # seconds; of a rest of which nobody told when it ends
_FIRST_REFUSED: Final = 300.0  # a key is mended by a person, so it need not be tried often
_SHORTEST: Final = 1.0  # however short the pauses are set
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NOW: Final = datetime.max.replace(tzinfo=UTC)
_UNHEARD: Final = RESTS | SAYS_NOTHING


def pause(board: Board, failures: int, longest: float | None = None) -> float:
    """Seconds to wait after that many failures; at most `longest`, else `backoff.max`."""
    backoff = board.settings.backoff
    cap = seconds(backoff.max) if longest is None else longest
    return min(cap, seconds(backoff.initial) * _growth(backoff.factor, failures))


def _growth(factor: float, failures: int) -> float:
    # The exponent is bounded so that a long night of failures cannot overflow a float.
    grown: float = factor ** min(max(failures, 1) - 1, 64)
    return grown


class Cooldown(Struct, frozen=True, kw_only=True):
    """A coder is not tried on a runner before `until`."""

    coder: str
    runner: str
    outcome: Outcome  # of the attempts that are the cause: `limited` or `auth-failed`
    since: datetime
    until: datetime
    times: int  # how often in a row
    reason: str  # of the last of them

    @property
    def refused(self) -> bool:
        """Whether only a person can mend it."""
        return self.outcome is Outcome.AUTH_FAILED

    def __str__(self) -> str:
        if self.refused:
            what = f"{self.coder}'s key was refused on {self.runner}"
            return f"{what}, tried again at {clock(self.until)}: {self.reason}"
        return f"{self.coder} is limited on {self.runner} until {clock(self.until)}: {self.reason}"


_Key = tuple[str, str]  # runner, coder


def cooldowns(board: Board, runner: str, now: datetime) -> dict[str, Cooldown]:
    """The coders that rest on this runner."""
    return {
        coder: rest
        for (who, coder), rest in _known(board, now).rests.items()
        if who == runner and rest.until > now
    }


def cooldown_anywhere(board: Board, coder: str, now: datetime) -> Cooldown | None:
    """The rest that ends first, if the coder rests wherever the board tells of it lately.

    None where another runner works with it now, or has since: then it is of no importance to the
    board as a whole. For what is shown; what a runner may claim is told by `resting`.
    """
    known = _known(board, now)
    of_it = [r for (_, name), r in known.rests.items() if name == coder and r.until > now]
    if not of_it:
        return None
    tired = {rest.runner for rest in of_it}
    since = max(rest.since for rest in of_it)
    for (runner, name), spoke in known.spoke.items():
        if name == coder and runner not in tired and spoke > since:
            return None
    return min(of_it, key=lambda rest: rest.until)


# -- what the log tells


class _CachedCooldowns(Struct, frozen=True):
    """What a board tells of coders, and the span of time in which it does."""

    rests: Mapping[_Key, Cooldown]  # also those that are over
    spoke: Mapping[_Key, datetime]  # when it was last seen to work
    since: datetime
    until: datetime | None


_KEPT: WeakKeyDictionary[Board, _CachedCooldowns] = WeakKeyDictionary()


def _known(board: Board, now: datetime) -> _CachedCooldowns:
    kept = _KEPT.get(board)
    if kept is None or now < kept.since or (kept.until is not None and kept.until <= now):
        kept = _KEPT[board] = _read(board, now)
    return kept


def _read(board: Board, now: datetime) -> _CachedCooldowns:
    tired = {(a.runner, a.coder) for a in _attempts(board) if a.outcome in RESTS and a.coder}
    if not tired:
        return _CachedCooldowns({}, {}, now, None)
    coders = {coder for _, coder in tired}
    attempts: defaultdict[_Key, list[Attempt]] = defaultdict(list)
    spoke: dict[_Key, datetime] = {}
    for made in _attempts(board):
        if made.coder not in coders:
            continue
        key = made.runner, made.coder
        if key in tired:
            attempts[key].append(made)
        if made.outcome not in _UNHEARD:
            spoke[key] = max(made.ended, spoke.get(key, _LONG_AGO))
    for entry in board.entries.values():
        if entry.claim is not None:
            spoke[entry.claim.runner, entry.claim.coder] = _NOW
    lifted, ahead = _lifted(board, tired, now)
    rests: dict[_Key, Cooldown] = {}
    for key in tired:
        rest = _rest(board, key, attempts[key], lifted.get(key, _LONG_AGO))
        if rest is not None:
            rests[key] = rest
    return _CachedCooldowns(rests, spoke, now, ahead)


def _attempts(board: Board) -> Iterator[Attempt]:
    for entry in board.entries.values():
        for event in entry.events:
            if isinstance(event.content, Attempt):
                yield event.content


def _lifted(
    board: Board, tired: set[_Key], now: datetime
) -> tuple[dict[_Key, datetime], datetime | None]:
    """Up to when people's `retry` makes what happened forgotten; and when that changes.

    It ends the rest of the coders that task could be done by. The clock of a person that runs
    ahead must not make a runner try without end: until it is the time that they say, only that
    task's own attempts before it are forgotten.
    """
    found: dict[_Key, datetime] = {}
    ahead: datetime | None = None
    for entry in board.entries.values():
        for at, before in _retries(entry):
            upto = before
            if at > now:
                ahead = at if ahead is None else min(at, ahead)
            else:
                named = {one.coder for one in choices(board, entry, _role(entry))}
                those = (key for key in tired if key in before or key[1] in named)
                upto = {key: max(at, before.get(key, at)) for key in those}
            for key, moment in upto.items():
                found[key] = max(moment, found.get(key, _LONG_AGO))
    return found, ahead


def _retries(entry: Entry) -> Iterator[tuple[datetime, dict[_Key, datetime]]]:
    """Each `retry`: when, and when the attempts before it ended for which a coder rests."""
    before: dict[_Key, datetime] = {}
    for event in entry.events:
        made = event.attempt
        if made is not None and made.outcome in RESTS:
            before[made.runner, made.coder] = made.ended
        elif event.kind is Kind.RETRY:
            yield event.at, dict(before)


def _role(entry: Entry) -> Role:
    return Role(entry.task.role.value) if entry.task else Role.WORK


def _rest(board: Board, key: _Key, made: list[Attempt], lifted: datetime) -> Cooldown | None:
    """Whether the last attempts of a coder on a runner make it rest.

    What ran beside the first that was limited says nothing new: neither that it is limited once
    more, nor that it is not any more. Only what was begun after that does.
    """
    # What ended before one began that got somewhere is over: few are left to look at in order.
    well = (min(a.started, a.ended) for a in made if a.outcome not in _UNHEARD)
    floor = max([lifted, *well])
    rest: Cooldown | None = None
    seen = _LONG_AGO  # the end of the first of those that ran at once
    left = (attempt for attempt in made if attempt.ended > floor)
    for attempt in sorted(left, key=lambda a: (a.ended, a.attempt)):
        afresh = rest is None or attempt.started >= seen
        if attempt.outcome in RESTS:
            seen = attempt.ended if afresh else seen
            rest = _with(board, key, rest, attempt, afresh)
        elif afresh and attempt.outcome not in SAYS_NOTHING:
            rest = None
    return rest


def _with(
    board: Board, key: _Key, rest: Cooldown | None, attempt: Attempt, afresh: bool
) -> Cooldown:
    same = rest is not None and rest.outcome is attempt.outcome
    times = rest.times + afresh if rest is not None and same else 1
    if attempt.outcome is Outcome.AUTH_FAILED:
        wait = min(LONGEST, _FIRST_REFUSED * _growth(2.0, times))
    else:
        wait = max(_SHORTEST, pause(board, times, LONGEST))
    # A reset that is told and has passed by then would be tried without a pause, and end the same.
    ends = [
        later(attempt.ended, wait),
        attempt.until or _LONG_AGO,
        rest.until if rest else _LONG_AGO,
    ]
    runner, coder = key
    return Cooldown(
        coder=coder,
        runner=runner,
        outcome=attempt.outcome,
        since=rest.since if rest else attempt.ended,
        until=max(ends),
        times=times,
        reason=attempt.reason,
    )
