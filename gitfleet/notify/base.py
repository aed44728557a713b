"""The interface of a notification service: it takes a title and a text, or fails."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from gitfleet.model.config import Machine
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.plugins import no_options

EXTRA: Final = (
    "Install gitfleet with the extra `notify`, in its clone: `pip install '.[notify]'`;"
    " with pipx: `pipx inject git-fleet apprise`."
)

_SHORTEST: Final = 8  # characters; a shorter option is a word, and no secret


class Text(Struct, frozen=True, kw_only=True):
    """What is to be told. `key` tells it from every other."""

    key: str
    title: str
    body: str


class Service(NamedTuple):
    """One service. Its address holds a token and is nowhere here."""

    label: str  # for people: which one of the list, and of what kind
    digest: str  # for files: it names the address and does not tell it
    send: Callable[[Text], bool]


class ServiceKind(NamedTuple):
    """The services of one kind, as a plugin describes them."""

    name: str
    # Bring a text to the service with these options. False: it did not take it, try again later.
    send: Callable[[Mapping[str, Any], Text], bool]
    # What is wrong with the options, without quoting them; empty if nothing is.
    options: Callable[[Mapping[str, Any]], str] = no_options


def secrets_in(machine: Machine) -> Iterator[str]:
    """What may be a secret in the settings of services: addresses, and texts among options."""
    yield from urls(machine)
    for service in machine.notify.services:
        yield from (text for text in _texts(service.options) if len(text) >= _SHORTEST)


def _texts(data: Any) -> Iterator[str]:
    match data:
        case str():
            yield data
        case dict():
            for value in data.values():
                yield from _texts(value)
        case list() | tuple():
            for value in data:
                yield from _texts(value)


def urls(machine: Machine) -> tuple[str, ...]:
    """The addresses that this machine tells people through, in their order, each once."""
    own = machine.notify.urls
    given = [own] if isinstance(own, str) else list(own)
    return tuple(dict.fromkeys(one.strip() for one in [*given, *_of_environment()] if one.strip()))


def _of_environment() -> list[str]:
    return os.environ.get(NOTIFY_URLS, "").split()


def digest(url: str) -> str:
    """A name for an address that does not tell it."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
