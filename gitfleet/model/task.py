"""A task: what to do, as a person wrote it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from gitfleet.model.durations import Duration, Moment
from gitfleet.model.ids import TaskId

# One line of text for people: no control characters, so that a list stays a list.
Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)", min_length=1, max_length=500)]
Title = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)", min_length=1, max_length=200)]
Word = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:+@-]*$(?!\n)", max_length=100)]
Command = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00\r\n]*$(?!\n)",
        min_length=1,
        max_length=2000,
        description="One line for `sh -c`. Exit status 0 means that it passed.",
    ),
]
Pattern = Annotated[str, Meta(pattern=r"^[^\x00\r\n]*$(?!\n)", min_length=1, max_length=500)]
Branch = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$(?!\n)",
        max_length=200,
        description="A branch name without refs/heads/.",
    ),
]


class TaskRole(StrEnum):
    """What the attempts on a task produce."""

    WORK = "work"
    PLAN = "plan"


class CoderChoice(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A coder in a list of them, with the model it is to use."""

    coder: Annotated[Word, Meta(description="A coder's name.")]
    model: Annotated[Word | None, Meta(description="Its model.")] = None


# Best first: the first that does not rest does it.
CoderList = tuple[Word | CoderChoice, ...]


def check_choice(coder: str | None, model: str | None, coders: CoderList) -> None:
    """ValueError where a file names one coder, or its model, and a list of coders beside it."""
    for key, value in (("coder", coder), ("model", model)):
        if coders and value is not None:
            raise ValueError(f"both `{key}` and `coders` are set; keep one of them")


class Budget(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all attempts on one task may cost together."""

    usd: Annotated[float, Meta(gt=0, description="US dollars.")] | None = None
    tokens: Annotated[int, Meta(gt=0, description="Tokens, read and written.")] | None = None


class Task(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What to do: the front matter of tasks/<id>.md. Only the title is required."""

    title: Annotated[Title, Meta(description="One line that names the work.")]
    depends_on: Annotated[
        tuple[TaskId, ...], Meta(description="Ids of tasks that must be done before this one.")
    ] = ()
    priority: Annotated[
        int, Meta(ge=0, le=4, description="0 is most urgent, 4 least; 2 if absent.")
    ] = 2
    labels: Annotated[tuple[Word, ...], Meta(description="Words to filter by.")] = ()
    role: Annotated[
        TaskRole, Meta(description="work, or plan: a plan task's result is more task files.")
    ] = TaskRole.WORK
    coder: Annotated[Word | None, Meta(description="Its coder; default: the role's coder.")] = None
    model: Annotated[Word | None, Meta(description="The model of its coder.")] = None
    coders: Annotated[
        CoderList,
        Meta(
            description="Instead of coder and model: several, best first, a name or {coder, model}."
            " The first one that is not paused is used."
        ),
    ] = ()
    checks: Annotated[
        tuple[Command, ...],
        Meta(description="Commands that must pass on the tree that lands, after fleet.yaml's."),
    ] = ()
    paths: Annotated[
        tuple[Pattern, ...],
        Meta(description="gitignore patterns: the change may touch no other file."),
    ] = ()
    base: Annotated[Branch | None, Meta(description="The branch it starts from and lands on.")] = (
        None
    )
    parent: Annotated[TaskId | None, Meta(description="For people's overview only.")] = None
    runs_on: Annotated[
        tuple[Word, ...], Meta(description="Only runners with all of these labels claim it.")
    ] = ()
    locks: Annotated[
        tuple[Word, ...],
        Meta(description="Names: tasks that share one never run at the same time."),
    ] = ()
    not_before: Annotated[
        Moment | None, Meta(description="It is not claimed before this time.")
    ] = None
    timeout: Annotated[Duration | None, Meta(description="The time limit of one attempt.")] = None
    max_attempts: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(description="Failed attempts until it needs a person."),
    ] = None
    budget: Annotated[Budget | None, Meta(description="What it may cost in total.")] = None
    hold: Annotated[bool, Meta(description="It is not claimed until this line is removed.")] = False
    fixes: Annotated[
        TaskId | None,
        Meta(description="Written by gitfleet: repairs that rejected task, starts from its head."),
    ] = None
    discovered_from: Annotated[
        TaskId | None,
        Meta(description="Written by gitfleet: an agent created it while working on that one."),
    ] = None
    outbox: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{8,64}$(?!\n)")] | None,
        Meta(
            description="Written by gitfleet: with this key, a task that an agent creates arrives"
            " only once."
        ),
    ] = None
    body: str = ""  # the Markdown below the front matter; not a key of it

    def __post_init__(self) -> None:
        check_choice(self.coder, self.model, self.coders)
