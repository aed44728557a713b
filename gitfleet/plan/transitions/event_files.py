"""The files of events, and the fence that every end of an attempt passes. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from gitfleet.files import codec, layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Attempt, Content, Event
from gitfleet.model.states import Kind


def claimed_by(board: Board, task: str, nonce: str) -> Entry | None:
    """The fence: the task's entry if the claim with this nonce is at the tip."""
    entry = board.get(task)
    if entry is None or entry.claim is None or entry.claim.nonce != nonce:
        return None
    return entry


def new_event(entry: Entry, kind: Kind, suffix: str, content: Content, after: int = 0) -> Event:
    return Event(entry.id, entry.next_number + after, kind, suffix, content)


def event_file(event: Event) -> tuple[str, bytes]:
    data = codec.write(event.content)
    if len(data) > layout.LARGEST and isinstance(event.content, Attempt):
        # A file that large is not read, so the event would count as damaged: shorten it.
        data = codec.write(_shortened(event.content))
    return layout.event_path(event.task, event.name), data


def _shortened(attempt: Attempt) -> Attempt:
    checks = tuple(
        replace(check, command=check.command[:500], tail=check.tail[-1000:])
        for check in attempt.checks[:50]
    )
    findings = tuple(finding[:1000] for finding in attempt.findings[:50])
    return replace(attempt, reason=attempt.reason[:2000], checks=checks, findings=findings)


def headline(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 72 else line[:71] + "…"
