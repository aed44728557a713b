"""The server: refs that move by compare-and-swap, all that was ever pushed, and who judges it.

It is the only place where things become true, so that is where each is judged: by the rules of the
board, and by what only this world knows: which attempt really made a claim, and who was heard when.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gitfleet.audit.mainline import MainlineCommit
from gitfleet.audit.repair import step_of
from gitfleet.board.heartbeats import BEATS, FILE
from gitfleet.board.store import Store
from gitfleet.files import layout
from gitfleet.git.commits import Commit
from gitfleet.git.refs import RefMove
from gitfleet.git.remote import PushFate, PushResult, Unreachable
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome
from gitfleet.plan import invariants
from gitfleet.plan.invariants import CommitStep
from tests.simulation.memory_git import MemoryRepo
from tests.simulation.world import Breach, Lost, World, converse

HEARTBEAT, LEASE = 10.0, 100.0
HEADS = "refs/heads/"
FLEET, TARGET = f"{HEADS}fleet", f"{HEADS}main"
SETTINGS = b"""format: 2
target: main
checks: [test]
heartbeat: 10s
lease: 100s
backoff: {initial: 5s, factor: 2, max: 20s}
roles: {work: {coder: shell}}
"""
JUDGED = SETTINGS.replace(b"shell}}", b"shell}, validate: {coder: judge}}")


class Act(NamedTuple):
    """What a commit does to a claim, and which attempt of this world really does it."""

    verb: str  # claim, end
    task: str
    ghost: int | None


class Server:
    """Where refs are."""

    store: Store  # reads boards on the server

    def __init__(self, world: World, repo: MemoryRepo) -> None:
        self.world, self.repo, self.library = world, repo, repo.library
        self.refs: dict[str, str] = {}
        self.protected = False
        self.acts: dict[str, tuple[Act, ...]] = {}  # commit -> what it does to claims
        self.owners: dict[str, dict[str, int]] = {}  # commit -> task -> ghost of its claim
        self.heard: dict[int, float] = {}  # ghost -> when the server last heard of its claim
        self.lapsed: set[int] = set()  # unheard of for a lease at some time
        self.ended: dict[int, Outcome] = {}  # ghost -> how its claim ended on the board
        self.owner_of: dict[int, Any] = {}  # ghost -> its runner, see runner.py
        self.nonces: dict[tuple[str, str], int] = {}  # runner, nonce -> ghost at the tip
        self.filed: set[str] = set()  # keys of what agents filed, once they were on the board
        self.asked: set[str] = set()  # texts of questions, once they were on the board
        self.takeovers = 0
        self.commits = 0

    def board(self) -> Board:
        return self.store.board_at(self.refs[FLEET])

    def has(self, commit: str, ref: str) -> bool:
        """Whether a ref's history has the commit."""
        return commit in self.library.lines[self.refs[ref]]

    # -- as gitfleet.git.remote

    def push(
        self, repo: Repo, remote: str, moves: Sequence[RefMove], *, timeout: float | None = None
    ) -> PushResult:
        assert isinstance(repo, MemoryRepo) and remote and timeout is None
        beats = any(move.ref.startswith(BEATS) for move in moves)
        try:
            return converse(self.world, lambda: self.move(moves), pushes=beats)
        except Lost:
            return PushResult(PushFate.UNKNOWN, reason="the answer was lost")

    def fetch(
        self, repo: Repo, remote: str, refspecs: Sequence[str], *, timeout: float | None = None
    ) -> list[str]:
        assert isinstance(repo, MemoryRepo) and timeout is None
        try:
            there = converse(self.world, lambda: dict(self.refs))
        except Lost:
            raise Unreachable(f"{remote} does not answer") from None
        missing = list[str]()
        for spec in refspecs:
            source, _, goal = spec.lstrip("+").partition(":")
            if source.endswith("*"):
                self._fetch_all(repo, there, source[:-1], goal[:-1])
            elif source in there:
                repo.refs[goal] = there[source]
                repo.take([there[source]])
            else:
                missing.append(source)
        return missing

    def _fetch_all(self, repo: MemoryRepo, there: dict[str, str], source: str, goal: str) -> None:
        for ref in [ref for ref in repo.refs if ref.startswith(goal)]:
            if f"{source}{ref.removeprefix(goal)}" not in there:
                del repo.refs[ref]
        for ref, oid in there.items():
            if ref.startswith(source):
                repo.refs[f"{goal}{ref.removeprefix(source)}"] = oid
                repo.take([oid])

    def move(self, moves: Sequence[RefMove]) -> PushResult:
        """Move refs, all or none."""
        if any(self.refs.get(move.ref) != move.old for move in moves):
            return PushResult(PushFate.STALE)
        if self.protected and any(move.ref == TARGET for move in moves):
            return PushResult(PushFate.REFUSED, TARGET, "protected branch")
        for move in moves:
            if move.new is None:
                del self.refs[move.ref]
            else:
                self.refs[move.ref] = move.new
        for move in moves:
            if move.ref == FLEET:
                assert move.old is not None and move.new is not None
                self._board_moved(move.old, move.new)
            elif move.ref.startswith(BEATS) and move.new is not None:
                self._beat(move.ref.removeprefix(BEATS), move.new)
        return PushResult(PushFate.DONE)

    def _beat(self, runner: str, oid: str) -> None:
        told = json.loads(self.library.blobs[self.library.files(oid)[FILE]])
        for attempt in told["attempts"]:
            ghost = self.nonces.get((runner, attempt["nonce"]))
            if ghost is not None:
                if self._silent(ghost) >= LEASE:
                    self.lapsed.add(ghost)
                self.heard[ghost] = self.world.now

    # -- judging

    def _board_moved(self, old: str, new: str) -> None:
        line: list[Commit] = []
        at = self.library.commits[new]
        while at.oid != old:
            line.append(at)
            if not at.parents:
                raise Breach(f"{subject(line[0])}: pushed over what it was not decided on")
            at = self.library.commits[at.parents[0]]
        for commit in reversed(line):
            self.commits += 1
            self.world.say("server", f"{commit.oid[:8]} {subject(commit)}")
            self.judge(commit)

    def judge(self, commit: Commit) -> None:
        """Whether this step is right. Raises Breach."""
        parent = commit.parents[0]
        step = step_of(self.store, MainlineCommit(commit, parent))
        violations = invariants.check_step(step)
        if violations:
            raise Breach(f"{subject(commit)}: rule {violations[0].rule}: {violations[0].what}")
        for path in step.changed:
            entry = step.child.get(layout.place(path).task)
            if entry is not None and entry.task is not None and entry.task.outbox:
                self.filed.add(entry.task.outbox)
            if entry is not None:
                self.asked.update(question.text.strip() for question in entry.questions)
        owners = self.owners[commit.oid] = dict(self.owners.get(parent, {}))
        for act in self.acts.get(commit.oid, ()):
            if act.verb == "claim":
                self._claimed(step, owners, act)
            else:
                self._ended(step, owners, act)
        for _, landed in invariants.merges_to_see(step):
            self._landed(landed.merge, landed.head or "")
        for _, attempt in _new_attempts(step):
            self._reachable(attempt)

    def _claimed(self, step: CommitStep, owners: dict[str, int], act: Act) -> None:
        claim = step.child.entries[act.task].claim
        assert claim is not None and act.ghost is not None
        owners[act.task] = act.ghost
        self.heard[act.ghost] = self.world.now
        self.nonces[claim.runner, claim.nonce] = act.ghost
        if claim.nonce not in self.owner_of[act.ghost].clone.pending:
            raise Breach(f"{act.task} (#{act.ghost}) is claimed, and its clone has forgotten that")

    def _ended(self, step: CommitStep, owners: dict[str, int], act: Act) -> None:
        owner = owners.pop(act.task, None)
        assert owner is not None, f"the claim of {act.task} ended, and there was none"
        attempt = next(attempt for task, attempt in _new_attempts(step) if task == act.task)
        self.ended[owner] = attempt.outcome
        if attempt.outcome is Outcome.LOST:
            self._taken_over(act.task, owner)
        elif owner != act.ghost:
            raise Breach(
                f"{act.task}: the result of attempt #{act.ghost} ended the claim of #{owner}"
            )

    def _taken_over(self, task: str, ghost: int) -> None:
        self.takeovers += 1
        silent = self._silent(ghost)
        if silent < LEASE and ghost not in self.lapsed:
            raise Breach(
                f"{task} (#{ghost}) was taken over after {silent:.1f}s in which its owner could"
                " have been heard, which is less than a lease"
            )
        owner = self.owner_of.get(ghost)
        if owner is not None:
            why = owner.holds_on(ghost)
            if why:
                raise Breach(f"{task} (#{ghost}) was taken over: {why}")

    def _silent(self, ghost: int) -> float:
        """For how long nothing was heard of a claim although it could have been."""
        now = self.world.now
        return now - self.heard[ghost] - self._out(self.heard[ghost], now) + 1e-6

    def _out(self, start: float, end: float) -> float:
        """Seconds of long outages between two moments."""
        return sum(
            max(0.0, min(end, b) - max(start, a))
            for a, b in self.world.outages
            if b - a > 2 * HEARTBEAT
        )

    def _landed(self, merge: str, head: str) -> None:
        if not self.has(merge, TARGET):
            raise Breach(f"landed with {merge[:8]}, which is not in the target")
        if not self.has(head, TARGET):
            raise Breach(f"landed {head[:8]}, which is not in the target")

    def _reachable(self, attempt: Attempt) -> None:
        """A head that an event names can be had from the server."""
        if attempt.head is None or attempt.outcome is Outcome.LOST:
            return
        codes = (ref for ref in self.refs if ref.startswith(HEADS) and ref != FLEET)
        if not any(self.has(attempt.head, ref) for ref in codes):
            raise Breach(f"an event ({attempt.outcome}) names {attempt.head[:8]}, which is nowhere")


def subject(commit: Commit) -> str:
    return f"[{commit.author.name}] {commit.message.partition(chr(10))[0]}"


def _new_attempts(step: CommitStep) -> Iterator[tuple[str, Attempt]]:
    for path, (before, after) in step.changed.items():
        there = layout.place(path)
        if there.what is layout.FileKind.EVENT and before is None and after is not None:
            entry = step.child.get(there.task)
            for event in entry.events if entry else ():
                if event.name == there.name and event.attempt is not None:
                    yield there.task, event.attempt
