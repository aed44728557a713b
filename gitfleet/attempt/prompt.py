"""Fill in the prompt of an attempt: the board's prompts/<role>.md, or the one that ships.

`files.templates` lists the variables; `plan.prompt_sections` makes the sections. This module reads
what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gitfleet import assets
from gitfleet.attempt.context import ClaimedTask, Project
from gitfleet.attempt.start_point import StartMode, StartPoint
from gitfleet.board.store import Store
from gitfleet.errors import FleetError
from gitfleet.files import layout, templates
from gitfleet.files.templates import Template
from gitfleet.model.board import Board, Entry
from gitfleet.model.event import Attempt, Check
from gitfleet.model.states import Kind, Outcome, Role
from gitfleet.plan import prompt_sections
from gitfleet.plan.quoting import line

_MOST_NOTES: Final = 8  # files; an agent may have written any number
_FIRST: Final = """\
This is the first attempt. Before you change anything, find out what the task means here, where the
change belongs and how to verify it. Then write down your plan for any attempt that continues after
you, and keep it up to date:

    gitfleet note plan < plan.txt

Record what was hard to find out, and what later attempts should know, with
`gitfleet note knowledge`."""
_GO_ON: Final = """\
This is attempt {number}. The work of earlier attempts is on this branch, and their uncommitted
changes are still there. Read below how they ended and what they noted, look at `git log` and
`git status`, and continue from there. Keep the notes up to date:
`gitfleet note plan < plan.txt`."""
_AFRESH: Final = """\
This is attempt {number}. It starts from scratch: the work of earlier attempts is not in this
worktree. Read below how they ended, do not repeat what failed, and write down your plan:

    gitfleet note plan < plan.txt"""
_REPAIR: Final = """\
The rejected work that this task repairs is already on this branch. Look at it first."""
_CONFLICT: Final = """\
The earlier work on this task conflicts with what landed since. It is merged into this worktree with
conflict markers. Resolve the conflicts so that both changes keep their meaning, verify that the
result still does what the task asks, and commit."""
_AFTER: Final[Mapping[Outcome, str]] = {
    Outcome.ASKED: "It asked, and there is an answer now; see below.",
    Outcome.CONTEXT_FULL: "Its context was full. Read only what you need, in small pieces, and"
    " note what you find out.",
    Outcome.EMPTY: "It changed nothing. If nothing needs to change, or you cannot do the task, say"
    " why in your last message.",
    Outcome.OUT_OF_SCOPE: "It changed files that the task does not allow. Restore them to their"
    " state on the target.",
    Outcome.TIMED_OUT: "It took too long. Commit early, so that finished work is kept.",
    Outcome.STALLED: "It stopped producing output. Run nothing that waits for input or never ends.",
    Outcome.INTERRUPTED: "It was interrupted from outside; nothing was wrong with it.",
    Outcome.LOST: "Its machine vanished; nothing was wrong with it.",
    Outcome.LIMITED: "Its coder's quota was used up; nothing was wrong with it.",
}


def of_work(project: Project, claimed: ClaimedTask, start_point: StartPoint) -> str:
    """The prompt of an attempt at work or at a plan."""
    entry, role = claimed.entry, claimed.claim.role
    values = {
        **_words(claimed, entry, start_point.base),
        "branch": claimed.claim.branch,
        "task": prompt_sections.task_section(entry),
        "start": f"# How to start\n\n{_start(entry, claimed.claim.attempt, start_point)}",
        "answers": prompt_sections.answers_section(entry.questions),
        "notes": prompt_sections.notes_section(_notes(project.store, claimed.board, entry)),
        "before": prompt_sections.before_section(entry, role),
    }
    return template(project.store, claimed.board, role).filled(values)


def of_validation(
    project: Project, claimed: ClaimedTask, entry: Entry, base: str, checks: tuple[Check, ...]
) -> str:
    """The prompt of a validator; `entry` is the task as it would land, `base` the target before."""
    values = {
        **_words(claimed, entry, base),
        "task": prompt_sections.task_section(entry),
        "submitted": prompt_sections.submitted_section(entry),
        "checks": prompt_sections.checks_section(checks),
        "answers": prompt_sections.answers_section(entry.questions),
        "before": prompt_sections.before_section(entry, Role.VALIDATE),
    }
    return template(project.store, claimed.board, Role.VALIDATE).filled(values)


def _words(claimed: ClaimedTask, entry: Entry, base: str) -> dict[str, str]:
    return {
        "id": entry.id,
        "title": line(entry.title),
        "attempt": str(claimed.claim.attempt),
        "coder": line(claimed.claim.coder),
        "model": line(claimed.claim.model),
        "target": claimed.assignment.target,
        "base": base,
    }


# -- the template


def template(store: Store, board: Board, role: Role) -> Template:
    """The prompt in force for a role. A board's prompt that does not validate is ignored."""
    oid = board.prompts.get(role)
    found = None
    if oid is not None:
        found, _ = templates.read_prompt(store.text(oid), layout.prompt_path(role), role)
    return found or shipped(role)


def shipped_text(role: Role) -> str:
    """The text of the prompt that comes with gitfleet."""
    return (assets.folder("prompts") / f"{role}.md").read_text(encoding="utf-8")


def shipped(role: Role) -> Template:
    """The prompt that comes with gitfleet."""
    found, problems = templates.read_prompt(shipped_text(role).encode(), f"{role}.md", role)
    if found is None:
        raise FleetError(f"the prompt shipped with gitfleet is broken: {problems[0]}")
    return found


# -- the instructions for the start


def _start(entry: Entry, number: int, start_point: StartPoint) -> str:
    earlier = _last(entry)
    repair = [_REPAIR] if entry.task is not None and entry.task.fixes else []
    if start_point.how is StartMode.MERGE:
        return _CONFLICT
    if earlier is None:
        return "\n\n".join([*repair, _FIRST])
    after = _AFTER.get(earlier.outcome)
    told = (_GO_ON if start_point.how is StartMode.GO_ON else _AFRESH).format(number=number)
    return "\n\n".join([*repair, told, *([after] if after else [])])


def _last(entry: Entry) -> Attempt | None:
    """The last attempt in the same role, even before a retry."""
    kinds = (Kind.WORK, Kind.PLAN)
    return next((e.attempt for e in reversed(entry.events) if e.kind in kinds), None)


def _notes(store: Store, board: Board, entry: Entry) -> dict[str, str]:
    """The notes on a task, after those on the task that it repairs."""
    fixed = board.get(entry.task.fixes) if entry.task and entry.task.fixes else None
    paths = [*(fixed.notes if fixed else ()), *entry.notes][-_MOST_NOTES:]
    found = {}
    for path in paths:
        data = store.file(board, path)
        if data is not None and len(data) <= layout.LARGEST:
            found[path] = data.decode("utf-8", "replace")
    return found
