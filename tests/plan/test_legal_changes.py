"""Long random histories, made of legal changes only, break no rule; every illegal edit is found.

Several runners and people work on one board in memory: a dict from path to bytes, and a clock that
goes on only when the walk says so. Each change comes from `gitfleet.plan`, as in real life.
"""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from gitfleet.errors import FleetError
from gitfleet.files import boards, codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Check, Closed, Decision, Event, Landed, Tokens
from gitfleet.model.question import Question
from gitfleet.model.states import ATTEMPT_KINDS, VERDICTS, Kind, Outcome, Role, Status
from gitfleet.model.task import Budget, CoderChoice, Task
from gitfleet.plan import invariants, scheduler
from gitfleet.plan.status import status_of, statuses
from gitfleet.plan.transitions import (
    add_tasks,
    by_person,
    on_claim,
    on_end,
    on_landing,
    on_rejection,
)
from tests.plan.kit import OID, files_of, oid, text

FLEET: Final = b"""\
format: 2
target: main
max_fix_rounds: 2
roles:
  work: {coders: [{coder: shell, model: m}, other]}
  validate: {coders: [judge, {coder: other, model: n}]}
coders:
  shell: {concurrency: 3}
"""
RUNNERS: Final = ("box-1", "box-2", "box-3")
PEOPLE: Final = (Person("Ann", "ann@example.org"), Person("Bob", "bob@example.org"))
# What an attempt to work may come to, and how often.
WORKED: Final = (
    [Outcome.SUBMITTED] * 12
    + [o for o in Outcome if o not in VERDICTS and o is not Outcome.TARGET_RED]
    + [Outcome.ASKED] * 2
)
PROVED: Final = (
    [Outcome.ACCEPTED] * 12
    + [Outcome.REJECTED, Outcome.CHECKS_FAILED] * 4
    + [Outcome.CONFLICT] * 2
    + [o for o in Outcome if o not in (Outcome.SUBMITTED, Outcome.ASKED, Outcome.EMPTY)]
)
Tree = dict[str, bytes]


