"""A clone with its view of the remote, step by step as the store and the shared board do it.

The order of what is remembered, sent, looked at and believed is theirs; only git is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from gitfleet.board.backend import TxnResult, TxnStatus
from gitfleet.board.merge_human_edits import HumanEdits, merge
from gitfleet.errors import FleetError
from gitfleet.git.objects import Changed, TreeEntry
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.states import Role
from tests.simulation.server import BEATS, FLEET, TARGET, Act, Commit, Library, Move, Server
from tests.simulation.world import Lost, Machine, Signal, Steps, Wait, converse

Decide = Callable[[Board, datetime], Change | None]
TRIES = 60
TASKS = "task/"


class Unreachable(FleetError):
    """The remote does not answer."""


class Held:
    """A nonce that was remembered before it was sent."""

    def __init__(self, task: str, role: Role, attempt: int, ghost: int) -> None:
        self.task, self.role, self.attempt, self.ghost = task, role, attempt, ghost


class Disk:
    """What a clone keeps, whatever happens to the processes."""

    def __init__(self) -> None:
        self.track: dict[str, str] = {}  # refs as of the last look
        self.local: dict[str, str] = {}  # branches of this clone
        self.codes: set[str] = set()  # commits of the project that are here
        self.held: dict[str, Held] = {}


class Request:
    """One asker's decision, and what became of it."""

    def __init__(self, decide: Decide, acts: tuple[Act, ...]) -> None:
        self.decide, self.acts = decide, acts
        self.change: Change | None = None
        self.answer: TxnStatus | None = None
        self.board: Board | None = None
        self.why = ""
        self.error: Exception | None = None

    @property
    def settled(self) -> bool:
        return self.answer is not None or self.error is not None

    @property
    def won(self) -> bool:
        return self.answer is TxnStatus.WON


