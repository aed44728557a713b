"""Every coder with code.

A new one costs its module, a line here, and its test; or it comes from another distribution, as a
plugin that the machine lists.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Final

from gitfleet import plugins
from gitfleet.coders import command
from gitfleet.coders.base import Coder
from gitfleet.coders.guard import guarded_coder
from gitfleet.errors import FleetError
from gitfleet.model.config import CoderSettings
from gitfleet.plugins import Plugin, PluginKind

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
# Those with a model, in the order in which `gitfleet init` prefers them.
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


def find(
    name: str, described: Mapping[str, CoderSettings], listed: Collection[str] = ()
) -> Coder | None:
    """The coder of that name:

    described in fleet.yaml, with code, or a plugin that the machine lists. None if there is none
    that works; `absence` says why.
    """
    settings = described.get(name)
    if settings is not None and settings.argv:
        return command.named(name, settings.events)
    if name in MODULES:
        coder: Coder = importlib.import_module(MODULES[name]).CODER
        return coder
    try:
        plugin = plugins.find(PluginKind.CODER, name, listed)
        return load(plugin) if plugin else None
    except FleetError:
        return None


def built_in(name: str, described: Mapping[str, CoderSettings]) -> bool:
    """Whether that coder has code here or is described by an argv: no plugin can take its name."""
    return name in MODULES or (name in described and bool(described[name].argv))


def absence(
    name: str, described: Mapping[str, CoderSettings], listed: Collection[str] = ()
) -> FleetError | None:
    """Why there is no coder of that name here, as an error for a person; None if there is one."""
    if built_in(name, described):
        return None
    try:
        plugin = plugins.find(PluginKind.CODER, name, listed)
        if plugin is not None:
            load(plugin)
            return None
    except FleetError as error:
        return error
    return FleetError(
        f"no coder is called {name}",
        remedy="Describe it in fleet.yaml under coders, with an argv; `gitfleet help coders` lists"
        " those that need none.",
    )


def load(plugin: Plugin) -> Coder:
    """The coder of a listed plugin, guarded. PluginError if it does not work."""
    return guarded_coder(plugin, plugins.load(plugin, Coder))
