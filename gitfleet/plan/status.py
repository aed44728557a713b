"""The status of a task, and why: derived from the board, first match wins (docs/lifecycle.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from gitfleet.files import layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.durations import clock, later
from gitfleet.model.event import Attempt, Closed, Decision, Event, Landed
from gitfleet.model.states import (
    COUNTS,
    HOPELESS,
    OWN_LIMITS,
    REJECTIONS,
    STATUS_OF_ROLE,
    Counter,
    Kind,
    Outcome,
    Role,
    Status,
)
from gitfleet.plan.coder_choice import choices
from gitfleet.plan.cooldown import cooldown_anywhere, pause
from gitfleet.plan.graph import cancelled, done, is_over, unmet_dependency
from gitfleet.plan.pauses import interruptions_in_a_row, proof_pause
from gitfleet.plan.task_history import (
    count,
    limit_of,
    over_budget,
    put_on_hold,
    submission_of,
    verdict_of,
)


class TaskStatus(Struct, frozen=True, kw_only=True):
    """A status with its reason, and the role that the task can be claimed for."""

    status: Status
    reason: str
    role: Role | None = None  # the role it can be claimed for, after `until`
    until: datetime | None = None  # not claimed before this time
    # Only its coders are cooling down, on the runners that the reason names: another may claim it.
    rests: bool = False
    answered: bool = False  # its questions are answered
    red: str | None = None  # the commit of the target that itself failed the checks

    def claimable(self, now: datetime) -> bool:
        """Whether a runner may claim it now."""
        due = self.rests or self.until is None or self.until <= now
        return self.role is not None and due


def status_of(board: Board, task: str, now: datetime) -> TaskStatus:
    """The status of the task of that id. Pure and total; `now` matters only for pauses."""
    entry = board.get(task)
    if entry is None:
        if task in board.archived:
            return TaskStatus(status=Status.DONE, reason=f"finished, see {board.archived[task]}/")
        return TaskStatus(status=Status.CANCELLED, reason="there is no such task")
    return next(found for rule in _RULES if (found := rule(board, entry, now)))


class _CachedStatuses(Struct, frozen=True):
    """The statuses of a board, and the time span in which they are valid."""

    where: Mapping[str, TaskStatus]
    since: datetime
    until: datetime | None


_KEPT: WeakKeyDictionary[Board, _CachedStatuses] = WeakKeyDictionary()


def statuses(board: Board, now: datetime) -> Mapping[str, TaskStatus]:
    """The status of every task that is not archived; computed once per board and time span.

    Time matters only when a pause ends, so until the next one ends nothing changes.
    """
    kept = _KEPT.get(board)
    if kept is None or now < kept.since or (kept.until is not None and kept.until <= now):
        where = {task: status_of(board, task, now) for task in board.entries}
        ends = (w.until for w in where.values() if w.until is not None and w.until > now)
        kept = _KEPT[board] = _CachedStatuses(where, now, min(ends, default=None))
    return kept.where


def _claimed(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    claim = entry.claim
    if claim is None:
        return None
    who = f"{claim.coder or 'checks'} on {claim.runner}"
    reason = f"attempt {claim.attempt}, {who}, since {clock(claim.at)}"
    return TaskStatus(status=STATUS_OF_ROLE[claim.role], reason=reason)


def _done(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    if not done(entry):
        return None
    last = entry.last(Kind.LANDED, Kind.CLOSED, Kind.CLOSE)
    assert last is not None
    match last.content:
        case Landed(target=target, merge=merge):
            reason = f"landed on {target} as {merge[:10]}"
        case Closed(reason=why):
            reason = f"closed: {why}"
        case Decision(by=by, reason=why):
            reason = f"closed by {by or 'a person'}" + (f": {why}" if why else "")
        case _:
            reason = "done"
    return TaskStatus(status=Status.DONE, reason=reason)


def _cancelled(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    if not cancelled(entry):
        return None
    said = entry.last(Kind.CANCEL)
    reason = _who(said, "cancelled") if said else "its file was removed from the board"
    return TaskStatus(status=Status.CANCELLED, reason=reason)


def _invalid(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    if entry.task is not None:
        return None
    more = len(entry.problems) - 1
    reason = str(entry.problems[0]) if entry.problems else "its file cannot be read"
    return TaskStatus(
        status=Status.INVALID, reason=reason + (f", and {more} more" if more > 0 else "")
    )


def _held(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    assert entry.task is not None
    if entry.task.hold:
        reason = "on hold: `hold: true` in its file"
    else:
        switch = put_on_hold(entry)
        if switch is None:
            return None
        reason = _who(switch, "put on hold")
    return TaskStatus(status=Status.HELD, reason=reason)


def _failed(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    attempts = entry.attempts()
    if not attempts:
        return None
    last = attempts[-1]
    why = ""
    if last.outcome in HOPELESS and not _more_was_allowed(entry, last):
        why = f"{last.outcome}: {last.reason}"
    elif last.outcome in REJECTIONS and last.fixed_by is None:
        why = f"{last.outcome}, and no more fix tasks are created: {last.reason}"
    else:
        works, proofs = entry.attempts(Role.WORK, Role.PLAN), entry.attempts(Role.VALIDATE)
        why = _used_up(board, entry, works, "attempts") or _used_up(
            board, entry, proofs, "validations"
        )
    if not why:
        return None
    return TaskStatus(status=Status.FAILED, reason=f"{why} (`gitfleet retry {entry.id}`)")


def _used_up(board: Board, entry: Entry, attempts: list[Attempt], name: str) -> str:
    limits = {Counter.ATTEMPTS: limit_of(board, entry), **OWN_LIMITS}
    for counter, limit in limits.items():
        against = [a for a in attempts if COUNTS.get(a.outcome) is counter]
        if len(against) >= limit:
            word = name if counter is Counter.ATTEMPTS else f"{name} ({counter})"
            last = against[-1]
            why = f"all {limit} {word} used up; the last: {last.outcome}: {last.reason}"
            if limit == 1 and counter is Counter.ATTEMPTS:
                end = "failed" if last.outcome is Outcome.FAILED else f"failed ({last.outcome})"
                why = f"the only {name.removesuffix('s')} {end}: {last.reason}"
            return f"{why}; split the task" if counter is Counter.CONTEXTS else why
    return ""


def _more_was_allowed(entry: Entry, last: Attempt) -> bool:
    """Whether a task over its budget continues:

    a person has edited it since, and the new budget is not used up.
    """
    edited = last.task_blob is not None and last.task_blob != entry.blob
    return last.outcome is Outcome.OVER_BUDGET and edited and not over_budget(entry)


def _spent(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    """No budget is left for the next step. Checks alone and landing cost nothing."""
    submitted = submission_of(entry) is not None and verdict_of(entry) is None
    free = submitted and not choices(board, entry, Role.VALIDATE)
    if not free and (why := over_budget(entry)):
        remedy = f"raise `budget` in its file, or `gitfleet retry {entry.id}`"
        return TaskStatus(status=Status.FAILED, reason=f"{why} ({remedy})")
    return None


def _asking(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    if not _asked(entry):
        return None
    waiting = [question for question in entry.questions if question.open]
    for path, problems in board.damage.items():
        # An unreadable question may or may not hold an answer: do not guess.
        there = layout.place(path)
        if there.what is layout.FileKind.QUESTION and there.task == entry.id and problems:
            return TaskStatus(
                status=Status.ASKING, reason=f"its question is damaged: {problems[0]}"
            )
    if not waiting:
        return None
    first = waiting[0].text.splitlines()[0] if waiting[0].text else waiting[0].name
    reason = f"waits for an answer to {waiting[0].name}: {first}"
    return TaskStatus(status=Status.ASKING, reason=reason)


def _asked(entry: Entry) -> bool:
    attempts = entry.attempts()
    return bool(attempts) and attempts[-1].outcome is Outcome.ASKED


def _fixing(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    verdict = verdict_of(entry)
    if verdict is None or verdict.attempt is None or verdict.attempt.outcome not in REJECTIONS:
        return None
    fix_task = verdict.attempt.fixed_by
    if fix_task is None:
        return None
    if not is_over(board, fix_task):
        reason = f"{fix_task} repairs it: {verdict.attempt.reason}"
    elif _closing(board, fix_task):
        reason = f"{fix_task}, which repairs it, was closed by hand; this will be closed with it"
    else:
        return None
    return TaskStatus(status=Status.FIXING, reason=reason)


def _closing(board: Board, task: str) -> bool:
    """Whether a person closed a task and no runner has closed the tasks that it repairs yet."""
    entry = board.get(task)
    return (
        entry is not None
        and entry.last(Kind.CLOSE) is not None
        and entry.last(Kind.CLOSED, Kind.LANDED) is None
    )


def _accepted(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    verdict = verdict_of(entry)
    if verdict is None or verdict.attempt is None or verdict.attempt.outcome != Outcome.ACCEPTED:
        return None
    if submission_of(entry) is None:
        return None  # a `retry` came during validation: the work starts over
    reason = f"accepted, not landed yet: {verdict.attempt.reason}"
    return _to_prove(board, entry, now, Status.ACCEPTED, reason)


def _submitted(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    if submission_of(entry) is None or verdict_of(entry) is not None:
        return None
    return _to_prove(
        board, entry, now, Status.SUBMITTED, "work done; waiting for checks and review"
    )


def _to_prove(board: Board, entry: Entry, now: datetime, status: Status, reason: str) -> TaskStatus:
    """The status of submitted or accepted work, and how long it waits.

    A target that fails its own checks is retried when it moves, or after a growing pause.
    """
    until, why, red = proof_pause(board, entry)
    rests = False
    if until is None or until <= now:
        cooling = _in_cooldown(board, entry, Role.VALIDATE, now)
        if cooling is not None:
            (until, why), rests = cooling, True
    return TaskStatus(
        status=status, reason=why or reason, role=Role.VALIDATE, until=until, rests=rests, red=red
    )


def _in_cooldown(
    board: Board, entry: Entry, role: Role, now: datetime
) -> tuple[datetime, str] | None:
    """Until when all coders for it are cooling down, and why; None if one is not."""
    found = [cooldown_anywhere(board, one.coder, now) for one in choices(board, entry, role)]
    rests = [rest for rest in found if rest is not None]
    if not rests or len(rests) < len(found):
        return None
    return min(rest.until for rest in rests), "; ".join(dict.fromkeys(map(str, rests)))


def _delayed(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    assert entry.task is not None
    start = entry.task.not_before
    if start is not None and start > now:
        reason = f"not before {clock(start)}"
        return TaskStatus(
            status=Status.DELAYED, reason=reason, role=_role(board, entry), until=start
        )
    attempts = entry.attempts(Role.WORK, Role.PLAN)
    if not attempts:
        return None
    last = attempts[-1]
    if COUNTS.get(last.outcome) is Counter.ATTEMPTS:
        until = later(last.ended, pause(board, count(attempts, Counter.ATTEMPTS)))
    elif COUNTS.get(last.outcome) is Counter.INTERRUPTIONS:
        often = interruptions_in_a_row(attempts[::-1])
        if often < 2:
            return None
        until = later(last.ended, pause(board, often - 1))
    else:
        return None
    if until <= now:
        return None
    reason = f"next attempt at {clock(until)}; last attempt: {last.outcome}: {last.reason}"
    return TaskStatus(status=Status.DELAYED, reason=reason, role=_role(board, entry), until=until)


def _role(board: Board, entry: Entry) -> Role | None:
    """The role a task could be claimed for once its time comes."""
    assert entry.task is not None
    return Role(entry.task.role.value) if unmet_dependency(board, entry) is None else None


def _waiting(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    reason = unmet_dependency(board, entry)
    return TaskStatus(status=Status.WAITING, reason=reason) if reason else None


def _cooling(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    """All its coders are cooling down somewhere. A runner where one is not may still take it."""
    assert entry.task is not None
    role = Role(entry.task.role.value)
    found = _in_cooldown(board, entry, role, now)
    if found is None:
        return None
    until, reason = found
    return TaskStatus(
        status=Status.DELAYED,
        reason=reason,
        role=role,
        until=until,
        rests=True,
        answered=_asked(entry),
    )


def _ready(board: Board, entry: Entry, now: datetime) -> TaskStatus | None:
    assert entry.task is not None
    attempts = entry.attempts()
    answered = _asked(entry)
    if answered:
        reason = "its question is answered" if entry.questions else "its question was removed"
    elif not attempts:
        again = any(event.kind is Kind.RETRY for event in entry.events)
        reason = "to be retried" if again else "not started yet"
    else:
        last = attempts[-1]
        reason = f"to be retried; last attempt: {last.outcome}: {last.reason}"
    role = Role(entry.task.role.value)
    return TaskStatus(status=Status.READY, reason=reason, role=role, answered=answered)


def _who(event: Event, verb: str) -> str:
    said = event.content
    assert isinstance(said, Decision), "people write these events"
    text = f"{verb} by {said.by}" if said.by else verb
    return f"{text}: {said.reason}" if said.reason else text


_Rule = Callable[[Board, Entry, datetime], TaskStatus | None]
_RULES: Final[tuple[_Rule, ...]] = (
    _claimed,
    _done,
    _cancelled,
    _invalid,
    _held,
    _failed,
    _asking,
    _fixing,
    _accepted,
    _spent,
    _submitted,
    _delayed,
    _waiting,
    _cooling,
    _ready,
)
