"""The shared context of a runner's work on one project, and the context of one attempt."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from gitfleet.attempt.lease_keeper import LeaseKeeper
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
    """The branch that work on a task is on."""
    return f"{TASK_BRANCH}{task}"


@dataclass
class Project:
    """One clone with its board: the things all work shares."""

    repo: Repo
    clone: Clone
    store: Store
    report: EventLog
    runner: str
    default_target: str
    machine: Machine = field(default_factory=Machine)
    # git takes locks of the whole repository to add a worktree, and its set-up may be heavy.
    worktrees: threading.Lock = field(default_factory=threading.Lock)
    # Accepted tasks that cannot land just now: why, and the move to try again.
    blocked: dict[str, BlockedLanding] = field(default_factory=dict)
    executor: Executor = local.EXECUTOR
    # What tells executors until when the claims are ours.
    leases: LeaseKeeper = field(default_factory=LeaseKeeper)
    # Set when the runner is to end at once: nobody waits for a remote any more.
    giving_up: threading.Event = field(default_factory=threading.Event)

    @property
    def mask(self) -> Mask:
        """What takes secrets out of everything that is written for others."""
        return self.store.mask

    @property
    def objects(self) -> Objects:
        """The repository's objects."""
        return self.store.objects

    def tip_of(self, target: str) -> str | None:
        """The tip of a branch that work lands on; with a remote, where the remote has it."""
        return self.store.backend.tip_of(target)


class BlockedLanding(Struct, frozen=True):
    """Why an accepted task cannot land: what would have to move."""

    reason: str
    ref: str
    old: str
    new: str
    since: float  # monotonic


class CancelToken:
    """How an attempt under way is told to end. Any thread may call `stop`."""

    def __init__(self) -> None:
        self.wake = Wakeup()
        self._stop: StopRequest | None = None

    def stop(self, outcome: StopOutcome, reason: str) -> None:
        """End it at once; the first reason counts."""
        if self._stop is None:
            self._stop = StopRequest(outcome, reason)
        self.wake.set()

    @property
    def stopped(self) -> StopRequest | None:
        """Why it is to end, if it is."""
        return self._stop


@dataclass
class LiveStatus:
    """What an attempt does just now, for people to see. Written by its thread only."""

    task: str
    role: Role
    coder: str
    attempt: int
    doing: str = "starting"
    state: str = ""  # of the coder, from what was seen of it: `active`, `in tool Bash for 12s` …
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)  # when it last said something
    tokens: Tokens = field(default_factory=Tokens)
    context: int = 0  # tokens in the coder's context now, 0 where that is not known
    window: int = 0  # and how many fit into it
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=1))

    @property
    def last(self) -> str:
        """The last line it said."""
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
    """One attempt under way: what its thread works with."""

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
        """The nonce of its claim, which everything it writes must carry."""
        return self.claimed.claim.nonce
