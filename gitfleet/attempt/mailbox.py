"""Move questions, notes and progress from an attempt's outbox to the board, and answers to its
inbox.

Everything arrives once, whatever dies between the commit and the clean-up: a question has a key, a
note is compared with the board's. `agent.client` is the other end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet import failpoints
from gitfleet.agent import client, outbox
from gitfleet.agent.outbox import RejectedFile
from gitfleet.attempt import finish
from gitfleet.attempt.context import AttemptContext, Project
from gitfleet.board.backend import TxnStatus
from gitfleet.board.transaction import Transaction
from gitfleet.event_log import Action
from gitfleet.files import codec, layout
from gitfleet.git import remote
from gitfleet.git.remote import Unreachable
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Decide
from gitfleet.model.claim import Claim
from gitfleet.plan import questions
from gitfleet.plan.questions import QuestionRequest
from gitfleet.plan.transitions.event_files import claimed_by
from gitfleet.run_dir import RunDir

_NOTES_EVERY: Final = 60.0  # seconds between two commits of one task's notes
_MOST: Final = 50  # questions at once; an agent that asks more in a second does not mean them

# Makes a change: tried once, or until the result is known; None: not made, as far as known.
_Write = Callable[[Decide], Transaction | None]


class Mailbox(Struct, frozen=True):
    """The mailbox of one attempt."""

    project: Project
    task: str
    claim: Claim
    run_dir: RunDir

    @property
    def box(self) -> Path:
        """Its outbox."""
        return self.run_dir.outbox

    @property
    def inbox(self) -> Path:
        """Its inbox."""
        return self.run_dir.inbox


class _QuestionFile(Struct, frozen=True):
    path: Path
    wanted: QuestionRequest


def _ear(ctx: AttemptContext) -> Mailbox:
    return Mailbox(ctx.project, ctx.task, ctx.claimed.claim, ctx.run_dir)


def poll(ctx: AttemptContext) -> None:
    """Take the messages of a running attempt; those that cannot be written now are retried."""
    _progress(ctx)

    def once(decide: Decide) -> Transaction | None:
        try:
            return _known(ctx.project.store.transact(decide))
        except (Unreachable, remote.RemoteRejected):
            return None

    _take(_ear(ctx), once, last=False)


def _known(result: Transaction) -> Transaction | None:
    """The result, if the fate of the change is known."""
    return None if result.status is TxnStatus.UNKNOWN else result


def drain(ctx: AttemptContext) -> None:
    """Take the remaining messages of an ended attempt, however long the board is away."""
    _take(_ear(ctx), lambda decide: finish.transact_until_known(ctx, decide), last=True)


def _take(ear: Mailbox, write: _Write, *, last: bool) -> None:
    _questions(ear, write)
    _notes(ear, write, last=last)


# -- questions


def _questions(ear: Mailbox, write: _Write) -> None:
    letters = list(_letters(ear))
    if not letters:
        return
    wanted = [letter.wanted for letter in letters]
    task, claim = ear.task, ear.claim

    def decide(board: Board, now: datetime) -> Change | None:
        return questions.ask(board, now, task=task, nonce=claim.nonce, wanted=wanted)

    result = write(decide)
    entry = claimed_by(result.board, task, claim.nonce) if result is not None else None
    if result is None or entry is None:
        return  # unknown, and it stays; or nothing from this attempt counts any more
    failpoints.point("question-committed")
    new = result.change.files if result.won and result.change is not None else {}
    for letter in letters:
        question = questions.found(entry.questions, letter.wanted, claim.attempt)
        if question is None:
            continue
        if layout.question_path(question.name) in new:
            asked = " ".join(question.text.split())[:200]
            ear.project.report.action(Action.ASKED, task=task, question=question.name, text=asked)
        _receipt(ear, letter.path, question=question.name)
        failpoints.point("question-told")
        letter.path.unlink(missing_ok=True)


def _letters(ear: Mailbox) -> Iterator[_QuestionFile]:
    """The questions in an outbox, in the order of their names; others are set aside and logged."""
    names = sorted(p.name for p in outbox.files(ear.box) if p.name.startswith(client.QUESTION))
    mask = ear.project.mask
    for name in names[:_MOST]:
        path = ear.box / name
        data = outbox.read(path)
        if data is None or not name.endswith(".md"):
            _refuse(ear, path, "not a plain file question-<anything>.md of at most 256 KiB")
            continue
        found, problems = codec.read_asked(data, name)
        if found is None:
            _refuse(ear, path, mask.text(str(problems[0])))
            continue
        # Masked before the comparison with the board's text, which is masked, too.
        options = tuple(mask.text(option) for option in found.options)
        yield _QuestionFile(path, _wanted(ear, name, mask.text(found.text), options))


def _wanted(ear: Mailbox, name: str, text: str, options: tuple[str, ...]) -> QuestionRequest:
    said = json.dumps([ear.claim.nonce, name, text, options])
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    return QuestionRequest(key=key, text=text, options=options)


def _refuse(ear: Mailbox, path: Path, reason: str) -> None:
    if path.name.startswith(client.QUESTION):
        _receipt(ear, path, refused=reason)
    outbox.set_aside(RejectedFile(path, reason))
    ear.project.report.once(
        f"refused {path}", Action.REFUSED, task=ear.task, file=path.name, reason=reason
    )


def _receipt(ear: Mailbox, letter: Path, **told: str) -> None:
    """Tell the asker whether its question was accepted."""
    key = letter.name.removeprefix(client.QUESTION).removesuffix(".md")
    _put(ear.inbox / client.RECEIPTS / f"{key}.json", json.dumps(told).encode())


def _put(path: Path, data: bytes) -> None:
    """Written aside and renamed. Errors are ignored: only the agent can break its own inbox."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, aside = tempfile.mkstemp(prefix=".", dir=path.parent)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        Path(aside).replace(path)


