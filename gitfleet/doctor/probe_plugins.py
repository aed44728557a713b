"""The state of every plugin that is installed or listed: whether it may be used, and works.

Only plugins that the machine lists are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from msgspec import Struct

from gitfleet import plugins
from gitfleet.coders import registry as coders
from gitfleet.errors import FleetError
from gitfleet.execution import registry as executors
from gitfleet.forges import registry as forges
from gitfleet.model.config import ForgeKind
from gitfleet.notify import registry as notify
from gitfleet.plugins import Plugin, PluginKind


class PluginState(StrEnum):
    """Whether a plugin can be used on this machine."""

    WORKS = "works"
    BROKEN = "broken"  # listed, but it cannot be imported or has the wrong type
    NOT_LISTED = "not-listed"  # not listed, so not imported: nothing more is known
    SHADOWED = "shadowed"  # gitfleet has one of that name, which is used instead
    AMBIGUOUS = "ambiguous"  # several distributions have it, and the list names no distribution
    MISSING = "missing"  # listed, but no installed distribution has it


class PluginStatus(Struct, frozen=True, kw_only=True):
    """One plugin and the known facts. Of a missing plugin only the name is known."""

    name: str
    kind: PluginKind | None
    distribution: str
    version: str
    listed: bool
    state: PluginState
    reason: str = ""
    remedy: str = ""


class _Registry(NamedTuple):
    built_in: Collection[str]
    load: Callable[[Plugin], Any]  # raises PluginError


_REGISTRIES: Final[Mapping[PluginKind, _Registry]] = {
    PluginKind.CODER: _Registry(coders.MODULES, coders.load),
    PluginKind.FORGE: _Registry(tuple(ForgeKind), forges.load),
    PluginKind.EXECUTOR: _Registry(executors.MODULES, executors.load),
    PluginKind.NOTIFIER: _Registry(notify.BUILT_IN, notify.load),
}


def inventory(listed: Collection[str]) -> list[PluginStatus]:
    """Every installed plugin, then every listed name that is not installed.

    FleetError if a distribution's metadata cannot be read.
    """
    found = plugins.installed()
    known = [_status(plugin, listed) for plugin in found]
    missing = [name for name in listed if not any(one.is_listed((name,)) for one in found)]
    return known + [_missing(name) for name in dict.fromkeys(missing)]


def _status(plugin: Plugin, listed: Collection[str]) -> PluginStatus:
    state, reason, remedy = _look(plugin, listed)
    return PluginStatus(
        name=plugin.name,
        kind=plugin.kind,
        distribution=plugin.distribution,
        version=plugin.version,
        listed=plugin.is_listed(listed),
        state=state,
        reason=reason,
        remedy=remedy,
    )


def _look(plugin: Plugin, listed: Collection[str]) -> tuple[PluginState, str, str]:
    registry = _REGISTRIES[plugin.kind]
    if plugin.name in registry.built_in:
        reason = f"gitfleet's own {plugin.kind} {plugin.name} is used"
        return PluginState.SHADOWED, reason, "Its author has to give it another name."
    if not plugin.is_listed(listed):
        remedy = f"Add {plugin.name} to `plugins:` in this machine's config.yaml, to use it."
        return PluginState.NOT_LISTED, "", remedy
    try:
        plugins.find(plugin.kind, plugin.name, listed)
    except FleetError as error:
        return PluginState.AMBIGUOUS, error.what, error.remedy
    try:
        registry.load(plugin)
    except FleetError as error:
        return PluginState.BROKEN, error.what, error.remedy
    return PluginState.WORKS, "", ""


def _missing(name: str) -> PluginStatus:
    return PluginStatus(
        name=name,
        kind=None,
        distribution="",
        version="",
        listed=True,
        state=PluginState.MISSING,
        reason=f"config.yaml lists {name}, but no installed distribution provides it",
        remedy="Install it into gitfleet's environment, or remove it from the list.",
    )
