"""The server: refs that move by compare-and-swap, all that was ever pushed, and who judges it.

It is the only place where things become true, so that is where each is judged: by the rules of the
board, and by what only this world knows: which attempt really made a claim, and who was heard when.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from gitfleet.files import boards, layout
from gitfleet.files.boards import File
from gitfleet.model.board import Board
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome
from gitfleet.plan import invariants
from tests.simulation.world import Breach, World

HEARTBEAT, LEASE = 10.0, 100.0
FLEET, TARGET, BEATS = "fleet", "main", "beats/"
SETTINGS = b"""format: 2
target: main
heartbeat: 10s
lease: 100s
backoff: {initial: 5s, factor: 2, max: 20s}
roles: {work: {coder: shell}}
"""
JUDGED = SETTINGS.replace(b"shell}}", b"shell}, validate: {coder: judge}}")


def oid_of(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Act(NamedTuple):
    """What a commit does to a claim, and which attempt of this world really does it."""

    verb: str  # claim, settle, lost
    task: str
    ghost: int


class Commit:
    """A commit of the board."""

    __slots__ = ("acts", "at", "board", "by_runner", "changed", "depth", "id", "owners", "parents",
                 "subject", "tree")  # fmt: skip

    def __init__(self, **facts: Any) -> None:
        self.id: str = facts["id"]
        self.parents: tuple[Commit, ...] = facts["parents"]
        self.tree: dict[str, str] = facts["tree"]
        self.changed: dict[str, tuple[str | None, str | None]] = facts["changed"]
        self.by_runner: bool = facts["by_runner"]
        self.at: datetime = facts["at"]
        self.acts: tuple[Act, ...] = facts["acts"]
        self.subject: str = facts["subject"]
        self.board: Board = facts["board"]
        self.depth = 1 + max((p.depth for p in self.parents), default=0)
        self.owners: dict[str, int] = dict(self.parents[0].owners) if self.parents else {}


class Code(NamedTuple):
    """A commit of the project: a file holds the name of who wrote it last."""

    id: str
    parents: tuple[str, ...]
    files: Mapping[str, str]
    line: frozenset[str]  # itself and all before it
    nonce: str
    task: str


class Library:
    """Every object that anybody ever made; who may see one is a matter of refs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blobs: dict[str, bytes] = {}
        self.boards: dict[str, Commit] = {}
        self.codes: dict[str, Code] = {}
        self.beats: dict[str, tuple[str, frozenset[str], float]] = {}

    def blob(self, data: bytes) -> str:
        oid = oid_of(data)
        self.blobs[oid] = data
        return oid

    def commit(
        self,
        parents: tuple[Commit, ...],
        files: Mapping[str, bytes | str | None],
        *,
        at: datetime,
        by_runner: bool,
        subject: str,
        acts: tuple[Act, ...] = (),
    ) -> Commit:
        """A commit on its first parent; a file is bytes, an object id, or None: deleted."""
        before = parents[0].tree if parents else {}
        tree = dict(before)
        changed: dict[str, tuple[str | None, str | None]] = {}
        for path, content in files.items():
            oid = self.blob(content) if isinstance(content, bytes) else content
            if before.get(path) == oid:
                continue
            changed[path] = (before.get(path), oid)
            if oid is None:
                tree.pop(path, None)
            else:
                tree[path] = oid
        made = self.world.hex(40)
        read = {
            path: None if after is None else File(after, self.blobs[after])
            for path, (_, after) in changed.items()
        }
        board = boards.update(parents[0].board if parents else boards.EMPTY, read, made)
        # A set decides the order of what came in one commit: not the same in every process.
        board = replace(board, entries=dict(sorted(board.entries.items())))
        commit = Commit(
            id=made, parents=parents, tree=tree, changed=changed, by_runner=by_runner, at=at,
            acts=acts, subject=subject, board=board,
        )  # fmt: skip
        self.boards[made] = commit
        return commit

    def ancestor(self, old: str, new: str) -> bool:
        """Whether the board `old` is `new` or before it."""
        goal = self.boards[old]
        todo, seen = [self.boards[new]], set()
        while todo:
            at = todo.pop()
            if at is goal:
                return True
            if at.depth > goal.depth and at.id not in seen:
                seen.add(at.id)
                todo.extend(at.parents)
        return False

    def merge_base(self, one: str, two: str) -> Commit:
        at: Commit = self.boards[two]
        while not self.ancestor(at.id, one):
            at = at.parents[0]
        return at

    def code(
        self, parents: tuple[str, ...], files: Mapping[str, str], *, nonce: str = "", task: str = ""
    ) -> Code:
        made = self.world.hex(40)
        line = frozenset([made]).union(*(self.codes[p].line for p in parents))
        self.codes[made] = Code(made, parents, dict(files), line, nonce, task)
        return self.codes[made]


class Move(NamedTuple):
    """A ref of a push, with the value it must have."""

    ref: str
    old: str | None
    new: str


