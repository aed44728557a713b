"""Whether a coder can work here: its program, its version, and one tiny call.

The call is made as an attempt is: the coder's own command, the environment that attempts get, a
worktree of the target. What it writes there goes with it; no board, branch or run of a task knows
of it.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.attempt.coder_session import server_of
from gitfleet.attempt.context import Fleet, Order
from gitfleet.attempt.environment import environment, outbox_of, scratch
from gitfleet.coders import registry
from gitfleet.coders.base import Cannot, Coder, Evidence, Failure, Job, Judgement, Mcp, Tally
from gitfleet.coders.stream import Stream
from gitfleet.errors import FleetError
from gitfleet.git import refs, worktree
from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.states import Role
from gitfleet.model.task import Task
from gitfleet.plan.scheduler import Pick
from gitfleet.process.kill import end
from gitfleet.process.launch import Limits, Spec, start
from gitfleet.process.run import run
from gitfleet.process.tail import end_of

PROMPT: Final = (
    "This only tests whether you can be reached. Answer with the one word: ready. Use no tool and"
    " change no file.\n"
)
_NAME: Final = ".doctor-"  # no task's id begins with a dot
_VERSION_SECONDS: Final = 20.0
_GRACE: Final = 5.0  # seconds between TERM and KILL
_TAIL: Final = 2000  # bytes of what it said last


class Program(Struct, frozen=True):
    """The program of a coder. `path` empty: it is not there; `version` empty: it tells none."""

    name: str
    path: str = ""
    version: str = ""
    known: bool = True  # the coder's module was tried with this version


class Answer(Struct, frozen=True, kw_only=True):
    """What came of a call. Without `reason` it answered."""

    took: float  # seconds
    reason: str = ""
    failure: Failure | None = None
    until: datetime | None = None
    late: bool = False  # it had not ended when its time was over


# -- the program


def program(fleet: Fleet, board: Board, name: str, *, start: bool) -> Program:
    """Find a coder's program as an attempt would, and ask for its version.

    `start` False: nothing is started that the board names, for whoever can write it may be anyone.
    """
    coder = _coder(board, name)
    settings = board.settings.coders.get(name) or CoderSettings()
    wanted = settings.program or (settings.argv[0] if settings.argv else coder.program)
    if not wanted:
        return Program(name, path=name)
    with scratch(secrets.token_hex(8)) as tmp:
        order = _order(fleet, board, name, "", "0" * 40)
        env = environment(fleet, order, tmp, tmp)
        path = settings.env.get("PATH", env["PATH"])
        found = shutil.which(wanted, path=path)
        if found is None:
            return Program(wanted)
        own = settings.program is None and not settings.env
        if settings.argv or not coder.versions or not (start or own):
            return Program(wanted, found)
        version = _version(coder, found, {**env, **settings.env}, tmp)
    return Program(wanted, found, version, version in coder.versions)


def _version(coder: Coder, path: str, env: Mapping[str, str], tmp: Path) -> str:
    done = run((path, *coder.version_argv), cwd=tmp, env=env, timeout=_VERSION_SECONDS)
    told = coder.version_re.search(done.stdout.decode(errors="replace"))
    return told[0] if told else ""


def _coder(board: Board, name: str) -> Coder:
    coder = registry.find(name, board.settings.coders)
    if coder is None:
        raise FleetError(
            f"there is no coder {name!r}", remedy="Describe it in fleet.yaml under `coders`."
        )
    return coder


# -- the call


def call(fleet: Fleet, board: Board, name: str, model: str, *, limit: float) -> Answer:
    """Ask for one word, for at most `limit` seconds. Leaves no process and no file behind.

    FleetError if no worktree can be made.
    """
    coder = _coder(board, name)
    with _workspace(fleet, board) as (path, base), contextlib.ExitStack() as stack:
        order = _order(fleet, board, name, model, base)
        tmp = stack.enter_context(scratch(order.claim.nonce))
        fleet.clone.folder.mkdir(parents=True, exist_ok=True)
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=fleet.clone.folder)))
        for folder in (outbox_of(run_dir), run_dir / "inbox"):
            folder.mkdir()
        env = environment(fleet, order, run_dir, tmp)
        mcp = server_of(order, env) if coder.mcp else None
        job = _job(fleet, order, path, run_dir, mcp)
        return _run(fleet, coder, job, env, order.claim.nonce, limit)


def _run(
    fleet: Fleet, coder: Coder, job: Job, env: Mapping[str, str], nonce: str, limit: float
) -> Answer:
    began = time.monotonic()
    try:
        launch = coder.launch(job)
        limits = Limits(attempt=limit + _GRACE)  # it ends even if we are killed meanwhile
        spec = Spec(launch.argv, job.workspace, {**env, **launch.env}, nonce, launch.stdin, limits)
        running = start(job.run_dir, spec)
    except Cannot as error:
        return Answer(took=0.0, reason=str(error), failure=Failure.MISCONFIGURED)
    except FleetError as error:
        return Answer(took=0.0, reason=error.what, failure=Failure.MISCONFIGURED)
    try:
        in_time = running.wait(limit)
        took = time.monotonic() - began
    finally:
        end(running.child, nonce, grace=_GRACE)
        ended = running.wait(_GRACE)
        running.close()
    tally = _tally(coder, job)
    if in_time is None:
        return _late(fleet, tally, job.run_dir, took)
    evidence = Evidence(
        exit=ended or in_time,
        tally=tally,
        stdout=job.run_dir / "stdout",
        stderr=job.run_dir / "stderr",
    )
    return _answer(fleet, coder.judge(evidence), job.run_dir, took)


def _tally(coder: Coder, job: Job) -> Tally:
    stream = Stream(coder.reader(job))
    for _ in stream.feed((job.run_dir / "stdout").read_bytes()):
        pass
    for _ in stream.end():
        pass
    return stream.tally


def _late(fleet: Fleet, tally: Tally, run_dir: Path, took: float) -> Answer:
    """It did not end in time; perhaps it had said why."""
    said = tally.error or _last_words(fleet, run_dir)
    reason = f"it had not ended after {took:.0f} s" + (f": {said}" if said else "")
    return Answer(took=took, reason=reason, failure=tally.failure, until=tally.until, late=True)


def _answer(fleet: Fleet, judged: Judgement, run_dir: Path, took: float) -> Answer:
    if judged.outcome is None:
        return Answer(took=took)
    words = _last_words(fleet, run_dir)
    reason = judged.reason if not words or words in judged.reason else f"{judged.reason}: {words}"
    return Answer(
        took=took,
        reason=fleet.mask.text(reason),
        failure=judged.failure,
        until=judged.until,
    )


def _last_words(fleet: Fleet, run_dir: Path) -> str:
    """The last line of its standard error, without secrets."""
    mask = fleet.mask
    said = mask.tail(end_of(run_dir / "stderr", _TAIL + mask.reach), _TAIL)
    lines = said.strip().splitlines()
    return lines[-1][:300] if lines else ""


# -- what it is called with


@contextlib.contextmanager
def _workspace(fleet: Fleet, board: Board) -> Iterator[tuple[Path, str]]:
    """A worktree of the target and its commit; removed after."""
    target = board.settings.target or fleet.default_target
    base = fleet.tip_of(target) or refs.read(fleet.repo, "HEAD")
    if base is None:
        raise FleetError(f"there is no branch {target} to try a coder on")
    path = fleet.clone.workspaces / f"{_NAME}{secrets.token_hex(4)}"
    with fleet.worktrees:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        worktree.add(fleet.repo, path, branch=None, base=base)
    try:
        yield path, base
    finally:
        with fleet.worktrees:
            worktree.remove(fleet.repo, path)


def _order(fleet: Fleet, board: Board, name: str, model: str, base: str) -> Order:
    """An attempt that nobody claimed, at a task that is on no board."""
    task = "doctor"
    claim = Claim(
        runner=fleet.runner,
        nonce=secrets.token_hex(16),
        role=Role.WORK,
        attempt=1,
        coder=name,
        model=model,
        task_blob="0" * 40,
        base=base,
        at=datetime.now(UTC).replace(microsecond=0),
    )
    target = board.settings.target or fleet.default_target
    return Order(
        board=board,
        entry=Entry(id=task, task=Task(title="Say ready", body=PROMPT)),
        pick=Pick(task=task, role=Role.WORK, coder=name, model=model, target=target),
        claim=claim,
        claimed=time.monotonic(),
    )


def _job(fleet: Fleet, order: Order, path: Path, run_dir: Path, mcp: Mcp | None) -> Job:
    name = order.claim.coder
    prompt = run_dir / "prompt.md"
    prompt.write_text(PROMPT)
    settings = order.board.settings.coders.get(name) or CoderSettings()
    allowed = fleet.machine.permissions.get(name, Permission.LEAST)
    assert order.entry.task is not None
    return Job(
        task=order.task,
        title=order.entry.task.title,
        body=order.entry.task.body,
        role=Role.WORK,
        model=order.claim.model,
        prompt=prompt,
        workspace=path,
        run_dir=run_dir,
        settings=settings,
        mcp=mcp,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )
