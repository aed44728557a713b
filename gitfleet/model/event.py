"""Events: what happened to a task. Written once, never edited."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from gitfleet.model.claim import Claim, Nonce, Oid
from gitfleet.model.durations import Moment
from gitfleet.model.ids import TaskId
from gitfleet.model.states import Kind, Outcome, Role


class Tokens(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Tokens used, as the coder reported them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        """All tokens, regardless of price."""
        return self.input + self.output + self.cache_read + self.cache_write


class Check(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One check and its result."""

    command: str
    exit_code: Annotated[int, Meta(description="Negative: ended by that signal.")]
    seconds: float = 0.0
    tail: Annotated[str, Meta(description="The end of its output, if it failed.")] = ""


class Attempt(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How one attempt ended: log/<id>/<nnn>-work|validate|plan-<hex>.yaml."""

    runner: str
    nonce: Nonce
    attempt: Annotated[int, Meta(ge=1)]
    outcome: Outcome
    reason: Annotated[str, Meta(description="One sentence for a person.")]
    started: Moment
    ended: Moment
    coder: str = ""
    model: str = ""
    session: Annotated[str, Meta(description="The coder's own id of the session.")] = ""
    exit_code: int | None = None
    signal: int | None = None
    until: Annotated[Moment | None, Meta(description="When a limit resets, where it is known.")] = (
        None
    )
    task_blob: Oid | None = None
    base: Oid | None = None
    head: Annotated[
        Oid | None, Meta(description="The tip of the work, or the commit that was reviewed.")
    ] = None
    branch: str = ""
    commits: int = 0
    files_changed: int = 0
    tokens: Tokens = Tokens()
    usd: float = 0.0
    tool_calls: int = 0
    checks: tuple[Check, ...] = ()
    findings: Annotated[
        tuple[str, ...], Meta(description="What a validator found, one sentence each.")
    ] = ()
    fixed_by: Annotated[TaskId | None, Meta(description="The task that repairs this one.")] = None

    @classmethod
    def of(cls, claim: Claim, outcome: Outcome, reason: str, ended: datetime) -> Attempt:
        """The end of a claimed attempt, with everything that its claim says."""
        return cls(
            runner=claim.runner,
            nonce=claim.nonce,
            attempt=claim.attempt,
            outcome=outcome,
            reason=reason,
            started=claim.at,
            ended=ended,
            coder=claim.coder,
            model=claim.model,
            task_blob=claim.task_blob,
            base=claim.base,
            head=claim.head,
            branch=claim.branch,
        )


class Decision(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A person's decision: retry, cancel, hold, unhold, close, note."""

    at: Moment
    by: Annotated[str, Meta(description="The person: Name <mail>.")] = ""
    reason: Annotated[str, Meta(description="The person's reason.")] = ""


class Landed(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The work is in the target: log/<id>/<nnn>-landed-<hex>.yaml."""

    runner: str
    nonce: Nonce
    at: Moment
    target: Annotated[str, Meta(description="The branch it landed on.")]
    merge: Annotated[Oid, Meta(description="The commit of the target that contains it.")]
    head: Oid | None = None


class Closed(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Done without a merge of its own: fixed by another task, an accepted plan, or by hand."""

    runner: str
    at: Moment
    reason: str
    by: Annotated[TaskId | None, Meta(description="The task whose landing closed this one.")] = None


Content = Attempt | Decision | Landed | Closed
CONTENT_OF: dict[Kind, type[Content]] = {
    **dict.fromkeys((Kind.WORK, Kind.VALIDATE, Kind.PLAN), Attempt),
    **dict.fromkeys(
        (Kind.RETRY, Kind.CANCEL, Kind.HOLD, Kind.UNHOLD, Kind.CLOSE, Kind.NOTE), Decision
    ),
    Kind.LANDED: Landed,
    Kind.CLOSED: Closed,
}


class Event(Struct, frozen=True):
    """One file of a task's log: its name and its content."""

    task: str
    number: int
    kind: Kind
    suffix: str
    content: Content
    word: str = ""  # the kind as the file's name has it, where that is an old word for it

    @property
    def name(self) -> str:
        """The file's name: 003-work-1f0c.yaml."""
        return f"{self.number:03d}-{self.word or self.kind}-{self.suffix}.yaml"

    @property
    def order(self) -> tuple[int, str]:
        """Events are ordered by number, as a number, then by name."""
        return (self.number, self.name)

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that it records, if any."""
        return self.content if isinstance(self.content, Attempt) else None

    @property
    def role(self) -> Role | None:
        """The role of the attempt that it records."""
        return Role(self.kind.value) if isinstance(self.content, Attempt) else None

    @property
    def at(self) -> datetime:
        """When it was written."""
        return self.content.ended if isinstance(self.content, Attempt) else self.content.at
