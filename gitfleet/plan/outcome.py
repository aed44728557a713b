"""How an attempt ended:

`decide` turns all evidence into one outcome, by the first rule that matches.

Pure. The code that runs an attempt collects its `Evidence`, calls `decide`, and writes the result
on the board. A new source of evidence (another executor, a reviewer) adds a field here, and a rule
if it needs one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.model.durations import counted
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure, Outcome, Role
from gitfleet.model.verdict import Ruling, Verdict
from gitfleet.plan.liveness import Limit, LimitHit

OF_FAILURE: Final[Mapping[Failure, Outcome]] = {
    Failure.AUTH: Outcome.AUTH_FAILED,
    Failure.LIMITED: Outcome.LIMITED,
    Failure.OVERLOADED: Outcome.LIMITED,
    Failure.CONTEXT_FULL: Outcome.CONTEXT_FULL,
    Failure.REFUSED: Outcome.FAILED,
    Failure.DENIED: Outcome.FAILED,
    Failure.CRASHED: Outcome.FAILED,
    Failure.MISCONFIGURED: Outcome.MISCONFIGURED,
    Failure.OVER_BUDGET: Outcome.OVER_BUDGET,
    Failure.NO_SESSION: Outcome.INTERRUPTED,  # it did nothing, so nothing failed
}
OF_LIMIT: Final[Mapping[Limit, Outcome]] = {
    Limit.BUDGET: Outcome.OVER_BUDGET,
    Limit.CONTEXT: Outcome.CONTEXT_FULL,
    Limit.TIME: Outcome.TIMED_OUT,
    Limit.STALL: Outcome.STALLED,
    Limit.LEASE: Outcome.INTERRUPTED,
}
# An open question does not change these: a person must look at once, or has decided.
FIRM: Final = frozenset(
    {Outcome.CANCELLED, Outcome.TAMPERED, Outcome.MISCONFIGURED, Outcome.OVER_BUDGET}
)
# A coder is silent and slow for these: its service makes it wait.
_OF_THE_SERVICE: Final = frozenset({Failure.LIMITED, Failure.OVERLOADED, Failure.AUTH})
_SHOWN: Final = 5  # names in a reason


# -- evidence


StopOutcome = Literal[Outcome.CANCELLED, Outcome.INTERRUPTED]


class StopRequest(Struct, frozen=True):
    """Why an attempt is to end before its time. A stop is never a failure."""

    outcome: StopOutcome
    reason: str


class ProcessExit(Struct, frozen=True, kw_only=True):
    """How a coder's process ended: by `code` or by `signal`, or unseen."""

    code: int | None = None
    signal: int | None = None
    cut_short: str = ""  # why this end says nothing about the coder


class CoderRun(Struct, frozen=True, kw_only=True):
    """How a coder's run ended, as observed and as the coder reported it, and its usage."""

    exit: ProcessExit | None = None  # None: it did not start
    fault: str = ""  # why our side could not start or follow it
    stop: StopRequest | None = None  # the request that ended it
    limit: LimitHit | None = None  # the limit that ended it
    failure: Failure | None = None  # None: it succeeded, as far as known
    said: str = ""  # a sentence about the failure
    until: datetime | None = None  # when the limit of its service resets, if known
    denied: tuple[str, ...] = ()  # tools that it was not allowed to use
    session: str = ""
    tokens: Tokens = Tokens()
    usd: float = 0.0
    tool_calls: int = 0


class WorkFacts(Struct, frozen=True, kw_only=True):
    """Changes of a work attempt, as seen in the repository, not as told by the coder."""

    head: str
    commits: int
    paths: tuple[str, ...]
    outside: tuple[str, ...] = ()  # those of the paths that the task does not allow
    on_base: bool = True  # its branch contains the commit it started from
    left_on: str = ""  # what its workspace has checked out, if not the task's branch


