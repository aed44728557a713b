"""Check the services that this machine uses: the forge, and notifications."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

from gitfleet.errors import FleetError
from gitfleet.forges import registry
from gitfleet.forges.http_client import EXTRA
from gitfleet.git import remote
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.config import ForgeSettings, Machine
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.notify import registry as notify_registry


class ServiceProbe(NamedTuple):
    """The result of one check. `grade` is ok, warning or problem."""

    grade: str
    about: str
    what: str
    remedy: str = ""


def look(repo: Repo, board: Board, machine: Machine, shared: str | None) -> Iterator[ServiceProbe]:
    """Check the forge and the services that the settings use.

    `shared` is the board's remote. Asks the forge one question, changes nothing and sends nothing.
    """
    if board.settings.forge is not None:
        yield _forge(repo, board.settings.forge, machine, shared)
    about = board.settings.notify if machine.notify.about is None else machine.notify.about
    if about:
        yield from _services(machine, ", ".join(about))


def _forge(
    repo: Repo, settings: ForgeSettings, machine: Machine, shared: str | None
) -> ServiceProbe:
    if settings.by_hand:
        what = "none: questions are answered by merging their branches"
        return ServiceProbe("ok", "forge", what)
    if shared is None:
        what = "a forge is configured, but the board is only in this clone"
        return ServiceProbe("problem", "forge", what, "Push the board to the remote on that forge.")
    if not registry.installed():
        return ServiceProbe("warning", "forge", "forges need httpx, which is not installed", EXTRA)
    try:
        where = registry.site(settings, remote.address(repo, shared))
        forge = registry.find(where.kind, machine.plugins)
        secret = registry.token(forge, where, machine.forge.token_command)
        desk = registry.desk(forge, where, secret, threading.Event())
        try:
            lacks = forge.check(desk)
        finally:
            desk.api.close()
    except FleetError as error:
        what = f"{error.where}: {error.what}" if error.where else error.what
        return ServiceProbe("problem", "forge", what, error.remedy)
    name = f"{where.kind}, {where.repository} on {where.host}"
    if lacks:
        return ServiceProbe(
            "problem", "forge", f"{name}: the token lacks {lacks}", "Grant it that right."
        )
    return ServiceProbe("ok", "forge", f"{name}, with the token of {secret.source}")


def _services(machine: Machine, about: str) -> Iterator[ServiceProbe]:
    found = notify_registry.services(machine)
    if not found:
        what = (
            f"fleet.yaml asks for notifications of {about}, but this machine has no"
            " service to send them"
        )
        remedy = f"Set notify.urls in config.yaml, or {NOTIFY_URLS}."
        yield ServiceProbe("warning", "notify", what, remedy)
        return
    for one in found:
        if isinstance(one.made, FleetError):
            yield ServiceProbe("problem", "notify", one.made.what, one.made.remedy)
    labels = [one.label for one in found if not isinstance(one.made, FleetError)]
    if labels:
        yield ServiceProbe("ok", "notify", f"of {about}, through {', '.join(labels)}")
