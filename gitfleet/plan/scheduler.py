"""What to claim next. Pure, from the board and this runner's capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.config import RoleSettings
from gitfleet.model.durations import counted
from gitfleet.model.ids import is_id
from gitfleet.model.states import Role, Status
from gitfleet.plan.coder_choice import NO_CODER, Choice, choices
from gitfleet.plan.cooldown import Cooldown, cooldowns
from gitfleet.plan.graph import graph_of
from gitfleet.plan.status import TaskStatus, statuses

_RANK: Final[Mapping[Status, int]] = {
    Status.ACCEPTED: 0,
    Status.SUBMITTED: 1,
    Status.READY: 3,
    Status.DELAYED: 3,
}
_ANSWERED: Final = 2


class Capacity(Struct, frozen=True, kw_only=True):
    """What a runner can take on."""

    runner: str
    slots: int  # attempts at once, over all coders
    labels: frozenset[str] = frozenset()
    coders: frozenset[str] | None = None  # only these; None: every coder
    absent: Mapping[str, str] = {}  # coder that is not here -> why
    default: RoleSettings | None = None  # goes before the board's roles
    only: frozenset[str] | None = None  # only these tasks
    blocked: Mapping[str, str] = {}  # accepted task -> why it cannot land just now
    tips: Mapping[str, str] = {}  # target branch -> its tip


class Assignment(Struct, frozen=True, kw_only=True):
    """A task to claim, with role, coder and model."""

    task: str
    role: Role
    coder: str  # empty: checks alone
    model: str
    target: str  # the branch it lands on


class Skipped(Struct, frozen=True):
    """A claimable task that this runner skips, and why."""

    task: str
    reason: str
    for_a_person: bool = False  # only a person can change that
    rests: bool = False  # its coder is cooling down, which is logged once per coder
    until: datetime | None = None  # when the cooldown ends, if it ends by itself


def target_of(board: Board, entry: Entry, default: str) -> str:
    """The branch that a task starts from and lands on."""
    own = entry.task.base if entry.task else None
    return own or board.settings.target or default


def candidates(
    board: Board, now: datetime, tips: frozenset[str] = frozenset()
) -> list[tuple[Entry, TaskStatus]]:
    """Every task that may be claimed now, in the order of work.

    `tips` are the tips of the targets: a task that waits for a red target is due when the red
    commit is no longer a tip.
    """
    graph = graph_of(board)
    known = statuses(board, now)
    found: list[tuple[Entry, TaskStatus]] = []
    for entry in board.entries.values():
        if not is_id(entry.id):
            continue
        where = known[entry.id]
        moved = where.red is not None and bool(tips) and where.red not in tips
        if where.claimable(now) or (moved and where.role is not None):
            found.append((entry, where))

    def order(pair: tuple[Entry, TaskStatus]) -> tuple[int, int, int, str]:
        entry, where = pair
        rank = _ANSWERED if where.answered else _RANK[where.status]
        priority = entry.task.priority if entry.task else 2
        return rank, priority, -graph.behind(entry.id), entry.id

    return sorted(found, key=order)


def picks(
    board: Board, now: datetime, capacity: Capacity, default_target: str
) -> tuple[list[Assignment], list[Skipped]]:
    """The tasks to claim now, best first, and the claimable ones that are skipped."""
    busy = _Occupancy(board, capacity, default_target, cooldowns(board, capacity.runner, now))
    chosen: list[Assignment] = []
    passed: list[Skipped] = []
    for entry, where in candidates(board, now, frozenset(capacity.tips.values())):
        if capacity.only is not None and entry.id not in capacity.only:
            continue
        assert where.role is not None
        if entry.id in capacity.blocked:
            passed.append(Skipped(entry.id, capacity.blocked[entry.id], for_a_person=True))
            continue
        one = busy.choose(entry, where.role)
        if isinstance(one, Skipped):
            passed.append(one)
            continue
        assignment = Assignment(
            task=entry.id,
            role=where.role,
            coder=one.coder,
            model=one.model,
            target=target_of(board, entry, default_target),
        )
        reason = busy.objection(assignment, entry)
        if reason:
            passed.append(Skipped(entry.id, reason))
        else:
            busy.add(assignment, entry)
            chosen.append(assignment)
    return chosen, passed


class _Occupancy:
    """What runs already, and what another attempt would collide with."""

    def __init__(
        self,
        board: Board,
        capacity: Capacity,
        default_target: str,
        cooling: Mapping[str, Cooldown] = MappingProxyType({}),
    ) -> None:
        self.board, self.capacity, self.cooling = board, capacity, cooling
        self.mine = 0
        self.coders: Counter[str] = Counter()
        self.locks: dict[str, str] = {}
        self.landing: dict[str, str] = {}
        for entry in board.entries.values():
            if entry.claim is None:
                continue
            claim = entry.claim
            if claim.runner == capacity.runner:
                self.mine += 1
                self.coders[claim.coder] += 1
            self._occupy(entry, claim.role, target_of(board, entry, default_target))

    def _occupy(self, entry: Entry, role: Role, target: str) -> None:
        for lock in entry.task.locks if entry.task else ():
            self.locks[lock] = entry.id
        if role is Role.VALIDATE:
            self.landing[target] = entry.id

    def add(self, assignment: Assignment, entry: Entry) -> None:
        self.mine += 1
        self.coders[assignment.coder] += 1
        self._occupy(entry, assignment.role, assignment.target)

    def choose(self, entry: Entry, role: Role) -> Choice | Skipped:
        """The first coder that can do it here and is not cooling down, or why there is none.

        A busy coder is waited for: the next in the list is for when it cannot run, not for when it
        is slower.
        """
        whys: list[str] = []
        rests: list[Cooldown] = []
        for one in choices(self.board, entry, role, self.capacity.default) or (Choice(""),):
            why, rest = self._of_coder(one.coder, role), self.cooling.get(one.coder)
            if not why and rest is None:
                return one
            if not why and rest is not None:
                rests.append(rest)
            whys.append(why or str(rest))
        ends = [rest.until for rest in rests if not rest.refused]
        return Skipped(
            entry.id,
            "; ".join(dict.fromkeys(whys)),
            for_a_person=not ends,
            rests=bool(rests),
            until=min(ends, default=None),
        )

    def objection(self, assignment: Assignment, entry: Entry) -> str:
        """Why this attempt cannot start here now; empty if it can."""
        return (
            self._of_slots(assignment)
            or self._of_labels(assignment, entry)
            or self.of_place(assignment, entry)
        )

    def _of_labels(self, assignment: Assignment, entry: Entry) -> str:
        wanted = entry.task.runs_on if entry.task and assignment.role is not Role.VALIDATE else ()
        lacking = [label for label in wanted if label not in self.capacity.labels]
        return f"runs only on a runner with {', '.join(lacking)}" if lacking else ""

    def _of_slots(self, assignment: Assignment) -> str:
        if self.mine >= self.capacity.slots:
            return f"all {self.capacity.slots} slots are taken"
        settings = self.board.settings.coders.get(assignment.coder)
        limit = settings.concurrency if settings else None
        if assignment.coder and limit is not None and self.coders[assignment.coder] >= limit:
            return f"{assignment.coder} already runs {counted(limit, 'attempt')}"
        return ""

    def _of_coder(self, coder: str, role: Role) -> str:
        """Why the coder can never do it here; empty if it can."""
        if not coder:
            if role is Role.VALIDATE:
                return ""
            return NO_CODER
        if self.capacity.coders is not None and coder not in self.capacity.coders:
            return f"this machine's configuration does not allow {coder} here"
        return self.capacity.absent.get(coder, "")

    def of_place(self, assignment: Assignment, entry: Entry) -> str:
        """A lock that another attempt holds, or a label that this runner lacks."""
        assert entry.task is not None
        for lock in entry.task.locks:
            if lock in self.locks:
                return f"{self.locks[lock]} holds the lock {lock}"
        if assignment.role is Role.VALIDATE and assignment.target in self.landing:
            return f"{self.landing[assignment.target]} is being checked for {assignment.target}"
        return ""


def collides(board: Board, assignment: Assignment, default_target: str) -> bool:
    """Whether another claim now holds a lock that this attempt needs."""
    entry = board.get(assignment.task)
    if entry is None or entry.task is None:
        return True
    return bool(
        _Occupancy(board, Capacity(runner="", slots=1), default_target).of_place(assignment, entry)
    )
