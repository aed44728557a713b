"""What the runner's log lines say, in words for somebody who sees them for the first time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_LINE: Final = re.compile(r"\S+Z (?P<action>[a-z-]+)(?P<fields>.*)\Z")
_FIELD: Final = re.compile(r' ([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_WORDS: Final[Mapping[str, str]] = {
    "running": "runner {runner} started; work lands on {target}",
    "claimed work": "attempt {attempt} starts: a worktree, then the coder {coder}",
    "claimed validate": "trial merge, checks and review by the {coder} start",
    "ended work submitted": "work done: {reason}",
    "ended work failed": "FAILED: {reason}; retried after a pause",
    "ended validate accepted": "accepted: {reason}",
    "ended validate conflict": "CONFLICT: {reason}; redone on the new tip",
    "ended validate rejected": "REJECTED: {reason}",
    "ended validate target-red": "waits: {reason}",
    "rejected": "a fix task is created: {fixed_by}",
    "salvaged": "its earlier work is kept as {ref}",
    "landed": "LANDED on {target} as {merge}",
}
_QUIET: Final = frozenset({"target-red"})  # the task that waits for the target shows it


def caption(line: str, python: str) -> tuple[str, str] | None:
    """The task and the sentence for one line of the log; None if the demo does not show it.

    A line without a caption is shown unchanged. `python` is the interpreter's path, which is
    shortened to its name.
    """
    found = _LINE.match(line)
    if found is None:
        return "", line
    fields = {m[1]: _plain(m[2]) if m[2] is not None else m[3] for m in _FIELD.finditer(line)}
    action = found["action"]
    if action in _QUIET:
        return None
    words = [action, fields.get("role", ""), fields.get("outcome", "")]
    text = _WORDS.get(" ".join(word for word in words if word))
    if text is None:
        return fields.get("task", ""), f"{action}{found['fields']}"
    try:
        sentence = text.format_map(fields)
    except KeyError:
        sentence = f"{action}{found['fields']}"
    return fields.get("task", ""), sentence.replace(python, "python")


def _plain(quoted: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", quoted)
