"""Resume a coder's own session where possible, and give a coder its MCP server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gitfleet.agent import outbox
from gitfleet.attempt.context import AttemptContext, ClaimedTask, Project
from gitfleet.attempt.start_point import StartMode, StartPoint
from gitfleet.coders import registry
from gitfleet.coders.base import Mcp
from gitfleet.model.durations import seconds
from gitfleet.model.event import Attempt, Tokens
from gitfleet.model.states import Outcome, Role
from gitfleet.plan import prompt_sections
from gitfleet.process.procfs import MARKER

# After these outcomes the coder's session is intact.
_GOES_ON: Final = frozenset({Outcome.ASKED, Outcome.INTERRUPTED, Outcome.LIMITED})
_PASSED_ON: Final = (
    "GITFLEET_TASK",
    "GITFLEET_ATTEMPT",
    "GITFLEET_ROLE",
    "GITFLEET_OUTBOX",
    "GITFLEET_INBOX",
    "GITFLEET_ASK_WAIT",
    MARKER,  # not all clients pass it on; by it we find and end the server
)
_LONGER: Final = 60  # seconds more than a tool itself waits


class CoderSession(Struct, frozen=True, kw_only=True):
    """A coder's own session to continue, and its usage so far."""

    id: str = ""
    used: Tokens = Tokens()
    usd: float = 0.0


def session_of(project: Project, claimed: ClaimedTask) -> CoderSession:
    """The session in which the last attempt of the same role stopped.

    None (an empty id) if the coder, model or clone has changed, or the coder cannot continue a
    session.
    """
    claim = claimed.claim
    attempts = [a for a in claimed.entry.attempts(claim.role) if a.nonce != claim.nonce]
    last = attempts[-1] if attempts else None
    coder = registry.find(claim.coder, claimed.board.settings.coders, project.machine.plugins)
    if last is None or coder is None or not coder.resumes or not last.session:
        return CoderSession()
    same = (last.runner, last.coder, last.model) == (project.runner, claim.coder, claim.model)
    if not same or last.outcome not in _GOES_ON:
        return CoderSession()
    runs = [a for a in attempts if a.session == last.session]
    return CoderSession(id=last.session, used=_sum(runs), usd=sum(a.usd for a in runs))


def _sum(runs: list[Attempt]) -> Tokens:
    return Tokens(
        input=sum(run.tokens.input for run in runs),
        output=sum(run.tokens.output for run in runs),
        cache_read=sum(run.tokens.cache_read for run in runs),
        cache_write=sum(run.tokens.cache_write for run in runs),
    )


def resume_prompt(project: Project, claimed: ClaimedTask, start_point: StartPoint) -> str:
    """The prompt for a continued session; empty if the coder must start a new one.

    The session contains the task and the work so far, but not the answers, nor a changed task.
    """
    if start_point.how is StartMode.MERGE or not session_of(project, claimed).id:
        return ""
    entry, task = claimed.entry, claimed.entry.task
    assert task is not None
    last = entry.attempts(claimed.claim.role)[-1]
    parts = [f"Continue the task {entry.id} where you stopped, in the same worktree."]
    answered = [question for question in entry.questions if not question.open]
    own = [question for question in answered if question.by.attempt == last.attempt]
    parts.append(prompt_sections.answers_section(own or answered))
    if last.task_blob not in (None, entry.blob):
        parts.append(f"# The task has changed since\n\n{task.title}\n\n{task.body.strip()}\n")
    return "\n\n".join(part for part in parts if part)


def bring_over(ctx: AttemptContext) -> None:
    """Give a plan in a continued session the tasks back that it has filed already.

    They were left in the outbox of the attempt that asked: a plan's tasks arrive with its end.
    """
    claim = ctx.claimed.claim
    if claim.role is not Role.PLAN or not session_of(ctx.project, ctx.claimed).id:
        return
    last = [a for a in ctx.claimed.entry.attempts(Role.PLAN) if a.nonce != claim.nonce][-1]
    old = ctx.project.clone.run_dir(ctx.task, last.attempt, last.nonce).outbox
    for filed in outbox.tasks(old, ctx.task):
        if isinstance(filed, outbox.FiledTask):
            (ctx.run_dir.outbox / filed.path.name).write_bytes(filed.addition.text)


def server_of(claimed: ClaimedTask, env: Mapping[str, str]) -> Mcp | None:
    """The MCP server for a coder's messages; None if the extra is not installed."""
    if importlib.util.find_spec("mcp") is None:
        return None
    wait = seconds(claimed.board.settings.ask.wait)
    return Mcp(
        argv=(sys.executable, "-P", "-m", "gitfleet", "mcp"),
        env={name: env[name] for name in _PASSED_ON if name in env},
        timeout=int(wait) + _LONGER,
    )
