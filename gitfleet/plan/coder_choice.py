"""Which coders may do an attempt, best first, each with its model. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.config import RoleSettings
from gitfleet.model.states import Role
from gitfleet.model.task import CoderChoice, Task

NO_CODER: Final = "no coder: name one in the task, or in fleet.yaml under roles.work.coder"


class Choice(Struct, frozen=True):
    """A coder and its model; an empty model means the coder's own default."""

    coder: str
    model: str = ""


class NextCoder(Struct, frozen=True, kw_only=True):
    """The coder and model of a task's next attempt, and which of them come from a role."""

    coder: str
    model: str  # empty: the coder's own default
    coder_default: bool = False
    model_default: bool = False

    def __str__(self) -> str:
        """Both in one word, with `(default)` after an inherited one."""
        model = f"/{self.model}" if self.model else ""
        if not self.coder_default:
            return f"{self.coder}{model}{' (default model)' if self.model_default else ''}"
        if model and not self.model_default:
            return f"{self.coder} (default){model}"
        return f"{self.coder}{model} (default)"


def choices(
    board: Board, entry: Entry, role: Role, default: RoleSettings | None = None
) -> tuple[Choice, ...]:
    """The coders for an attempt, best first; empty if none is named, or if checks alone decide.

    `default` is this runner's choice for tasks that name no coder (`run --coder`): it takes
    precedence over the board's roles, except for validation.
    """
    roles = board.settings.roles
    if role is Role.VALIDATE:
        return _over(roles.validate, ()) if roles.validate else ()
    shared = _over(roles.work, ())
    if role is Role.PLAN:
        shared = _over(roles.plan, shared)
    board_wide = shared
    if default is not None:
        shared = _over(default, shared)
    return _over(entry.task, shared, board_wide) if entry.task else shared


def next_coder(board: Board, entry: Entry, role: Role) -> NextCoder | None:
    """The coder and model of a task's running or next attempt; None if it has no coder.

    The first of several coders, even if another one may do it while the first is cooling down.
    """
    found = choices(board, entry, role)
    claim = entry.claim if entry.claim and entry.claim.role is role else None
    if claim is not None and Choice(claim.coder, claim.model) not in found[:1]:
        return NextCoder(coder=claim.coder, model=claim.model) if claim.coder else None
    if not found:
        return None
    first, task = found[0], entry.task
    named = _over(task, ()) if task else ()
    own = task is not None and bool(named[0].model if named else task.model)
    return NextCoder(
        coder=first.coder,
        model=first.model,
        coder_default=not named,
        model_default=bool(first.model) and not own,
    )


def _over(
    said: Task | RoleSettings, below: tuple[Choice, ...], lowest: tuple[Choice, ...] = ()
) -> tuple[Choice, ...]:
    """Settings of a task over those of its role (`below`) and those of work (`lowest`).

    A model is never given to a coder that it was not named for. A model without a coder is for the
    first coder.
    """
    named: tuple[Choice, ...]
    if said.coders:
        named = tuple(_choice(one) for one in said.coders)
    elif said.coder:
        named = (Choice(said.coder, said.model or ""),)
    elif said.model and below:
        return (Choice(below[0].coder, said.model), *below[1:])
    else:
        return below
    models = {one.coder: one.model for one in reversed((*below, *lowest))}
    return tuple(Choice(one.coder, one.model or models.get(one.coder, "")) for one in named)


def _choice(one: str | CoderChoice) -> Choice:
    return Choice(one) if isinstance(one, str) else Choice(one.coder, one.model or "")


def named_on(board: Board) -> frozenset[str]:
    """Every coder that the settings or a task of a board name."""
    roles = board.settings.roles
    said: list[Task | RoleSettings | None] = [roles.work, roles.validate, roles.plan]
    said += [entry.task for entry in board.entries.values()]
    return frozenset(one.coder for names in said if names is not None for one in _over(names, ()))


def named_by(role: RoleSettings) -> tuple[Choice, ...]:
    """Every coder that a role itself names, best first."""
    return _over(role, ())