class _Objects:
    """The objects that a merge of people's edits asks for; a tree goes by its commit."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def _tree(self, commit: str | None) -> Mapping[str, str]:
        return self.library.boards[commit].tree if commit else {}

    def diff(self, before: str | None, after: str, *, deepest: int | None = None) -> list[Changed]:
        assert deepest is None or deepest > 0  # nothing here lies deep
        old, new = self._tree(before), self._tree(after)
        paths = sorted(p for p in old.keys() | new.keys() if old.get(p) != new.get(p))
        return [Changed(p, _entry(old.get(p)), _entry(new.get(p))) for p in paths]

    def read_tree(self, tree: str) -> list[TreeEntry]:
        """A folder's entries; its id is the commit's, a colon, and the path with a slash."""
        commit, _, folder = tree.partition(":")
        found: dict[str, TreeEntry] = {}
        for path, oid in self._tree(commit).items():
            if path.startswith(folder):
                name, _, below = path[len(folder) :].partition("/")
                inner = TreeEntry(name, f"{commit}:{folder}{name}/", "tree")
                found[name] = inner if below else TreeEntry(name, oid, "blob")
        return list(found.values())

    def blob_size(self, oid: str) -> int:
        return len(self.library.blobs[oid])


def _entry(oid: str | None) -> TreeEntry | None:
    return TreeEntry("", oid, "blob") if oid else None


class Clone:
    """Shared and Store in one. A new one begins when its process does; the disk goes on."""

    def __init__(self, machine: Machine, server: Server, disk: Disk, *, runner: str = "") -> None:
        self.machine, self.server, self.disk, self.runner = machine, server, disk, runner
        self.world, self.library = machine.world, server.library
        self.mutants = self.world.plan.mutants
        self.targets: set[str] = set()
        self.known_at: dict[str, float] = {}  # when what we know of a ref was asked for
        self._fetched = False
        self._behind: list[str] = []  # to be looked at, too, before the next decision
        self._busy = False
        self._free = Signal(self.world)
        self._turning = False
        self._turned = Signal(self.world)
        self._queue: list[Request] = []
        self._merged: tuple[str, str, Commit] | None = None

    # -- looking

    def look(self, extra: Iterable[str] = ()) -> Steps[None]:
        """Fetch the board, the targets and every runner's heartbeat. Raises Unreachable."""
        began = self.world.now
        try:
            there = yield from converse(self.machine, lambda: dict(self.server.refs))
        except Lost:
            raise Unreachable("the remote does not answer") from None
        for ref in (FLEET, *self.targets, *extra):
            if ref in there and self._newer(ref, began):
                self._track(ref, there[ref])
        for ref, oid in there.items():
            if ref.startswith(BEATS) and self._newer(ref, began):
                self.disk.track[ref] = oid
        self._fetched = True

    def _newer(self, ref: str, began: float) -> bool:
        """Whether a look begun then may know more of a ref than we do: no other look was begun
        since, and no push of ours was won."""
        if "late-look-believed" not in self.mutants and began < self.known_at.get(ref, 0.0):
            return False
        self.known_at[ref] = began
        return True

    def _track(self, ref: str, oid: str) -> None:
        self.disk.track[ref] = oid
        if ref != FLEET:
            self.disk.codes |= self.library.codes[oid].line

    def ensure(self, oid: str, ref: str) -> Steps[bool]:
        if oid not in self.disk.codes:
            yield from self.look((ref,))
        return oid in self.disk.codes

    def tip_of(self, branch: str) -> Steps[str | None]:
        if branch not in self.targets:
            self.targets.add(branch)
            if self._fetched:
                yield from self.look()
        return self.disk.track.get(branch)

    def tip(self) -> str | None:
        return self.disk.track.get(FLEET)

    def board(self) -> Board:
        if self.tip() is None:
            raise Unreachable("the board was never seen")
        return self._base().board

    def base(self) -> Steps[Commit]:
        if not self._fetched:
            behind, self._behind = self._behind, []
            yield from self.look(behind)
        return self._base()

    def _base(self) -> Commit:
        theirs, ours = self.disk.track[FLEET], self.disk.local.get(FLEET)
        if ours is None or self.library.ancestor(ours, theirs):
            return self.library.boards[theirs]
        if self.library.ancestor(theirs, ours):
            return self.library.boards[ours]
        return self._with_people(theirs, ours)

    def _with_people(self, theirs: str, ours: str) -> Commit:
        if self._merged is not None and self._merged[:2] == (theirs, ours):
            return self._merged[2]
        before = self.library.merge_base(theirs, ours).id
        edits = HumanEdits(before=before, after=ours, by="Ann", at=self.machine.clock())
        merged = merge(_Objects(self.library), theirs, edits)  # type: ignore[arg-type]
        parents = (self.library.boards[theirs], self.library.boards[ours])
        files = {
            path: file.oid if isinstance(file, TreeEntry) else file
            for path, file in merged.files.items()
        }
        made = self.library.commit(
            parents, files, at=self.machine.clock(), by_runner=False, subject="Merge people's"
        )
        self._merged = (theirs, ours, made)
        return made

    # -- the swap

    def _land(self, base: Commit, new: Commit, change: Change) -> Steps[TxnResult | None]:
        theirs = self.tip()
        assert theirs is not None
        if not self.library.ancestor(theirs, base.id) and "tip-read-again" not in self.mutants:
            return None  # a look of the heart's came in between: this was decided on less
        moves = [Move(FLEET, theirs, new.id)]
        moves += [Move(m.ref, m.old, m.new or "") for m in change.moves]
        moves += [Move(m.ref, self.disk.track.get(m.ref), m.new or "") for m in change.publish]
        moves = [move for move in moves if move.old != move.new]
        try:
            fate = yield from converse(self.machine, lambda: self.server.push(moves))
        except Lost:
            return (yield from self._unknown(moves, new, change))
        if fate == "done":
            return self._won(moves, new)
        if fate == "stale":
            forgets = "branch-not-fetched" in self.mutants
            self._fetched = False  # looked at after the pause
            self._behind = [] if forgets else [move.ref for move in change.publish]
            return None
        return TxnResult(TxnStatus.LOST, "the remote rejected the push to the target")

    def _unknown(self, moves: list[Move], new: Commit, change: Change) -> Steps[TxnResult | None]:
        if "unknown-is-lost" in self.mutants:
            return TxnResult(TxnStatus.LOST)
        yield from self.look([move.ref for move in change.publish])
        tip = self.tip()
        assert tip is not None
        if self.library.ancestor(new.id, tip):
            return self._won(moves, new)
        if tip != moves[0].old:
            return None
        return TxnResult(TxnStatus.UNKNOWN, "the answer was lost")

    def _won(self, moves: list[Move], new: Commit) -> TxnResult:
        for move in moves:
            old = self.disk.track.get(move.ref)
            if move.ref == FLEET and old is not None and self.library.ancestor(new.id, old):
                continue  # we saw it there, and what came after it
            if move.ref == TARGET and old and move.new in self.library.codes[old].line:
                continue
            self._track(move.ref, move.new)
            self.known_at[move.ref] = self.world.now
        self.follow()
        return TxnResult(TxnStatus.WON)

    def follow(self) -> None:
        """Fast-forward the local board; commits of people's that are not there yet stay."""
        theirs, ours = self.disk.track.get(FLEET), self.disk.local.get(FLEET)
        if theirs is not None and (ours is None or self.library.ancestor(ours, theirs)):
            self.disk.local[FLEET] = theirs

    # -- transactions

    def transact(self, decide: Decide, *acts: Act) -> Steps[Request]:
        """As Store.transact; what several processes ask for at once shares a commit."""
        asked = Request(decide, acts)
        self._queue.append(asked)
        while self._busy:
            self._free.clear()
            yield Wait(self._free)
        self._busy = True
        if not asked.settled:
            batch, self._queue = self._queue, []
            yield from self._serve(batch)
        self._busy = False
        self._free.give()
        if asked.error is not None:
            raise asked.error
        return asked

    def _serve(self, batch: list[Request]) -> Steps[None]:
        losses = 0
        while left := [request for request in batch if not request.settled]:
            try:
                moved = yield from self._round(left)
            except FleetError as error:
                for request in left:
                    request.error = request.error or error
                return
            losses = 0 if moved else losses + 1
            if losses > TRIES:
                for request in left:
                    request.error = FleetError("the board moved too often")
                return
            if losses:
                yield self.world.dice.random() * min(8.0, 0.05 * 1.6 ** min(losses, 20))

    def turn(self) -> Steps[None]:
        """Wait until no push of this clone is under way."""
        while self._turning:
            self._turned.clear()
            yield Wait(self._turned)

    def _round(self, left: list[Request]) -> Steps[bool]:
        self._turning = True
        moved: bool | FleetError
        try:
            moved = yield from self._in_turn(left)
        except FleetError as error:  # no `finally`: who died gives nothing back
            moved = error
        self._turning = False
        self._turned.give()
        if isinstance(moved, FleetError):
            raise moved
        return moved

    def _in_turn(self, left: list[Request]) -> Steps[bool]:
        base = yield from self.base()
        group = self._decided(base.board, left)
        if not group:
            return True
        changes = [request.change for request in group if request.change is not None]
        together = _together(changes)
        commit = self.library.commit(
            (base,),
            together.files,
            at=self.machine.clock(),
            by_runner=together.author is None,
            subject=f"[{self.runner or self.machine.name}] {together.subject}",
            acts=tuple(act for request in group for act in request.acts),
        )
        yield 0.01  # blobs, trees and the commit are written
        outcome = yield from self._land(base, commit, together)
        if outcome is None:
            return False
        for request in group:
            request.answer, request.why = outcome.status, outcome.why
            request.board = commit.board if outcome.status is TxnStatus.WON else base.board
        return True

    def _decided(self, board: Board, left: list[Request]) -> list[Request]:
        now = self.machine.clock()
        group: list[Request] = []
        taken: set[str] = set()
        for request in left:
            try:
                change = request.decide(board, now)
            except FleetError as error:
                request.error = error
                continue
            request.change = change
            if change is None:
                request.answer, request.board = TxnStatus.LOST, board
                continue
            mine = {*change.files, *change.tasks, *(f" {lock}" for lock in change.locks)}
            alone = change.alone or (group and group[0].change is not None and
                                     group[0].change.alone)  # fmt: skip
            if group and (alone or mine & taken):
                continue
            group.append(request)
            taken |= mine
        return group


def _together(changes: Sequence[Change]) -> Change:
    if len(changes) == 1:
        return changes[0]
    files: dict[str, bytes | None] = {}
    for change in changes:
        files.update(change.files)
    return replace(
        changes[0],
        subject="; ".join(change.subject for change in changes),
        files=files,
        publish=tuple(move for change in changes for move in change.publish),
    )


def task_ref(task: str) -> str:
    """The server's ref for a task's branch."""
    return f"{TASKS}{task}"