class Walk:
    """One board, and everybody who changes it."""

    def __init__(self, seed: int, *, judged: bool = True) -> None:
        self.judged = judged  # or only walked, to get somewhere fast
        self.seed, self.random = seed, random.Random(seed)
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.tree: Tree = {layout.SETTINGS: FLEET, "prompts/work.md": b"Work.\n"}
        self.board = boards.read(files_of(self.tree))
        self.seen: Counter[str] = Counter()
        self.filed = 0

    # -- what is applied, and what must hold after it

    def apply(self, change: Change | None, *, by_runner: bool) -> bool:
        if change is None:
            return False
        step, tree = self.step(change.files, by_runner=by_runner)
        if self.judged:
            self._judge(step, tree, change.subject)
        self.tree, self.board = tree, step.child
        return True

    def _judge(self, step: invariants.CommitStep, tree: Tree, subject: str) -> None:
        assert invariants.check_step(step) == [], (self.seed, subject)
        same(step.child, boards.read(files_of(tree)))
        for task, where in statuses(step.child, self.now).items():
            assert where.reason and where.status in Status, (self.seed, task)
            self.seen[where.status] += 1
        assert not step.child.damage

    def step(
        self, files: Mapping[str, bytes | None], *, by_runner: bool
    ) -> tuple[invariants.CommitStep, Tree]:
        """The board's step to what it is with these files."""
        tree = dict(self.tree)
        changed: dict[str, tuple[str | None, str | None]] = {}
        for path, data in files.items():
            before = tree.pop(path, None)
            if data is not None:
                tree[path] = data
            pair = (
                oid(before) if before is not None else None,
                oid(data) if data is not None else None,
            )
            if pair[0] != pair[1]:
                changed[path] = pair
        fresh = files_of({path: tree[path] for path in changed if path in tree})
        child = boards.update(self.board, {path: fresh.get(path) for path in changed})
        step = invariants.CommitStep(
            parent=self.board, child=child, changed=changed, by_runner=by_runner, at=self.now
        )
        return step, tree

    def hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def some_task(self) -> str:
        return self.random.choice(list(self.board.entries) or ["nothing"])

    # -- what runners do

    def claim(self) -> bool:
        runner = self.random.choice(RUNNERS)
        offer = scheduler.Capacity(
            runner=runner, slots=4, labels=frozenset({"gpu"}), tips={"main": self.hex(40)}
        )
        chosen, _ = scheduler.picks(self.board, self.now, offer, "main")
        if not chosen:
            return False
        first = chosen[0]
        entry = self.board.entries[first.task]
        claim = Claim(
            runner=runner,
            nonce=self.hex(32),
            role=first.role,
            attempt=entry.next_attempt,
            coder=first.coder,
            model=first.model,
            task_blob=entry.blob,
            base=OID,
            branch=f"gitfleet/task/{first.task}",
            at=self.now,
        )
        change = on_claim.claim(self.board, self.now, task=first.task, claim=claim, due=True)
        assert change is not None  # what was picked on this board can be claimed on it
        return self.apply(change, by_runner=True)

    def end(self) -> bool:
        held = [entry for entry in self.board.entries.values() if entry.claim]
        if not held:
            return False
        entry = self.random.choice(held)
        claim = entry.claim
        assert claim is not None
        outcome = self.random.choice(PROVED if claim.role is Role.VALIDATE else WORKED)
        attempt = Attempt(
            runner=claim.runner,
            nonce=claim.nonce,
            attempt=claim.attempt,
            outcome=outcome,
            reason=f"because of {self.random.randrange(100)}",
            started=claim.at,
            ended=self.now,
            coder=claim.coder,
            model=claim.model,
            until=self.now + timedelta(hours=1) if self.random.random() < 0.2 else None,
            tokens=Tokens(input=self.random.randrange(2000), output=10),
            usd=self.random.random(),
            task_blob=claim.task_blob,
            base=claim.base,
            head=OID,
            checks=(Check(command="pytest -q", exit_code=1, tail="\tE: no\n"),),
            findings=("It does not work.",),
        )
        self.seen[f"{claim.role} {outcome}"] += 1
        self.seen[f"{claim.role} by {claim.coder}/{claim.model}"] += 1
        return self.apply(self._settled(entry.id, claim, attempt), by_runner=True)

    def _settled(self, task: str, claim: Claim, attempt: Attempt) -> Change | None:
        board = self.board
        entry = board.entries[task]
        if claim.role is not Role.VALIDATE:
            extra: dict[str, bytes | None] = {}
            if attempt.outcome is Outcome.ASKED:
                extra = self._question(task)
            additions = [self._addition()] if claim.role is Role.PLAN else []
            return on_end.end_attempt(
                board, task=task, attempt=attempt, role=claim.role, extra=extra, additions=additions
            )
        if attempt.outcome is Outcome.ACCEPTED and self.random.random() < 0.9:
            if on_landing.is_plan(entry):
                change = on_landing.accept_plan(board, self.now, task=task, attempt=attempt)
            else:
                landed = Landed(
                    runner=claim.runner, nonce=claim.nonce, at=self.now, target="main", merge=OID
                )
                change = on_landing.land(
                    board, self.now, task=task, attempt=attempt, landed=landed, move=None
                )
            if change is not None:
                return change
            assert on_landing.landing_blocker(entry)
        if attempt.outcome in (Outcome.REJECTED, Outcome.CHECKS_FAILED):
            fix = Task(title="Repair it") if self.random.random() < 0.5 else None
            return on_rejection.reject(board, task=task, attempt=attempt, fix=fix)
        return on_end.end_attempt(board, task=task, attempt=attempt, role=Role.VALIDATE)

    def _question(self, task: str) -> dict[str, bytes | None]:
        name = f"{task}-{len(self.board.entries[task].questions) + 1}"
        question = Question(task=task, asked=self.now, text="This or that?")
        return {layout.question_path(name): codec.write_question(question)}

    def _addition(self) -> add_tasks.Addition:
        wanted = self.random.choice(["helper", "login", "null", "con", "0777"])
        return add_tasks.Addition(text=text("Came across"), id=wanted, key=self.hex(16))

    def come_across(self) -> bool:
        held = [entry for entry in self.board.entries.values() if entry.claim]
        if not held or len(self.board.entries) > 25:
            return False
        entry = self.random.choice(held)
        assert entry.claim is not None
        one = self._addition()

        def once(additions: list[add_tasks.Addition]) -> Change | None:
            nonce = entry.claim.nonce if entry.claim else ""
            return add_tasks.file_additions(
                self.board, task=entry.id, nonce=nonce, additions=additions
            )

        change = once([one, one])
        assert change is None or len(change.files) == 1
        done = self.apply(change, by_runner=True)
        assert once([one]) is None  # the same addition never arrives again
        return done

    def follow_up(self) -> bool:
        change = by_person.close_by_hand(self.board, self.now, runner="box-1", suffix=self.hex(4))
        return self.apply(change, by_runner=True)

    def archive(self) -> bool:
        """A batch of what is done, as a sweep moves it."""
        month = f"{self.now:%Y-%m}"
        files: dict[str, bytes | None] = {}
        for task, entry in self.board.entries.items():
            if status_of(self.board, task, self.now).status is Status.DONE and not entry.gone:
                folder = layout.archive_folder(task, month)
                for path, data in self.tree.items():
                    if layout.place(path).task == task and not path.startswith(("claims", "done")):
                        files[path] = None
                        files[layout.archived_path(path, folder)] = data
        return (
            self.apply(Change(subject="archive", files=files), by_runner=True) if files else False
        )

    def wait(self) -> bool:
        self.now += timedelta(seconds=self.random.choice([1, 10, 60, 600, 3600, 90000]))
        return True

    # -- what people do

    def add(self) -> bool:
        if len(self.board.entries) > 25:
            return False
        self.filed += 1
        others = list(self.board.entries) or ["nothing"]
        keys: dict[str, Any] = {"priority": self.random.randrange(5)}
        if self.random.random() < 0.3:
            keys["coders"] = ("other", CoderChoice("shell", "n"))
        elif self.random.random() < 0.2:
            keys["coder"] = "other"
        if self.random.random() < 0.2:
            keys["budget"] = Budget(usd=2.5, tokens=self.random.choice([3000, 10**9]))
        if self.random.random() < 0.3:
            keys["depends_on"] = (self.random.choice(others),)
        if self.random.random() < 0.2:
            keys["role"] = "plan"
        if self.random.random() < 0.2:
            keys["hold"] = True
        if self.random.random() < 0.2:
            keys["locks"] = ("port",)
        if self.random.random() < 0.1:
            keys["not_before"] = self.now + timedelta(hours=9)
        wanted = f"t{self.filed}" if self.random.random() < 0.7 else ""
        addition = add_tasks.Addition(text=text(f"Task {self.filed}", **keys), id=wanted)
        change = by_person.add(
            self.board, addition=addition, suffixes=[self.hex(4)], person=self.person()
        )
        return self.apply(change, by_runner=False)

    def person(self) -> Person:
        return self.random.choice(PEOPLE)

    def say(self) -> bool:
        kind = self.random.choice(
            [Kind.RETRY] * 5 + [Kind.CANCEL, Kind.HOLD, Kind.UNHOLD, Kind.CLOSE, Kind.NOTE]
        )
        try:
            change = by_person.decide(
                self.board,
                self.now,
                task=self.some_task(),
                kind=kind,
                person=self.person(),
                reason="so be it",
                suffix=self.hex(4),
            )
        except FleetError:
            return False
        self.seen[kind] += 1
        return self.apply(change, by_runner=False)

    def unhold(self) -> bool:
        task = self.some_task()
        data = self.tree.get(layout.task_path(task), b"")
        try:
            change = by_person.unhold(
                self.board, self.now, task=task, text=data, person=self.person(), suffix=self.hex(4)
            )
        except FleetError:
            return False
        done = self.apply(change, by_runner=False)
        assert status_of(self.board, task, self.now).status is not Status.HELD
        return done

    def answer(self) -> bool:
        entry = self.board.get(self.some_task())
        asked = [q for q in entry.questions if q.open] if entry else []
        if not asked:
            return False
        path = layout.question_path(asked[0].name)
        data = self.tree[path] + b"\n## Answer\nThis.\n"
        return self.apply(Change(subject="answer", files={path: data}), by_runner=False)

    def edit(self) -> bool:
        """A person's commit: a task edited, broken, mended or removed by hand."""
        path = layout.task_path(self.some_task())
        if path not in self.tree:
            return False
        data: bytes | None = self.random.choice(
            [
                self.tree[path] + b"More.\n",
                text("Rewritten"),
                text("Mended"),
                b"---\ntitel: x\n---\n",
            ]
        )
        if self.random.random() < 0.1:
            data = None
        return self.apply(Change(subject="edit", files={path: data}), by_runner=False)

    def go(self, steps: int) -> None:
        deeds: list[tuple[Callable[[], bool], int]] = [
            (self.claim, 30),
            (self.end, 30),
            (self.add, 8),
            (self.say, 5),
            (self.wait, 15),
            (self.answer, 8),
            (self.follow_up, 4),
            (self.come_across, 2),
            (self.unhold, 3),
            (self.edit, 2),
            (self.archive, 1),
        ]
        names = [deed for deed, _ in deeds]
        weights = [weight for _, weight in deeds]
        for deed in self.random.choices(names, weights, k=steps):
            self.seen[deed.__name__] += deed()


