"""The agent's side of its outbox and inbox:

the files that `gitfleet ask`, `note` and `progress` write.

The MCP server uses it, too. It needs nothing but the standard library, so that it starts fast.

    outbox/question-<anything>.md   a question: Markdown, front matter with `options` or none
    outbox/note-plan.md, note-knowledge.md   notes; the last version counts
    outbox/progress.txt             current progress, one line
    outbox/.parked-<anything>       no answer came in time: the asker was told to stop
    inbox/.asked/<anything>.json    the question's name, or why it was refused
    inbox/<name>.md                 an answered question, as it is on the board
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gitfleet.errors import FleetError

ANSWER: Final = "## Answer"
QUESTION: Final = "question-"
PARKED: Final = ".parked-"
RECEIPTS: Final = ".asked"
NOTES: Final = ("plan", "knowledge")
PROGRESS: Final = "progress.txt"
POLL: Final = 0.05  # seconds between two looks into the inbox
RECEIPT: Final = 10.0  # seconds in which the runner names a question
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])\Z")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LARGEST: Final = 256 * 1024


class SentQuestion(NamedTuple):
    """A question that was sent: the free part of its file name, and where the replies arrive."""

    key: str
    outbox: Path
    inbox: Path


class Reply(NamedTuple):
    """The known replies to a question."""

    name: str = ""  # on the board; empty: the runner has not read it yet
    answer: str = ""  # empty: not answered yet
    refused: str = ""  # why the runner refused it


def outbox() -> Path:
    """The outbox of the current attempt; FleetError outside an attempt."""
    return _folder("GITFLEET_OUTBOX")


def inbox() -> Path:
    """The inbox of the current attempt; FleetError outside an attempt."""
    return _folder("GITFLEET_INBOX")


def _folder(name: str) -> Path:
    given = os.environ.get(name)
    if not given:
        raise FleetError(
            "only works inside an attempt",
            remedy="Outside, create tasks with `gitfleet add` and answer with `gitfleet answer`.",
        )
    return Path(given)


def seconds(text: str) -> float:
    """The seconds in `90s`, `2m`, or a plain number of seconds; FleetError for other text."""
    found = _DURATION.match(text)
    if found:
        return float(int(found[1]) * _UNITS[found[2]])
    if text.isdecimal() and len(text) < 9:
        return float(text)
    raise FleetError(f"{text!r} is not a duration", remedy="Write it like 90s, 2m, 1h.")


# -- sending


def drop(box: Path, name: str, text: str) -> None:
    """Put a file into an outbox, whole or not at all; FleetError if that fails."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise FleetError("this is not UTF-8 text") from None
    if len(data) > _LARGEST:
        raise FleetError(f"longer than {_LARGEST // 1024} KiB", remedy="Shorten it.")
    aside = box / f".{name}.{os.getpid()}"
    try:
        aside.write_bytes(data)
        aside.replace(box / name)
    except OSError as error:
        raise FleetError(
            f"cannot write to the outbox {box}: {error.strerror}",
            remedy="The attempt may be over.",
        ) from error


def ask(text: str, options: Sequence[str] = ()) -> SentQuestion:
    """Send a question; FleetError if it is not valid."""
    said = text.strip()
    if not said:
        raise FleetError("the question is empty")
    if any(line.strip() == ANSWER for line in said.splitlines()):
        raise FleetError(f"a question cannot have a line `{ANSWER}`", remedy="Rephrase it.")
    if any(not o.strip() or "\n" in o or len(o) > 300 for o in options) or len(options) > 20:
        raise FleetError("at most 20 options, each one line of at most 300 characters")
    # By time, so that several questions are numbered in the order of their sending.
    key = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    asked = SentQuestion(key, outbox(), inbox())
    listed = json.dumps([option.strip() for option in options], ensure_ascii=False)
    front = f"---\noptions: {listed}\n---\n" if options else ""
    drop(asked.outbox, f"{QUESTION}{key}.md", f"{front}## Question\n{said}\n")
    return asked


def reply(asked: SentQuestion) -> Reply:
    """The replies to the question so far."""
    receipt = _receipt(asked.inbox, asked.key)
    if receipt.refused or not receipt.name:
        return receipt
    return Reply(receipt.name, answer_in(asked.inbox, receipt.name))


def _receipt(box: Path, key: str) -> Reply:
    try:
        told = json.loads((box / RECEIPTS / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return Reply()
    if not isinstance(told, dict):
        return Reply()
    return Reply(str(told.get("question", "")), "", str(told.get("refused", "")))


def answer_in(box: Path, name: str) -> str:
    """The answer in the inbox's copy of a question; empty if there is none yet."""
    try:
        text = (box / f"{name}.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip() == ANSWER), len(lines))
    return re.sub(r"<!--.*?-->", "", "\n".join(lines[at + 1 :]), flags=re.DOTALL).strip()


def wait(asked: SentQuestion, limit: float) -> Reply:
    """Wait for the answer, at most `limit` seconds; for the question's name, a little longer."""
    began = time.monotonic()
    while True:
        now = reply(asked)
        passed = time.monotonic() - began
        known = bool(now.name or now.refused)
        if now.answer or now.refused or (passed >= limit and (known or passed >= RECEIPT)):
            return now
        time.sleep(POLL)


def park(asked: SentQuestion) -> None:
    """Record that the asker was told to stop: the task continues when there is an answer."""
    with contextlib.suppress(OSError):  # then an answer that arrives now is still found
        (asked.outbox / f"{PARKED}{asked.key}").touch()


def heard(asked: SentQuestion, name: str) -> None:
    """Record that the asker got the answer after all, however often it asked."""
    for mark in asked.outbox.glob(f"{PARKED}*"):
        if _receipt(asked.inbox, mark.name.removeprefix(PARKED)).name == name:
            mark.unlink(missing_ok=True)


def stop_words(reply: Reply) -> str:
    """The instructions for an asker that got no answer."""
    name = f" as {reply.name}" if reply.name else ""
    return (
        f"The question is recorded{name}; there is no answer yet. Do not guess. Commit what"
        " you have, write down where you are and what you would do for each answer (`gitfleet note"
        " plan`), and stop: end your turn now. You will continue from here, with the answer, when"
        " a person has given it."
    )


def note(kind: str, text: str) -> None:
    """Record the agent's plan (plan) or insight (knowledge)."""
    if kind not in NOTES:
        raise FleetError(f"there is no note called {kind!r}", remedy=f"One of: {', '.join(NOTES)}.")
    if not text.strip():
        raise FleetError("the note is empty")
    drop(outbox(), f"note-{kind}.md", text if text.endswith("\n") else text + "\n")


def progress(text: str) -> None:
    """Report the current activity, in one line."""
    line = " ".join(text.split())
    if not line:
        raise FleetError("the progress text is empty")
    drop(outbox(), PROGRESS, line[:300] + "\n")
