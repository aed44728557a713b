"""A change to the board: the result of a decision, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct

from gitfleet.model.board import Board


class Move(Struct, frozen=True):
    """A ref that moves from one commit to another together with the board."""

    ref: str
    old: str | None
    new: str | None


class Person(Struct, frozen=True):
    """A person, with name and address as git has them."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Change(Struct, frozen=True, kw_only=True):
    """Files to write (None: to delete), the message, and refs that move in the same step."""

    subject: str
    files: Mapping[str, bytes | None]
    relocated: Mapping[str, str] = {}  # from path -> to path, moved without being read
    tasks: tuple[str, ...] = ()  # the tasks it concerns
    moves: tuple[Move, ...] = ()
    publish: tuple[Move, ...] = ()  # refs that are pushed with it if the board is shared
    locks: frozenset[str] = frozenset()  # no other change of the same commit may hold one of them
    author: Person | None = None  # a person, where a person decided
    body: str = ""
    trailers: Mapping[str, str] = {}  # besides those that every commit gets

    @property
    def alone(self) -> bool:
        """Whether it must be a commit by itself: a person's, so that its author is who decided; a
        landing, so that a target that refuses it holds up nothing else."""
        return self.author is not None or bool(self.moves or self.trailers)


# `decide` selects and acts: it looks at the board and says what to change, or None. It has no
# effects of its own and may be called many times, each time with a newer board. It may raise
# FleetError to refuse.
Decide = Callable[[Board, datetime], Change | None]
