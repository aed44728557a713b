"""Every executor by its name. A new one costs its module, a line here, and the contract suite; or
it comes from another distribution, as a plugin that the machine lists."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from typing import Any, Final

from gitfleet import plugins
from gitfleet.errors import FleetError
from gitfleet.execution.base import Executor
from gitfleet.plugins import Plugin, PluginError, PluginKind

MODULES: Final[Mapping[str, str]] = {"local": "gitfleet.execution.local"}


def find(name: str, listed: Collection[str] = ()) -> Executor:
    """The executor of that name. FleetError if there is none that works here."""
    if name in MODULES:
        executor: Executor = importlib.import_module(MODULES[name]).EXECUTOR
        return executor
    plugin = plugins.find(PluginKind.EXECUTOR, name, listed)
    if plugin is None:
        raise FleetError(
            f"no executor is called {name}",
            where="config.yaml",
            remedy=f"`executor` is {', '.join(MODULES)}, or the name of a plugin.",
        )
    return load(plugin)


def load(plugin: Plugin) -> Executor:
    """The executor of a listed plugin, each function guarded. PluginError if it does not work."""
    found = plugins.load(plugin, object)
    if not isinstance(found, Executor):
        raise PluginError(plugin, f"({plugin.target}) is not an Executor")
    if found.name != plugin.name:
        raise PluginError(plugin, f"names its executor {found.name!r}")
    return _Guarded(plugin, found)


class _Guarded:
    """An executor of a plugin: an error in it names the plugin, and ends only its own attempt."""

    def __init__(self, plugin: Plugin, executor: Executor) -> None:
        self.name = plugin.name
        self.start = plugins.guarded(plugin, "start", executor.start, Any)
        self.attach = plugins.guarded(plugin, "attach", executor.attach, Any)
        self.renew = plugins.guarded(plugin, "renew", executor.renew, Any)
        self.end = plugins.guarded(plugin, "end", executor.end, tuple[str, ...])
        self.find_left = plugins.guarded(plugin, "find_left", executor.find_left, tuple[str, ...])
