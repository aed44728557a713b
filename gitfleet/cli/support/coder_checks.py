"""What the verbs that look at tasks know of coders: which there are, and what they object to."""

from __future__ import annotations

from gitfleet.coders import registry
from gitfleet.coders.shell import script_of
from gitfleet.model.board import Board
from gitfleet.model.config import Settings
from gitfleet.model.states import Role
from gitfleet.model.task import Task
from gitfleet.plan.coder_choice import choices


def known(coder: str, settings: Settings) -> bool:
    """Whether there is a coder of that name, by this gitfleet or by `fleet.yaml`."""
    return registry.find(coder, settings.coders) is not None


def objection(coder: str, task: Task) -> str:
    """Why that coder could not do this task; empty if nothing is to be seen."""
    if coder == "shell" and script_of(task.body) is None:
        return "the coder shell needs a fenced block that begins with ```sh"
    return ""


def nobodys(board: Board, task: str) -> str:
    """Which coder a task waits for that there is none of, and what to do; empty if it need not."""
    entry = board.get(task)
    if entry is None or entry.task is None:
        return ""
    able = choices(board, entry, Role(entry.task.role.value))
    if not able or any(known(one.coder, board.settings) for one in able):
        return ""
    return f"no coder is called {able[0].coder}; describe it in fleet.yaml under coders"
