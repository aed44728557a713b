"""Read the board at any commit, and change it by compare-and-swap.

`transact(decide)` is the only way to write the board. `decide` sees the newest board and returns a
change; if the branch moved meanwhile, it is called again. The backend does the swap.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gitfleet.board.authorship import RUNNER, TXN, runner_signature
from gitfleet.board.backend import Backend, LocalBackend, TxnStatus, no_board
from gitfleet.board.board_files import read_blob, read_changed, read_file
from gitfleet.board.transaction import BoardRepairer, Request, Transaction, merged
from gitfleet.errors import FleetError
from gitfleet.files import boards, codec, layout
from gitfleet.files.redact import masked
from gitfleet.git import follow_branch, refs, yield_to_commits
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.command import git
from gitfleet.git.commits import Commit, Signature
from gitfleet.git.objects import Objects, TreeEntry
from gitfleet.git.remote import Unreachable
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.board import Entry as BoardEntry
from gitfleet.model.change import Change, Decide, Person
from gitfleet.model.secrets import NOTHING

_ROOT: Final = (
    "gitfleet board, format 1\n"  # of every format: the root is the same bytes everywhere
)
_TRIES: Final = 400
_KEPT: Final = 8  # boards of other commits that stay in memory


def utc_now() -> datetime:
    """The time, to the second, as events record it."""
    return datetime.now(UTC).replace(microsecond=0)


def branch_of(repo: Repo) -> str:
    """The name of the fleet branch in this clone."""
    return repo.fleet_branch


class Store:
    """The board of one repository. Safe to use from any thread."""

    def __init__(
        self,
        repo: Repo,
        *,
        branch: str | None = None,
        runner: str | None = None,
        now: Callable[[], datetime] = utc_now,
        swap: Backend | None = None,
    ) -> None:
        self.repo = repo
        self.branch = branch or branch_of(repo)
        self.ref = f"refs/heads/{self.branch}"
        self.objects = Objects(repo)
        self.runner = runner
        self.mask = NOTHING  # removes secrets from everything that this runner writes
        self.now = now
        self.backend: Backend = swap or LocalBackend(repo, self.ref)
        self.repairer: BoardRepairer | None = None  # only a runner has one
        self._sound: str | None = None  # the newest commit known to need no repair
        self._lock = threading.RLock()  # one transaction at a time
        self._reading = threading.RLock()  # never held during a conversation with a server
        self._queue: list[Request] = []
        self._queue_lock = threading.Lock()
        self._yielding = yield_to_commits.YieldToCommits(repo)
        self._boards: OrderedDict[str, Board] = OrderedDict()

    # -- reading

    def tip(self) -> str | None:
        """The board's commit, as far as this clone knows; None if there is no board."""
        return self.backend.cached_head()

    def board(self) -> Board:
        """The board at the tip. Raises FleetError if there is none.

        With a repairer, damage from a person's commit is repaired first.
        """
        with self._reading:
            # Read under the lock: checked after a newer commit, an older one would look like a
            # rewound branch, and everything before it would be checked again.
            tip = self.tip()
            if tip is None:
                raise no_board(self.ref)
            due = self._repair_due(tip)
        if due is not None:
            return self.transact(lambda _board, _now: None).board
        return self.board_at(tip)

    def board_at(self, commit: str) -> Board:
        """The board at any commit. Reads only the files that differ from a board read before."""
        with self._reading:
            known = self._boards.get(commit)
            if known is None:
                known = self._read(commit)
                self._boards[commit] = known
                while len(self._boards) > _KEPT:
                    self._boards.popitem(last=False)
            else:
                self._boards.move_to_end(commit)
            return known

    def empty(self) -> Board:
        """The board before the first commit."""
        return boards.EMPTY

    def _read(self, commit: str) -> Board:
        tree = self.objects.tree_of(commit)
        near = next(reversed(self._boards.values()), None)
        if near is None:
            changed = self.objects.diff(None, tree, deepest=layout.DEEPEST)
            board = boards.update(boards.EMPTY, read_changed(self.objects, changed), commit)
        else:
            changed = self.objects.diff(
                self.objects.tree_of(near.commit), tree, deepest=layout.DEEPEST
            )
            board = boards.update(near, read_changed(self.objects, changed), commit)
        return self._with_older_settings(board) if board.settings_problems else board

    def _with_older_settings(self, board: Board) -> Board:
        """If fleet.yaml is broken, the settings of the nearest older commit stay in force.

        They depend on the commit alone, not on what this process read before.
        """
        seen: set[str | None] = set()
        for commit in self.line(board.commit):
            if (known := self._boards.get(commit.oid)) is not None:
                return boards.with_settings(board, known.settings)
            found = self.objects.find(commit.tree, layout.SETTINGS)
            oid = found.oid if found and found.kind == "blob" else None
            if oid is not None and oid not in seen:
                settings, _ = codec.read_settings(read_blob(self.objects, oid).data)
                if settings is not None:
                    return boards.with_settings(board, settings)
            seen.add(oid)
        return boards.with_settings(board, boards.EMPTY.settings)

    def line(self, commit: str) -> Iterator[Commit]:
        """The board's mainline, newest first."""
        at: str | None = commit
        while at is not None:
            found = self.objects.commit(at)
            yield found
            at = found.parents[0] if found.parents else None

    def text(self, oid: str) -> bytes:
        """The bytes of a file of the board, by object id."""
        return self.objects.blob(oid)

    def file(self, board: Board, path: str) -> bytes | None:
        """The bytes of the file at `path` of a board."""
        found = self.objects.find(self.objects.tree_of(board.commit), path)
        return self.objects.blob(found.oid) if found and found.kind == "blob" else None

    def archived(self, board: Board, task: str) -> BoardEntry | None:
        """A finished task whose files are under done/, read on demand."""
        folder = board.archived.get(task)
        found = self.objects.find(self.objects.tree_of(board.commit), folder) if folder else None
        if found is None or found.kind != "tree":
            return None
        files = {
            layout.restored_path(task, path): file
            for path, entry in self.objects.walk(found.oid)
            if (file := read_file(self.objects, entry)) is not None
        }
        return boards.read_finished(files).get(task)

    # -- writing

    def transact(self, decide: Decide) -> Transaction:
        """Make the change that `decide` returns for the newest board.

        Raises the errors of `decide`, Unreachable if the board is shared and the remote does not
        answer, and FleetError if the board moves too fast for us.
        """
        return self.transact_all([decide])[0]

    def transact_all(self, decides: Sequence[Decide]) -> list[Transaction]:
        """Make several independent changes in few commits.

        Concurrent requests of other threads join them: with a remote, a push is expensive.
        """
        asked = [Request(decide) for decide in decides]
        with self._queue_lock:
            self._queue.extend(asked)
        with self._lock:
            self._serve(asked)
        return [request.outcome() for request in asked]

    def _serve(self, asked: Sequence[Request]) -> None:
        """Serve the requests, and those that other threads add; one thread serves at a time."""
        losses = 0
        waiting: list[Request] = []
        while not all(request.settled for request in asked):
            with self._queue_lock:
                waiting, self._queue = waiting + self._queue, []
            waiting = [request for request in waiting if not request.settled]
            moved = self._guarded_round(waiting)
            losses = 0 if moved else losses + 1
            if losses > _TRIES:
                for request in waiting:
                    request.error = FleetError(
                        f"{self.branch} moved {_TRIES} times during this write",
                        remedy=f"Find out what writes to it so often: `git log {self.branch}`.",
                    )
            elif losses:
                # Grows with losses, so that no runner is always too late.
                time.sleep(random.random() * self.backend.backoff(losses))  # noqa: S311
        with self._queue_lock:  # the threads of the other requests wait to serve them
            self._queue = [request for request in waiting if not request.settled] + self._queue

    def _guarded_round(self, left: list[Request]) -> bool:
        """One round; an error goes to every waiting request."""
        self._yielding.give_way(self.tip)
        try:
            return self._round(left)
        except BaseException as error:
            for request in left:
                request.error = error
            if not isinstance(error, Exception):
                raise
            return True

    def _round(self, left: list[Request]) -> bool:
        """Decide all requests, and commit those that fit together.

        False: another writer was faster.
        """
        with self.backend.exclusive():
            base = self.backend.refresh()
            if (repair := self._repair_due(base)) is not None:
                return self._repair(base, repair)
            board = self.board_at(base)
            group = self._decided(board, left)
            if not group:
                return True
            changes = [request.change for request in group if request.change is not None]
            together = changes[0] if len(changes) == 1 else merged(changes)
            commit = self._commit(board, together)
            outcome = self.backend.commit(board.commit, commit, together)
            if outcome is None:
                return False
            after = board
            if outcome.status is TxnStatus.WON:
                after, self._sound = self.board_at(commit), commit
            for request in group:
                request.result = Transaction(
                    status=outcome.status, board=after, change=request.change, why=outcome.why
                )
            return True

    def _repair_due(self, tip: str) -> Change | None:
        """The repair that must precede any decision on this commit."""
        with self._reading:
            if self.repairer is None or tip == self._sound:
                return None
            due = self.repairer.due(tip)
            if due is None:
                self._sound = tip
            return due

    def _repair(self, base: str, repair: Change) -> bool:
        """Make the repair. Afterwards, or if another writer was faster, all decide again."""
        assert self.repairer is not None
        commit = self._commit(self.board_at(base), repair)
        if self.objects.tree_of(commit) == self.objects.tree_of(base):
            self._sound = base  # a repair that changes nothing would repeat forever
            return True
        outcome = self.backend.commit(base, commit, repair)
        if outcome is None:
            return False
        if outcome.status is not TxnStatus.WON:
            raise Unreachable(f"could not save the repair of the board: {outcome.why}")
        self.repairer.done(repair)
        return True

    def _decided(self, board: Board, left: list[Request]) -> list[Request]:
        """Let each request decide on this board; return those whose changes may share a commit."""
        now = self.now()
        group: list[Request] = []
        taken: set[str] = set()
        for request in left:
            try:
                change = request.decide(board, now)
                if change is not None and change.author is None:
                    change = masked(self.mask, change)
            except Exception as error:
                request.error = error
                continue
            request.change = change
            if change is None:
                request.result = Transaction(status=TxnStatus.LOST, board=board)
                continue
            mine = {*change.files, *change.relocated, *change.tasks} | {
                f" {lock}" for lock in change.locks
            }
            if group and (change.alone or group[0].change_alone or mine & taken):
                continue  # it goes into the next commit
            group.append(request)
            taken |= mine
        return group

    def keep_windows(self) -> dict[Path, follow_branch.CannotFollow]:
        """Bring every checkout of the board to the board's tip.

        A checkout whose index was busy when the board moved stayed behind. Returns the reasons for
        those that cannot follow.
        """
        behind: dict[Path, follow_branch.CannotFollow] = {}
        with self._lock, self.backend.exclusive():
            for path in checkouts_of(self.repo, self.ref):
                refusal = follow_branch.catch_up(self.repo, path, self.ref)
                if refusal is not None:
                    behind[path] = refusal
        return behind

    def _commit(self, board: Board, change: Change) -> str:
        base = self.objects.tree_of(board.commit)
        files: dict[str, bytes | TreeEntry | None] = dict(change.files)
        for origin, goal in change.relocated.items():
            found = self.objects.find(base, origin)
            # Files that match the goal already are final: a later version of them stays.
            if found is not None and self.objects.find(base, goal) is None:
                files[origin], files[goal] = None, found
        tree = self.objects.write_tree(base, files)
        message = (
            f"{change.subject}\n\n{change.body}\n\n" if change.body else f"{change.subject}\n\n"
        )
        if change.author is None:
            message += f"{RUNNER}: {self.runner or 'gitfleet'}\n"
        message += f"{TXN}: {secrets.token_hex(16)}\n"
        message += "".join(f"{key}: {value}\n" for key, value in change.trailers.items())
        who = self.signature(change.author)
        return self.objects.write_commit(tree, [board.commit], message, who, who)

    def signature(self, person: Person | None = None) -> Signature:
        """The signature of commits made now: a person's, else the runner's."""
        when = int(self.now().timestamp())
        if person is not None:
            return Signature(person.name, person.email, when)
        return runner_signature(self.runner or "gitfleet", when)

    def write_merge(self, tree: str, parents: list[str], message: str, sign: bool) -> str:
        """The commit of a landing: a merge by the runner, signed if the settings say so."""
        who = self.signature()
        if not sign:
            return self.objects.write_commit(tree, parents, message, who, who)
        env = {
            "GIT_AUTHOR_NAME": who.name,
            "GIT_AUTHOR_EMAIL": who.email,
            "GIT_COMMITTER_NAME": who.name,
            "GIT_COMMITTER_EMAIL": who.email,
        }
        given = [word for parent in parents for word in ("-p", parent)]
        args = ("commit-tree", "-S", tree, *given)
        return git(*args, cwd=self.repo.here, env=env, input=message.encode()).out

    # -- creation

    def create(self, files: Mapping[str, bytes], person: Person) -> None:
        """Create the branch: the root, whose bytes are the same everywhere, then the settings.

        Harmless if it exists: its content stays, and missing files are not added.
        """
        root = self.root()
        if not refs.swap(self.repo, self.ref, None, root, message="init"):
            return

        def settings(board: Board, now: datetime) -> Change | None:
            if board.commit != root:
                return None
            return Change(subject="Set up the fleet", files=files, author=person)

        self.transact(settings)

    def root(self) -> str:
        """The first commit: a .gitkeep in each folder, with a fixed author, date and message."""
        tree = self.objects.write_tree(
            None, {f"{folder}/.gitkeep": b"" for folder in layout.FOLDERS}
        )
        who = Signature("gitfleet", "gitfleet@localhost", 0)
        return self.objects.write_commit(tree, [], _ROOT, who, who)
