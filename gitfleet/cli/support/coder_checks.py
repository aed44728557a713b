"""Checks of coders for verbs that show tasks: does the coder exist, and does it accept the task."""

from __future__ import annotations

from gitfleet.cli.support.session import listed_plugins
from gitfleet.coders import registry
from gitfleet.coders.shell import script_of
from gitfleet.errors import FleetError
from gitfleet.model.board import Board
from gitfleet.model.config import Settings
from gitfleet.model.states import Role
from gitfleet.model.task import Task
from gitfleet.plan.coder_choice import NO_CODER, choices


def absence(coder: str, settings: Settings) -> FleetError | None:
    """Why no coder has that name in gitfleet, `fleet.yaml` or a plugin."""
    if registry.built_in(coder, settings.coders):
        return None
    return registry.absence(coder, settings.coders, listed_plugins())


def objection(coder: str, task: Task) -> str:
    """Why that coder could not do this task; empty if no reason is known."""
    if coder == "shell" and script_of(task.body) is None:
        return "the coder shell needs a fenced block that begins with ```sh"
    return ""


def missing(board: Board, task: str) -> str:
    """Why no coder can do a task here, and the remedy: none is set or none exists; else empty."""
    entry = board.get(task)
    if entry is None or entry.task is None:
        return ""
    able = choices(board, entry, Role(entry.task.role.value))
    if not able:
        return NO_CODER
    errors = [absence(one.coder, board.settings) for one in able]
    if errors[0] is None or None in errors:
        return ""
    return errors[0].one_line
