"""The attempts on a task: what the board knows of each, and the paths of their files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from gitfleet.cli.support.session import CliSession
from gitfleet.model.board import Entry
from gitfleet.model.durations import clock, spoken
from gitfleet.model.event import Attempt, Check
from gitfleet.model.ids import is_id
from gitfleet.model.states import Role
from gitfleet.transcripts import output_files
from gitfleet.transcripts.replay import Speaker

_FOLDER: Final = re.compile(r"([0-9]{3,})-([0-9a-f]{8})\Z")


class ShownAttempt(NamedTuple):
    """One attempt: the board's facts about it, and the paths of its files."""

    number: int
    head: str
    folder: Path | None  # None: it left no files in this clone
    runner: str = ""
    nonce: str = ""
    running: bool = False
    speaker: Speaker = Speaker(coder="")
    checks: tuple[Check, ...] = ()  # run on its commit


def tries_of(session: CliSession, entry: Entry) -> list[ShownAttempt]:
    """Every attempt that the board knows or that left files here, by number."""
    folders = _folders(session, entry.id)
    found: list[ShownAttempt] = []
    for event in entry.events:
        done, role = event.attempt, event.role
        if done is not None and role is not None:
            folder = folders.pop((done.attempt, done.nonce[:8]), None)
            head = _heading(done, role)
            who = Speaker(
                coder=done.coder, model=done.model, role=role, tokens=done.tokens, usd=done.usd
            )
            about = ShownAttempt(done.attempt, head, folder, done.runner, done.nonce)
            found.append(about._replace(speaker=who, checks=done.checks))
    claim = entry.claim
    if claim is not None:
        folder = folders.pop((claim.attempt, claim.nonce[:8]), None)
        by = f"{claim.coder or 'checks'} on {claim.runner}"
        head = f"attempt {claim.attempt}: {claim.role} by {by}, running since {clock(claim.at)}"
        who = Speaker(coder=claim.coder, model=claim.model, role=claim.role)
        found.append(
            ShownAttempt(claim.attempt, head, folder, claim.runner, claim.nonce, True, who)
        )
    for (number, _), folder in folders.items():
        found.append(ShownAttempt(number, f"attempt {number}: it is not on the board", folder))
    return sorted(found, key=lambda one: one.number)


def _folders(session: CliSession, task: str) -> dict[tuple[int, str], Path]:
    """The run directories of a task. A badly named task file may contain a false id."""
    if not is_id(task):
        return {}
    names = output_files.listed(session.clone.runs / task)
    parsed = [found for name in names if (found := _FOLDER.match(name))]
    return {(int(f[1]), f[2]): session.clone.runs / task / f[0] for f in parsed}


def _heading(done: Attempt, role: Role) -> str:
    took = spoken((done.ended - done.started).total_seconds())
    by = f"{done.coder or 'checks'} on {done.runner}"
    when = clock(done.started)
    return f"attempt {done.attempt}: {role} by {by}, {when}, {took}, {done.outcome}: {done.reason}"
