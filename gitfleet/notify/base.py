"""What a service is to gitfleet: something that takes a title and a text, or does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from gitfleet.model.config import Machine
from gitfleet.model.secrets import NOTIFY_URLS

EXTRA: Final = (
    "Install gitfleet with the extra `notify`, in its clone: `pip install '.[notify]'`;"
    " with pipx: `pipx inject git-fleet apprise`."
)


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
