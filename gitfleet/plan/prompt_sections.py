"""The sections of a prompt: the task and its history. Pure, bounded, others' text fenced.

Each function makes one section; empty if it has no content. Text of earlier attempts, checks and
validators is fenced, whoever wrote the prompt around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from gitfleet.model.board import Entry
from gitfleet.model.durations import counted, spoken
from gitfleet.model.event import Attempt, Check, Decision, Event
from gitfleet.model.question import Question
from gitfleet.model.states import ATTEMPT_KINDS, VERDICTS, Kind, Role
from gitfleet.plan.quoting import fenced, line, shortened
from gitfleet.plan.task_history import submission_of

# Characters. A model reads all of it each time, so it must be worth its place.
ALL_BEFORE: Final = 20_000
_OF_ONE: Final = 5_000  # of one attempt: reason, findings, output of checks
_TAIL: Final = 2_500  # of the output of one check
_FINDING: Final = 1_000
_LINES: Final = 40  # attempts that get at least one line
_NOTE: Final = 8_000
ALL_NOTES: Final = 24_000
_QUESTION: Final = 2_000
_ANSWER: Final = 8_000
ALL_ANSWERS: Final = 24_000
_MOST_ANSWERS: Final = 20
_WORD: Final = re.compile(r"[A-Za-z0-9_./-]{1,150}")
_TITLES: Final[Mapping[Kind, str]] = {
    Kind.WORK: "work",
    Kind.PLAN: "plan",
    Kind.VALIDATE: "validation",
}
_PEOPLES: Final[Mapping[Kind, str]] = {
    Kind.RETRY: "A person retried it",
    Kind.NOTE: "A person commented",
    Kind.UNHOLD: "A person took it off hold",
}


def _word(text: str) -> str:
    """A name outside of a fence: agents choose some, and a sentence is not a name."""
    return text if _WORD.fullmatch(text) or not text else "(not a valid name)"


def task_section(entry: Entry) -> str:
    """The task as in its file. Its text is the instruction, so it is not fenced."""
    assert entry.task is not None
    task = entry.task
    lines = [f"# The task: {line(task.title)}", "", f"Its id is {entry.id}."]
    if task.paths:
        lines.append(f"The change may only touch: {', '.join(map(line, task.paths))}")
    if task.checks:
        lines += ["These commands must pass on the result:", ""]
        lines += [f"    {line(command)}" for command in task.checks]
    return "\n".join([*lines, "", task.body.strip()])


def answers_section(questions: Sequence[Question]) -> str:
    """Earlier questions with people's answers, the newest last, and the open ones."""
    answered = [question for question in questions if not question.open][-_MOST_ANSWERS:]
    waits = [question for question in questions if question.open][-_MOST_ANSWERS:]
    lines: list[str] = []
    most = min(_ANSWER, ALL_ANSWERS // max(1, len(answered)))
    if answered:
        lines += ["# Questions that people answered", ""]
        lines.append("An earlier attempt asked. Each answer is a person's decision: follow it.")
    for question in answered:
        lines += ["", *_asked(question), "", "A person answered:", ""]
        lines.append(fenced(question.answer, most, "answer"))
    if waits:
        lines += ["", "# Questions without an answer yet"]
    for question in waits:
        lines += ["", *_asked(question)]
    return "\n".join(lines).strip("\n")


def _asked(question: Question) -> Iterator[str]:
    by = f"Attempt {question.by.attempt}" if question.by.attempt else "An attempt"
    options = "".join(f"\n- {option}" for option in question.options)
    yield from (f"{by} asked ({_word(question.name)}):", "")
    yield fenced(question.text + options, _QUESTION, "question")


def notes_section(notes: Mapping[str, str]) -> str:
    """The notes of earlier attempts, with their paths on the board."""
    shown = {path: text for path, text in notes.items() if text.strip()}
    if not shown:
        return ""
    lines = ["# Notes that earlier attempts left"]
    most = min(_NOTE, ALL_NOTES // len(shown))
    for path, text in shown.items():
        lines += ["", f"{_word(path)}:", "", fenced(text, most, "note")]
    return "\n".join(lines)


def checks_section(checks: Sequence[Check]) -> str:
    """The checks that ran on the work under review."""
    if not checks:
        return "# Checks that were run\n\nNone."
    ran = "\n".join(
        f"exit status {check.exit_code} after {spoken(check.seconds)}: {line(check.command)}"
        for check in checks
    )
    return f"# Checks that were run\n\n{fenced(ran, _OF_ONE)}"


def submitted_section(entry: Entry) -> str:
    """Who submitted the work under review, and whether the task's text has changed since."""
    event = submission_of(entry)
    if event is None or event.attempt is None:
        return ""
    done = event.attempt
    told = (
        f"# The work\n\nAttempt {done.attempt}, by"
        f" {_word(done.coder) or 'an unnamed coder'}, handed it"
        f" in: {counted(done.commits, 'commit')}, {counted(done.files_changed, 'file')} changed."
    )
    if done.task_blob in (None, entry.blob):
        return told
    return (
        f"{told} The task's text changed after the work was done. Review it"
        " against the text given here."
    )


# -- history


def before_section(entry: Entry, role: Role) -> str:
    """How earlier attempts ended, oldest first.

    The newest in full, as far as there is room, earlier ones in one line each, and of the oldest
    only their number.
    """
    events = list(_told(entry, role))
    blocks: list[str] = []
    left = ALL_BEFORE
    for event in reversed(events):
        if len(blocks) == _LINES:
            blocks.append(f"{counted(len(events) - _LINES, 'event')} before these are omitted.")
            break
        whole = _whole(event)
        block = whole if len(whole) <= left else _head(event)
        left -= len(block)
        blocks.append(block)
    if not blocks:
        return ""
    return "\n\n".join(["# What happened before", *reversed(blocks)])


def _told(entry: Entry, role: Role) -> Iterable[Event]:
    if role is not Role.VALIDATE:
        return (e for e in entry.events if e.kind in ATTEMPT_KINDS or _remark(e))
    return _of_validation(entry)


def _of_validation(entry: Entry) -> Iterator[Event]:
    """Validations of this very work without a verdict.

    Opinions on older work, and who accepted it, must not influence a new validator.
    """
    done = submission_of(entry)
    for event in entry.current:
        later = done is None or event.order > done.order
        verdict = event.attempt is None or event.attempt.outcome in VERDICTS
        if later and event.kind is Kind.VALIDATE and not verdict:
            yield event


def _remark(event: Event) -> bool:
    """Whether an event carries a person's words. A retry matters even without a reason."""
    said = isinstance(event.content, Decision) and bool(event.content.reason.strip())
    return event.kind is Kind.RETRY or (event.kind in _PEOPLES and said)


def _head(event: Event) -> str:
    done = event.attempt
    if done is None:
        return f"{_PEOPLES[event.kind]}."
    took = spoken((done.ended - done.started).total_seconds())
    by = f" by {_word(done.coder)}" if done.coder else ""
    return f"Attempt {done.attempt}, {_TITLES[event.kind]}{by}, {took}: {done.outcome}."


def _whole(event: Event) -> str:
    said = event.content.reason if isinstance(event.content, Decision) else ""
    text = _words(event.attempt) if event.attempt is not None else said
    return f"{_head(event)}\n\n{fenced(text, _OF_ONE)}" if text.strip() else _head(event)


def _words(done: Attempt) -> str:
    """The texts about an attempt, by gitfleet, its coder, its checks and its validator."""
    lines = [line(done.reason)]
    lines += [f"- {shortened(finding.strip(), _FINDING)}" for finding in done.findings]
    for check in done.checks:
        if check.exit_code:
            lines += ["", f"$ {line(check.command)}", shortened(check.tail.rstrip(), _TAIL)]
            lines.append(f"(exit status {check.exit_code})")
    return "\n".join(lines)
