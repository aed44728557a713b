"""What the product finds in place of its outside: the whole list of what is not real here.

Clocks, dice, locks, events and threads are the world's; git is in memory; the remote is the server.
Coders and checks are played. There are no worktrees, no processes, and none of the runner's jobs
that concern neither claims nor their ends.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gitfleet import assets, background_service, failpoints
from gitfleet.attempt import (
    cleanup,
    coder_run,
    coder_session,
    do_work,
    environment,
    finish,
    prompt,
    workspace,
)
from gitfleet.attempt.checkpoint import save, snapshot
from gitfleet.attempt.context import AttemptContext, LiveStatus, Project, task_branch
from gitfleet.audit import repair
from gitfleet.coders import registry
from gitfleet.git import (
    checkouts,
    command,
    follow_branch,
    merge,
    objects,
    refs,
    remote,
    salvage,
    worktree,
    yield_to_commits,
)
from gitfleet.git.repo import Repo
from gitfleet.intake import inbox_branches
from gitfleet.landing import checks
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.process import orphans, procfs, wakeup
from gitfleet.questions import question_branch
from gitfleet.runner import attempt_thread, maintenance, services, watch
from tests.simulation import memory_git, stand_ins
from tests.simulation.coders import Coders
from tests.simulation.memory_git import MemoryObjects, MemoryRepo
from tests.simulation.server import Server
from tests.simulation.site import MemoryClone
from tests.simulation.world import World


class NoProcesses:
    """As an executor: a coder that is played dies with its machine, so none is ever left."""

    name = "none"

    def start(self, files: object, spec: object) -> Any:
        raise AssertionError("no process starts here")

    def attach(self, files: object) -> None:
        return None

    def renew(self, files: object, until: float) -> None:
        raise AssertionError("no process runs here")

    def end(self, run: object, marker: str, *, grace: float) -> tuple[str, ...]:
        return ()

    def find_left(self, marker: str) -> tuple[str, ...]:
        return ()


class _Services:
    """As `RunnerServices`, without those that concern neither claims nor their ends."""

    def __init__(
        self,
        project: Project,
        slots: int | None,
        lives: Callable[[], Mapping[str, LiveStatus]],
        wake: Callable[[], None],
        loop: object,
    ) -> None:
        handle = project.store.backend.remote
        assert handle is not None
        self.heartbeat = HeartbeatThread(project, handle, lives, wake, slots)
        project.leases.lease_left = self.heartbeat.lease_left
        self.is_leader = self.heartbeat.is_leader
        self.leases_kept = contextlib.nullcontext
        self.board_moved = self.attempt_ended = nothing

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.heartbeat.service.attempt()
        self.heartbeat.service.start()
        yield


def nothing(*_: object, **__: object) -> None:
    """Do nothing."""


def none(*_: object, **__: object) -> tuple[()]:
    """Find nothing."""
    return ()


def _failed(folder: Path, name: str) -> Path:
    """As `write_trace`: an error of the product is a finding."""
    error = sys.exc_info()[1]
    raise AssertionError(f"a bug in the product ({name}): {error!r}") from error


def stand_ins_of(world: World, server: Server, coders: Coders) -> list[tuple[object, object]]:
    """What the product finds in place of the outside: the real thing, and what replaces it."""
    clock = stand_ins.Time(world)
    real_attempt = attempt_thread.run_attempt
    locks: dict[Path, stand_ins.Lock] = {}
    coder = SimpleNamespace(fresh=world.plan.fresh, resumes=False)

    def lock_of(repo: Repo) -> stand_ins.Lock:
        return locks.setdefault(repo.common, stand_ins.Lock(world))

    def live_status(*given: Any) -> LiveStatus:
        live = LiveStatus(*given)
        live.began = live.heard = clock.monotonic()
        return live

    def run_attempt(ctx: AttemptContext, *given: Any) -> None:
        assert isinstance(ctx.project.clone, MemoryClone) and world.current is not None
        world.current.ghost = ctx.project.clone.ghosts[ctx.nonce]
        real_attempt(ctx, *given)

    def head_of(path: Path) -> tuple[str, str]:
        return f"refs/heads/{task_branch(path.name)}", ""

    def changed_paths(repo: MemoryRepo, old: str, new: str) -> tuple[str, ...]:
        trees = [repo.library.commits[one].tree if one in repo.library.commits else one
                 for one in (old, new)]  # fmt: skip
        return tuple(one.path for one in MemoryObjects(repo).diff(*trees))

    return [
        # the standard library
        (time, clock),
        (random, stand_ins.random_of(world)),
        (secrets, stand_ins.secrets_of(world)),
        (threading, stand_ins.threading_of(world)),
        (select, stand_ins.select_of(world)),
        (procfs.boot_seconds, clock.boot_seconds),
        (wakeup.Wakeup, partial(stand_ins.Wakeup, world)),
        # git
        (command.git, server.library.git),
        (objects.Objects, MemoryObjects),
        (refs.read, memory_git.read),
        (refs.names, memory_git.names),
        (refs.swap, memory_git.swap),
        (refs.swap_all, memory_git.swap_all),
        (refs.mutex, lock_of),
        (remote.push, server.push),
        (remote.fetch, server.fetch),
        (merge.merge_trees, memory_git.merge_trees),
        (merge.changed_paths, changed_paths),
        # worktrees: there are none
        (checkouts.checkouts_of, none),
        (follow_branch.recover, none),
        (worktree.remove, nothing),
        (worktree.head, head_of),
        (workspace.prepare, coders.prepare),
        (workspace.check_out, lambda project, task, commit: project.clone.check_workspace(task)),
        (workspace.unlock, nothing),
        (workspace.discard, nothing),
        (salvage.unreachable, lambda *given: False),
        (workspace.fill, lambda ctx, path, env: ""),
        (do_work._unsolved, none),
        (do_work._commit_rest, nothing),
        (do_work.tampering, none),
        # processes: none starts
        (coder_run.run_coder, coders.run_coder),
        (checks.run_on, coders.run_checks),
        (environment.scratch, contextlib.nullcontext),
        (environment.environment, lambda *given: {}),
        (coder_session.bring_over, nothing),
        (prompt.of_work, lambda *given: "Work."),
        (prompt.of_validation, lambda *given: "Judge."),
        (snapshot, nothing),
        (save, nothing),
        (cleanup.sweep, nothing),
        (cleanup.drop_scratch, nothing),
        (orphans.reap_orphans, nothing),
        (registry.find, lambda *given: coder),
        (registry.absence, nothing),
        # the runner's other jobs
        (services.RunnerServices, _Services),
        (maintenance.Maintenance, _NoMaintenance),
        (repair.Repairer, _NoRepairer),
        (question_branch.AskBranches, _NoBranches),
        (inbox_branches.read_inbox, nothing),
        (watch.watching, lambda folder, wake: contextlib.nullcontext()),
        (yield_to_commits.YieldToCommits, _NoCommits),
        (assets.own_version, lambda: "0"),
        # what this world watches
        (failpoints.point, lambda name: world.sleep(0.01)),
        (background_service.write_trace, _failed),
        (LiveStatus, live_status),
        (attempt_thread.run_attempt, run_attempt),
        (finish.log_end, coders.end_believed),
    ]


class _NoMaintenance:
    def __init__(self, project: Project, first: Callable[[], bool]) -> None:
        self.round = self.draw = nothing

    def short_of_disk(self) -> bool:
        return False


class _NoRepairer:
    def __init__(self, project: Project) -> None:
        self.remember = self.done = nothing

    def due(self, tip: str) -> None:
        return None


class _NoBranches:
    def __init__(self, project: Project, first: Callable[[], bool]) -> None:
        self.keep = nothing


class _NoCommits:
    def __init__(self, repo: Repo) -> None:
        self.give_way = nothing
