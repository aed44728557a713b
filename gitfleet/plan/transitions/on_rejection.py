"""Reject work and create the one task that repairs it: pure."""

from __future__ import annotations

import itertools
from typing import Final

from msgspec.structs import replace

from gitfleet.files import codec, layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change
from gitfleet.model.event import Attempt
from gitfleet.model.states import Kind, Role
from gitfleet.model.task import CoderChoice, CoderList, Task
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.transitions.event_files import claimed_by, event_file, headline, new_event
from gitfleet.plan.transitions.on_end import end_attempt
from gitfleet.plan.transitions.on_landing import chain, landing_blocker

_LONGEST_BODY: Final = 200 * 1024  # of a task we write: what is larger nobody reads


def rounds(board: Board, entry: Entry) -> int:
    """How many repairs stand between a task and the one it began with."""
    return sum(1 for _ in chain(board, entry))


def fix_task(
    board: Board, entry: Entry, attempt: Attempt, fix: Task | None
) -> tuple[str, Task] | None:
    """The one task that repairs a rejected one, with its id; None if the rounds are used up.

    `fix` is what the validator proposes: its title and body are taken, the rest is inherited.
    """
    if entry.task is None or rounds(board, entry) >= board.settings.max_fix_rounds:
        return None
    origin = [*chain(board, entry)][-1:] or [entry]
    stem = f"{origin[0].id[:48]}-fix"
    number = next(n for n in itertools.count(1) if not board.taken(f"{stem}-{n}"))
    own = entry.task
    coder, model, coders = _repairer(own, fix)
    title = fix.title if fix else f"Fix: {own.title.removeprefix('Fix: ')}"[:200]
    task = Task(
        title=title,
        priority=own.priority,
        labels=own.labels,
        role=own.role,
        coder=coder,
        model=model,
        coders=coders,
        checks=own.checks,
        paths=own.paths,
        base=own.base,
        parent=own.parent,
        runs_on=own.runs_on,
        locks=own.locks,
        timeout=own.timeout,
        max_attempts=own.max_attempts,
        budget=own.budget,
        fixes=entry.id,
        body=fix.body if fix else _fix_body(entry, origin[0], attempt),
    )
    return f"{stem}-{number}", task


def _repairer(own: Task, fix: Task | None) -> tuple[str | None, str | None, CoderList]:
    """Who repairs it: whom the validator proposes, else whoever the task is for."""
    if fix is None or not (fix.coder or fix.model):
        return own.coder, own.model, own.coders
    if fix.coder or not own.coders:
        same = fix.coder in (None, own.coder)
        return fix.coder or own.coder, fix.model or (own.model if same else None), ()
    first = own.coders[0]
    coder = first if isinstance(first, str) else first.coder
    return None, None, (CoderChoice(coder, fix.model), *own.coders[1:])


def _fix_body(entry: Entry, origin: Entry, attempt: Attempt) -> str:
    """What a repair is told. Texts of others are indented or quoted: they are data, and a script
    in the first task's text must not be run again by the coder `shell`."""
    lines = [
        f"The work on `{entry.id}` was not accepted: {' '.join(attempt.reason.split())[:2000]}",
        "",
        "You start where that work ended. Repair what was found, and nothing else.",
    ]
    if attempt.findings:
        lines += ["", "## What was found", ""]
        lines += [f"    {line}" for finding in attempt.findings for line in finding.splitlines()]
    for check in attempt.checks:
        if check.exit_code:
            lines += ["", f"The check `{check.command}` ended with {check.exit_code}:", ""]
            lines += [f"    {line}" for line in check.tail.splitlines() or ["(no output)"]]
    body = origin.task.body if origin.task else ""
    lines += ["", f"## What the task `{origin.id}` was", ""]
    text = "\n".join([*lines, *(f"> {line}".rstrip() for line in body.splitlines()), ""])
    return text.encode()[:_LONGEST_BODY].decode(errors="ignore")


def reject(board: Board, *, task: str, attempt: Attempt, fix: Task | None) -> Change | None:
    """A verdict against the work: its event, and one task that repairs all that was found."""
    entry = claimed_by(board, task, attempt.nonce)
    if entry is None:
        return None
    if cancelled(entry) or done(entry):
        return end_attempt(board, task=task, attempt=attempt, role=Role.VALIDATE)
    made = fix_task(board, entry, attempt, fix)
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    if made is not None:
        fixer, content = made
        if landing_blocker(entry):  # put on hold meanwhile: its repair is not begun either
            content = replace(content, hold=True)
        files[layout.task_path(fixer)] = codec.write_task(content)
        attempt = replace(attempt, fixed_by=fixer)
    files.update([event_file(new_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    return Change(
        subject=f"{task}: {attempt.outcome}: {headline(attempt.reason)}", files=files, tasks=(task,)
    )
