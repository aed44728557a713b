"""Which coders may do an attempt, best first, each with its model. Pure."""

from __future__ import annotations

from msgspec import Struct

from gitfleet.model.board import Board, Entry
from gitfleet.model.config import RoleSettings
from gitfleet.model.states import Role
from gitfleet.model.task import CoderChoice, Task


class Choice(Struct, frozen=True):
    """A coder and the model it is to use; no model: the coder's own default."""

    coder: str
    model: str = ""


def choices(board: Board, entry: Entry, role: Role) -> tuple[Choice, ...]:
    """The coders for an attempt, best first; empty: none is named, or checks alone decide."""
    roles = board.settings.roles
    if role is Role.VALIDATE:
        return _over(roles.validate, ()) if roles.validate else ()
    shared = _over(roles.work, ())
    if role is Role.PLAN:
        shared = _over(roles.plan, shared)
    return _over(entry.task, shared) if entry.task else shared


def _over(said: Task | RoleSettings, below: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """What is said here, over what was said more generally.

    A model never goes to a coder it was not named for. One that is named alone is for the first.
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
    models = {one.coder: one.model for one in reversed(below)}
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
    """Every coder that a role names by itself, best first."""
    return _over(role, ())
