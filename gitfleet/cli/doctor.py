"""`gitfleet doctor`: check this clone and this machine."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click
from msgspec import to_builtins

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board import heartbeats
from gitfleet.board.clone_state import Clone, read_json
from gitfleet.board.store import Store
from gitfleet.cli.main import own_version
from gitfleet.cli.support import doctor_coders, doctor_machine, runners_view
from gitfleet.cli.support.doctor_finding import (
    DoctorFinding,
    Examined,
    Level,
    of_error,
    ok,
    problem,
    warning,
)
from gitfleet.cli.support.session import machine, target_here
from gitfleet.cli.support.verb import Verb
from gitfleet.cli.support.write import remote_of
from gitfleet.doctor import probe_services
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.execution import registry
from gitfleet.git import refs, synced_commit, worktree
from gitfleet.git.repo import find, git_version, identity
from gitfleet.install import setup_clone
from gitfleet.model.board import Board, Problem
from gitfleet.model.config import Machine
from gitfleet.model.secrets import Mask, secrets_of
from gitfleet.model.states import FINISHED
from gitfleet.plan import upgrade
from gitfleet.plan.scheduler import target_of
from gitfleet.plan.status import status_of

_STALE: Final = 30.0  # seconds after which a lock without a holder is stale


@click.command(
    "doctor",
    cls=Verb,
    examples=(
        "gitfleet doctor",
        "gitfleet doctor --no-calls",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
@click.option(
    "--no-calls",
    is_flag=True,
    help="Do not call the coders. A call asks a model for one word, at its cost, and starts the"
    " commands in fleet.yaml.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=60,
    show_default=True,
    help="How long each coder may take to answer.",
)
def command(as_json: bool, no_calls: bool, seconds: float) -> int:
    """Check this clone, this machine and its coders. Exit status 1 if something does not work."""
    findings = []
    for finding in _examine(Path.cwd(), None if no_calls else seconds):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line)
    if as_json:
        click.echo(json.dumps(to_builtins(findings), indent=2, ensure_ascii=False))
    return 1 if any(finding.level is Level.PROBLEM for finding in findings) else 0


def _examine(start: Path, seconds: float | None) -> Iterator[DoctorFinding]:
    yield ok("gitfleet", f"{own_version()}, Python {platform.python_version()}")
    yield from doctor_machine.commands()
    try:
        repo = find(start)
        version = ".".join(map(str, git_version()))
    except FleetError as error:
        yield of_error("git", error)
        return
    yield ok("git", version)
    store = Store(repo)
    store.mask = Mask(secrets_of(os.environ))
    board: Board | None = None
    try:
        board = store.board()
    except FleetError as error:
        yield of_error("board", error)
    target = target_here(repo, store.branch) or "main"
    place = Examined(repo, Clone(repo), store, board, target, seconds)
    for look in _LOOKS:
        try:
            yield from look(place)
        except FleetError as error:
            yield of_error(look.__name__.strip("_"), error)


# -- the clone


def _repository(place: Examined) -> Iterator[DoctorFinding]:
    repo = place.repo
    if repo.bare:
        kind = "bare"
    elif repo.top is not None and repo.top != repo.main:
        kind = f"worktree of {repo.main}" if repo.main else "linked worktree"
    else:
        kind = "plain"
    yield ok("repository", f"{repo.common} ({kind})")


def _identity(place: Examined) -> Iterator[DoctorFinding]:
    who = identity(place.repo)
    if who is None:
        remedy = "git config --global user.name NAME; git config --global user.email MAIL"
        yield problem("identity", "git does not know who you are", remedy)
    else:
        yield ok("identity", f"{who[0]} <{who[1]}>")


def _locks(place: Examined) -> Iterator[DoctorFinding]:
    """Locks left by a git command that died; our own locks are held by their process."""
    common = place.repo.common
    found = [
        *common.glob("*.lock"),
        *(common / "refs").rglob("*.lock"),
        *common.glob("worktrees/*/*.lock"),
        *common.glob("objects/info/*.lock"),
    ]
    stale = [lock for lock in sorted(found) if _age(lock) > _STALE and not refs.is_open(lock)]
    for lock in stale:
        what = f"{lock} is {_age(lock):.0f} s old and no process has it open"
        yield problem("locks", what, "If no git command is running here, delete it.")
    if not stale:
        yield ok("locks", "no stale lock files")


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _runner(place: Examined) -> Iterator[DoctorFinding]:
    pid = place.clone.running_pid()
    held = place.clone.pending_claims()
    if pid is not None:
        yield ok("runner", f"running, process {pid}, {len(held)} attempts")
        live = heartbeats.live(read_json(place.clone.folder / heartbeats.LIVE))
        for service in runners_view.failing(live):
            remedy = service["remedy"] or "The runner retries; see its log."
            yield warning("runner", runners_view.failure(service), remedy)
    elif held:
        tasks = ", ".join(sorted(one.task for one in held.values()))
        what = (
            "none is running; the last one died, or stopped with --leave, while it"
            f" worked on {tasks}"
        )
        remedy = "`gitfleet run` resumes attempts that still run and settles the others."
        yield warning("runner", what, remedy)
    else:
        yield ok("runner", "none is running; `gitfleet run` starts one")


def _window(place: Examined) -> Iterator[DoctorFinding]:
    repo, store = place.repo, place.store
    path = setup_clone.window_of(repo)
    if path is None:
        yield ok("window", "none, because the repository is bare")
        return
    known = worktree.registered(repo, path)
    if known is None or not path.exists():
        if place.board is not None:
            remedy = "`gitfleet init` creates it."
            yield warning("window", f"the board is not shown in {setup_clone.WINDOW}/", remedy)
        return
    if known.branch != store.ref:
        name = (known.branch or "no branch").removeprefix("refs/heads/")
        what = f"{path} is on {name}, not on {store.branch}"
        yield warning("window", what, f"git -C {setup_clone.WINDOW} switch {store.branch}")
        return
    behind = synced_commit.in_step(repo, path) != store.tip()
    if behind:
        what = f"{path} is behind the board"
        yield warning(
            "window", what, "`gitfleet run` updates it, unless your edits are in the way."
        )
    elif edits := setup_clone.uncommitted(path):
        shown = ", ".join(edits[:5]) + (" …" if len(edits) > 5 else "")
        remedy = f"git -C {setup_clone.WINDOW} add -A && git -C {setup_clone.WINDOW} commit"
        yield warning("window", f"uncommitted, so no runner sees it: {shown}", remedy)
    else:
        yield ok("window", f"{path} is up to date")


# -- the board


def _board(place: Examined) -> Iterator[DoctorFinding]:
    board = place.board
    if board is None:
        return
    bad = [
        *(_of_problem(Level.PROBLEM, problem) for problem in board.settings_problems),
        *(_of_problem(Level.PROBLEM, old) for old in [upgrade.old_format(board)] if old),
        *(_of_problem(Level.PROBLEM, found[0]) for _, found in sorted(board.damage.items())),
        *(
            _of_problem(Level.WARNING, entry.problems[0])
            for _, entry in sorted(board.entries.items())
            if entry.problems
        ),
    ]
    yield from bad
    if not bad:
        yield ok("board", f"{place.store.branch}, {len(board.entries)} tasks, all files valid")


def _of_problem(level: Level, problem: Problem) -> DoctorFinding:
    what = f"{problem.where}: {problem.what}"
    return DoctorFinding(level, "board", what, problem.remedy or "Repair the file.")


def _target(place: Examined) -> Iterator[DoctorFinding]:
    board = place.board
    if board is None:
        return
    target = board.settings.target or place.target
    if refs.read(place.repo, f"refs/heads/{target}") is None:
        remedy = "Create the branch, or change `target` in fleet.yaml."
        yield problem("target", f"work lands on {target}, but there is no such branch", remedy)
    else:
        yield ok("target", f"work lands on {target}")
    for task, entry in sorted(board.entries.items()):
        own = target_of(board, entry, place.target)
        if own != target and _open(place, task) and not _exists(place, own):
            what = f"{task} lands on {own}, but there is no such branch"
            yield warning("target", what, "Create the branch, or change `base` in the task.")


def _exists(place: Examined, branch: str) -> bool:
    return refs.read(place.repo, f"refs/heads/{branch}") is not None


def _open(place: Examined, task: str) -> bool:
    assert place.board is not None
    return status_of(place.board, task, place.store.now()).status not in FINISHED


def _checks(place: Examined) -> Iterator[DoctorFinding]:
    if place.board is None:
        return
    checks = place.board.settings.checks
    if checks:
        yield ok("checks", "; ".join(checks))
    else:
        what = "none, so work would be merged untested"
        yield warning("checks", what, "Add some to fleet.yaml under `checks:`.")


def _coders(place: Examined) -> Iterator[DoctorFinding]:
    """Each role's coder; whether all named coders exist and answer."""
    if place.board is None:
        return
    own = _own_machine()
    try:
        executor = registry.find(own.executor, own.plugins)
    except FleetError as error:
        yield problem("executor", error.what, error.remedy)
        return
    fleet = Project(
        repo=place.repo,
        clone=place.clone,
        store=place.store,
        report=EventLog(lambda _line: None),
        runner="doctor",
        default_target=place.target,
        workspaces=WorkspacePool(place.repo),
        machine=own,
        executor=executor,
    )
    yield from doctor_coders.coders(fleet, place.board, seconds=place.seconds)


def _own_machine() -> Machine:
    """The machine's settings; the defaults if they are wrong, which another check reports."""
    try:
        return machine()
    except FleetError:
        return Machine()


def _outside(place: Examined) -> Iterator[DoctorFinding]:
    """The forge and the notification services."""
    if place.board is None:
        return
    own = _own_machine()
    for seen in probe_services.look(
        place.repo, place.board, own, remote_of(place.repo, place.store)
    ):
        yield DoctorFinding(Level(seen.grade), seen.about, seen.what, seen.remedy)


_LOOKS: Final[tuple[Callable[[Examined], Iterator[DoctorFinding]], ...]] = (
    _repository,
    _identity,
    _board,
    _target,
    _checks,
    _coders,
    _outside,
    doctor_machine.machine,
    doctor_machine.plugins,
    doctor_machine.disk,
    doctor_machine.watcher,
    _locks,
    _window,
    _runner,
)