# -- answers


def deliver(project: Project, board: Board, task: str, run_dir: RunDir) -> None:
    """Update the inbox of an attempt: a copy of every answered question on the board."""
    entry = board.get(task)
    inbox = run_dir.inbox
    answered = [q for q in entry.questions if not q.open] if entry is not None else []
    wanted = {f"{q.name}.md": layout.question_path(q.name) for q in answered}
    for name, path in wanted.items():
        data = project.store.file(board, path)
        if data is not None and _differs(inbox / name, data):
            _put(inbox / name, data)
            failpoints.point("answer-delivered")
    with contextlib.suppress(OSError):
        for old in inbox.glob(f"{task}-*.md"):
            if old.name not in wanted:  # a person took the answer back
                old.unlink()


def _differs(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() != data
    except OSError:
        return True


# -- notes and progress


def _notes(ear: Mailbox, write: _Write, *, last: bool) -> None:
    mark = ear.run_dir.noted
    if not (last or _due(mark)):
        return
    taken = {f"{kind}.md": path for kind in client.NOTES if (path := _taken(ear, kind))}
    found = {name: data for name, path in taken.items() if (data := outbox.read(path)) is not None}
    if found:
        text = {name: ear.project.mask.bytes(data) for name, data in found.items()}

        def decide(board: Board, _now: datetime) -> Change | None:
            store = ear.project.store
            new = {
                name: data
                for name, data in text.items()
                if store.file(board, layout.note_path(ear.task, name)) != data
            }
            return questions.note(board, task=ear.task, nonce=ear.claim.nonce, notes=new)

        if write(decide) is None:
            return
        failpoints.point("notes-committed")
        mark.touch()
    for path in taken.values():
        path.unlink(missing_ok=True)


def _due(mark: Path) -> bool:
    """Whether the last notes are old enough. By a file's time, which outlives the runner."""
    try:
        age = time.time() - mark.stat().st_mtime
    except OSError:
        return True
    return not 0 <= age < _NOTES_EVERY


def _taken(ear: Mailbox, kind: str) -> Path | None:
    """The newest note of that kind, moved out of the outbox: a later one is another note."""
    letter, goal = ear.box / f"note-{kind}.md", ear.run_dir.note(kind)
    if letter.is_symlink() or letter.exists():
        data = outbox.read(letter)
        if data is None or not data.strip() or codec.decode(data, letter.name)[1]:
            _refuse(ear, letter, "not a plain file of UTF-8 text of at most 256 KiB")
        else:
            with contextlib.suppress(OSError):
                letter.replace(goal)
    return goal if goal.exists() else None


def _progress(ctx: AttemptContext) -> None:
    path = ctx.run_dir.outbox / client.PROGRESS
    data = outbox.read(path)
    if data is None:
        return
    line = ctx.project.mask.text(" ".join(data.decode("utf-8", "replace").split()))[:300]
    if line:
        ctx.live.doing = line
        ctx.live.lines.append(line)
    with contextlib.suppress(OSError):
        path.unlink()


# -- the end of an attempt


def waits_for_answer(ctx: AttemptContext) -> str:
    """Why the attempt ends as `asked`, in a sentence; empty if it does not."""
    return _parked(_ear(ctx))


def _parked(ear: Mailbox) -> str:
    entry = ear.project.store.board().get(ear.task)
    if entry is None:
        return ""
    asked = _asked(ear)
    marks = (path.name.removeprefix(client.PARKED) for path in ear.box.glob(f"{client.PARKED}*"))
    unheard = frozenset(asked[key] for key in marks if key in asked)
    return questions.unanswered_reason(entry, ear.claim.attempt, frozenset(asked.values()), unheard)


def _asked(ear: Mailbox) -> dict[str, str]:
    """The questions of an attempt by their keys, from its receipts."""
    found: dict[str, str] = {}
    for path in (ear.inbox / client.RECEIPTS).glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            name = json.loads(path.read_bytes()).get("question")
            if isinstance(name, str):
                found[path.name.removesuffix(".json")] = name
    return found


def last_question(project: Project, task: str, claim: Claim, run_dir: RunDir) -> str | None:
    """Why an attempt that died with its runner waits for an answer; empty if it does not.

    Its last messages are taken first. None if it is unknown whether they arrived.
    """
    ear = Mailbox(project, task, claim, run_dir)
    unknown = False

    def tell(decide: Decide) -> Transaction | None:
        nonlocal unknown
        result = _known(project.store.transact(decide))
        unknown = unknown or result is None
        return result

    _take(ear, tell, last=True)
    return None if unknown else _parked(ear)
