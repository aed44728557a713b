"""The texts of a question's pull request. Pure.

Text of agents and tasks is quoted line by line: a forge obeys lines that start with a slash
(GitLab's quick actions) and notifies people whose names follow an @.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gitfleet.event_log import UNSAFE
from gitfleet.files import layout
from gitfleet.model.board import Entry
from gitfleet.model.event import Attempt
from gitfleet.model.question import Question

MARK: Final = "<!-- gitfleet"  # every text of gitfleet starts with it
ASKED: Final = f"{MARK}:question -->"
EMPTY: Final = f"{MARK}:merged-without-an-answer -->"
OVER: Final = f"{MARK}:over -->"
_TITLE: Final = 200  # characters; forges take 255
_BODY: Final = 60_000  # the same; GitHub takes 65,536
_TEXT: Final = 20_000  # of a question or a task in it
_TRIED: Final = 8  # attempts that are listed
_AT: Final = re.compile(r"@(?=\w)")
_NUMBER: Final = re.compile(r"(?:option\s+)?#?([1-9][0-9]?)[.)]?\Z", re.IGNORECASE)


def title(question: Question) -> str:
    """The question in one line."""
    lines = (line.strip("#*_ \t") for line in UNSAFE.sub("", question.text).splitlines())
    first = next((line for line in lines if line), question.name)
    return first if len(first) <= _TITLE else first[: _TITLE - 1] + "…"


def body(entry: Entry, question: Question) -> str:
    """Everything that a newcomer needs: the task, its attempts, how to answer."""
    asker = f"{question.by.coder or 'A coder'}, in attempt {question.by.attempt or 1}"
    parts = [
        ASKED,
        f"{asker} on the task **{_plain(entry.title)}** (`{entry.id}`), asks:",
        _quoted(question.text),
        *_options(question),
        *_about(entry),
        *_tried(entry),
        _how(question),
    ]
    text = "\n\n".join(parts)
    return text if len(text) <= _BODY else text[:_BODY] + "\n\n…"


def _options(question: Question) -> Iterator[str]:
    if question.options:
        lines = (f"{n}. {_plain(one)}" for n, one in enumerate(question.options, 1))
        yield "\n".join(["It offers these options:", "", *lines])


def _about(entry: Entry) -> Iterator[str]:
    if entry.task is not None and entry.task.body.strip():
        yield "<details><summary>The task</summary>\n\n" + _quoted(entry.task.body) + "\n</details>"


def _tried(entry: Entry) -> Iterator[str]:
    made = [e.content for e in entry.events if isinstance(e.content, Attempt)][-_TRIED:]
    if made:
        lines = (
            f"- attempt {one.attempt}{f' ({_plain(one.coder)})' if one.coder else ''}:"
            f" {one.outcome}, {_plain(one.reason)}"
            for one in made
        )
        yield "\n".join(["Attempts so far:", "", *lines])


def _how(question: Question) -> str:
    number = ", or with the number of an option" if question.options else ""
    return (
        f"**To answer**, comment here{number}: the first comment from someone with write access is"
        f" the answer. Or edit `{layout.question_path(question.name)}` on this branch, write below"
        " `## Answer`, and merge. Or run, in a clone:"
        f' `gitfleet answer {question.name} "…"`.\n\n'
        "Only this task waits for the answer."
    )


def _plain(text: str) -> str:
    """Text of others within a line."""
    return _harmless(" ".join(text.split()))


def _quoted(text: str) -> str:
    short = text if len(text) <= _TEXT else text[:_TEXT] + "\n…"
    return "\n".join(f"> {line}".rstrip() for line in _harmless(short).splitlines())


def _harmless(text: str) -> str:
    # A comment can neither start nor end here, and an @ notifies no one.
    plain = UNSAFE.sub("", text).replace("<!--", "<! --").replace("</details>", "")
    return _AT.sub("@\u200b", plain)


def answer_in(question: Question, comment: str) -> str:
    """The answer in a comment: the option whose number it is, else its text."""
    said = comment.strip()
    number = _NUMBER.match(said)
    if number and said not in question.options and int(number[1]) <= len(question.options):
        return question.options[int(number[1]) - 1]
    return said


# -- later comments


def thanks(link: str) -> str:
    """The comment for an answered question; `link` leads to the commit with the answer."""
    where = f": {link}" if link else ""
    return f"{OVER}\nThank you. The answer is on the board{where}."


def moot(why: str) -> str:
    """The comment for a question that no longer needs an answer."""
    return f"{OVER}\nThis question no longer needs an answer: {why}."


def empty_merge(question: Question) -> str:
    """The comment for a merge without text below the heading."""
    path = layout.question_path(question.name)
    return (
        f"{EMPTY}\nThis was merged, but in `{path}` there is no text below `## Answer`, so the"
        " question is still open. Answer with a comment here, or in that file on the board."
    )
