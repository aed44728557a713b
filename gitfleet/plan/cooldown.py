"""Which coders cool down on which runner, and until when. Pure, from the board's log.

After a limit or a refused key a runner does not start that coder again at once. Accounts belong to
machines, so other runners may continue. The outcomes of the last attempts are on the board, so a
restart forgets nothing. (Attempts of archived tasks are forgotten, a day or more later: one attempt
finds out again.)

Other knowledge about an account belongs here, too: gauges, several accounts of one coder, a budget
per day.
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

LONGEST: Final = 3600.0  # seconds; of a cooldown whose end the service did not announce
_FIRST_REFUSED: Final = 300.0  # a person must fix a key, so retrying often does not help
_SHORTEST: Final = 1.0  # even if the configured pauses are shorter
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_NOW: Final = datetime.max.replace(tzinfo=UTC)
_UNHEARD: Final = RESTS | SAYS_NOTHING


def pause(board: Board, failures: int, longest: float | None = None) -> float:
    """Seconds to wait after that many failures; at most `longest`, or `backoff.max`."""
    backoff = board.settings.backoff
    cap = seconds(backoff.max) if longest is None else longest
    return min(cap, seconds(backoff.initial) * _growth(backoff.factor, failures))


def _growth(factor: float, failures: int) -> float:
    # The exponent is limited so that many failures cannot overflow a float.
    grown: float = factor ** min(max(failures, 1) - 1, 64)
    return grown


class Cooldown(Struct, frozen=True, kw_only=True):
    """A runner does not start this coder before `until`."""

    coder: str
    runner: str
    outcome: Outcome  # of the attempts that caused it: `limited` or `auth-failed`
    since: datetime
    until: datetime
    times: int  # in a row
    reason: str  # of the last such attempt

    @property
    def refused(self) -> bool:
        """Whether only a person can fix it."""
        return self.outcome is Outcome.AUTH_FAILED

    def __str__(self) -> str:
        if self.refused:
            what = f"{self.coder}'s key was refused on {self.runner}"
            return f"{what}, next try at {clock(self.until)}: {self.reason}"
        return f"{self.coder} is limited on {self.runner} until {clock(self.until)}: {self.reason}"


_Key = tuple[str, str]  # runner, coder


def cooldowns(board: Board, runner: str, now: datetime) -> dict[str, Cooldown]:
    """The coders that are cooling down on this runner."""
    return {
        coder: rest
        for (who, coder), rest in _known(board, now).rests.items()
        if who == runner and rest.until > now
    }


def cooldown_anywhere(board: Board, coder: str, now: datetime) -> Cooldown | None:
    """The cooldown that ends first, if the coder is cooling down wherever it ran lately.

    None if it works, or has worked since, on another runner: then the board as a whole is not
    affected. For display only; `cooldowns` decides what a runner may claim.
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


# -- reading the log


class _CachedCooldowns(Struct, frozen=True):
    """The cooldowns of a board, and the time span in which they are valid."""

    rests: Mapping[_Key, Cooldown]  # also those that have ended
    spoke: Mapping[_Key, datetime]  # when it last worked
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
        rest = _cooldown(board, key, attempts[key], lifted.get(key, _LONG_AGO))
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
    """Up to when a person's `retry` makes past attempts irrelevant, and when that changes.

    A retry ends the cooldown of the coders that could do the task. A person's clock may run ahead;
    that must not make a runner try without end. Until the time of the retry, only that task's own
    earlier attempts are forgotten.
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
    """Each `retry`: its time, and when the earlier attempts that caused cooldowns ended."""
    before: dict[_Key, datetime] = {}
    for event in entry.events:
        made = event.attempt
        if made is not None and made.outcome in RESTS:
            before[made.runner, made.coder] = made.ended
        elif event.kind is Kind.RETRY:
            yield event.at, dict(before)


def _role(entry: Entry) -> Role:
    return Role(entry.task.role.value) if entry.task else Role.WORK


def _cooldown(board: Board, key: _Key, made: list[Attempt], lifted: datetime) -> Cooldown | None:
    """The cooldown that the last attempts of a coder on a runner cause, if any.

    Attempts that ran beside the first limited one say nothing new: neither that the limit holds
    again, nor that it is over. Only attempts that started later do.
    """
    # Ignore everything that ended before a successful attempt started: few attempts remain.
    well = (min(a.started, a.ended) for a in made if a.outcome not in _UNHEARD)
    floor = max([lifted, *well])
    rest: Cooldown | None = None
    seen = _LONG_AGO  # the end of the first of several concurrent attempts
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
    # If the announced reset is already past, retrying without a pause would fail the same way.
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
