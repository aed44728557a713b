"""Which coder `gitfleet init` writes into a new board, and its report on the coder of any board."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from gitfleet.cli.support.coder_checks import absence
from gitfleet.cli.support.session import listed_plugins
from gitfleet.coders import detect, registry
from gitfleet.coders.base import Account
from gitfleet.coders.detect import Detected
from gitfleet.errors import FleetError
from gitfleet.model.config import Settings
from gitfleet.plan.coder_choice import named_by

_SUGGESTED = ("claude", "codex")  # suggestions for people without a coder


def choose(wanted: str | None) -> list[str]:
    """The coder for a new board, then the other installed ones; empty if none is installed.

    Asks on a terminal if there are several. FleetError for an unknown coder's name.
    """
    found = [one.coder.name for one in _installed()]
    if wanted is not None and wanted not in registry.KNOWN:
        known = ", ".join((*registry.PREFERENCE, "shell"))
        raise FleetError(f"no coder is called {wanted}", remedy=f"Known coders: {known}.")
    if wanted is None and len(found) > 1 and sys.stdin.isatty() and sys.stdout.isatty():
        wanted = _ask()
    first = [wanted] if wanted is not None else found[:1]
    return [*first, *(name for name in found if name not in first)]


def _installed() -> list[Detected]:
    """Every coder on PATH: those that run within limits first, and of these the logged-in ones."""
    coders = [registry.find(name, {}) for name in registry.PREFERENCE]
    found = [detect.look(coder) for coder in coders if coder is not None]
    here = [one for one in found if one.path]
    return sorted(here, key=lambda one: (one.coder.unfenced, not one.login))


def _ask() -> str:
    found = _installed()
    click.echo("Several coders are installed. Which one is the default for tasks that name none?")
    for number, one in enumerate(found, 1):
        click.echo(f"  {number}  {one.coder.name:<14}{_state(one)}")
    names = {one.coder.name: one.coder.name for one in found}
    names |= {str(number): one.coder.name for number, one in enumerate(found, 1)}
    while True:
        told = click.prompt("Number or name", default="1").strip()
        if told in names:
            return names[told]
        click.echo(f"Type a number from 1 to {len(found)}, or a name.")


def _state(one: Detected) -> str:
    return "logged in" if one.login else "no login found"


# -- the report on the chosen coder


def report(settings: Settings) -> Iterator[str]:
    """Whether the board's coder can work here, and the remedy if it cannot, in lines."""
    named = named_by(settings.roles.work)
    if not named:
        yield from _unset()
        return
    name = named[0].coder
    described = settings.coders.get(name)
    coder = registry.find(name, settings.coders, listed_plugins())
    if described is not None and described.argv:
        yield f"Coder: {name}, described in fleet.yaml."
    elif coder is None:
        why = absence(name, settings)
        yield f"Coder: {name}; {why.one_line if why else 'it is no longer configured'}."
    elif name not in registry.MODULES:
        yield f"Coder: {name}, from a plugin."
    elif coder.account is None:
        yield f"Coder: {name}, which runs the sh block of a task."
    else:
        base_url = described.base_url if described else None
        yield from _of(detect.look(coder, described), coder.account, base_url)
        if others := _listed(one for one in _installed() if one.coder.name != name):
            yield f"Also installed: {others}."


def _of(one: Detected, account: Account, base_url: str | None) -> Iterator[str]:
    name = one.coder.name
    if not one.path:
        yield f"Coder: {name}, which is not installed here."
        yield f"  To install it: {account.install}"
    elif base_url:
        yield f"Coder: {name}, installed; its model is at {base_url}."
    elif one.login:
        yield f"Coder: {name}, logged in ({one.login})."
    else:
        yield f"Coder: {name}, installed; no login found."
        yield f"  To log in, {account.login}."
    if one.coder.unfenced:
        yield f"  {name} works only with `permission: bypass`: see `gitfleet help coders`."


def _listed(found: Iterable[Detected]) -> str:
    return ", ".join(f"{one.coder.name} ({_state(one)})" for one in found)


def _unset() -> Iterator[str]:
    if here := _installed():
        yield f"No coder is set. Installed here: {_listed(here)}."
        yield f"  Name one in fleet.yaml: roles: {{work: {{coder: {here[0].coder.name}}}}}"
        return
    yield "No coding agent is installed here. Install one, log in with it, and name it in"
    yield "fleet.yaml under roles.work.coder. For example:"
    for name in _SUGGESTED:
        coder = registry.find(name, {})
        if coder is not None and coder.account is not None:
            yield f"  {coder.account.install}"
    yield "The coder `shell` needs none of that: it runs the sh block of a task."


def first_task(settings: Settings) -> str:
    """A command that creates a task that can be done here."""
    if any(one.coder != "shell" for one in named_by(settings.roles.work)):
        return 'gitfleet add "A first task" --body "What to do, in Markdown"'
    body = r"```sh\necho hello > hello.txt\n```\n"
    return f"printf '{body}' | gitfleet add \"Say hello\" --coder shell"
