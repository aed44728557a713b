"""Boards to look at: made by `gitfleet init`, people's commits and the runner's transactions."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store
from gitfleet.git import refs
from gitfleet.git.repo import find
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Landed
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.transitions import on_claim, on_end, on_landing
from tests import warm
from tests.cli.acting import board, gitfleet
from tests.conftest import git

SCRIPT = "```sh\necho hello\n```\n"


def task(title: str, body: str = SCRIPT, **keys: object) -> str:
    """A task file; the keys are written as JSON, which is YAML."""
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())
    return f"---\ntitle: {json.dumps(title)}\ncoder: shell\n{lines}---\n{body}"


class Lab:
    """A repository with a board, and a hand that does what runners do."""

    def __init__(self, path: Path) -> None:
        self.path = board(path, name="lab")
        self.repo = find(path)
        self.clone = Clone(self.repo)
        self.store = Store(self.repo, runner="box")

    def commit(self, files: Mapping[str, str | None], message: str = "files") -> str:
        """A person's commit in the window .fleet/; None removes a file. Its id."""
        window = self.path / ".fleet"
        for name, content in files.items():
            target = window / name
            if content is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
        git("add", "-A", cwd=window)
        git("commit", "-q", "--no-verify", "-m", message, cwd=window)
        return git("rev-parse", "fleet", cwd=self.path)

    def claim(self, name: str, role: Role = Role.WORK, **more: Any) -> Claim:
        """Claim a task as the runner `box` does, or as another."""
        entry = self.store.board().entries[name]
        number = entry.next_attempt
        values: dict[str, Any] = {
            "runner": "box",
            "nonce": f"{number:08x}{'ab' * 12}",
            "role": role,
            "attempt": number,
            "coder": "shell" if role is Role.WORK else "",
            "task_blob": entry.blob,
            "base": git("rev-parse", "main", cwd=self.path),
            "branch": f"gitfleet/task/{name}",
            "at": datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=9),
        }
        claim = Claim(**(values | more))
        made = self.store.transact(lambda b, now: on_claim.claim(b, now, task=name, claim=claim))
        assert made.won
        return claim

    def end(self, name: str, claim: Claim, outcome: Outcome, **facts: Any) -> Attempt:
        """End an attempt with its event."""
        attempt = self._attempt(claim, outcome, **facts)
        made = self.store.transact(
            lambda b, _now: on_end.end_attempt(b, task=name, attempt=attempt, role=claim.role)
        )
        assert made.won
        return attempt

    def _attempt(self, claim: Claim, outcome: Outcome, **facts: Any) -> Attempt:
        values: dict[str, Any] = {
            "runner": claim.runner,
            "nonce": claim.nonce,
            "attempt": claim.attempt,
            "outcome": outcome,
            "reason": f"it was {outcome}",
            "started": claim.at,
            "ended": claim.at + timedelta(seconds=5),
            "coder": claim.coder,
            "base": claim.base,
            "head": claim.head,
            "branch": claim.branch,
        }
        return Attempt(**(values | facts))

    def work(self, name: str, files: Mapping[str, str]) -> str:
        """Commit files on the task's branch, from main; the new tip."""
        tree = self.store.objects.write_tree(
            self.store.objects.tree_of(git("rev-parse", "main", cwd=self.path)),
            {path: content.encode() for path, content in files.items()},
        )
        who = self.store.signature()
        parent = git("rev-parse", "main", cwd=self.path)
        head = self.store.objects.write_commit(tree, [parent], f"Work on {name}\n", who, who)
        refs.swap(self.repo, f"refs/heads/gitfleet/task/{name}", None, head, message="work")
        return head

    def land(self, name: str, head: str, merge: str = "") -> str:
        """Accept and land what was submitted, as a merge unless a person made one; its id."""
        claim = self.claim(name, Role.VALIDATE, head=head)
        tip = git("rev-parse", "main", cwd=self.path)
        who = self.store.signature()
        tree = self.store.objects.tree_of(head)
        if not merge:
            text = f"Merge {name}\n"
            merge = self.store.objects.write_commit(tree, [tip, head], text, who, who)
        accepted = self._attempt(claim, Outcome.ACCEPTED)
        landed = Landed(
            runner="box",
            nonce=claim.nonce,
            at=claim.at + timedelta(seconds=6),
            target="main",
            merge=merge,
            head=head,
        )
        made = self.store.transact(
            lambda b, now: on_landing.land(
                b, now, task=name, attempt=accepted, landed=landed, move=None
            )
        )
        assert made.won
        git("update-ref", "refs/heads/main", merge, cwd=self.path)
        return merge

    def archive(self, name: str) -> None:
        """Move a finished task to done/, as a runner does in batches."""
        window = self.path / ".fleet"
        folder = window / "done" / "2026-11" / name
        folder.mkdir(parents=True)
        (window / "tasks" / f"{name}.md").rename(folder / "task.md")
        if (window / "log" / name).exists():
            (window / "log" / name).rename(folder / "log")
        git("add", "-A", cwd=window)
        git("commit", "-q", "--no-verify", "-m", f"archive {name}", cwd=window)

    def say(self, *args: str, code: int = 0) -> str:
        """What a verb prints."""
        return gitfleet(*args, cwd=self.path, code=code).stdout

    def json(self, *args: str, code: int = 0) -> Any:
        """What a verb tells programs."""
        return json.loads(self.say(*args, "--json", code=code))


def on_terminal(cwd: Path, *args: str, columns: int = 80, env: Mapping[str, str] = {}) -> str:
    """What a verb prints on a terminal of so many columns, with line ends as in files."""
    master, slave = pty.openpty()
    around = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), **env}
    done = warm.start(*args, cwd=cwd, env=around, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        said += chunk
    os.close(master)
    assert done.wait(60) == 0, said
    return said.decode().replace("\r\n", "\n")
