"""A claim: which runner holds a task now."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gitfleet.model.durations import Moment
from gitfleet.model.states import Role

Oid = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)", description="A git object id.")]
Nonce = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", description="Random; proves whose claim this is.")
]


class Claim(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Who holds a task now: claims/<id>.yaml. It exists only while the task is held."""

    runner: Annotated[str, Meta(min_length=1, description="The runner that holds the task.")]
    nonce: Nonce
    role: Annotated[Role, Meta(description="What the attempt is for.")]
    attempt: Annotated[int, Meta(ge=1, description="The attempt's number, over all roles.")]
    coder: Annotated[str, Meta(description="The coder; empty where checks alone decide.")] = ""
    model: str = ""
    task_blob: Annotated[Oid, Meta(description="The version of the task file that it works on.")]
    base: Annotated[Oid, Meta(description="The commit the work starts from.")]
    head: Annotated[Oid | None, Meta(description="The commit that is validated.")] = None
    branch: Annotated[str, Meta(description="The branch the work is on.")] = ""
    at: Moment
