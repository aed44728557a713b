"""People: they add, cancel, hold, retry, edit, merge by hand, and commit in clones that lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.files import codec, layout
from gitfleet.git.commits import Signature
from gitfleet.git.refs import RefMove
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.event import Decision
from gitfleet.model.states import Kind
from gitfleet.model.task import Task
from gitfleet.plan import questions
from gitfleet.plan.task_history import submission_of
from gitfleet.plan.transitions import by_person
from gitfleet.plan.transitions.add_tasks import Addition
from tests.simulation.memory_git import MemoryObjects, MemoryRepo
from tests.simulation.server import FLEET, TARGET, Server
from tests.simulation.site import REMOTE, store_at
from tests.simulation.world import Machine

ANN = Person("Ann", "ann@example.org")
VERBS = (Kind.CANCEL, Kind.HOLD, Kind.CLOSE, Kind.RETRY, Kind.RETRY, Kind.NOTE)


class Folk:
    """One person with a clone, and access to the clones of runners."""

    def __init__(
        self, machine: Machine, server: Server, repo: MemoryRepo, clones: Sequence[MemoryRepo]
    ) -> None:
        self.machine, self.server, self.repo, self.clones = machine, server, repo, clones
        self.world, self.library, self.dice = machine.world, server.library, machine.world.dice
        report = EventLog(lambda line: self.world.say(machine.name, line[21:]), machine.clock)
        self.store = store_at(machine, server, repo, report)
        self.objects = MemoryObjects(repo)
        self.number = 0

    def live(self) -> None:
        """Do something now and then, until things are to calm down."""
        while not self.world.calm:
            self.world.sleep(self.dice.random() * self.world.plan.busy / 4)
            deed = self.dice.choice(
                [self.add, self.say, self.say, self.answer, self.answer, self.unhold, self.edit,
                 self.commit_here, self.merge_by_hand, self.push_to_target]
            )  # fmt: skip
            try:
                self.look()
                deed()
            except FleetError as error:
                self.world.say(self.machine.name, f"{deed.__name__}: {error.what}")

    def look(self) -> None:
        """Fetch."""
        assert self.store.backend.remote is not None
        self.store.backend.remote.fetch()

    def fresh_id(self) -> str:
        self.number += 1
        return f"{self.machine.name}-{self.number}"

    def some_task(self, board: Board) -> str | None:
        tasks = sorted(task for task, entry in board.entries.items() if not entry.gone)
        return self.dice.choice(tasks) if tasks else None

    # -- by gitfleet's verbs

    def add(self) -> None:
        task = self.fresh_id()
        needs = self.some_task(self.store.board()) if self.dice.random() < 0.5 else None
        text = codec.write_task(Task(title=task, depends_on=(needs,) if needs else ()))
        self.store.transact(
            lambda board, now: by_person.add(
                board, addition=Addition(text=text, id=task), suffixes=["0"], person=ANN
            )
        )

    def say(self) -> None:
        task = self.some_task(self.store.board())
        if task is not None:
            self.said(task, self.dice.choice(VERBS))

    def said(self, task: str, kind: Kind) -> None:
        """Decide something about a task. Raises FleetError where it makes no sense."""
        suffix = self.world.hex(4)
        self.store.transact(
            lambda board, now: by_person.decide(
                board, now, task=task, kind=kind, person=ANN, reason="so", suffix=suffix
            )
        )

    def answer(self) -> None:
        """Answer an agent's question, if there is one."""
        waiting = questions.waiting(self.store.board(), self.store.now())
        if waiting:
            self.answered(self.dice.choice(waiting).name)

    def answered(self, question: str) -> None:
        """Answer this question."""

        def decide(board: Board, now: datetime) -> Change | None:
            file = self.store.file(board, layout.question_path(question))
            if file is None:
                return None
            return questions.answer(
                board, now, question=question, file=file, text="The first.", person=ANN
            )

        self.store.transact(decide)

    def unhold(self) -> None:
        held = [t for t, e in self.store.board().entries.items() if by_person._on_hold(e)]
        if held:
            self.freed(self.dice.choice(held))

    def freed(self, task: str) -> None:
        """Take a task off hold."""
        suffix = self.world.hex(4)

        def decide(board: Board, now: datetime) -> Change | None:
            entry = board.get(task)
            text = self.store.text(entry.blob) if entry and entry.blob else b""
            return by_person.unhold(board, now, task=task, text=text, person=ANN, suffix=suffix)

        self.store.transact(decide)

    # -- with git

    def edit(self) -> None:
        """Change a task's text, or remove it: an ordinary commit and push."""
        board = self.store.board()
        task = self.some_task(board)
        if task is None:
            return
        files = self._edited(board, task)

        def decide(board: Board, now: datetime) -> Change | None:
            there = board.get(task) is not None
            return Change(subject=f"Edit {task}", files=files, author=ANN) if there else None

        self.store.transact(decide)

    def _edited(self, board: Board, task: str) -> Mapping[str, bytes | None]:
        path = layout.task_path(task)
        old = board.entries[task].task
        if old is None or self.dice.random() < 0.1:
            return {path: None}
        return {path: codec.write_task(replace(old, body=self.world.hex(8)))}

    def commit_here(self) -> None:
        """Commit on the fleet branch of some runner's clone, wherever that is just now."""
        self.world.sleep(0.1)
        repo = self.dice.choice(self.clones)
        ours = repo.refs[FLEET]
        board = self.server.store.board_at(ours)
        task = self.some_task(board)
        files: Mapping[str, bytes | None]
        match self.dice.randrange(3):
            case 0:
                new = self.fresh_id()
                files = {layout.task_path(new): codec.write_task(Task(title=new))}
            case 1 if task is not None:
                files = self._edited(board, task)
            case 2 if task is not None:
                kind = self.dice.choice([Kind.CANCEL, Kind.HOLD, Kind.RETRY, Kind.CLOSE])
                number = board.entries[task].next_number
                name = f"{number:03d}-{kind}-{self.world.hex(4)}.yaml"
                said = Decision(at=self.machine.clock(), by=str(ANN), reason="by hand")
                files = {layout.event_path(task, name): codec.write(said)}
            case _:
                return
        objects = MemoryObjects(repo)
        tree = objects.write_tree(objects.tree_of(ours), files)
        repo.refs[FLEET] = objects.write_commit(tree, [ours], "by hand\n", *self._who())

    def _who(self) -> tuple[Signature, Signature]:
        who = Signature(ANN.name, ANN.email, int(self.machine.clock().timestamp()))
        return who, who

    def merge_by_hand(self) -> None:
        """Merge what was submitted into the target, and push that."""
        heads = [
            event.attempt.head
            for entry in self.store.board().entries.values()
            if (event := submission_of(entry)) and event.attempt and event.attempt.head
        ]
        if not heads:
            return
        head, tip = self.dice.choice(sorted(heads)), self.server.refs[TARGET]
        if self.server.has(head, TARGET):
            return
        self._push(tip, (tip, head), {**self.library.files(tip), **self.library.files(head)})

    def push_to_target(self) -> None:
        """Somebody works without gitfleet, too."""
        tip = self.server.refs[TARGET]
        shared = self.objects.put_blob(self.world.hex(8).encode())
        self._push(tip, (tip,), {**self.library.files(tip), "shared": shared})

    def _push(self, old: str, parents: Sequence[str], files: Mapping[str, str]) -> None:
        tree = self.objects.put_tree(files)
        new = self.objects.write_commit(tree, parents, "By a person\n", *self._who())
        self.server.push(self.repo, REMOTE, [RefMove(TARGET, old, new)])
