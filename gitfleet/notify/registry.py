"""The notification services of a machine: those that apprise knows, and those of plugins."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from gitfleet import plugins
from gitfleet.errors import FleetError
from gitfleet.model.config import Machine, NotifyService
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.notify import apprise_services
from gitfleet.notify.base import Service, ServiceKind, digest, urls
from gitfleet.plugins import Plugin, PluginError, PluginKind

BUILT_IN: Final = frozenset({"apprise"})
"""The names that no plugin takes. Services of apprise are configured by `notify.urls`."""


class NamedService(NamedTuple):
    """A service that the machine names: usable, or with the reason why it is not."""

    label: str
    digest: str
    made: Service | FleetError


def able(machine: Machine) -> bool:
    """Whether this machine has a service to try."""
    if urls(machine) and apprise_services.installed():
        return True
    return any(_works(service, machine) for service in machine.notify.services)


def _works(service: NotifyService, machine: Machine) -> bool:
    try:
        find(service.kind, machine)
    except FleetError:
        return False
    return True


def services(machine: Machine) -> list[NamedService]:
    """Every service that this machine names, in their order."""
    addresses = urls(machine)
    found = [_of_address(number, url) for number, url in enumerate(addresses, 1)]
    for number, service in enumerate(machine.notify.services, len(addresses) + 1):
        found.append(_of_plugin(number, service, machine))
    return found


def _of_address(number: int, url: str) -> NamedService:
    try:
        made = apprise_services.service(number, url)
    except FleetError as error:
        return NamedService(str(number), digest(url), error)
    return NamedService(made.label, made.digest, made)


def _of_plugin(number: int, service: NotifyService, machine: Machine) -> NamedService:
    label = f"{number}:{service.kind}"
    spelt = json.dumps(service.options, sort_keys=True, default=str)
    name = digest(f"{service.kind} {spelt}")
    try:
        kind = find(service.kind, machine)
        if wrong := kind.options(service.options):
            raise FleetError(
                f"the options of service {label} are wrong: {wrong}",
                remedy="Correct notify.services in this machine's config.yaml.",
            )
    except FleetError as error:
        return NamedService(label, name, error)
    made = Service(label, name, lambda text: kind.send(service.options, text))
    return NamedService(label, name, made)


def find(kind: str, machine: Machine) -> ServiceKind:
    """The service kind of a plugin. FleetError if it is not usable here."""
    if kind in BUILT_IN:
        raise FleetError(
            f"a service of the kind {kind} is in the wrong place in config.yaml",
            remedy=f"Put its address under notify.urls, or into {NOTIFY_URLS}.",
        )
    plugin = plugins.find(PluginKind.NOTIFIER, kind, machine.plugins)
    if plugin is None:
        raise FleetError(
            f"no plugin provides the kind of service {kind}",
            remedy="Install one, or correct notify.services in this machine's config.yaml.",
        )
    return load(plugin)


def load(plugin: Plugin) -> ServiceKind:
    """Load the service kind of a plugin, with guarded functions. PluginError if that fails."""
    found = plugins.load(plugin, ServiceKind)
    if found.name != plugin.name:
        raise PluginError(plugin, f"names its kind of service {found.name!r}")
    return ServiceKind(
        name=found.name,
        send=plugins.guarded(plugin, "send", found.send, bool),
        options=plugins.guarded(plugin, "options", found.options, str),
    )
