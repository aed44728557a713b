"""People: they add, cancel, hold, retry, edit, merge by hand, and commit in clones that lag."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.event import Decision
from gitfleet.model.states import Kind
from gitfleet.model.task import Task
from gitfleet.plan.task_history import submission_of
from gitfleet.plan.transitions import by_person
from gitfleet.plan.transitions.add_tasks import Addition
from tests.simulation.clone import Clone, Disk
from tests.simulation.server import FLEET, TARGET, Move, Server
from tests.simulation.world import Lost, Machine, Steps, converse

ANN = Person("Ann", "ann@example.org")
VERBS = (Kind.CANCEL, Kind.HOLD, Kind.CLOSE, Kind.RETRY, Kind.RETRY, Kind.NOTE)


class Folk:
    """One person with a clone."""

    def __init__(self, machine: Machine, server: Server, disks: list[Disk]) -> None:
        self.machine, self.server, self.disks = machine, server, disks
        self.world, self.library, self.dice = machine.world, server.library, machine.world.dice
        self.clone = Clone(machine, server, Disk())
        self.number = 0

    def live(self) -> Steps[None]:
        """Do something now and then, until things are to calm down."""
        while not self.world.calm:
            yield self.dice.random() * self.world.plan.busy / 4
            deed = self.dice.choice(
                [self.add, self.say, self.say, self.unhold, self.edit, self.commit_here,
                 self.merge_by_hand, self.push_to_target]
            )  # fmt: skip
            try:
                yield from self.clone.look()
                yield from deed()
            except FleetError as error:
                self.world.say(self.machine.name, f"{deed.__name__}: {error.what}")
            except Lost:
                pass

    def fresh_id(self) -> str:
        self.number += 1
        return f"{self.machine.name}-{self.number}"

    def some_task(self, board: Board) -> str | None:
        tasks = sorted(task for task, entry in board.entries.items() if not entry.gone)
        return self.dice.choice(tasks) if tasks else None

    # -- by gitfleet's verbs

    def add(self) -> Steps[None]:
        task = self.fresh_id()
        needs = self.some_task(self.clone.board()) if self.dice.random() < 0.5 else None
        text = codec.write_task(Task(title=task, depends_on=(needs,) if needs else ()))
        yield from self.clone.transact(
            lambda board, now: by_person.add(
                board, addition=Addition(text=text, id=task), suffixes=["0"], person=ANN
            )
        )

    def say(self) -> Steps[None]:
        task = self.some_task(self.clone.board())
        if task is not None:
            yield from self.said(task, self.dice.choice(VERBS))

    def said(self, task: str, kind: Kind) -> Steps[None]:
        """Decide something about a task. Raises FleetError where it makes no sense."""
        suffix = self.world.hex(4)
        yield from self.clone.transact(
            lambda board, now: by_person.decide(
                board, now, task=task, kind=kind, person=ANN, reason="so", suffix=suffix
            )
        )

    def unhold(self) -> Steps[None]:
        held = [t for t, e in self.clone.board().entries.items() if by_person._on_hold(e)]
        if held:
            yield from self.freed(self.dice.choice(held))

    def freed(self, task: str) -> Steps[None]:
        """Take a task off hold."""
        suffix = self.world.hex(4)

        def decide(board: Board, now: datetime) -> Change | None:
            entry = board.get(task)
            text = self.library.blobs[entry.blob] if entry and entry.blob else b""
            return by_person.unhold(board, now, task=task, text=text, person=ANN, suffix=suffix)

        yield from self.clone.transact(decide)

    # -- with git

    def edit(self) -> Steps[None]:
        """Change a task's text, or remove it: an ordinary commit and push."""
        board = self.clone.board()
        task = self.some_task(board)
        if task is None:
            return
        files = self._edited(board, task)

        def decide(board: Board, now: datetime) -> Change | None:
            there = board.get(task) is not None
            return Change(subject=f"Edit {task}", files=files, author=ANN) if there else None

        yield from self.clone.transact(decide)

    def _edited(self, board: Board, task: str) -> Mapping[str, bytes | None]:
        path = layout.task_path(task)
        old = board.entries[task].task
        if old is None or self.dice.random() < 0.1:
            return {path: None}
        return {path: codec.write_task(replace(old, body=self.world.hex(8)))}

    def commit_here(self) -> Steps[None]:
        """Commit on the fleet branch of some runner's clone, wherever that is just now."""
        yield 0.1
        disk = self.dice.choice(self.disks)
        ours = disk.local.get(FLEET)
        if ours is None:
            return
        tip = self.library.boards[ours]
        task = self.some_task(tip.board)
        files: Mapping[str, bytes | None]
        match self.dice.randrange(3):
            case 0:
                new = self.fresh_id()
                files = {layout.task_path(new): codec.write_task(Task(title=new))}
            case 1 if task is not None:
                files = self._edited(tip.board, task)
            case 2 if task is not None:
                kind = self.dice.choice([Kind.CANCEL, Kind.HOLD, Kind.RETRY, Kind.CLOSE])
                number = tip.board.entries[task].next_number
                name = f"{number:03d}-{kind}-{self.world.hex(4)}.yaml"
                said = Decision(at=self.machine.clock(), by=str(ANN), reason="by hand")
                files = {layout.event_path(task, name): codec.write(said)}
            case _:
                return
        made = self.library.commit(
            (tip,), files, at=self.machine.clock(), by_runner=False, subject="[Ann] by hand"
        )
        disk.local[FLEET] = made.id

    def merge_by_hand(self) -> Steps[None]:
        """Merge what was submitted into the target, and push that."""
        heads = [
            event.attempt.head
            for entry in self.clone.board().entries.values()
            if (event := submission_of(entry)) and event.attempt and event.attempt.head
        ]
        if not heads:
            return
        head, codes = self.dice.choice(sorted(heads)), self.library.codes
        tip = self.server.refs[TARGET]
        if head in codes[tip].line:
            return
        merged = self.library.code((tip, head), {**codes[tip].files, **codes[head].files})
        yield from self._push(tip, merged.id)

    def push_to_target(self) -> Steps[None]:
        """Somebody works without gitfleet, too."""
        tip = self.server.refs[TARGET]
        files = {**self.library.codes[tip].files, "shared": self.world.hex(8)}
        yield from self._push(tip, self.library.code((tip,), files).id)

    def _push(self, old: str, new: str) -> Steps[None]:
        move = Move(TARGET, old, new)
        yield from converse(self.machine, lambda: self.server.push([move]))