class Evidence(Struct, frozen=True, kw_only=True):
    """All facts from which an outcome is decided."""

    role: Role
    run: CoderRun = CoderRun()
    tampered: tuple[str, ...] = ()  # changes outside of its own work
    question: str = ""  # why it waits for an answer
    set_up: str = ""  # why its workspace could not be set up
    branch: str = ""  # the task's
    work: WorkFacts | None = None  # None: the branch does not exist
    unsolved: tuple[str, ...] = ()  # files with conflict markers
    filed: int = 0  # tasks of a plan
    verdict: Verdict | None = None
    no_verdict: str = ""  # why there is none


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """How an attempt ended."""

    outcome: Outcome
    reason: str
    until: datetime | None = None  # when the coder's limit resets
    session: str = ""  # the coder's; empty if the next attempt must not resume it


# -- rules


def tampered(e: Evidence) -> AttemptEnd | None:
    """It changed things that are not its own: nothing else that it did counts."""
    if not e.tampered:
        return None
    return _end(Outcome.TAMPERED, f"{'; '.join(e.tampered)} (if you did that, retry it)")


def stopped(e: Evidence) -> AttemptEnd | None:
    """A person or its runner ended it."""
    stop = e.run.stop
    return _end(stop.outcome, stop.reason) if stop else None


def machine_failed(e: Evidence) -> AttemptEnd | None:
    """Our side could not start or follow it; that is not the task's fault."""
    return _end(Outcome.INTERRUPTED, e.run.fault) if e.run.fault else None


def set_up_failed(e: Evidence) -> AttemptEnd | None:
    """The project's own set-up of a workspace failed."""
    return _end(Outcome.FAILED, e.set_up) if e.set_up else None


def service_waits(e: Evidence) -> AttemptEnd | None:
    """It was silent or slow because its service made it wait: not the task's fault."""
    run = e.run
    slow = run.limit is not None and run.limit.limit in (Limit.STALL, Limit.TIME)
    return coder_failed(e) if slow and run.failure in _OF_THE_SERVICE else None


def limit_reached(e: Evidence) -> AttemptEnd | None:
    """The runner or the supervisor ended it for a limit."""
    hit = e.run.limit
    return _end(OF_LIMIT[hit.limit], hit.reason) if hit else None


def end_unseen(e: Evidence) -> AttemptEnd | None:
    """Its supervisor was killed or is missing: the output up to then proves nothing."""
    ended = e.run.exit
    if ended is None:
        return None
    if ended.code is None and ended.signal is None:
        return _end(Outcome.INTERRUPTED, ended.cut_short or "its end was not recorded")
    return _end(Outcome.INTERRUPTED, ended.cut_short) if ended.cut_short else None


def coder_failed(e: Evidence) -> AttemptEnd | None:
    """The coder failed, according to its own report or its exit status."""
    run = e.run
    if run.failure is None:
        return None
    outcome = OF_FAILURE[run.failure]
    return AttemptEnd(outcome=outcome, reason=run.said or run.failure.value, until=run.until)


def never_ran(e: Evidence) -> AttemptEnd | None:
    """No coder ran, so there is no result to inspect."""
    return _end(Outcome.INTERRUPTED, "no coder ran") if e.run.exit is None else None


def left_conflicts(e: Evidence) -> AttemptEnd | None:
    """It reports success, and files contain conflict markers."""
    if e.role is not Role.WORK or not e.unsolved:
        return None
    return _end(Outcome.FAILED, f"it left conflict markers in {_listed(e.unsolved)}")


def lost_branch(e: Evidence) -> AttemptEnd | None:
    """The task's branch is missing, or was restarted elsewhere."""
    if e.role is not Role.WORK:
        return None
    if e.work is None:
        return _end(Outcome.FAILED, f"its branch {e.branch} is gone")
    if e.work.on_base:
        return None
    reason = "its branch no longer contains the commit it started from"
    return _end(Outcome.FAILED, reason)


