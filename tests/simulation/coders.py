"""Agents, checks and validators, played by the dice: the only part of an attempt that is played."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from gitfleet.agent import client
from gitfleet.attempt import coder_run
from gitfleet.attempt.context import AttemptContext, ClaimedTask, Project, task_branch
from gitfleet.attempt.start_point import StartMode, StartPoint
from gitfleet.board.store import Store
from gitfleet.model.event import Attempt, Check
from gitfleet.model.states import Failure, Outcome, Role
from gitfleet.plan.liveness import too_long
from gitfleet.plan.outcome import CoderRun, ProcessExit, StopRequest
from gitfleet.run_dir import TARGET
from tests.simulation.memory_git import MemoryObjects, MemoryRepo
from tests.simulation.stand_ins import Wakeup
from tests.simulation.world import Proc, World

GRACE = 4.0
# What only a coder brings about: an attempt must not end so for another reason.
SCRIPTED = frozenset({Outcome.FAILED, Outcome.EMPTY, Outcome.TIMED_OUT})


class Coders:
    """Every coder, check and validator; and what they really did."""

    def __init__(self, world: World) -> None:
        self.world, self.dice = world, world.dice
        self.told: dict[str, set[Outcome]] = {}  # nonce -> how its coder let it end
        self.believed: list[tuple[int, Outcome]] = []  # ends that their runner says counted
        self.filed: dict[str, tuple[int, str]] = {}  # key -> the attempt, the task's id
        self.asked: dict[str, int] = {}  # a question's text -> its attempt
        self.rooms: dict[tuple[str, int, str], Proc | None] = {}  # machine, life, task

    # -- workspaces

    def prepare(self, project: Project, claimed: ClaimedTask, start: StartPoint) -> Path:
        """As `workspace.prepare`: the task's branch is where the attempt starts."""
        repo, task = project.repo, claimed.task
        assert isinstance(repo, MemoryRepo)
        self._enter(task)
        self.world.sleep(self.dice.random())
        objects = project.store.objects
        objects.commit(start.base)
        head = start.base
        if start.tip is not None:
            objects.commit(start.tip)
            head = start.tip
        if start.how is StartMode.MERGE and start.tip is not None:
            files, _ = repo.library.merge(start.tip, start.base)
            head = self._commit(project.store, (start.base, start.tip), files)
        repo.refs[f"refs/heads/{task_branch(task)}"] = head
        return project.clone.workspace(task)

    def _enter(self, task: str) -> None:
        machine, me = self.world.machine, self.world.current
        assert machine is not None
        key = (machine.name, machine.life, task)
        inside = self.rooms.get(key)
        if inside is not None and inside is not me and inside.running:
            raise self.world.breach(
                f"two attempts on {task} are in one workspace of {machine.name}"
            )
        self.rooms[key] = me

    def _commit(self, store: Store, parents: Sequence[str], files: Mapping[str, str]) -> str:
        objects, who = MemoryObjects(store.repo), store.signature()
        message = f"Work {self.world.hex(8)}"
        return objects.write_commit(objects.put_tree(files), parents, message, who, who)

    # -- runs

    def run_coder(self, ctx: AttemptContext, **_given: object) -> CoderRun:
        """As `coder_run.run_coder`."""
        if ctx.claimed.claim.role is Role.VALIDATE:
            return self._judge(ctx)
        repo = ctx.project.repo
        assert isinstance(repo, MemoryRepo)
        branch = f"refs/heads/{task_branch(ctx.task)}"
        outcome = Outcome.SUBMITTED
        if self.world.chance(self.world.plan.fails):
            outcome = self.dice.choice([Outcome.FAILED, Outcome.EMPTY, Outcome.TIMED_OUT])
        self.told.setdefault(ctx.nonce, set()).add(outcome)
        for _ in range(2):
            if self._spend(ctx, self._while(self.dice.choice([8.0, 40.0]))):
                self.world.sleep(self.dice.random() * GRACE)
                break
            if outcome is not Outcome.EMPTY:
                repo.refs[branch] = self._edit(ctx, repo, repo.refs[branch])
            if self.dice.random() < 0.1:
                self._file(ctx)
            coder_run._hear(ctx)
            if self.world.chance(0.1) and not self._answered(ctx):
                return self._run_of(ctx, Outcome.SUBMITTED)
        if ctx.claimed.claim.base not in repo.library.lines[repo.refs[branch]]:
            raise self.world.breach(f"{ctx.task}: its work does not contain where it started")
        return self._run_of(ctx, outcome)

    def _run_of(self, ctx: AttemptContext, outcome: Outcome) -> CoderRun:
        stop = ctx.cancel.stopped
        if stop is not None:
            return CoderRun(stop=stop, exit=ProcessExit(signal=15))
        if outcome is Outcome.FAILED:
            return CoderRun(exit=ProcessExit(code=1), failure=Failure.CRASHED, said="by the dice")
        if outcome is Outcome.TIMED_OUT:
            return CoderRun(exit=ProcessExit(signal=15), limit=too_long(60.0))
        return CoderRun(exit=ProcessExit(code=0))

    def _edit(self, ctx: AttemptContext, repo: MemoryRepo, start: str) -> str:
        mine = f"of-{ctx.task}"
        file = self.dice.choice(["shared", mine, mine, mine])
        blob = MemoryObjects(repo).put_blob(self.world.hex(8).encode())
        files = {**repo.library.files(start), file: blob}
        return self._commit(ctx.project.store, (start,), files)

    def _file(self, ctx: AttemptContext) -> None:
        """An agent comes across a task."""
        name = f"found-{self.world.hex(4)}"
        text = f"---\ntitle: Come across\n---\nWell {self.world.hex(8)}.\n"
        (ctx.run_dir.outbox / f"task-{name}.md").write_text(text)
        for filed in coder_run.read_filed_tasks(ctx):
            self.filed.setdefault(filed.addition.key, (self._ghost(), filed.addition.id))

    def _answered(self, ctx: AttemptContext) -> bool:
        """Ask a person, and wait for a while. Without an answer the agent must stop."""
        key, box = self.world.hex(8), ctx.run_dir.outbox
        text = f"Which of them: {key}?"
        client.drop(box, f"{client.QUESTION}{key}.md", f"## Question\n{text}\n")
        self.asked[text] = self._ghost()
        question = client.SentQuestion(key, box, ctx.run_dir.inbox)
        for _ in range(self.dice.choice([1, 12])):
            if self._spend(ctx, 5.0):
                return True
            coder_run._hear(ctx)
            if client.reply(question).answer:
                return True
        client.park(question)
        return False

    def _judge(self, ctx: AttemptContext) -> CoderRun:
        """A validator looks at a candidate."""
        self._spend(ctx, self._while(10.0))
        ruling = "rejected" if self.world.chance(self.world.plan.fails / 2) else "accepted"
        (ctx.run_dir.outbox / "verdict.yaml").write_text(f"verdict: {ruling}\n")
        return self._run_of(ctx, Outcome.SUBMITTED)

    def run_checks(
        self, ctx: AttemptContext, commit: str, commands: Sequence[str], kind: str
    ) -> tuple[Check, ...] | StopRequest:
        """As `checks.run_on`."""
        ctx.project.store.objects.commit(commit)
        self._spend(ctx, self._while(10.0))
        if ctx.cancel.stopped is not None:
            return ctx.cancel.stopped
        red = 0.2 if kind == TARGET else self.world.plan.fails / 2
        code = int(self.world.chance(red))
        return tuple(Check(command=command, exit_code=code) for command in commands)

    def _while(self, most: float) -> float:
        return self.dice.random() * most * self.world.plan.pace

    def _spend(self, ctx: AttemptContext, seconds: float) -> bool:
        """Whether the attempt is told to end meanwhile."""
        self.world.wait(cast(Wakeup, ctx.cancel.wake).signal, seconds)
        return ctx.cancel.stopped is not None

    # -- ends

    def end_believed(self, ctx: AttemptContext, attempt: Attempt) -> None:
        """As `finish.log_end`: its runner says that this end is on the board."""
        self.believed.append((self._ghost(), attempt.outcome))

    def _ghost(self) -> int:
        """The attempt that the running process makes."""
        assert self.world.current is not None and self.world.current.ghost is not None
        return self.world.current.ghost
