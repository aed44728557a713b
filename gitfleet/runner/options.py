"""The options of one `gitfleet run`."""

from __future__ import annotations

from dataclasses import dataclass

from gitfleet.model.config import RoleSettings


@dataclass(frozen=True)
class Options:
    """The command-line options of a run."""

    until_idle: bool = False
    once: str | None = None
    slots: int | None = None
    default: RoleSettings | None = None  # the coder and model for tasks that name none

    def fields(self) -> dict[str, str]:
        """The coder and model as fields of a log line."""
        said = {"coder": self.default.coder, "model": self.default.model} if self.default else {}
        return {name: value for name, value in said.items() if value}
