"""A notifier from another distribution: it stands in the machine's settings, and their list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from rich.pretty import pretty_repr

from gitfleet.cli.support.session import machine as read_machine
from gitfleet.errors import FleetError
from gitfleet.model.config import Machine, MachineNotify, NotifyService
from gitfleet.notify import notifier, registry
from gitfleet.notify.base import secrets_in
from gitfleet.plugins import PluginKind
from tests.forges.kit import Desk, desk
from tests.notify.test_notify import runner
from tests.plugins.kit import distribution, machine

_MODULE: Final = """\
import pathlib
from gitfleet.notify.base import ServiceKind
pathlib.Path({mark!r}).write_text("imported")
def send(options, text):
    with open(options["file"], "a") as file:
        file.write(text.title + "\\n")
    return True
def options(given):
    return "" if "file" in given else "`file` is missing"
PLUG = ServiceKind("acme", send=send, options=options)
def fails(*_args):
    raise ZeroDivisionError("division by zero")
BAD = ServiceKind("bad", send=fails)
"""


@pytest.fixture
def mark(site: Path) -> Path:
    """The plugin is installed; the file that is there once it was imported."""
    found = site / "notifier-imported"
    points = {"acme": "notifymod:PLUG", "bad": "notifymod:BAD", "apprise": "notifymod:PLUG"}
    text = _MODULE.format(mark=str(found))
    distribution(site, "gitfleet-acme", {PluginKind.NOTIFIER.group: points}, {"notifymod.py": text})
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    """A board whose people want to be told of questions."""
    with desk(tmp_path, "notify: [question]", shared=False) as made:
        yield made


def _machine(*services: NotifyService, plugins: tuple[str, ...] = ("acme", "bad")) -> Machine:
    return Machine(plugins=plugins, notify=MachineNotify(services=services))


def test_news_reach_people_through_a_plugin_once(place: Desk, mark: Path, tmp_path: Path) -> None:
    """Beside it a broken one, and one that takes nothing: each is told, and holds up no other."""
    told = tmp_path / "told"
    place.fleet = replace(
        place.fleet,
        machine=_machine(
            NotifyService(kind="gone"),
            NotifyService(kind="acme"),
            NotifyService(kind="bad"),
            NotifyService(kind="acme", options={"file": str(told)}),
        ),
    )
    assert notifier.able(place.fleet)
    for _ in range(2):
        with runner(place):
            if not told.exists():
                place.ask()
    assert told.read_text() == "map-tiles asks: How large may the store become?\n"
    waits = [line for line in place.lines if " notifications-delayed " in line]
    assert any("service=1:gone" in line and "no plugin provides" in line for line in waits)
    assert any("service=2:acme" in line and "`file` is missing" in line for line in waits)
    assert any("service=3:bad" in line and "it is retried" in line for line in waits)


def test_nothing_is_imported_that_the_list_does_not_name(place: Desk, mark: Path) -> None:
    """The settings of the same machine name it, and still the list decides, as for all plugins."""
    place.fleet = replace(place.fleet, machine=_machine(NotifyService(kind="acme"), plugins=()))
    assert not notifier.able(place.fleet)
    with (
        pytest.raises(FleetError, match=r"the notifier acme is a plugin .* does not list"),
        runner(place),
    ):
        pass
    assert not mark.exists()


def test_apprise_is_no_name_for_a_plugin(mark: Path) -> None:
    """Its services are configured under `urls`."""
    with pytest.raises(FleetError, match="is in the wrong place"):
        registry.find("apprise", Machine(plugins=("apprise",)))
    assert not mark.exists()


def test_options_of_services_are_secrets() -> None:
    """They show in no text of the settings, nor in what is wrong with them, and are masked; but
    ordinary words are not, unless their name says that they are secret."""
    secret = "t0ken-of-the-service"
    options = {"url": f"https://x.org/{secret}", "keys": [{"key": secret}], "room": "ops"}
    machine(plugins=["acme"], notify={"services": [{"kind": "acme", "options": options}]})
    found = read_machine()
    assert found.notify.services[0].options == options
    assert secret not in repr(found) + pretty_repr(found) + repr(found.notify.services)
    assert set(secrets_in(found)) == {f"https://x.org/{secret}", secret}
    words = {"channel": "frontend", "format": "markdown", "title": "Team of the web-shop"}
    hidden = {"bot_token": "swordfish", "login": {"password": "correct horse"}, "to": "a7Kq02hJ"}
    machine(notify={"services": [{"kind": "acme", "options": {**words, **hidden}}]})
    assert set(secrets_in(read_machine())) == {"swordfish", "correct horse", "a7Kq02hJ"}
    machine(notify={"services": [{"kind": "acme", "options": secret}]})
    with pytest.raises(FleetError) as told:
        read_machine()
    assert secret not in str(told.value)


def test_the_options_of_a_service_are_never_shown() -> None:
    """They may hold tokens: neither a log nor a traceback of rich has them."""
    service = NotifyService(kind="acme", options={"token": "hunter2-hunter2"})
    for shown in (repr(service), pretty_repr(service)):
        assert "acme" in shown and "hunter2" not in shown
