"""A clone with its store, as the product makes them; they note which attempt asks for what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from gitfleet.board.clone_state import Clone, PendingClaim
from gitfleet.board.edit_conflicts import log_edits
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.board.store import Store
from gitfleet.board.transaction import Request, Transaction
from gitfleet.event_log import EventLog
from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Decide
from tests.simulation.memory_git import MemoryRepo
from tests.simulation.server import Act, Server
from tests.simulation.world import Machine

REMOTE = "origin"
TRACKED = f"refs/remotes/{REMOTE}/"


class MemoryClone(Clone):
    """What a clone keeps, whatever happens to the processes. Each nonce is of one attempt."""

    def __init__(self, server: Server, repo: MemoryRepo) -> None:
        super().__init__(repo)
        self.world, self.server, self.memory = server.world, server, repo
        self.owner: object = None  # the runner that lives here now
        self.pending: dict[str, PendingClaim] = {}
        self.ghosts: dict[str, int] = {}  # nonce -> the last attempt that claimed with it

    @contextlib.contextmanager
    def only_runner(self) -> Iterator[None]:
        yield

    def note_pending(self, held: PendingClaim) -> None:
        self.world.check()
        self.pending[held.nonce] = held
        self.world.ghosts += 1
        self.ghosts[held.nonce] = self.world.ghosts
        self.server.owner_of[self.world.ghosts] = self.owner

    def drop_pending(self, nonce: str) -> None:
        self.world.check()
        self.pending.pop(nonce, None)

    def pending_claims(self) -> dict[str, PendingClaim]:
        return dict(self.pending)


class _Asked:
    """A decision, and the attempt that asks for it."""

    def __init__(self, decide: Decide, ghost: int | None) -> None:
        self._decide, self.ghost = decide, ghost

    def __call__(self, board: Board, now: datetime) -> Change | None:
        return self._decide(board, now)


class NotingStore(Store):
    """A store that notes which attempts are behind a commit. It reads a board once for all."""

    def __init__(self, server: Server | None, repo: MemoryRepo, clone: MemoryClone | None) -> None:
        super().__init__(repo, branch="fleet")
        self.memory, self.server, self.clone = repo, server, clone
        self._group: list[Request] = []

    def _read(self, commit: str) -> Board:
        boards = self.memory.library.boards
        if commit not in boards:
            self.objects.commit(commit)  # it must be here
            board = super()._read(commit)
            # A set decides the order of what came in one commit: not the same in every process.
            boards[commit] = replace(board, entries=dict(sorted(board.entries.items())))
        return boards[commit]

    def transact_all(self, decides: Sequence[Decide]) -> list[Transaction]:
        current = self.memory.library.world.current
        ghost = current.ghost if current else None
        return super().transact_all([_Asked(decide, ghost) for decide in decides])

    def _decided(self, board: Board, left: list[Request]) -> list[Request]:
        self._group = super()._decided(board, left)
        return self._group

    def _commit(self, board: Board, change: Change) -> str:
        made = super()._commit(board, change)
        if self.server is not None:
            acts = (act for request in self._group for act in self._acts(board, request))
            self.server.acts[made] = tuple(acts)
        world = self.memory.library.world
        slow = 2.0 if world.dice.random() < 0.1 else 0.04
        world.sleep(slow * world.dice.random())  # blobs, trees and the commit are written
        return made

    def _acts(self, board: Board, request: Request) -> Iterator[Act]:
        """What a change does to claims."""
        assert isinstance(request.decide, _Asked)
        ghosts = self.clone.ghosts if self.clone else {}
        for path, data in request.change.files.items() if request.change else ():
            there = layout.place(path)
            if there.what is not layout.FileKind.CLAIM:
                continue
            if data is not None:
                claim, _ = codec.read_claim(data, path)
                assert claim is not None
                yield Act("claim", there.task, ghosts[claim.nonce])
                continue
            claim = board.entries[there.task].claim
            known = ghosts.get(claim.nonce) if claim else None
            ghost = request.decide.ghost
            yield Act("end", there.task, known if ghost is None else ghost)


def store_at(
    machine: Machine,
    server: Server,
    repo: MemoryRepo,
    report: EventLog,
    *,
    runner: str | None = None,
    clone: MemoryClone | None = None,
) -> NotingStore:
    """The store of one process in a clone, with its view of the remote."""
    store = NotingStore(server, repo, clone)
    store.runner, store.now = runner, machine.clock
    store.backend = RemoteBackend(
        repo, store.branch, REMOTE, store.signature, log_edits(report), report.action
    )
    return store


def folder_of(top: Path, name: str) -> Path:
    """The folder of a clone, which only run directories use."""
    folder = top / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
