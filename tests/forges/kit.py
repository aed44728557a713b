"""A board on a bare repository that a forge serves, with a question on it; and the publisher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store, utc_now
from gitfleet.event_log import EventLog
from gitfleet.files import codec
from gitfleet.git.repo import find
from gitfleet.model.change import Change, Person
from gitfleet.model.question import Asker, Question
from gitfleet.questions.forge_service import ForgeService
from tests.conftest import git, init, no_conflict
from tests.template import copied

NAME = "map-tiles-1"
BRANCH = f"gitfleet/ask/{NAME}"
PATH = f"questions/{NAME}.md"
TASK = "---\ntitle: Store map tiles\n---\nTiles are kept, so that a walk shows without a network.\n"
ADA = Person("Ada Author", "ada@example.org")


@dataclass
class Desk:
    """A clone of the board, a runner's publisher in it, and what it said."""

    clone: Path
    bare: Path
    fleet: Project
    lines: list[str] = field(default_factory=list)

    @contextmanager
    def publisher(self) -> Iterator[ForgeService]:
        """A fresh one, as after a restart."""
        made = ForgeService(self.fleet)
        try:
            yield made
        finally:
            made.leave()

    def round(self) -> None:
        """One round by a publisher that remembers nothing."""
        with self.publisher() as made:
            made.round()

    @property
    def question(self) -> Question:
        """The question as the remote has it."""
        remote = self.fleet.store.backend.remote
        if remote is not None:
            remote.fetch()
        entry = self.fleet.store.board().get("map-tiles")
        assert entry is not None
        return next(one for one in entry.questions if one.name == NAME)

    def author(self) -> str:
        """Who wrote the newest commit of the board on the remote."""
        return git("log", "-1", "--format=%an <%ae>", "fleet", cwd=self.bare)

    def file(self, branch: str, path: str = PATH) -> str:
        """A file of a branch on the remote."""
        return git("show", f"{branch}:{path}", cwd=self.bare)

    def write(self, files: dict[str, bytes | None], subject: str = "x") -> None:
        """Change the board."""
        result = self.fleet.store.transact(
            lambda _board, _now: Change(subject=subject, files=files, tasks=("map-tiles",))
        )
        assert result.won

    def ask(
        self, name: str = NAME, text: str = "How large may the store become?", **more: Any
    ) -> None:
        """Put a question onto the board."""
        question = Question(
            task="map-tiles",
            asked=utc_now(),
            by=Asker(runner="birch", coder="claude", attempt=1),
            name=name,
            text=text,
            **more,
        )
        self.write({f"questions/{name}.md": codec.write_question(question)})

    def edit(self, branch: str, answer: str, who: Person) -> None:
        """Write an answer on a branch of the remote, as somebody does in a browser."""
        edit(self.bare, self.clone.parent / f"edit-{len(answer)}", branch, PATH, answer, who)


def edit(bare: Path, work: Path, branch: str, path: str, answer: str, who: Person) -> Path:
    """Write an answer at the end of a file of a branch, and push it; the clone it was made in."""
    git("clone", "-q", "-b", branch, str(bare), str(work), cwd=bare)
    file = work / path
    file.write_text(file.read_text().rstrip("\n") + f"\n{answer}\n")
    env = ("-c", f"user.name={who.name}", "-c", f"user.email={who.email}")
    git(*env, "commit", "-qam", "An answer", f"--author={who}", cwd=work)
    git("push", "-q", "origin", branch, cwd=work)
    return work


def settings(text: str) -> bytes:
    """fleet.yaml with these lines besides."""
    return f"format: 2\ntarget: main\n{text}\n".encode()


def _make(folder: Path, forge: str) -> None:
    folder.mkdir(exist_ok=True)
    bare = init(folder / "board.git", name="", bare=True)
    clone = init(folder / "clone", name="clone")
    git("remote", "add", "origin", str(bare), cwd=clone)
    git("push", "-q", "origin", "main", cwd=clone)
    files = {"fleet.yaml": settings(forge), "tasks/map-tiles.md": TASK.encode()}
    Store(find(clone)).create(files, ADA)


@contextmanager
def desk(tmp_path: Path, forge: str, *, shared: bool = True) -> Iterator[Desk]:
    """A board with one task, its settings, and no question yet."""
    bare, clone = tmp_path / "board.git", tmp_path / "clone"
    if forge:
        _make(tmp_path, forge)
    else:
        copied(tmp_path, "forge-desk", lambda folder: _make(folder, ""))
    repo = find(clone)
    local = Store(repo)
    lines: list[str] = []
    report = EventLog(lines.append)
    store = local
    if shared:
        git("push", "-q", "origin", "fleet", cwd=clone)
        git("fetch", "-q", "origin", cwd=clone)
        who = Store(repo, runner="birch")
        swap = RemoteBackend(repo, "fleet", "origin", who.signature, no_conflict, report.action)
        store = Store(repo, runner="birch", swap=swap)
    store.backend.refresh()
    fleet = Project(repo, Clone(repo), store, report, "birch", "main", WorkspacePool(repo))
    yield Desk(clone, bare if shared else clone, fleet, lines)
    fleet.giving_up.set()
