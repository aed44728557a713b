"""The log: one line per action, with a name that never changes."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,%-]+\Z")
# Control characters, marks that reverse or end a line, and lone surrogates.
_MARKS = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_CONTROL = re.compile(rf"[\x00-\x1f{_MARKS}]")
UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f{_MARKS}]")


def harmless(text: str) -> str:
    """Foreign text with its lines and tabs; control characters for a terminal become codes."""
    return UNSAFE.sub(_code, text)


_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


def without_colours(text: str) -> str:
    """Text without colour codes, and with line ends as in files."""
    return _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def _code(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def value(text: object) -> str:
    """A value for `key=`: quoted unless it is one plain word.

    Control characters, with which foreign text could draw on a terminal, are shown as codes.
    """
    plain = _CONTROL.sub(_code, str(text))
    if _PLAIN.match(plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Action(StrEnum):
    """The name of a log line, and its meaning. docs/architecture.md has the same list."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        """Make the member equal to its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    RUNNING = "running", "the runner has started"
    CLAIMED = "claimed", "an attempt on a task starts"
    ENDED = "ended", "an attempt ended, with its outcome and the reason"
    RESUMED = "resumed", "an attempt of an earlier run of this runner continues"
    RECOVERED = (
        "recovered",
        "an attempt of an earlier run had ended; its outcome is now on the board",
    )
    LATE_CLAIM = (
        "late-claim",
        "a claim arrived although its push had timed out, and work on it starts",
    )
    CANNOT_START = "cannot-start", "a task cannot be started here"
    DEPENDENCY_MISSING = (
        "dependency-missing",
        "the target lacks the work of a task that this one depends on",
    )
    SKIPPED = "skipped", "this runner cannot take a task that is due; `reason` says why"
    FENCED = "fenced", "an attempt lost its claim, so its result does not count"
    LEASE_EXPIRED = "lease-expired", "an attempt ends because its runner cannot renew its lease"
    TAKEN_OVER = "taken-over", "the claim of a runner that vanished was ended"
    ORPHANS_KILLED = "orphans-killed", "processes that a coder left running were killed"
    LANDED = "landed", "work was merged into its target"
    REJECTED = "rejected", "a validation rejected the work; `fixed_by` names the fix task"
    REVALIDATING = "revalidating", "the target moved, so the merge is checked again"
    BLOCKED = "blocked", "accepted work cannot land yet"
    TARGET_RED = "target-red", "the target fails its own checks without the change"
    ADDED = "added", "an agent created a task"
    REFUSED = "refused", "a file that an agent wrote was not accepted"
    ASKED = "asked", "an agent asked a question"
    QUESTION_BRANCH = "question-branch", "a question has a branch to answer on"
    PR_OPENED = "pr-opened", "a question has a pull request"
    ANSWERED = "answered", "a comment on a pull request answered a question"
    PR_CLOSED = "pr-closed", "the pull request of a settled question was closed"
    FORGE_DELAYED = "forge-delayed", "the forge cannot be used now; retrying"
    NOTIFIED = "notified", "a notification was sent"
    NOTIFICATIONS_DELAYED = (
        "notifications-delayed",
        "a notification cannot be sent now; retrying",
    )
    TRANSCRIPTS_DELAYED = (
        "transcripts-delayed",
        "transcripts cannot be pushed now; retrying",
    )
    TRANSCRIPTS_PRUNED = (
        "transcripts-pruned",
        "transcripts older than `transcripts_keep` were removed",
    )
    INBOX_MERGED = "inbox-merged", "the files of an inbox branch are on the board"
    INBOX_KEPT = "inbox-kept", "an inbox branch cannot be merged or removed now"
    INBOX_UNREADABLE = "inbox-unreadable", "an inbox branch cannot be read; `kept` holds it"
    EDIT_CONFLICT = (
        "edit-conflict",
        "a person's edit conflicts with the board; `went` says where it is, `kept` holds it",
    )
    EDITS_WAITING = "edits-waiting", "a person's commit cannot be merged into the board now"
    SALVAGED = "salvaged", "work was saved under a ref before it was removed"
    REPAIRED = "repaired", "a person's commit changed files of runners; they are restored"
    ARCHIVED = "archived", "finished tasks were moved to done/"
    DAMAGED = "damaged", "a file of the board, other than a task, is invalid"
    BROKEN_SETTINGS = (
        "broken-settings",
        "fleet.yaml is invalid; its last valid version applies",
    )
    NEWER_FORMAT = "newer-format", "the board has a format that this gitfleet does not know"
    OLDER_FORMAT = "older-format", "the board has an older format: run `gitfleet lint --fix`"
    NEEDS_ATTENTION = "needs-attention", "a task failed, asks a question, or is invalid"
    COOLDOWN = "cooldown", "a coder is at its limit and is not used until then"
    KEY_REFUSED = "key-refused", "a coder's key was refused on this machine"
    CHECKOUT_BEHIND = "checkout-behind", "the files of a checkout could not follow its branch"
    BRANCH_BEHIND = "branch-behind", "a local branch could not follow the remote's"
    DIVERGED = "diverged", "a local branch and the remote's have different commits"
    WATCH_FAILED = "watch-failed", "changes cannot be watched; the runner polls"
    DISK_FULL = "disk-full", "free disk space is below `disk_reserve`, so nothing new starts"
    DISK_FREE = "disk-free", "enough disk space is free again"
    OFFLINE = "offline", "the remote cannot be reached"
    ONLINE = "online", "the remote can be reached again"
    WAITING_FOR_REMOTE = "waiting-for-remote", "the end of an attempt waits for the remote"
    LOOP_STUCK = "loop-stuck", "the runner's main loop has not finished a round for a long time"
    STOPPING = "stopping", "the runner starts nothing new and ends after `attempts` attempts"
    ENDING_ATTEMPTS = "ending-attempts", "the runner ends its attempts now"
    LEAVING = "leaving", "the runner ends and leaves its attempts running"
    UNFINISHED = "unfinished", "the tasks that `run --until-idle` left unfinished"
    ERROR = "error", "something failed; retrying"


class EventLog:
    """Passes each action to a sink as a line; some only once. Any thread may use it."""

    def __init__(
        self,
        sink: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sink = sink
        self._now = now
        self.mask: Callable[[str], str] = str  # removes secrets from every value
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()

    def action(self, name: Action, **fields: object) -> None:
        """Log an action."""
        given = (
            f"{key}={value(self.mask(str(v)))}" for key, v in fields.items() if v not in ("", None)
        )
        line = " ".join((f"{self._now():%Y-%m-%dT%H:%M:%SZ}", name, *given))
        # If the reader is gone, the work continues.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._sink(line)

    def once(self, key: str, name: Action, **fields: object) -> None:
        """Log it unless the last line under this key was the same."""
        text = repr((str(name), sorted(fields.items())))
        with self._lock:
            known = self._said.get(key) == text
            self._said[key] = text
        if not known:
            self.action(name, **fields)

    def each(self, key: str, name: Action, reasons: Sequence[object]) -> None:
        """Log all of these, one line each, unless exactly these were logged last under this key."""
        text = repr((str(name), [str(reason) for reason in reasons]))
        with self._lock:
            known = self._said.get(key, "") == text
            self._said[key] = text
        for reason in () if known else reasons:
            self.action(name, reason=reason)

    def settled(self, key: str) -> None:
        """Record that the problem under this key is over; if it returns, it is logged again."""
        with self._lock:
            self._said.pop(key, None)
