"""Check whether a coder works here: its program, its version, and one small call.

The call runs like an attempt: the coder's own command, the environment of attempts, a worktree of
the target. Its files are removed with the worktree; no board, branch or task is involved.
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
from gitfleet.attempt.context import ClaimedTask, Project
from gitfleet.attempt.environment import environment, scratch
from gitfleet.coders import registry
from gitfleet.coders.base import (
    Cannot,
    Coder,
    FinishedRun,
    Job,
    Judgement,
    Mcp,
    Tally,
    launch_of,
)
from gitfleet.coders.stream import Stream
from gitfleet.errors import FleetError
from gitfleet.execution.base import LaunchSpec, RunLimits
from gitfleet.git import refs
from gitfleet.model.board import Board, Entry
from gitfleet.model.claim import Claim
from gitfleet.model.config import CoderSettings, Permission
from gitfleet.model.states import Failure, Role
from gitfleet.model.task import Task
from gitfleet.plan.scheduler import Assignment
from gitfleet.process.kill import PROBE_GRACE
from gitfleet.process.run import run
from gitfleet.process.tail import end_of
from gitfleet.run_dir import RunDir

PROMPT: Final = (
    "This only tests whether you can be reached. Answer with the one word: ready. Use no tool and"
    " change no file.\n"
)
_NAME: Final = ".doctor-"  # no task's id starts with a dot
_VERSION_SECONDS: Final = 20.0
_TAIL: Final = 2000  # bytes of its last output


class Program(Struct, frozen=True):
    """A coder's program. `path` empty: not found; `version` empty: unknown."""

    name: str
    path: str = ""
    version: str = ""
    known: bool = True  # the coder's module was tested with this version


class CoderProbe(Struct, frozen=True, kw_only=True):
    """The result of a call. Without `reason` the coder answered."""

    took: float  # seconds
    reason: str = ""
    failure: Failure | None = None
    until: datetime | None = None
    late: bool = False  # it had not ended at its time limit


# -- the program


def program(project: Project, board: Board, name: str, *, start: bool) -> Program:
    """Find a coder's program as an attempt would, and ask for its version.

    `start` False: start no program that the board names, since anyone may be able to write the
    board.
    """
    coder = _coder(project, board, name)
    settings = board.settings.coders.get(name) or CoderSettings()
    wanted = settings.program or (settings.argv[0] if settings.argv else coder.program)
    if not wanted:
        return Program(name, path=name)
    with scratch(secrets.token_hex(8)) as tmp:
        claimed = _claimed(project, board, name, "", "0" * 40)
        env = environment(project, claimed, RunDir(tmp), tmp)
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


def _coder(project: Project, board: Board, name: str) -> Coder:
    described, listed = board.settings.coders, project.machine.plugins
    coder = registry.find(name, described, listed)
    if coder is None:
        raise registry.absence(name, described, listed) or FleetError(
            f"the coder {name} is no longer configured"
        )
    return coder


# -- the call


def call(project: Project, board: Board, name: str, model: str, *, limit: float) -> CoderProbe:
    """Ask for one word, for at most `limit` seconds. Leaves no process and no file behind.

    FleetError if no worktree can be created.
    """
    coder = _coder(project, board, name)
    with _workspace(project, board) as (path, base), contextlib.ExitStack() as stack:
        claimed = _claimed(project, board, name, model, base)
        tmp = stack.enter_context(scratch(claimed.claim.nonce))
        project.clone.folder.mkdir(parents=True, exist_ok=True)
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=project.clone.folder))
        run_dir = RunDir(Path(folder))
        run_dir.outbox.mkdir()
        run_dir.inbox.mkdir()
        env = environment(project, claimed, run_dir, tmp)
        mcp = server_of(claimed, env) if coder.mcp else None
        job = _job(project, claimed, path, run_dir, mcp)
        return _run(project, coder, job, env, claimed.claim.nonce, limit)


