"""`gitfleet doctor`'s checks of coders: program, version, roles, and one small call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from msgspec import Struct

from gitfleet.attempt.context import Project
from gitfleet.cli.support.doctor_finding import DoctorFinding, Level, of_error, ok, warning
from gitfleet.coders import registry
from gitfleet.doctor import probe_coder
from gitfleet.doctor.probe_coder import CoderProbe, Program
from gitfleet.errors import FleetError
from gitfleet.model.board import Board
from gitfleet.model.durations import spoken
from gitfleet.model.states import FINISHED, Failure, Role
from gitfleet.plan.coder_choice import choices, named_by
from gitfleet.plan.status import statuses

_AT_ONCE: Final = 6  # concurrent calls


class Use(Struct, frozen=True):
    """A coder that is named somewhere, and its use there."""

    coder: str
    by: str  # role work, task ID, ...
    model: str = ""
    level: Level = Level.PROBLEM  # the severity if it does not work

    def __str__(self) -> str:
        return f"{self.coder} ({self.by})"


def coders(fleet: Project, board: Board, *, seconds: float | None) -> Iterator[DoctorFinding]:
    """Check every coder that is named; call each for at most `seconds` (None: do not call)."""
    if not named_by(board.settings.roles.work):
        remedy = "Set roles.work.coder in fleet.yaml, or name one in each task."
        yield warning("coder", "role work has none", remedy)
    there: dict[Use, Program] = {}
    for use in uses(fleet, board):
        found, told = _look(fleet, board, use, start=seconds is not None)
        yield told
        if found is not None:
            there[use] = found
            yield from _version(fleet, board, use, found)
    callable_ = [use for use in there if _speaks(board, use)]
    if seconds is None or not callable_:
        return
    with ThreadPoolExecutor(min(len(callable_), _AT_ONCE)) as pool:
        yield from pool.map(lambda use: _called(fleet, board, use, there[use], seconds), callable_)


def uses(fleet: Project, board: Board) -> list[Use]:
    """Every coder that is named, each once: roles first, then tasks, settings, this machine."""
    roles, described = board.settings.roles, board.settings.coders
    found = (("work", roles.work), ("validate", roles.validate), ("plan", roles.plan))
    named = [
        Use(one.coder, f"role {role}", one.model)
        for role, said in found
        for one in (named_by(said) if said is not None else ())
    ]
    where = statuses(board, fleet.store.now())
    for task, entry in sorted(board.entries.items()):
        if entry.task is not None and where[task].status not in FINISHED:
            for one in choices(board, entry, Role(entry.task.role.value)):
                named.append(Use(one.coder, f"task {task}", one.model, Level.WARNING))
    # The machine's allowed coders may be described on another board.
    own = [
        name
        for name in fleet.machine.coders or ()
        if registry.find(name, described, fleet.machine.plugins)
    ]
    named += [Use(coder, "fleet.yaml", "", Level.WARNING) for coder in described]
    named += [Use(coder, "this machine's config.yaml", "", Level.WARNING) for coder in own]
    first: dict[str, Use] = {}
    for use in named:
        first.setdefault(use.coder, use)
    return list(first.values())


# -- without a call


def _look(
    fleet: Project, board: Board, use: Use, *, start: bool
) -> tuple[Program | None, DoctorFinding]:
    """The coder's program; None if the coder cannot work here."""
    if error := registry.absence(use.coder, board.settings.coders, fleet.machine.plugins):
        what = f"{use.by} names {use.coder}, but {error.what}"
        return None, DoctorFinding(use.level, "coder", what, error.remedy)
    allowed = fleet.machine.coders
    if allowed is not None and use.coder not in allowed:
        what = f"{use.by} names {use.coder}, which this machine's config.yaml does not allow"
        return None, warning("coder", what, "To allow it, add it under `coders:` there.")
    found = probe_coder.program(fleet, board, use.coder, start=start)
    if "/" in found.name and not found.name.startswith("/"):
        return found, ok("coder", f"{use} is {found.name} in the workspace")
    if not found.path:
        what = f"{use} is {found.name}, which is not on PATH"
        remedy = "Install it, or correct its argv or program in fleet.yaml."
        return None, DoctorFinding(use.level, "coder", what, remedy)
    version = f", version {found.version}" if found.version else ""
    return found, ok("coder", f"{use} is {found.path}{version}")


def _version(fleet: Project, board: Board, use: Use, found: Program) -> Iterator[DoctorFinding]:
    if found.known:
        return
    coder = registry.find(use.coder, board.settings.coders, fleet.machine.plugins)
    assert coder is not None
    known = ", ".join(coder.versions)
    told = f"reports no version; known: {known}"
    what = f"version {found.version} is not a known one: {known}" if found.version else told
    remedy = "It may work; if its attempts fail strangely, install a known version."
    yield warning("coder", f"{use}: {what}", remedy)


def _speaks(board: Board, use: Use) -> bool:
    """Whether it is more than a script of the task, so that a call proves something."""
    described = board.settings.coders.get(use.coder)
    return use.coder != "shell" or (described is not None and bool(described.argv))


# -- with a call


_REMEDIES: Final[Mapping[Failure, str]] = {
    Failure.AUTH: "Log in with it as the user who runs gitfleet, or give the runner its key in the"
    " environment.",
    Failure.LIMITED: "Wait, or name another coder; tasks wait automatically.",
    Failure.OVERLOADED: "Check that this machine can reach its service.",
    Failure.MISCONFIGURED: "Correct its model, program, args or base_url in fleet.yaml.",
    Failure.DENIED: "Correct its permission in fleet.yaml and in this machine's config.yaml.",
}
_PASSING: Final = frozenset({Failure.LIMITED, Failure.OVERLOADED})


def _called(
    fleet: Project, board: Board, use: Use, found: Program, seconds: float
) -> DoctorFinding:
    try:
        answer = probe_coder.call(fleet, board, use.coder, use.model, limit=seconds)
    except FleetError as error:
        return of_error("coder", error)
    if not answer.reason:
        return ok("coder", f"{use} answered in {answer.took:.1f} s")
    described = board.settings.coders.get(use.coder)
    if described is not None and described.argv:
        # Its purpose is unknown: it may be for other tasks than such a question.
        remedy = "If it is made for other tasks, try it with one; otherwise fix it."
        return warning("coder", f"{use} did not answer: {answer.reason}", remedy)
    return _failed(use, found, answer)


def _failed(use: Use, found: Program, answer: CoderProbe) -> DoctorFinding:
    passing = answer.failure in _PASSING
    kind = f" ({answer.failure})" if answer.failure else ""
    until = f" until {answer.until:%Y-%m-%d %H:%M} UTC" if answer.until else ""
    what = f"{use} did not answer{kind}{until}: {answer.reason}"
    remedy = f"Start it by hand to see more: {found.path}"
    if answer.failure is not None:
        remedy = _REMEDIES.get(answer.failure, remedy)
    elif answer.late:
        remedy = f"Give it more than {spoken(round(answer.took))} with --seconds, or: {remedy}"
    return DoctorFinding(Level.WARNING if passing else use.level, "coder", what, remedy)
