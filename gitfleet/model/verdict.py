"""What a validator says about somebody's work."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from gitfleet.model.task import Title, Word


class Ruling(StrEnum):
    """Whether the work may land."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Fix(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The task that would repair rejected work, if the validator knows one."""

    title: Title
    body: Annotated[str, Meta(max_length=50_000)] = ""
    coder: Word | None = None
    model: Word | None = None


class Verdict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """verdict.yaml in a validator's outbox."""

    verdict: Annotated[Ruling, Meta(description="accepted or rejected.")]
    reason: Annotated[str, Meta(max_length=2000, description="One sentence for a person.")] = ""
    findings: Annotated[
        tuple[Annotated[str, Meta(max_length=4000)], ...],
        Meta(max_length=200, description="What is wrong, one sentence each."),
    ] = ()
    fix: Fix | None = None
