"""The shared context of a runner's work on one project, and the context of one attempt."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from gitfleet.attempt.lease_keeper import LeaseKeeper
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store
from gitfleet.event_log import EventLog
from gitfleet.execution import local
from gitfleet.execution.base import Executor
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.config import Machine
from gitfleet.model.event import Tokens
from gitfleet.model.secrets import Mask
from gitfleet.model.states import Role
from gitfleet.plan.outcome import StopOutcome, StopRequest
from gitfleet.plan.scheduler import Assignment
from gitfleet.process.wakeup import Wakeup
from gitfleet.run_dir import RunDir

TASK_BRANCH = "gitfleet/task/"


def task_branch(task: str) -> str:
    """The branch for work on a task."""
    return f"{TASK_BRANCH}{task}"


@dataclass(frozen=True)
class Project:
    """One clone with its board: the shared parts of all work. A process may hold several."""

    repo: Repo
    clone: Clone
    store: Store
    report: EventLog
    runner: str
    default_target: str
    workspaces: WorkspacePool
    machine: Machine = field(default_factory=Machine)
    executor: Executor = local.EXECUTOR
    # Tells executors how long the claims are ours.
    leases: LeaseKeeper = field(default_factory=LeaseKeeper)
    # Set when the runner must end at once: then nothing waits for a remote any more.
    giving_up: threading.Event = field(default_factory=threading.Event)

    @property
    def mask(self) -> Mask:
        """Removes secrets from everything that others may see."""
        return self.store.mask

    @property
    def objects(self) -> Objects:
        """The repository's objects."""
        return self.store.objects

    def tip_of(self, target: str) -> str | None:
        """The tip of a target; with a remote, the remote's tip."""
        return self.store.backend.tip_of(target)


class CancelToken:
    """Tells a running attempt to end. Any thread may call `stop`."""

    def __init__(self) -> None:
        self.wake = Wakeup()
        self._stop: StopRequest | None = None

    def stop(self, outcome: StopOutcome, reason: str) -> None:
        """End the attempt at once; the first reason counts."""
        if self._stop is None:
            self._stop = StopRequest(outcome, reason)
        self.wake.set()

    @property
    def stopped(self) -> StopRequest | None:
        """Why the attempt must end; None if it need not."""
        return self._stop


@dataclass
class LiveStatus:
    """The current activity of an attempt, for display. Written by its thread only."""

    task: str
    role: Role
    coder: str
    attempt: int
    doing: str = "starting"
    state: str = ""  # the coder's, as observed: `active`, `in tool Bash for 12s` …
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)  # time of its last output
    tokens: Tokens = field(default_factory=Tokens)
    context: int = 0  # tokens in the coder's context now; 0 if unknown
    window: int = 0  # tokens that fit into it
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=1))

    @property
    def last(self) -> str:
        """The last line of its output."""
        return self.lines[-1] if self.lines else ""


class ClaimedTask(Struct, frozen=True, kw_only=True):
    """One attempt to make: the task as claimed, and the claim."""

    board: Board
    entry: Entry
    assignment: Assignment
    claim: Claim
    claimed_at: float  # monotonic

    @property
    def task(self) -> str:
        """The task's id."""
        return self.entry.id


@dataclass(frozen=True)
class AttemptContext:
    """One running attempt: everything that its thread works with."""

    project: Project
    claimed: ClaimedTask
    cancel: CancelToken
    live: LiveStatus
    run_dir: RunDir

    @property
    def task(self) -> str:
        """The task's id."""
        return self.claimed.entry.id

    @property
    def nonce(self) -> str:
        """The nonce of its claim, which everything that it writes must carry."""
        return self.claimed.claim.nonce
