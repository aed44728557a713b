"""Two people's clones of one board, and the three ways in which one's edits meet the other's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from click.testing import CliRunner

from gitfleet.audit import repair
from gitfleet.board.store import Store, utc_now
from gitfleet.cli.main import cli
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import open_session
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.files.answers import answered
from gitfleet.git import refs, salvage
from gitfleet.git.repo import find
from gitfleet.install import setup_clone
from gitfleet.intake.inbox_branches import read_inbox
from gitfleet.model.change import Change
from gitfleet.plan.status import status_of
from tests.conftest import init
from tests.people.kit import ADA, git
from tests.template import copied

Files = Mapping[str, str | bytes | None]
"""Content by path; None removes the file."""

QUESTION: Final = (
    "---\ntask: a\nasked: 2026-01-01T00:00:00Z\nby: {runner: r, coder: c, attempt: 1}\n---\n"
    "## Question\nWhich?\n"
)
_PEOPLE: Final = ("Ann", "Ben")
INBOX_BRANCH: Final = "refs/heads/gitfleet/in/ben"


def answer(text: str) -> str:
    """The question with an answer under it."""
    return answered(QUESTION.encode(), text).decode()


@dataclass
class Desk:
    """A person's clone."""

    path: Path
    name: str
    lines: list[str] = field(default_factory=list)  # the log of its runner

    @property
    def window(self) -> Path:
        return self.path / ".fleet"

    def commit(self, files: Files) -> str:
        """Commit files on this clone's fleet branch, past every hook; the commit."""
        for path in sorted(files, key=lambda path: files[path] is not None):  # removals first
            content, file = files[path], self.window / path
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        git("add", "-A", "-f", cwd=self.window)
        git("commit", "-q", "--no-verify", "-m", "By hand", cwd=self.window, env=self.person)
        return self.tip()

    @property
    def person(self) -> dict[str, str]:
        mail = f"{self.name.lower()}@example.org"
        return {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", self.name), ("EMAIL", mail))
        }

    def push(self, files: Files) -> str:
        """Commit, and push as `git push` does."""
        made = self.commit(files)
        git("push", "-q", "origin", "fleet", cwd=self.path)
        return made

    def tip(self, ref: str = "fleet") -> str:
        return git("rev-parse", ref, cwd=self.path)

    def salvaged(self) -> dict[str, str]:
        """The salvage refs of people's edits, with their commits."""
        return refs.names(find(self.path), salvage.PREFIX)

    # -- what merges edits

    def add(self, task_id: str) -> str:
        """`gitfleet add`; its words on standard error."""
        return self.verb("add", "Other", "--id", task_id, "--coder", "shell", "--body", "x")

    def verb(self, *args: str) -> str:
        """A verb that must succeed; its words on standard error."""
        with contextlib.chdir(self.path):
            done = CliRunner().invoke(cli, args, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stderr

    def refused(self, *args: str) -> FleetError:
        """A verb that must fail with a sentence."""
        with contextlib.chdir(self.path):
            done = CliRunner().invoke(cli, args)
        assert isinstance(done.exception, FleetError), done.output
        return done.exception

    def runner(self) -> Change | None:
        """A runner's next change: it takes people's commits of this clone along."""
        fleet = fleet_of(open_session(self.path), EventLog(self.lines.append))
        change = Change(subject="By a runner", files={"notes/x/plan.md": self.tip().encode()})
        return fleet.store.transact(lambda _board, _now: change).change

    def read_inbox(self) -> None:
        """A runner's look at the inbox branches of the remote."""
        fleet = fleet_of(open_session(self.path), EventLog(self.lines.append))
        shared = fleet.store.backend
        shared.fetch()  # type: ignore[attr-defined]
        read_inbox(fleet, shared.inbox())  # type: ignore[attr-defined]


@dataclass
class Desks:
    """A bare remote with a board, and Ann's and Ben's clones of it."""

    bare: Path
    ann: Desk
    ben: Desk

    def show(self, path: str) -> bytes | None:
        """A file of the board on the remote."""
        store = Store(find(self.bare), branch="fleet")
        return store.file(store.board(), path)

    def files(self) -> set[str]:
        listed = git("ls-tree", "-r", "-z", "--name-only", "fleet", cwd=self.bare)
        return set(listed.split("\0")) - {""}

    def status(self, task_id: str) -> str:
        board = Store(find(self.bare), branch="fleet").board()
        return str(status_of(board, task_id, utc_now()).status)

    def broken(self) -> list[str]:
        """The findings that fsck calls broken."""
        store = Store(find(self.bare), branch="fleet")
        tip = store.tip()
        assert tip is not None
        return [str(one.violation) for one in repair.check(store, tip) if one.broken]

    def start(self, files: Files) -> None:
        """Both clones have these files."""
        if files:
            self.ann.push(files)
            git("pull", "-q", "--ff-only", "origin", "fleet", cwd=self.ben.window)


def two_desks(folder: Path) -> Desks:
    """A remote's bare repository with a board, and two people's clones."""
    copied(folder, "two-desks", _make_desks)
    return Desks(folder / "remote.git", *(Desk(folder / one.lower(), one) for one in _PEOPLE))


def _make_desks(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    seed = init(folder / "seed", name="desks")
    Store(find(seed)).create(setup_clone.first_files("main", ()), ADA)
    bare = folder / "remote.git"
    git("clone", "-q", "--bare", str(seed), str(bare), cwd=folder)
    git("config", "receive.denyDeletes", "false", cwd=bare)
    for name in _PEOPLE:
        path = folder / name.lower()
        git("clone", "-q", str(bare), str(path), cwd=folder)
        git("config", "user.name", name, cwd=path)
        git("config", "user.email", f"{name.lower()}@example.org", cwd=path)
        setup_clone.prepare_clone(find(path))
        git("worktree", "add", "-q", "-b", "fleet", ".fleet", "origin/fleet", cwd=path)


# -- the ways in


@dataclass(frozen=True)
class Merged:
    """The fate of Ben's commit: the clone that merged it, and the words that told of it."""

    desk: Desk
    told: str
    commit: str
    kept: str  # where a conflict's salvage ref is


def by_inbox(desks: Desks, files: Files) -> Merged:
    """Ben pushes an inbox branch, and Ann's runner reads it."""
    made = desks.ben.commit(files)
    git("push", "-q", "origin", f"{made}:{INBOX_BRANCH}", cwd=desks.ben.path)
    git("fetch", "-q", "origin", cwd=desks.ann.path)
    desks.ann.read_inbox()
    assert refs.read(find(desks.bare), INBOX_BRANCH) is None
    told = "\n".join(desks.ann.lines)
    return Merged(desks.ann, told, made, f"{salvage.PREFIX}in/{made[:10]}")


def by_run(desks: Desks, files: Files) -> Merged:
    """A runner in Ben's clone finds his commit."""
    made = desks.ben.commit(files)
    desks.ben.runner()
    told = "\n".join(desks.ben.lines)
    return Merged(desks.ben, told, made, f"{salvage.PREFIX}edits/{made[:10]}")


def by_verb(desks: Desks, files: Files) -> Merged:
    """A verb in Ben's clone finds his commit."""
    made = desks.ben.commit(files)
    told = desks.ben.add("other")
    return Merged(desks.ben, told, made, f"{salvage.PREFIX}edits/{made[:10]}")


WAYS: Final[Mapping[str, Callable[[Desks, Files], Merged]]] = {
    "inbox branch": by_inbox,
    "commits found by a runner": by_run,
    "commits found by a verb": by_verb,
}
