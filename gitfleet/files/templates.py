"""Prompts: Markdown with places to fill in, `{{name}}`, each from a fixed list.

No place is computed and filled-in text is not parsed again, so foreign text with a `{{name}}` stays
text. A name that is not on the list is an error, reported with its position.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from gitfleet.files import codec
from gitfleet.model.board import Problem
from gitfleet.model.states import Role

# The names of the variables, and their content. `docs/prompts.md` shows them, and a test compares
# the two.
_WORDS: Final[Mapping[str, str]] = {
    "id": "the task's id",
    "title": "its title",
    "attempt": "the number of this attempt",
    "coder": "the coder that gets this prompt",
    "model": "its model; empty where none is set",
    "target": "the branch that the work lands on",
    "base": "the commit that the work is compared with",
}
_SECTIONS: Final[Mapping[str, str]] = {
    "task": "the task: its title, limits and text",
    "start": "how to start: with a plan, where the last attempt ended, or with a conflict",
    "answers": "questions of earlier attempts, and people's answers",
    "notes": "the notes of earlier attempts",
    "before": "how earlier attempts ended: outcomes, failing checks, findings",
}
_WORK: Final = {**_WORDS, "branch": "the branch that the work is on", **_SECTIONS}
VARIABLES: Final[Mapping[Role, Mapping[str, str]]] = {
    Role.WORK: _WORK,
    Role.PLAN: {**_WORDS, **_SECTIONS},
    Role.VALIDATE: {
        **_WORDS,
        "task": _SECTIONS["task"],
        "submitted": "who did the work, and whether the task's text has changed since",
        "checks": "the checks that ran on this tree, and how each ended",
        "answers": _SECTIONS["answers"],
        "before": "how earlier validations of this work ended",
    },
}
# Sections. A prompt without a place for one gets it at its end, in this order: a custom prompt
# cannot lose the task or an answer.
SECTIONS: Final = ("task", "submitted", "checks", "start", "answers", "notes", "before")

_OPEN: Final = re.compile(r"\\\{\{|\{\{")
_NAME: Final = re.compile(r"\{\{[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*\}\}")
_MEANWHILE: Final = "; until then gitfleet's own prompt is used"
_LITERAL: Final = "\\{{ for the two characters themselves"


class Template(Struct, frozen=True):
    """A prompt, split at its variables: text, name, text, name, … text."""

    pieces: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The variables that it uses."""
        return frozenset(self.pieces[1::2])

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with its variables filled in; sections without a place are added at the end.

        Filled-in text stays as it is. Only the empty lines around an empty value are removed.
        """
        text = ""
        for number, piece in enumerate(self.pieces):
            if number % 2:
                text += values.get(piece, "")
            else:
                gap = not text or text.endswith("\n\n")
                text += piece.lstrip("\n") if gap else piece
        rest = (values.get(name, "") for name in SECTIONS if name not in self.names)
        parts = (part.strip("\n") for part in (text, *rest))
        return "\n\n".join(part for part in parts if part) + "\n"


def read_prompt(data: bytes, path: str, role: Role) -> codec.Read[Template]:
    """Read a prompt's file: the template, or its problems."""
    text, problems = codec.decode(data, path)
    if problems:
        return None, problems
    if not text.strip():
        remedy = f"write the prompt, or remove the file{_MEANWHILE}"
        return None, (Problem(path, 1, 1, "the prompt is empty", remedy),)
    pieces: list[str] = []
    found: list[Problem] = []
    for piece in _pieces(text, path, VARIABLES[role]):
        if isinstance(piece, Problem):
            found.append(piece)
        else:
            pieces.append(piece)
    return (None, tuple(found)) if found else (Template(tuple(pieces)), ())


def _pieces(text: str, path: str, known: Mapping[str, str]) -> Iterator[str | Problem]:
    """Text and variable names in turn, and a problem for each unknown name."""
    told, at = "", 0
    for found in _OPEN.finditer(text):
        told += text[at : found.start()]
        if found[0] != "{{":
            told += "{{"
            at = found.end()
            continue
        name = _NAME.match(text, found.start())
        if name is not None and name[1] in known:
            yield told
            yield name[1]
            told, at = "", name.end()
            continue
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        yield Problem(path, line, column, *_wrong(name[1] if name else "", known))
        at = found.end()
    yield told + text[at:]


def _wrong(name: str, known: Mapping[str, str]) -> tuple[str, str]:
    """The problem with a variable, and the remedy."""
    if not name:
        remedy = f"write {{{{name}}}} on one line, or {_LITERAL}{_MEANWHILE}"
        return "{{ does not start a variable here", remedy
    near = difflib.get_close_matches(name.lower(), known, n=1)
    meant = f"{{{{{near[0]}}}}}" if near else f"one of {', '.join(known)}"
    remedy = f"write {meant}, or {_LITERAL}{_MEANWHILE}"
    return f"there is no variable {{{{{name}}}}} in this prompt", remedy