def _run(
    project: Project, coder: Coder, job: Job, env: Mapping[str, str], nonce: str, limit: float
) -> CoderProbe:
    began = time.monotonic()
    files = RunDir(job.run_dir)
    try:
        launch = launch_of(coder, job)
        limits = RunLimits(attempt=limit + PROBE_GRACE)  # it ends even if we are killed meanwhile
        spec = LaunchSpec(
            launch.argv, job.workspace, {**env, **launch.env}, nonce, launch.stdin, limits
        )
        running = project.executor.start(files, spec)
    except Cannot as error:
        return CoderProbe(took=0.0, reason=str(error), failure=Failure.MISCONFIGURED)
    except FleetError as error:
        return CoderProbe(took=0.0, reason=error.what, failure=Failure.MISCONFIGURED)
    try:
        in_time = running.wait(limit)
        took = time.monotonic() - began
    finally:
        project.executor.end(running, nonce, grace=PROBE_GRACE)
        ended = running.wait(PROBE_GRACE)
        running.close()
    tally = _tally(coder, job)
    if in_time is None:
        return _late(project, tally, files, took)
    evidence = FinishedRun(
        exit=ended or in_time,
        tally=tally,
        stdout=files.stdout,
        stderr=files.stderr,
    )
    return _answer(project, coder.judge(evidence), files, took)


def _tally(coder: Coder, job: Job) -> Tally:
    stream = Stream(coder.reader(job))
    for _ in stream.feed(RunDir(job.run_dir).stdout.read_bytes()):
        pass
    for _ in stream.end():
        pass
    return stream.tally


def _late(project: Project, tally: Tally, run_dir: RunDir, took: float) -> CoderProbe:
    """The result for a coder that did not end in time; its output may contain the reason."""
    said = tally.error or _last_words(project, run_dir)
    reason = f"it had not ended after {took:.0f} s" + (f": {said}" if said else "")
    return CoderProbe(took=took, reason=reason, failure=tally.failure, until=tally.until, late=True)


def _answer(project: Project, judged: Judgement, run_dir: RunDir, took: float) -> CoderProbe:
    if judged.failure is None:
        return CoderProbe(took=took)
    words = _last_words(project, run_dir)
    reason = judged.reason if not words or words in judged.reason else f"{judged.reason}: {words}"
    return CoderProbe(
        took=took,
        reason=project.mask.text(reason),
        failure=judged.failure,
        until=judged.until,
    )


def _last_words(project: Project, run_dir: RunDir) -> str:
    """The last line of its standard error, without secrets."""
    mask = project.mask
    said = mask.tail(end_of(run_dir.stderr, _TAIL + mask.reach), _TAIL)
    lines = said.strip().splitlines()
    return lines[-1][:300] if lines else ""


# -- the context of the call


@contextlib.contextmanager
def _workspace(project: Project, board: Board) -> Iterator[tuple[Path, str]]:
    """A worktree of the target and its commit; removed afterwards."""
    target = board.settings.target or project.default_target
    base = project.tip_of(target) or refs.read(project.repo, "HEAD")
    if base is None:
        raise FleetError(f"there is no branch {target} to try a coder on")
    path = project.clone.workspaces / f"{_NAME}{secrets.token_hex(4)}"
    project.workspaces.add(path, branch=None, base=base)
    try:
        yield path, base
    finally:
        project.workspaces.remove(path)


def _claimed(project: Project, board: Board, name: str, model: str, base: str) -> ClaimedTask:
    """An attempt without a claim, on a task that is on no board."""
    task = "doctor"
    claim = Claim(
        runner=project.runner,
        nonce=secrets.token_hex(16),
        role=Role.WORK,
        attempt=1,
        coder=name,
        model=model,
        task_blob="0" * 40,
        base=base,
        at=datetime.now(UTC).replace(microsecond=0),
    )
    target = board.settings.target or project.default_target
    return ClaimedTask(
        board=board,
        entry=Entry(id=task, task=Task(title="Say ready", body=PROMPT)),
        assignment=Assignment(task=task, role=Role.WORK, coder=name, model=model, target=target),
        claim=claim,
        claimed_at=time.monotonic(),
    )


def _job(
    project: Project, claimed: ClaimedTask, path: Path, run_dir: RunDir, mcp: Mcp | None
) -> Job:
    name = claimed.claim.coder
    prompt = run_dir.prompt
    prompt.write_text(PROMPT)
    settings = claimed.board.settings.coders.get(name) or CoderSettings()
    allowed = project.machine.permissions.get(name, Permission.LEAST)
    assert claimed.entry.task is not None
    return Job(
        task=claimed.task,
        title=claimed.entry.task.title,
        body=claimed.entry.task.body,
        role=Role.WORK,
        model=claimed.claim.model,
        prompt=prompt,
        workspace=path,
        run_dir=run_dir.path,
        settings=settings,
        mcp=mcp,
        permission=settings.permission if allowed is Permission.BYPASS else Permission.LEAST,
    )