def changed_nothing(e: Evidence) -> AttemptEnd | None:
    """It succeeded without a change, because it was denied a tool or for no known reason."""
    if e.role is not Role.WORK or e.work is None or e.work.paths:
        return None
    if e.run.denied:
        reason = f"it changed nothing: it may not use {', '.join(e.run.denied)}"
        return _end(Outcome.FAILED, reason)
    if e.work.left_on:
        left = f"it left the workspace on {e.work.left_on}"
        return _end(Outcome.EMPTY, f"it changed nothing on {e.branch}; {left}")
    return _end(Outcome.EMPTY, "it succeeded but changed nothing")


def out_of_scope(e: Evidence) -> AttemptEnd | None:
    """It changed files that the task does not allow."""
    if e.role is not Role.WORK or e.work is None or not e.work.outside:
        return None
    reason = f"it changed {_listed(e.work.outside)}, which `paths` does not allow"
    return _end(Outcome.OUT_OF_SCOPE, reason)


def work_submitted(e: Evidence) -> AttemptEnd | None:
    """Its commits are there."""
    if e.role is not Role.WORK or e.work is None:
        return None
    commits, files = counted(e.work.commits, "commit"), counted(len(e.work.paths), "file")
    return _end(Outcome.SUBMITTED, f"{commits}, {files} changed")


def planned(e: Evidence) -> AttemptEnd | None:
    """A plan is the tasks that it filed."""
    if e.role is not Role.PLAN:
        return None
    if not e.filed:
        return _end(Outcome.EMPTY, "it succeeded but planned no task")
    return _end(Outcome.SUBMITTED, f"{counted(e.filed, 'task')} planned")


def ruled(e: Evidence) -> AttemptEnd | None:
    """A validator's verdict. Without one it failed, whatever its exit status."""
    if e.role is not Role.VALIDATE:
        return None
    if e.verdict is None:
        why = e.no_verdict or "there is no verdict"
        return _end(Outcome.FAILED, f"the validator ended, but {why}")
    if e.verdict.verdict is Ruling.ACCEPTED:
        return _end(Outcome.ACCEPTED, e.verdict.reason or "the validator accepted it")
    reason = e.verdict.reason or next(filter(None, e.verdict.findings), "it was rejected")
    return _end(Outcome.REJECTED, reason)


Rule = Callable[[Evidence], AttemptEnd | None]
_ENDED_BADLY: Final[tuple[Rule, ...]] = (
    stopped,
    machine_failed,
    set_up_failed,
    service_waits,
    limit_reached,
    end_unseen,
    coder_failed,
    never_ran,
)
RULES: Final[tuple[Rule, ...]] = (
    tampered,
    *_ENDED_BADLY,
    # It succeeded. That alone is not enough: its results count.
    left_conflicts,
    lost_branch,
    changed_nothing,
    out_of_scope,
    work_submitted,
    planned,
    ruled,
)


# -- deciding


def decide(evidence: Evidence) -> AttemptEnd:
    """How an attempt ended: the first matching rule, unless it waits for an answer.

    Work may be unfinished whatever the other evidence says: a coder that asked and was told to stop
    leaves its partial work, and one that was ended while it waited did not fail.
    """
    end = next(found for rule in RULES if (found := rule(evidence)) is not None)
    run, asks = evidence.run, bool(evidence.question) and end.outcome not in FIRM
    # A full context takes no more, and a missing session cannot be resumed.
    over = run.failure is Failure.NO_SESSION or (asks and end.outcome is Outcome.CONTEXT_FULL)
    end = replace(end, session="" if over else run.session)
    return replace(end, outcome=Outcome.ASKED, reason=evidence.question) if asks else end


def ended_well(evidence: Evidence) -> bool:
    """Whether the coder succeeded as far as known, so that its results are worth inspecting."""
    return all(rule(evidence) is None for rule in _ENDED_BADLY)


def _end(outcome: Outcome, reason: str) -> AttemptEnd:
    return AttemptEnd(outcome=outcome, reason=reason)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