class Server:
    """Where refs are."""

    def __init__(self, world: World, library: Library) -> None:
        self.world, self.library = world, library
        self.refs: dict[str, str] = {}
        self.protected = False
        self.heard: dict[int, float] = {}  # ghost -> when the server last heard of its claim
        self.lapsed: set[int] = set()  # unheard of for a lease at some time
        self.ended: dict[int, Outcome] = {}  # ghost -> how its claim ended on the board
        self.landings: list[tuple[str, str]] = []  # task, head
        self.owner_of: dict[int, Any] = {}  # ghost -> the attempt in its runner, see runner.py
        self.nonces: dict[tuple[str, str], int] = {}  # runner, nonce -> ghost at the tip
        self.filed: set[str] = set()  # keys of what agents filed, once they were on the board
        self.takeovers = 0
        self.commits = 0

    def push(self, moves: list[Move]) -> str:
        """All or none: done, stale or refused."""
        if any(self.refs.get(move.ref) != move.old for move in moves):
            return "stale"
        if self.protected and any(move.ref == TARGET for move in moves):
            return "refused"
        for move in moves:
            self.refs[move.ref] = move.new
        for move in moves:
            if move.ref == FLEET:
                self._board_moved(move)
            elif move.ref.startswith(BEATS):
                self._beat(move.new)
        return "done"

    def board(self) -> Board:
        return self.library.boards[self.refs[FLEET]].board

    def _beat(self, oid: str) -> None:
        runner, nonces, _ = self.library.beats[oid]
        for nonce in nonces:
            ghost = self.nonces.get((runner, nonce))
            if ghost is not None:
                if self._silent(ghost) >= LEASE:
                    self.lapsed.add(ghost)
                self.heard[ghost] = self.world.now

    # -- judging

    def _board_moved(self, move: Move) -> None:
        line: list[Commit] = []
        at = self.library.boards[move.new]
        while at.id != move.old:
            line.append(at)
            if not at.parents:
                raise Breach(f"{line[0].subject}: pushed over what it was not decided on")
            at = at.parents[0]
        for commit in reversed(line):
            self.commits += 1
            self.world.say("server", f"{commit.id[:8]} {commit.subject}")
            self.judge(commit)

    def judge(self, commit: Commit) -> None:
        """Whether this step is right. Raises Breach."""
        if not commit.parents:
            return
        parent = commit.parents[0]
        step = invariants.CommitStep(
            parent=parent.board, child=commit.board, changed=commit.changed,
            by_runner=commit.by_runner, at=commit.at,
        )  # fmt: skip
        breaches = invariants.check_step(step)
        if breaches:
            raise Breach(f"{commit.subject}: rule {breaches[0].rule}: {breaches[0].what}")
        for path in commit.changed:
            entry = commit.board.get(layout.place(path).task)
            if entry is not None and entry.task is not None and entry.task.outbox:
                self.filed.add(entry.task.outbox)
        for act in commit.acts:
            self._claim_matters(commit, act)
        for _, landed in invariants.merges_to_see(step):
            self._landed(landed.merge, landed.head or "")
        for attempt in _new_attempts(commit):
            self._reachable(attempt)

    def _claim_matters(self, commit: Commit, act: Act) -> None:
        entry = commit.parents[0].board.get(act.task)
        owner = commit.parents[0].owners.get(act.task)
        if act.verb == "claim":
            claim = commit.board.entries[act.task].claim
            assert claim is not None
            commit.owners[act.task] = act.ghost
            self.heard[act.ghost] = self.world.now
            self.nonces[claim.runner, claim.nonce] = act.ghost
            return
        assert entry is not None and owner is not None
        commit.owners.pop(act.task, None)
        attempt = next(a for a in _new_attempts(commit) if _of(commit, a, act.task))
        self.ended[owner] = attempt.outcome
        if act.verb == "lost":
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
        code = self.library.codes
        tip = code[self.refs[TARGET]]
        if merge not in tip.line:
            raise Breach(f"landed with {merge[:8]}, which is not in the target")
        if head not in tip.line:
            raise Breach(f"landed {head[:8]}, which is not in the target")

    def _reachable(self, attempt: Attempt) -> None:
        """A head that an event names can be had from the server."""
        if attempt.head is None or attempt.outcome is Outcome.LOST:
            return
        lines = (self.library.codes[tip].line for ref, tip in self.refs.items() if _code(ref))
        if not any(attempt.head in line for line in lines):
            raise Breach(f"an event ({attempt.outcome}) names {attempt.head[:8]}, which is nowhere")


def _code(ref: str) -> bool:
    return ref != FLEET and not ref.startswith(BEATS)


def _new_attempts(commit: Commit) -> Iterator[Attempt]:
    for path, (before, after) in commit.changed.items():
        there = layout.place(path)
        if there.what is layout.FileKind.EVENT and before is None and after is not None:
            entry = commit.board.get(there.task)
            for event in entry.events if entry else ():
                if event.name == there.name and event.attempt is not None:
                    yield event.attempt


def _of(commit: Commit, attempt: Attempt, task: str) -> bool:
    entry = commit.board.get(task)
    return entry is not None and any(event.attempt is attempt for event in entry.events)
