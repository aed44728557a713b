"""An agent's question and a person's answer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gitfleet.model.durations import Moment
from gitfleet.model.ids import TaskId

Options = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=300, pattern=r"^[^\r\n]*$(?!\n)")], ...],
    Meta(max_length=20, description="Answers to choose from, a line each."),
]


class Asker(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which attempt asked."""

    runner: str = ""
    coder: str = ""
    attempt: int = 0


class Question(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The front matter of questions/<id>-<n>.md, with the text below it in two parts."""

    task: TaskId
    asked: Moment
    by: Asker = Asker()
    options: Annotated[tuple[str, ...], Meta(description="Answers to choose from.")] = ()
    outbox: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}$(?!\n)")] | None,
        Meta(description="Written by gitfleet: with this key, a question arrives only once."),
    ] = None
    name: str = ""  # the file's stem, <id>-<n>; not a key
    text: str = ""  # below `## Question`; not a key
    answer: str = ""  # below `## Answer`; empty while the question is open; not a key

    @property
    def open(self) -> bool:
        """Whether it has no answer yet."""
        return not self.answer


class Asked(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The front matter of question-<anything>.md in an outbox; it may have none at all."""

    options: Options = ()
    text: str = ""  # below it, under `## Question` or without that heading; not a key
