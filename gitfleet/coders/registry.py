"""Every coder that has code. A new one costs its module, a line here, and its test."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

from gitfleet.coders import command
from gitfleet.coders.base import Coder
from gitfleet.model.config import CoderSettings

MODULES: Final[Mapping[str, str]] = {
    "agy": "gitfleet.coders.agy",
    "aider": "gitfleet.coders.aider",
    "claude": "gitfleet.coders.claude",
    "codex": "gitfleet.coders.codex",
    "copilot": "gitfleet.coders.copilot",
    "cursor-agent": "gitfleet.coders.cursor",
    "gemini": "gitfleet.coders.gemini",
    "opencode": "gitfleet.coders.opencode",
    "qwen": "gitfleet.coders.qwen",
    "shell": "gitfleet.coders.shell",
}
KNOWN: Final = frozenset(MODULES)
# Those with a model, the one that `gitfleet init` would rather take first.
PREFERENCE: Final = (
    "claude",
    "codex",
    "opencode",
    "gemini",
    "qwen",
    "copilot",
    "aider",
    "agy",
    "cursor-agent",
)


def find(name: str, described: Mapping[str, CoderSettings]) -> Coder | None:
    """The coder of that name: described in fleet.yaml by an argv, or one with code."""
    settings = described.get(name)
    if settings is not None and settings.argv:
        return command.named(name, settings.events)
    if name in MODULES:
        coder: Coder = importlib.import_module(MODULES[name]).CODER
        return coder
    return None
