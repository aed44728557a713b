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
    """The state of a pull request."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


class Desk(Struct, frozen=True):
    """Access to one repository (`owner/name`) through its forge's API."""

    api: Api
    repository: str
    options: Mapping[str, Any] = {}  # the forge's own options from fleet.yaml


class Pull(Struct, frozen=True, kw_only=True):
    """A pull request from a branch of the same repository."""

    number: int
    branch: str
    state: State
    url: str = ""  # for people
    updated: str = ""  # changes with every comment


class Draft(Struct, frozen=True, kw_only=True):
    """A pull request to open."""

    branch: str
    base: str
    title: str
    body: str


class Author(Struct, frozen=True, kw_only=True):
    """The author of a comment, as the forge reports it."""

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
        """Whether gitfleet wrote it: its token may belong to the same person who answers."""
        return self.text.startswith(MARK)


class Site(Struct, frozen=True, kw_only=True):
    """A forge's kind and address, and the repository there."""

    kind: str
    base_url: str  # in a browser, without a slash at the end
    repository: str
    options: Mapping[str, Any] = {}

    @property
    def host(self) -> str:
        """The forge's host, for messages and addresses."""
        return urlsplit(self.base_url).hostname or self.base_url


class Forge(NamedTuple):
    """One forge, as its module describes it. Functions that take a desk may raise HttpError."""

    kind: str
    tokens: tuple[str, ...]  # environment variables that may hold a token, in this order
    rights: str  # the rights that a token needs, in the forge's own words
    api: Callable[[str], str]  # the API's address, from the address in a browser
    pulls: Callable[[Desk, str], list[Pull]]  # open pull requests into a branch, oldest first
    find: Callable[[Desk, str, str], Pull | None]  # by branch and base, in any state
    open: Callable[[Desk, Draft], Pull]  # raises HttpRejected if one exists already
    comments: Callable[[Desk, Pull], list[Comment]]  # of people, oldest first
    may_write: Callable[[Desk, Author], bool]
    comment: Callable[[Desk, Pull, str], None]
    close: Callable[[Desk, Pull], None]
    commit: Callable[[str, str, str], str]  # base_url, repository, oid -> a link for people
    scheme: str = "Bearer"  # before the token in `Authorization`
    headers: tuple[tuple[str, str], ...] = ()
    # "" or the right that the token lacks, as far as a harmless request shows.
    check: Callable[[Desk], str] = lambda _desk: ""
    # The public address of an author, given the forge's host; never a private one.
    mail: Callable[[Author, str], str] = lambda author, host: f"{author.login}@noreply.{host}"
    # The error in `forge.options` of fleet.yaml; empty if there is none.
    options: Callable[[Mapping[str, Any]], str] = no_options
