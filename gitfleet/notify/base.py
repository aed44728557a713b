"""The interface of a notification service: it takes a title and a text, or fails."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from gitfleet.model.config import Machine
from gitfleet.model.secrets import NOTIFY_URLS, is_secret_name
from gitfleet.plugins import no_options

EXTRA: Final = (
    "Install gitfleet with the extra `notify`, in its clone: `pip install '.[notify]'`;"
    " with pipx: `pipx inject git-fleet apprise`."
)

_SHORTEST: Final = 8  # characters; a shorter option is a word, not a secret
_WORDS: Final = re.compile(r"[#@]?[A-Za-z]{1,15}(?:[ ._/-][A-Za-z]{1,15})*")


class Text(Struct, frozen=True, kw_only=True):
    """A message. `key` is unique for each message."""

    key: str
    title: str
    body: str


class Service(NamedTuple):
    """One service. Its address contains a token and is not stored here."""

    label: str  # for people: its number in the list, and its kind
    digest: str  # for files: identifies the address without revealing it
    send: Callable[[Text], bool]


class ServiceKind(NamedTuple):
    """The services of one kind, as a plugin describes them."""

    name: str
    # Send a text with these options. False: the service did not take it; try again later.
    send: Callable[[Mapping[str, Any], Text], bool]
    # The error in the options, without quoting them; empty if there is none.
    options: Callable[[Mapping[str, Any]], str] = no_options


def secrets_in(machine: Machine) -> Iterator[str]:
    """Possible secrets in the settings of services: addresses, and texts among options.

    Ordinary words count only under a name such as `token`: a channel's name occurs in every text.
    """
    yield from urls(machine)
    for service in machine.notify.services:
        for name, text in _texts("", service.options):
            if len(text) >= _SHORTEST and (is_secret_name(name) or not _WORDS.fullmatch(text)):
                yield text


def _texts(name: str, data: Any) -> Iterator[tuple[str, str]]:
    """Every text among options, with the name it is under."""
    match data:
        case str():
            yield name, data
        case dict():
            for key, value in data.items():
                yield from _texts(str(key), value)
        case list() | tuple():
            for value in data:
                yield from _texts(name, value)


def urls(machine: Machine) -> tuple[str, ...]:
    """This machine's notification addresses, in their order, each once."""
    own = machine.notify.urls
    given = [own] if isinstance(own, str) else list(own)
    return tuple(dict.fromkeys(one.strip() for one in [*given, *_of_environment()] if one.strip()))


def _of_environment() -> list[str]:
    return os.environ.get(NOTIFY_URLS, "").split()


def digest(url: str) -> str:
    """A name for an address that does not reveal it."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
