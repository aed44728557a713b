"""Submitted work and an attempt at landing it, in this process: a real repository, no runner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gitfleet.attempt.claim_tasks import claim_all
from gitfleet.attempt.context import AttemptContext, CancelToken, LiveStatus, Project, task_branch
from gitfleet.board.store import utc_now
from gitfleet.files import codec, layout, yaml
from gitfleet.landing.blocked import BlockedLandings
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.trial_merge import merge_on_trial
from gitfleet.landing.validate import validate
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import FORMAT
from gitfleet.model.event import Attempt, Decision, Landed
from gitfleet.model.states import Kind, Outcome, Role
from gitfleet.plan.landing_terms import Terms
from gitfleet.plan.scheduler import Assignment, Capacity, picks
from gitfleet.plan.status import TaskStatus, status_of
from tests.acceptance.fleetlab import PATIENCE, Gate
from tests.people.kit import ADA, SampleProject, git, task

SETTINGS: Mapping[str, Any] = {
    "format": FORMAT,
    "target": "main",
    "roles": {"work": {"coder": "shell"}},
}
ACCEPT = "verdict: accepted"
# No pause before what failed is tried again, so that a test can claim it at once.
AT_ONCE = {"backoff": {"initial": "0s", "factor": 1, "max": "1s"}}


class Bench:
    """A project with submitted work, and what a runner does to land it, step by step."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.project = SampleProject(folder)
        self.fleet: Project = self.project.fleet()
        self.blocked = BlockedLandings(self.fleet)
        self.settings: dict[str, Any] = dict(SETTINGS)
        self.change_settings(**settings)
        self._gates: list[Gate] = []

    def close(self) -> None:
        self.project.close()
        for gate in self._gates:
            gate.close()

    # -- people

    def write(self, files: Mapping[str, bytes | None]) -> None:
        """Commit files to the board, as a person. Quicker than git with its hooks."""
        self.project.change(files, "By hand", ADA)

    def change_settings(self, **settings: Any) -> None:
        """Change fleet.yaml, as a person; None takes a key out."""
        self.settings.update(settings)
        kept = {key: value for key, value in self.settings.items() if value is not None}
        self.settings = kept
        self.write({layout.SETTINGS: yaml.dump(kept)})

    def write_task(self, name: str = "one", **keys: Any) -> None:
        """Write a task's file, as a person; over one that is there, an edit."""
        self.write({layout.task_path(name): task(f"Do {name}", **keys).encode()})

    def decide(self, name: str, kind: Kind) -> None:
        """Write a person's decision."""
        number = self.entry(name).next_number
        path = layout.event_path(name, f"{number:03d}-{kind}-beef.yaml")
        self.write({path: codec.write(Decision(at=utc_now(), by=str(ADA)))})

    def commit(self, files: Mapping[str, bytes | None], message: str = "By a person") -> str:
        """Commit to main, with the checkout; the commit."""
        for name, data in files.items():
            path = self.project.path / name
            if data is None:
                path.unlink()
            else:
                path.write_bytes(data)
        git("add", "-A", "--", *files, cwd=self.project.path)
        git("commit", "-q", "-m", message, cwd=self.project.path)
        return self.tip()

    def judge(self, script: str) -> dict[str, Any]:
        """Settings by which a script judges; its verdict is in the file that $V names."""
        path = self.folder / f"judge-{len(list(self.folder.glob('judge-*')))}.sh"
        path.write_text(f'V="$GITFLEET_OUTBOX/verdict.yaml"\n{script}\n')
        return {
            "coders": {"judge": {"argv": ["sh", str(path)]}},
            "roles": {"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        }

    def gate(self, name: str) -> Gate:
        gate = Gate(self.folder / name)
        self._gates.append(gate)
        return gate

    # -- a runner

    def submit(
        self, name: str = "one", files: Mapping[str, bytes | None] | None = None, **keys: Any
    ) -> str:
        """A task, and work on it: a commit on its branch, submitted; the commit."""
        self.write_task(name, **keys)
        return self.submit_work(name, files)

    def submit_work(
        self,
        name: str,
        files: Mapping[str, bytes | None] | None = None,
        base: str = "",
        role: Role = Role.WORK,
    ) -> str:
        """Work on a task that is there, on top of `base`, if not of the target. A plan has none."""
        objects, base = self.fleet.objects, base or self.tip()
        tree = objects.write_tree(objects.tree_of(base), files or {f"{name}.txt": b"done\n"})
        who = self.fleet.store.signature()
        head = objects.write_commit(tree, [base], f"Do {name}", who, who)
        git("update-ref", f"refs/heads/{task_branch(name)}", head, cwd=self.project.path)
        entry = self.entry(name)
        number = entry.next_attempt
        attempt = Attempt(
            runner="box",
            nonce=f"{number:032x}",
            attempt=number,
            outcome=Outcome.SUBMITTED,
            reason="1 commit",
            started=utc_now(),
            ended=utc_now(),
            coder="shell",
            model="small-1",
            task_blob=entry.blob,
            base=base,
            head=head if role is Role.WORK else None,
        )
        path = layout.event_path(name, f"{entry.next_number:03d}-{role}-{number:04x}.yaml")
        self.project.change({path: codec.write(attempt)})
        return head

    def claim(self, name: str = "one") -> AttemptContext:
        """Claim its validation as a runner does; what the attempt's thread works with."""
        board = self.fleet.store.board()
        return self.claim_as(board, self.pick(board, name))

    def pick(self, board: Board, name: str = "one") -> Assignment:
        """The runner's choice of what to do for a task on this board."""
        offer = Capacity(runner="box", slots=9, tips={"main": self.tip()})
        chosen, passed = picks(board, self.fleet.store.now(), offer, "main")
        mine = [pick for pick in chosen if pick.task == name and pick.role is Role.VALIDATE]
        assert mine, f"it cannot be claimed: {self.status(name)}, {passed}"
        return mine[0]

    def claim_as(self, board: Board, pick: Assignment) -> AttemptContext:
        """Claim what was chosen on that board, which may be an older one by now."""
        ((claimed, _),) = claim_all(self.fleet, board, [pick])
        claim, name = claimed.claim, pick.task
        run_dir = self.fleet.clone.run_dir(name, claim.attempt, claim.nonce)
        for folder in (run_dir.outbox, run_dir.inbox):
            folder.mkdir(parents=True)
        live = LiveStatus(name, Role.VALIDATE, claim.coder or "checks", claim.attempt)
        return AttemptContext(self.fleet, claimed, CancelToken(), live, run_dir)

    def validate(self, name: str = "one") -> Attempt:
        """Make a whole attempt at landing; its event."""
        validate(self.claim(name), self.blocked)
        return self.last(name)

    def underway(self, ctx: AttemptContext) -> Underway:
        """The same in a thread of its own."""
        return Underway(lambda: validate(ctx, self.blocked))

    def candidate(self, ctx: AttemptContext) -> Candidate:
        """The claimed work on the target's tip."""
        made = merge_on_trial(ctx, self.terms(ctx.task), self.tip())
        assert isinstance(made, Candidate)
        return made

    # -- what there is

    def entry(self, name: str = "one") -> Entry:
        found = self.project.board().get(name)
        assert found is not None
        return found

    def terms(self, name: str = "one") -> Terms:
        board = self.fleet.store.board()
        return Terms(board, board.entries[name])

    def status(self, name: str = "one") -> TaskStatus:
        return status_of(self.project.board(), name, utc_now())

    def attempts(self, name: str = "one") -> list[Attempt]:
        """The validations of a task."""
        return self.entry(name).attempts(Role.VALIDATE)

    def last(self, name: str = "one") -> Attempt:
        return self.attempts(name)[-1]

    def outcomes(self, name: str = "one") -> list[str]:
        return [str(attempt.outcome) for attempt in self.attempts(name)]

    def landed(self, name: str = "one") -> Landed | None:
        event = self.entry(name).last(Kind.LANDED)
        assert event is None or isinstance(event.content, Landed)
        return event.content if event is not None else None  # type: ignore[return-value]

    def tip(self, ref: str = "main") -> str:
        return self.project.tip(ref)

    def tree(self, ref: str = "main") -> set[str]:
        """The files of the target."""
        return self.project.files(ref)


class Underway:
    """Something at work in a thread; an error of its own is the test's."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "it does not end"
        if self._error is not None:
            raise self._error


def pause_at(gate: Gate) -> str:
    """A check that says it is there, and waits until the test lets it go on."""
    return gate.pause.replace("\n", "; ")
