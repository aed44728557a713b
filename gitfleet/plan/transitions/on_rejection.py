"""Reject work and create its one fix task. Pure."""

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

_LONGEST_BODY: Final = 200 * 1024  # bytes, of a task that we write; more is not read


def rounds(board: Board, entry: Entry) -> int:
    """The number of fix tasks between a task and the first one of its chain."""
    return sum(1 for _ in chain(board, entry))


def fix_task(
    board: Board, entry: Entry, attempt: Attempt, fix: Task | None
) -> tuple[str, Task] | None:
    """The fix task of a rejected one, with its id; None if the rounds are used up.

    `fix` is the validator's proposal: its title and body are used, the rest is inherited.
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
    """Who repairs it: the validator's proposal, else the task's own coder."""
    if fix is None or not (fix.coder or fix.model):
        return own.coder, own.model, own.coders
    if fix.coder or not own.coders:
        same = fix.coder in (None, own.coder)
        return fix.coder or own.coder, fix.model or (own.model if same else None), ()
    first = own.coders[0]
    coder = first if isinstance(first, str) else first.coder
    return None, None, (CoderChoice(coder, fix.model), *own.coders[1:])


def _fix_body(entry: Entry, origin: Entry, attempt: Attempt) -> str:
    """The text of a fix task.

    Text of others is indented or quoted: it is data, and the coder `shell` must not run a script
    from the first task's text again.
    """
    lines = [
        f"The work on `{entry.id}` was not accepted: {' '.join(attempt.reason.split())[:2000]}",
        "",
        "You start where that work ended. Fix what was found, and nothing else.",
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
    """Record a verdict against the work, and create one task that repairs all findings."""
    entry = claimed_by(board, task, attempt.nonce)
    if entry is None:
        return None
    if cancelled(entry) or done(entry):
        return end_attempt(board, task=task, attempt=attempt, role=Role.VALIDATE)
    made = fix_task(board, entry, attempt, fix)
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    if made is not None:
        repair, content = made
        if landing_blocker(entry):  # put on hold meanwhile: its fix task does not start either
            content = replace(content, hold=True)
        files[layout.task_path(repair)] = codec.write_task(content)
        attempt = replace(attempt, fixed_by=repair)
    files.update([event_file(new_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    return Change(
        subject=f"{task}: {attempt.outcome}: {headline(attempt.reason)}", files=files, tasks=(task,)
    )
