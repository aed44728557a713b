"""What people may want to be notified of. Pure, from the board.

Each piece of news has a key made of facts of the board, so that after a restart a runner knows what
was already sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from gitfleet.event_log import UNSAFE
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import Notice
from gitfleet.model.event import Attempt, Event, Landed
from gitfleet.model.states import Outcome, Status
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.status import TaskStatus

_LONGEST: Final = 1500  # characters of a body
_TITLE: Final = 120
# A runner is not idle while something runs or could start.
_BUSY: Final = frozenset(
    {
        Status.WORKING,
        Status.VALIDATING,
        Status.PLANNING,
        Status.READY,
        Status.DELAYED,
        Status.SUBMITTED,
        Status.ACCEPTED,
    }
)
_CALL: Final = re.compile(r"([@#!])(?=\w)")


class News(Struct, frozen=True, kw_only=True):
    """One notification: its subject and its text."""

    about: Notice
    key: str
    title: str
    body: str


def of_entry(entry: Entry, where: TaskStatus) -> Iterator[News]:
    """The news about one task."""
    if not (done(entry) or cancelled(entry)):
        yield from _questions(entry)
    if where.status in (Status.FAILED, Status.INVALID):
        mark = next((e.name for e in reversed(entry.events) if e.attempt), entry.blob)
        yield _news(
            Notice.FAILED,
            f"{entry.id}/{where.status}/{mark}",
            f"{entry.id} needs attention: {where.status}",
            f"{entry.title}\n\n{where.reason}",
        )
    for event in entry.events:
        yield from _of_event(entry, event)


def _questions(entry: Entry) -> Iterator[News]:
    for question in entry.questions:
        if question.open:
            options = [f"{n}. {one}" for n, one in enumerate(question.options, 1)]
            parts = [question.text, *options, "", f"gitfleet answer {question.name} …"]
            yield _news(
                Notice.QUESTION,
                question.name,
                f"{entry.id} asks: {question.text}",
                "\n".join(parts),
            )


def _of_event(entry: Entry, event: Event) -> Iterator[News]:
    name = f"{entry.id}/{event.name}"
    match event.content:
        case Landed() as landed:
            what = f"{entry.title}\n\n{landed.merge[:10]} on {landed.target}"
            yield _news(Notice.LANDED, name, f"{entry.id} landed on {landed.target}", what)
        case Attempt(outcome=Outcome.LIMITED) as attempt:
            # Several tasks meet one limit.
            until = _stamp(attempt.until) if attempt.until else ""
            key = f"{attempt.coder}/{until}" if until else name
            title = f"{attempt.coder or 'a coder'} is limited" + (
                f" until {until}" if until else ""
            )
            yield _news(Notice.LIMITED, key, title, f"{entry.id}: {attempt.reason}")
        case Attempt(outcome=Outcome.AUTH_FAILED) as attempt:
            title = f"{attempt.coder or 'a coder'} cannot log in on {attempt.runner}"
            yield _news(Notice.FAILED, name, title, f"{entry.id}: {attempt.reason}")
        case Attempt(outcome=Outcome.LOST) as attempt:
            title = f"the runner {attempt.runner} vanished"
            yield _news(Notice.RUNNER_LOST, name, title, f"{entry.id}: {attempt.reason}")


def idle(board: Board, where: Iterable[TaskStatus]) -> News | None:
    """That no work is left, if so; its key grows with every new event."""
    counts: dict[Status, int] = {}
    for one in where:
        counts[one.status] = counts.get(one.status, 0) + 1
    if counts.keys() & _BUSY:
        return None
    newest = max((e.at for entry in board.entries.values() for e in entry.events), default=None)
    if newest is None:
        return None
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    return _news(Notice.IDLE, _stamp(newest), "nothing is left to do", said or "no tasks")


def older_idle(key: str, told: Iterable[str]) -> bool:
    """Whether something at least as new was reported as idle: archived tasks no longer count."""
    prefix = f"{Notice.IDLE}/"
    return key.startswith(prefix) and any(one >= key for one in told if one.startswith(prefix))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _news(about: Notice, key: str, title: str, body: str) -> News:
    return News(
        about=about,
        key=f"{about}/{key}",
        title=_calm(" ".join(title.split()))[:_TITLE],
        body=_calm(body)[:_LONGEST],
    )


def _calm(text: str) -> str:
    """Text of agents and tasks without mentions: services act on @all and <!channel>."""
    return _CALL.sub("\\1\u200b", UNSAFE.sub("", text))