def same(one: Board, other: Board) -> None:
    """Two boards say the same, whatever way they came about."""
    for part in (
        "entries",
        "archived",
        "hidden",
        "damage",
        "prompts",
        "settings",
        "settings_problems",
    ):
        assert getattr(one, part) == getattr(other, part), part


def test_a_walk_of_legal_changes_breaks_no_rule() -> None:
    """Whatever runners and people do by the verbs, the rules hold, each status is defined, and a
    board brought up to date equals one read afresh."""
    Walk(0).go(300)


@pytest.mark.slow
def test_legal_changes_reach_every_outcome_and_status_and_break_no_rule() -> None:
    """The same on six long walks, which reach all outcomes and statuses between them."""
    total: Counter[str] = Counter()
    for seed in range(6):
        walk = Walk(seed)
        walk.go(450)
        total += walk.seen
    missing: list[str] = [s for s in Status if not total[s]]
    missing += [f"work {o}" for o in set(WORKED) if not total[f"work {o}"]]
    missing += [f"validate {o}" for o in set(PROVED) if not total[f"validate {o}"]]
    for pair in ("shell/m", "shell/n", "other/"):
        missing += [] if total[f"work by {pair}"] else [pair]
    for pair in ("judge/", "other/n"):
        missing += [] if total[f"validate by {pair}"] else [pair]
    missing += [d for d in ("follow_up", "come_across", "unhold", "archive") if not total[d]]
    assert not missing


