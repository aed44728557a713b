"""Views of a board: pure, for the command line and for any page.

A list is ordered as a person wants to read it: tasks that need them (`asking` first, since an
answer is quick), running tasks, those about to land, the next ones, waiting ones, and finished ones
last. Within one status: priority, how many tasks depend on it directly, id; finished tasks newest
first. Everything here is linear in the size of the board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from gitfleet.files import layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.question import Question
from gitfleet.model.states import FINISHED, Kind, Outcome, Role, Status
from gitfleet.plan.budget import Spent, spent
from gitfleet.plan.coder_choice import NextCoder, choices, next_coder
from gitfleet.plan.cooldown import cooldown_anywhere
from gitfleet.plan.graph import cancelled, graph_of, is_done
from gitfleet.plan.status import TaskStatus, status_of
from gitfleet.plan.task_history import over_budget

ORDER: Final = (
    Status.ASKING,
    Status.FAILED,
    Status.INVALID,
    Status.WORKING,
    Status.VALIDATING,
    Status.PLANNING,
    Status.ACCEPTED,
    Status.SUBMITTED,
    Status.READY,
    Status.FIXING,
    Status.DELAYED,
    Status.WAITING,
    Status.HELD,
    Status.DONE,
    Status.CANCELLED,
)
_RANK: Final[Mapping[Status, int]] = {status: rank for rank, status in enumerate(ORDER)}
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


class Row(Struct, frozen=True, kw_only=True):
    """One task in a list."""

    id: str
    title: str
    status: Status
    reason: str
    role: Role | None  # of the task: work or plan; None if no valid file says it
    priority: int | None
    doer: NextCoder | None  # who does or will do it; None: no coder, or it is finished
    depends_on: tuple[str, ...]
    labels: tuple[str, ...]
    attempts: int  # made so far, over all roles and all time
    claim: Claim | None
    questions: tuple[Question, ...]
    branch: str | None  # the branch of its work; None before the first attempt
    until: datetime | None  # not claimed before this time
    updated: datetime | None  # its newest event or claim
    archived: str | None  # the folder of its files, once they are in done/


class RelatedTask(Struct, frozen=True):
    """Another task, as far as it matters to the one on display."""

    id: str
    title: str
    status: Status | None  # None: it is not on the board

    @property
    def state(self) -> str:
        """The status in words, for people."""
        return self.status or "not on the board"


class Detail(Struct, frozen=True, kw_only=True):
    """Everything about one task."""

    row: Row
    entry: Entry
    keys: Mapping[str, Any]  # the keys of its file as YAML has them, without defaults
    head: str | None  # the tip of the work after the last attempt
    landed: Landed | None
    validation: Attempt | None  # the last one
    depends_on: tuple[RelatedTask, ...]
    waits_for_it: tuple[RelatedTask, ...]  # unfinished, directly
    behind: int  # the same, directly or not
    spent: Spent  # by all its attempts since the last `retry`; compare with `budget`
    fix_chain: tuple[RelatedTask, ...]  # the first task, then each that repairs the one before
    next: str


def rows(board: Board, now: datetime) -> list[Row]:
    """Every task that is not archived, in no particular order."""
    return [row(board, entry, now) for entry in board.entries.values()]


def finished(board: Board, entries: Iterable[Entry], now: datetime) -> list[Row]:
    """Archived tasks, whose files the caller has read."""
    return [row(unarchived(board, entry, alone=True), entry, now, board) for entry in entries]


def unarchived(board: Board, entry: Entry, *, alone: bool = False) -> Board:
    """The board as if an archived task were still on it; `alone`: and no other task."""
    if alone:
        return replace(board, entries={entry.id: entry}, archived={})
    others = {task: folder for task, folder in board.archived.items() if task != entry.id}
    return replace(board, entries={**board.entries, entry.id: entry}, archived=others)


def in_order(board: Board, unordered: Iterable[Row]) -> list[Row]:
    """The rows in the order for people."""
    dependents = graph_of(board).dependents

    def key(one: Row) -> tuple[int, float, int, int, str]:
        age = -(one.updated or _LONG_AGO).timestamp() if one.status in FINISHED else 0.0
        priority = 2 if one.priority is None else one.priority
        return _RANK[one.status], age, priority, -len(dependents.get(one.id, ())), one.id

    return sorted(unordered, key=key)


def row(board: Board, entry: Entry, now: datetime, archive: Board | None = None) -> Row:
    """One task as a row. `archive`: the board that has it in done/."""
    where = status_of(board, entry.id, now)
    folder = archive.archived.get(entry.id) if archive else None
    if (
        folder and where.status is not Status.DONE
    ):  # a task in done/ is final, whatever its files say
        where = TaskStatus(status=Status.DONE, reason=f"finished, see {folder}/")
    task = entry.task
    role = Role(task.role.value) if task else None
    doer = next_coder(board, entry, role) if role and where.status not in FINISHED else None
    return Row(
        id=entry.id,
        title=entry.title,
        status=where.status,
        reason=where.reason,
        role=role,
        priority=task.priority if task else None,
        doer=doer,
        depends_on=task.depends_on if task else (),
        labels=task.labels if task else (),
        attempts=entry.next_attempt - 1,
        claim=entry.claim,
        questions=entry.questions,
        branch=_branch(entry),
        until=where.until,
        updated=_updated(entry),
        archived=folder,
    )


def _branch(entry: Entry) -> str | None:
    if entry.claim is not None and entry.claim.branch:
        return entry.claim.branch
    return next((a.branch for a in _attempts(entry) if a.branch), None)


def _attempts(entry: Entry, *kinds: Kind) -> Iterator[Attempt]:
    """Every attempt, over all time, newest first."""
    for event in reversed(entry.events):
        if isinstance(event.content, Attempt) and (not kinds or event.kind in kinds):
            yield event.content


def _updated(entry: Entry) -> datetime | None:
    moments = [entry.events[-1].at] if entry.events else []
    return max([*moments, *([entry.claim.at] if entry.claim else [])], default=None)


def counts(shown: Iterable[Row]) -> dict[Status, int]:
    """The number of tasks of each status, in the order of the list."""
    found = Counter(one.status for one in shown)
    return {status: found[status] for status in ORDER if found[status]}


# -- one task


def detail(board: Board, entry: Entry, now: datetime) -> Detail:
    """Everything about a task, which may be archived."""
    folder = board.archived.get(entry.id) if entry.id not in board.entries else None
    whole = unarchived(board, entry) if folder else board
    one = row(whole, entry, now, board if folder else None)
    graph = graph_of(whole)
    waits = () if one.status in FINISHED else graph.dependents.get(entry.id, ())
    landed = entry.last(Kind.LANDED)
    return Detail(
        row=one,
        entry=entry,
        keys=_keys(entry),
        head=next((a.head for a in _attempts(entry, Kind.WORK, Kind.PLAN) if a.head), None),
        landed=landed.content if landed and isinstance(landed.content, Landed) else None,
        validation=next(_attempts(entry, Kind.VALIDATE), None),
        depends_on=tuple(_near(whole, task, now) for task in one.depends_on),
        waits_for_it=tuple(sorted((_near(whole, task, now) for task in waits), key=_near_order)),
        behind=graph.behind(entry.id) if waits else 0,
        spent=spent(entry),
        fix_chain=tuple(_near(whole, task, now) for task in _fix_chain(whole, entry)),
        next=_next(whole, entry, one, now),
    )


def _keys(entry: Entry) -> dict[str, Any]:
    keys: dict[str, Any] = to_builtins(entry.task) if entry.task else {}
    keys.pop("body", None)
    return keys


def _near(board: Board, task: str, now: datetime) -> RelatedTask:
    entry = board.get(task)
    title = entry.title if entry else task
    status = status_of(board, task, now).status if board.taken(task) else None
    return RelatedTask(task, title, status)


def _near_order(near: RelatedTask) -> tuple[int, str]:
    return _RANK[near.status] if near.status else len(_RANK), near.id


def _fix_chain(board: Board, entry: Entry) -> list[str]:
    """From the first rejected task to its last fix task; empty if there was no repair."""
    chain = [entry.id]
    at: Entry | None = entry
    while at is not None and at.task is not None and (up := at.task.fixes) and up not in chain:
        chain.insert(0, up)
        at = board.get(up)
    at = entry
    while at is not None:
        down = next((a.fixed_by for a in _attempts(at, Kind.VALIDATE) if a.fixed_by), None)
        if down is None or down in chain:
            break
        chain.append(down)
        at = board.get(down)
    return chain if len(chain) > 1 else []


def _next(board: Board, entry: Entry, one: Row, now: datetime) -> str:
    """What a person can do now: a sentence with the command to type."""
    task = entry.id
    match one.status:
        case Status.WORKING | Status.VALIDATING | Status.PLANNING:
            return (
                f"It runs: `gitfleet log {task} --follow` shows its output,"
                f" `gitfleet cancel {task}` ends it."
            )
        case Status.DONE:
            return _next_of_done(entry)
        case Status.CANCELLED if entry.gone:
            return f"To reopen it, restore {layout.task_path(task)} on the board (git revert)."
        case Status.CANCELLED | Status.FAILED:
            return _next_of_failed(entry, one)
        case Status.INVALID:
            path = layout.task_path(task)
            return f"Fix {path} on the board and commit it; `gitfleet lint` checks it."
        case Status.HELD:
            return f"`gitfleet unhold {task}` takes it off hold."
        case Status.ASKING:
            return _next_of_asking(one)
        case Status.FIXING:
            fix_task = next(
                (a.fixed_by for a in _attempts(entry, Kind.VALIDATE) if a.fixed_by), task
            )
            return f"`gitfleet show {fix_task}` shows its repair."
        case Status.ACCEPTED | Status.SUBMITTED:
            return "`gitfleet run` checks and merges it."
        case Status.WAITING:
            return _next_of_waiting(board, entry)
        case Status.DELAYED:
            return _next_of_delayed(board, entry, one, now)
    if not choices(board, entry, one.role or Role.WORK):
        path = layout.task_path(task)
        return (
            f"Name a coder: `coder: shell` in {path}, or roles.{one.role}.coder in"
            f" {layout.SETTINGS}."
        )
    return f"`gitfleet run` starts it; `gitfleet run --once {task}` runs only this task."


def _next_of_failed(entry: Entry, one: Row) -> str:
    path, task = layout.task_path(entry.id), entry.id
    last = next(_attempts(entry), None)
    outcome = last.outcome if last is not None and one.status is Status.FAILED else None
    poor = over_budget(entry)
    if poor and (outcome is Outcome.OVER_BUDGET or poor in one.reason):
        return (
            f"Raise `budget` in {path} and commit it; or `gitfleet retry {task}`"
            " grants the same amount again."
        )
    if outcome is Outcome.CONTEXT_FULL:
        return (
            "It is too large for one context: create tasks for its parts (`gitfleet add`), then"
            f" `gitfleet cancel {task}`; `gitfleet retry {task}` retries it as it is."
        )
    if outcome is Outcome.MISCONFIGURED:
        return (
            f"Fix {path}, {layout.SETTINGS} or the machine, as the reason says; then"
            f" `gitfleet retry {task}`."
        )
    seen = f"`gitfleet log {task}` shows what happened; " if one.attempts else ""
    text = f"{seen}`gitfleet retry {task}` retries it."
    return text[0].upper() + text[1:]


def _next_of_delayed(board: Board, entry: Entry, one: Row, now: datetime) -> str:
    able = choices(board, entry, one.role or Role.WORK)
    rests = (cooldown_anywhere(board, choice.coder, now) for choice in able)
    refused = next((rest for rest in rests if rest is not None and rest.refused), None)
    if refused is not None and status_of(board, entry.id, now).rests:
        return (
            f"Fix the key of {refused.coder} on {refused.runner}; `gitfleet retry"
            f" {entry.id}` then retries at once."
        )
    return "Nothing: `gitfleet run` starts it when it is due."


def _next_of_done(entry: Entry) -> str:
    last = entry.last(Kind.LANDED, Kind.CLOSED)
    match last.content if last else None:
        case Landed():
            return (
                f"`gitfleet diff {entry.id}` shows what it changed,"
                f" `gitfleet revert {entry.id}` creates a task that reverts it."
            )
        case Closed(by=str(by)):
            return f"`gitfleet show {by}` shows what finished it."
    return "Nothing: it is finished."


def _next_of_asking(one: Row) -> str:
    waiting = next((q for q in one.questions if q.open), None)
    if waiting is None:
        return "Fix its question on the board and commit it; `gitfleet lint` checks it."
    path = layout.question_path(waiting.name)
    chosen = ", or `--option N` for its N-th option" if waiting.options else ""
    return (
        f"`gitfleet answer {waiting.name} TEXT` answers it{chosen}; or write the answer below a"
        f" line `## Answer` in {path} on the board, and commit it."
    )


def _next_of_waiting(board: Board, entry: Entry) -> str:
    assert entry.task is not None
    path = layout.task_path(entry.id)
    if entry.id in graph_of(board).cycles:
        return f"Remove one task of the cycle from depends_on, for example in {path}."
    open_ = [need for need in entry.task.depends_on if not is_done(board, need)]
    for need in open_:
        other = board.get(need)
        if other is None:
            return f"Create it (`gitfleet add TITLE --id {need}`), or remove {need} from {path}."
        if other.claim is None and cancelled(other):
            return f"`gitfleet retry {need}` reopens it; or remove {need} from {path}."
    return f"`gitfleet show {open_[0]}` shows what it waits for."
