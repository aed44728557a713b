"""Histories of a board, made commit by commit: by runners through `plan.transitions`, by people,
and by hand where none of our tools would do such a thing."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gitfleet.audit import repair
from gitfleet.audit.repair import HistoryFinding
from gitfleet.board.authorship import RUNNER, runner_signature
from gitfleet.board.store import Store
from gitfleet.files import layout, yaml
from gitfleet.git import refs
from gitfleet.git.commits import Signature
from gitfleet.git.objects import TreeEntry
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Landed
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.transitions import on_claim, on_end, on_landing
from tests.conftest import git

ANN = Person("Ann", "ann@example.org")
FLEET = {"format": 2, "target": "main", "roles": {"work": {"coder": "shell"}}}
Files = Mapping[str, bytes | None]


def text(title: str = "Do it", more: str = "") -> bytes:
    return f"---\ntitle: {title}\n---\n{more}\n".encode()


class Past:
    """A board at `tip`, and ways to go on from any commit. No ref moves but `fleet`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(find(path), runner="box-1")
        self.main = git("rev-parse", "main", cwd=path)
        self.now = datetime(2026, 11, 1, tzinfo=UTC)
        self.store.now = lambda: self.now
        self.store.create({layout.SETTINGS: yaml.dump(FLEET)}, ANN)
        self._numbers = itertools.count(1)
        self.root = self.tip

    @property
    def tip(self) -> str:
        tip = self.store.tip()
        assert tip is not None
        return tip

    def board(self, at: str | None = None) -> Board:
        return self.store.board_at(at or self.tip)

    def blob(self, path: str, at: str | None = None) -> bytes:
        data = self.store.file(self.board(at), path)
        assert data is not None, path
        return data

    # -- commits

    def commit(
        self,
        files: Files,
        *parents: str,
        runner: bool = False,
        message: str = "By hand",
        tree_of: str | None = None,
    ) -> str:
        """A commit of files over the tree of its first parent (or `tree_of`); moves nothing."""
        objects = self.store.objects
        parents = parents or (self.tip,)
        base = objects.tree_of(tree_of or parents[0])
        changes: dict[str, bytes | TreeEntry | None] = dict(files)
        tree = objects.write_tree(base, changes)
        self.now += timedelta(minutes=5)
        when = int(self.now.timestamp())
        who = runner_signature("box-1", when) if runner else Signature("Ann", "ann@x.org", when)
        trailer = f"\n\n{RUNNER}: box-1\n" if runner else "\n"
        return objects.write_commit(tree, list(parents), message + trailer, who, who)

    def go(self, oid: str) -> str:
        """Make a commit the board, wherever it was."""
        assert refs.swap(self.store.repo, self.store.ref, self.tip, oid, message="test")
        return oid

    def person(self, files: Files, message: str = "By hand") -> str:
        return self.go(self.commit(files, message=message))

    def task(self, task: str) -> str:
        return self.person({layout.task_path(task): text()})

    def merge(self, *parents: str, files: Files | None = None, like: str | None = None) -> str:
        """A merge with the tree of `like` (else the first parent) and files over it."""
        return self.commit(files or {}, *parents, tree_of=like or parents[0], message="Merge")

    # -- what runners do, from the commit `at`

    def change(self, change: Change | None, at: str | None = None) -> str:
        assert change is not None
        return self.commit(change.files, at or self.tip, runner=True, message=change.subject)

    def claimed(self, task: str, role: Role = Role.WORK, at: str | None = None) -> tuple[str, str]:
        """A commit that claims a task, and the nonce."""
        board = self.board(at)
        entry = board.get(task)
        assert entry is not None
        nonce = secrets.token_hex(16)
        claim = Claim(
            runner="box-1",
            nonce=nonce,
            role=role,
            attempt=entry.next_attempt,
            coder="shell",
            task_blob=entry.blob,
            base=self.main,
            branch=f"gitfleet/task/{task}",
            at=self.now,
        )
        change = on_claim.claim(board, self.now, task=task, claim=claim)
        return self.change(change, at), nonce

    def attempt(self, nonce: str, number: int, outcome: Outcome) -> Attempt:
        return Attempt(
            runner="box-1",
            nonce=nonce,
            attempt=number,
            outcome=outcome,
            reason="so it went",
            started=self.now,
            ended=self.now,
            base=self.main,
            head=self.main,
        )

    def ended(
        self,
        task: str,
        nonce: str,
        outcome: Outcome = Outcome.SUBMITTED,
        role: Role = Role.WORK,
        at: str | None = None,
    ) -> str:
        board = self.board(at)
        entry = board.get(task)
        assert entry is not None and entry.claim is not None
        attempt = self.attempt(nonce, entry.claim.attempt, outcome)
        return self.change(on_end.end_attempt(board, task=task, attempt=attempt, role=role), at)

    def landed(self, task: str, nonce: str, at: str | None = None, merge: str | None = None) -> str:
        board = self.board(at)
        entry = board.get(task)
        assert entry is not None and entry.claim is not None
        attempt = self.attempt(nonce, entry.claim.attempt, Outcome.ACCEPTED)
        landed = Landed(
            runner="box-1", nonce=nonce, at=self.now, target="main", merge=merge or self.main
        )
        change = on_landing.land(
            board, self.now, task=task, attempt=attempt, landed=landed, move=None
        )
        return self.change(change, at)

    def work(self, task: str) -> str:
        """File a task, work on it, land it: five commits."""
        self.task(task)
        oid, nonce = self.claimed(task)
        self.go(oid)
        self.go(self.ended(task, nonce))
        oid, nonce = self.claimed(task, Role.VALIDATE)
        self.go(oid)
        return self.go(self.landed(task, nonce))

    # -- judging

    def check(self, start: str | None = None, *, strict: bool = False) -> list[HistoryFinding]:
        return repair.check(self.store, self.tip, start=start, strict=strict)

    def event(self, task: str, at: str | None = None) -> str:
        """The path of the last event of a task."""
        entry = self.board(at).get(task)
        assert entry is not None
        return layout.event_path(task, entry.events[-1].name)


def told(findings: list[HistoryFinding]) -> list[tuple[str, int, str]]:
    """Findings in short: the kind, the invariant, the path."""
    return [
        (
            "repaired" if one.repaired else "warning" if one.warning else "broken",
            one.violation.rule,
            one.violation.path,
        )
        for one in findings
    ]