# --- from the other side ------------------------------------------------------------------------


@functools.cache
def _history() -> tuple[tuple[Tree, Board, datetime], ...]:
    """The moments of a long legal history."""
    walk = Walk(seed=42, judged=False)
    moments = []
    for _ in range(1500):
        walk.go(4)
        moments.append((walk.tree, walk.board, walk.now))
    return tuple(moments)


Files = dict[str, bytes | None]


def _pick_event(walk: Walk, *kinds: Kind) -> tuple[str, Event] | None:
    found = [
        (layout.event_path(task, event.name), event)
        for task, entry in walk.board.entries.items()
        for event in entry.events
        if not kinds or event.kind in kinds
    ]
    return walk.random.choice(found) if found else None


def _entries(walk: Walk, *statuses: Status) -> list[str]:
    return [
        task
        for task in walk.board.entries
        if status_of(walk.board, task, walk.now).status in statuses
    ]


def _claim(walk: Walk, task: str, role: Role = Role.WORK) -> bytes:
    return codec.write(
        Claim(
            runner="rogue",
            nonce=walk.hex(32),
            role=role,
            attempt=1,
            task_blob=OID,
            base=OID,
            at=walk.now,
        )
    )


def _attempt(walk: Walk, outcome: Outcome, nonce: str = "") -> Attempt:
    return Attempt(
        runner="rogue",
        nonce=nonce or walk.hex(32),
        attempt=1,
        outcome=outcome,
        reason="rogue",
        started=walk.now,
        ended=walk.now,
    )


def _new(walk: Walk, task: str, kind: Kind, content: object) -> Files:
    entry = walk.board.entries[task]
    event = Event(task, entry.next_number, kind, walk.hex(4), content)  # type: ignore[arg-type]
    return {layout.event_path(task, event.name): codec.write(event.content)}


def claim_what_is_not_claimable(walk: Walk) -> Files | None:
    tasks = _entries(
        walk, Status.DONE, Status.CANCELLED, Status.HELD, Status.FAILED, Status.ASKING,
        Status.FIXING, Status.WAITING, Status.INVALID,
    )  # fmt: skip
    if not tasks:
        return None
    task = walk.random.choice(tasks)
    return {layout.claim_path(task): _claim(walk, task)}


