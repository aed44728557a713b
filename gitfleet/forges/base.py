"""The interface of a forge: a place where a question is a pull request that people answer.

A forge is a module with a few functions, gathered in a `Forge`. They keep no state: the forge
itself knows what was done before, so a runner may die between any two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct

from gitfleet.forges.http_client import Api
from gitfleet.plan.pull_request_texts import MARK
from gitfleet.plugins import no_options


class State(StrEnum):
    """Where a pull request stands."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class Desk(Struct, frozen=True):
    """Where one works: an API, and the repository there (`owner/name`)."""

    api: Api
    repository: str
    options: Mapping[str, Any] = {}  # those of fleet.yaml that its forge takes


class Pull(Struct, frozen=True, kw_only=True):
    """A pull request from a branch of the repository itself."""

    number: int
    branch: str
    state: State
    url: str = ""  # for people
    updated: str = ""  # changes with every comment


class Draft(Struct, frozen=True, kw_only=True):
    """A pull request that is to be."""

    branch: str
    base: str
    title: str
    body: str


class Author(Struct, frozen=True, kw_only=True):
    """Who wrote a comment, as the forge has them."""

    login: str
    id: int
    name: str = ""
    bot: bool = False


class Comment(Struct, frozen=True, kw_only=True):
    """A comment on a pull request."""

    author: Author
    text: str

    @property
    def ours(self) -> bool:
        """Whether gitfleet wrote it: its token may be that of the very person who answers."""
        return self.text.startswith(MARK)


class Site(Struct, frozen=True, kw_only=True):
    """Which forge, where, and which repository there."""

    kind: str
    base_url: str  # in a browser, without a slash at its end
    repository: str
    options: Mapping[str, Any] = {}

    @property
    def host(self) -> str:
        """The forge's host, for people and addresses."""
        return urlsplit(self.base_url).hostname or self.base_url


class Forge(NamedTuple):
    """One forge, as its module describes it. Functions that take a desk may raise a RestError."""

    kind: str
    tokens: tuple[str, ...]  # variables of the environment that may hold one, in this order
    rights: str  # what a token needs, in the forge's own words
    api: Callable[[str], str]  # where the API is, by the address in a browser
    pulls: Callable[[Desk, str], list[Pull]]  # open ones into a branch, oldest first
    find: Callable[[Desk, str, str], Pull | None]  # by branch and base, in whatever state
    open: Callable[[Desk, Draft], Pull]  # raises Refused where there is one already
    comments: Callable[[Desk, Pull], list[Comment]]  # of people, oldest first
    may_write: Callable[[Desk, Author], bool]
    comment: Callable[[Desk, Pull, str], None]
    close: Callable[[Desk, Pull], None]
    commit: Callable[[str, str, str], str]  # base_url, repository, oid -> a link for people
    scheme: str = "Bearer"  # before the token in `Authorization`
    headers: tuple[tuple[str, str], ...] = ()
    # "" or what the token lacks; of what can be seen without harm.
    check: Callable[[Desk], str] = lambda _desk: ""
    # Of an author, by the forge's host; never a private one.
    mail: Callable[[Author, str], str] = lambda author, host: f"{author.login}@noreply.{host}"
    # What is wrong with `forge.options` of fleet.yaml; empty if nothing is.
    options: Callable[[Mapping[str, Any]], str] = no_options
