"""What the verbs that look at tasks know of coders: which there are, and what they object to."""

from __future__ import annotations

from gitfleet.coders import registry
from gitfleet.coders.shell import script_of
from gitfleet.model.config import Settings
from gitfleet.model.task import Task


def known(coder: str, settings: Settings) -> bool:
    """Whether there is a coder of that name, by this gitfleet or by `fleet.yaml`."""
    return registry.find(coder, settings.coders) is not None


def objection(coder: str, task: Task) -> str:
    """Why that coder could not do this task; empty if nothing is to be seen."""
    if coder == "shell" and script_of(task.body) is None:
        return "the coder shell needs a fenced block that begins with ```sh"
    return ""