def claim_for_another_role(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.SUBMITTED, Status.ACCEPTED)
    return {layout.claim_path(tasks[0]): _claim(walk, tasks[0], Role.WORK)} if tasks else None


def claim_a_delayed_task_that_waits(walk: Walk) -> Files | None:
    found = [
        task
        for task in _entries(walk, Status.DELAYED)
        if status_of(walk.board, task, walk.now).role is None
    ]
    return {layout.claim_path(found[0]): _claim(walk, found[0])} if found else None


def claim_nothing(walk: Walk) -> Files:
    return {layout.claim_path("no-such-task"): _claim(walk, "no-such-task")}


def claim_what_is_archived(walk: Walk) -> Files | None:
    done = list(walk.board.archived)
    return {layout.claim_path(done[0]): _claim(walk, done[0])} if done else None


def _held(walk: Walk) -> str | None:
    held = [task for task, entry in walk.board.entries.items() if entry.claim]
    return walk.random.choice(held) if held else None


def claim_over_a_claim(walk: Walk) -> Files | None:
    task = _held(walk)
    return {layout.claim_path(task): _claim(walk, task)} if task else None


def edit_a_claim(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    path = layout.claim_path(task)
    return {path: walk.tree[path] + b"x-more: 1\n"}


def break_a_claim(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.READY)
    return {layout.claim_path(tasks[0]): b"runner: 1\n"} if tasks else None


def drop_a_claim(walk: Walk) -> Files | None:
    task = _held(walk)
    return {layout.claim_path(task): None} if task else None


def end_with_a_foreign_nonce(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    claim = walk.board.entries[task].claim
    assert claim is not None
    event = _new(walk, task, Kind(claim.role.value), _attempt(walk, Outcome.SUBMITTED))
    return {layout.claim_path(task): None, **event}


def end_what_another_holds(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    claim = walk.board.entries[task].claim
    assert claim is not None
    return _new(walk, task, Kind(claim.role.value), _attempt(walk, Outcome.SUBMITTED))


def close_work_as_if_it_were_a_plan(walk: Walk) -> Files | None:
    for task, entry in walk.board.entries.items():
        claim = entry.claim
        if claim and claim.role is Role.VALIDATE and not on_landing.is_plan(entry):
            if entry.last(Kind.CLOSE):
                continue
            closed = Closed(runner="rogue", at=walk.now, reason="the plan is accepted")
            judged = _attempt(walk, Outcome.ACCEPTED, claim.nonce)
            events = _new(walk, task, Kind.VALIDATE, judged) | _new(walk, task, Kind.CLOSED, closed)
            return {layout.claim_path(task): None, **events}
    return None


def end_and_keep_the_claim(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    claim = walk.board.entries[task].claim
    assert claim is not None
    return _new(walk, task, Kind(claim.role.value), _attempt(walk, Outcome.FAILED, claim.nonce))


def end_twice(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    claim = walk.board.entries[task].claim
    assert claim is not None
    kind = Kind(claim.role.value)
    files: Files = {layout.claim_path(task): None}
    for _ in range(2):
        files |= _new(walk, task, kind, _attempt(walk, Outcome.FAILED, claim.nonce))
    return files if len(files) == 3 else None


def end_in_another_role(walk: Walk) -> Files | None:
    task = _held(walk)
    if task is None:
        return None
    claim = walk.board.entries[task].claim
    assert claim is not None
    kind = Kind.WORK if claim.role is Role.VALIDATE else Kind.VALIDATE
    event = _new(walk, task, kind, _attempt(walk, Outcome.FAILED, claim.nonce))
    return {layout.claim_path(task): None, **event}


def invent_an_attempt(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.READY)
    return _new(walk, tasks[0], Kind.WORK, _attempt(walk, Outcome.SUBMITTED)) if tasks else None


def edit_an_event(walk: Walk) -> Files | None:
    found = _pick_event(walk)
    return {found[0]: walk.tree[found[0]] + b"x-more: 1\n"} if found else None


def remove_an_event(walk: Walk) -> Files | None:
    found = _pick_event(walk)
    return {found[0]: None} if found else None


def break_an_event(walk: Walk) -> Files | None:
    found = _pick_event(walk)
    return {found[0]: b"<<<<<<< ours\n"} if found else None


def edit_an_archived_event(walk: Walk) -> Files | None:
    found = [path for path in walk.tree if path.startswith("done/") and "/log/" in path]
    return {found[0]: b"x: 1\n"} if found else None


def land_without_acceptance(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.VALIDATING)
    if not tasks:
        return None
    claim = walk.board.entries[tasks[0]].claim
    assert claim is not None
    landed = Landed(runner="rogue", nonce=claim.nonce, at=walk.now, target="main", merge=OID)
    return _new(walk, tasks[0], Kind.LANDED, landed)


def land_without_a_claim(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.SUBMITTED, Status.ACCEPTED, Status.READY)
    if not tasks:
        return None
    landed = Landed(runner="rogue", nonce=walk.hex(32), at=walk.now, target="main", merge=OID)
    return _new(walk, walk.random.choice(tasks), Kind.LANDED, landed)


def remove_a_task(walk: Walk) -> Files | None:
    found = [path for path in walk.tree if path.startswith("tasks/")]
    return {walk.random.choice(found): None} if found else None


def edit_a_task(walk: Walk) -> Files | None:
    found = [path for path in walk.tree if path.startswith("tasks/")]
    return {walk.random.choice(found): text("Mine now")} if found else None


def edit_the_settings(walk: Walk) -> Files:
    return {layout.SETTINGS: FLEET + b"concurrency: 9\n"}


def archive_what_is_not_done(walk: Walk) -> Files | None:
    tasks = [
        t for t in _entries(walk, Status.READY, Status.FAILED) if not walk.board.entries[t].gone
    ]
    if not tasks:
        return None
    files: Files = {}
    folder = layout.archive_folder(tasks[0], "2026-11")
    for path, data in walk.tree.items():
        if layout.place(path).task == tasks[0]:
            files |= {path: None, layout.archived_path(path, folder): data}
    return files


def archive_another_text(walk: Walk) -> Files | None:
    tasks = [t for t in _entries(walk, Status.DONE) if not walk.board.entries[t].gone]
    if not tasks:
        return None
    folder = layout.archive_folder(tasks[0], "2026-11")
    return {layout.task_path(tasks[0]): None, f"{folder}/task.md": text("Another")}


def edit_a_file_of_done(walk: Walk) -> Files | None:
    found = [path for path in walk.tree if path.startswith("done/") and path.endswith("task.md")]
    return {found[0]: text("History, rewritten")} if found else None


def invent_a_finished_task(walk: Walk) -> Files:
    return {"done/2026-11/never-was/task.md": text("Never was")}


def close_without_cause(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.READY, Status.FAILED, Status.FIXING, Status.SUBMITTED)
    if not tasks:
        return None
    by = walk.random.choice([None, *_entries(walk, Status.READY, Status.DONE)])
    closed = Closed(runner="rogue", at=walk.now, reason="enough", by=by)
    return _new(walk, walk.random.choice(tasks), Kind.CLOSED, closed)


def write_a_broken_event(walk: Walk) -> Files | None:
    tasks = _entries(walk, Status.READY, Status.FAILED)
    return {f"log/{tasks[0]}/900-work-abcd.yaml": b"outcome: great\n"} if tasks else None


# rule, what is done, whether it is wrong also in a person's commit
ILLEGAL: Final = [
    (1, claim_what_is_not_claimable, True),
    (1, claim_for_another_role, True),
    (1, claim_a_delayed_task_that_waits, True),
    (1, claim_nothing, True),
    (1, claim_what_is_archived, True),
    (1, claim_over_a_claim, True),
    (2, drop_a_claim, True),
    (2, end_with_a_foreign_nonce, True),
    (2, end_what_another_holds, True),
    (2, end_and_keep_the_claim, True),
    (2, end_twice, True),
    (2, end_in_another_role, True),
    (2, invent_an_attempt, True),
    (3, edit_an_event, True),
    (3, remove_an_event, True),
    (3, break_an_event, True),
    (3, edit_an_archived_event, True),
    (4, land_without_acceptance, True),
    (4, land_without_a_claim, True),
    (5, remove_a_task, False),
    (5, archive_another_text, False),
    (6, edit_a_claim, True),
    (6, archive_another_text, True),
    (6, close_work_as_if_it_were_a_plan, True),
    (6, edit_a_task, False),
    (6, edit_the_settings, False),
    (6, edit_a_file_of_done, True),
    (6, invent_a_finished_task, True),
    (6, archive_what_is_not_done, False),
    (6, close_without_cause, True),
    (7, break_a_claim, True),
    (7, write_a_broken_event, True),
]


@pytest.mark.parametrize(
    ("rule", "edit", "anybody"), ILLEGAL, ids=[edit.__name__ for _, edit, _ in ILLEGAL]
)
def test_an_illegal_edit_is_found(
    rule: int, edit: Callable[[Walk], Files | None], anybody: bool
) -> None:
    """At random places of a long history the edit is found under the number of its rule, and by
    whom the commit says it is matters only for people's files."""
    moments = list(_history())
    random.Random(len(edit.__name__)).shuffle(moments)
    found = 0
    for number, (tree, board, now) in enumerate(moments):
        walk = Walk(seed=number, judged=False)
        walk.tree, walk.board, walk.now = tree, board, now
        files = edit(walk)
        if not files:
            continue
        found += 1
        breaches = invariants.check_step(walk.step(files, by_runner=True)[0])
        assert rule in {violation.rule for violation in breaches}, (files, breaches)
        assert all(violation.what and violation.path for violation in breaches)
        if anybody:
            by_person = invariants.check_step(walk.step(files, by_runner=False)[0])
            assert rule in {violation.rule for violation in by_person}
        if found >= 10:
            break
    assert found, "the history never came to where this edit can be made"


def test_people_may_do_what_runners_may_not() -> None:
    """A person removes and edits tasks and settings, writes events of people, takes away what
    never validated; none of it breaks a rule."""
    walk = Walk(seed=7)
    walk.go(300)
    task = _entries(walk, Status.READY, Status.WAITING, Status.FAILED, Status.DONE)[0]
    said = Decision(at=walk.now, by="Ann", reason="by hand")
    edits: list[Files] = [
        {layout.task_path(task): None},
        {layout.task_path(task): b"broken"},
        {layout.SETTINGS: FLEET + b"concurrency: 5\n"},
        _new(walk, task, Kind.CANCEL, said),
        {"tasks/By Hand.md": b"broken", "somewhere/else.txt": b"?"},
    ]
    for files in edits:
        assert invariants.check_step(walk.step(files, by_runner=False)[0]) == []
    rubbish = f"log/{task}/notes.yaml"
    step, tree = walk.step({rubbish: b"hello"}, by_runner=False)
    assert [b.rule for b in invariants.check_step(step)] == [7]
    walk.tree, walk.board = tree, step.child
    assert invariants.check_step(walk.step({rubbish: None}, by_runner=False)[0]) == []


def test_a_repair_is_no_breach() -> None:
    """What a repair puts back as it was is not judged again; anything else beside it is."""
    walk = Walk(seed=11)
    walk.go(200)
    path, event = _pick_event(walk, *ATTEMPT_KINDS) or ("", None)
    assert event is not None
    kept = walk.tree[path]
    broken, tree = walk.step({path: None}, by_runner=False)
    assert invariants.check_step(broken)
    walk.tree, walk.board = tree, broken.child
    back, _ = walk.step({path: kept}, by_runner=True)
    assert invariants.check_step(back)
    restores = {path: oid(kept)}
    repair = invariants.CommitStep(
        parent=back.parent, child=back.child, changed=back.changed, by_runner=True,
        restores=restores, at=walk.now,
    )  # fmt: skip
    assert invariants.check_step(repair) == []


@pytest.mark.slow
def test_landings_are_handed_to_who_can_look_at_the_target() -> None:
    """`merges_to_see` names each landing of a step once, for the part that needs git."""
    walk = Walk(seed=3)
    seen = 0
    original = walk.apply

    def apply(change: Change | None, *, by_runner: bool) -> bool:
        nonlocal seen
        if change is not None:
            step, _ = walk.step(change.files, by_runner=by_runner)
            landings = invariants.merges_to_see(step)
            assert bool(landings) == ("landed on" in change.subject)
            seen += len(landings)
        return original(change, by_runner=by_runner)

    walk.apply = apply  # type: ignore[method-assign]
    walk.go(300)
    assert seen
