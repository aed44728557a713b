"""The letter box: whatever people's files are pushed to gitfleet/in/<name> go onto the board.

Such a push never loses a race with a busy runner, since nobody else writes to that branch. The
runner takes the files over as a commit of their author's and deletes the branch. Nothing is lost
on the way: what contradicts the board goes beside it, under another name, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from msgspec import Struct

from gitfleet.attempt.fleet import Fleet
from gitfleet.board.shared import LETTERS, Shared
from gitfleet.board.swap import Answer
from gitfleet.errors import FleetError, GitError
from gitfleet.files import codec, layout
from gitfleet.files.answers import united
from gitfleet.files.layout import What
from gitfleet.git import refs, remote, salvage
from gitfleet.git.command import git
from gitfleet.git.holders import holders
from gitfleet.git.objects import MAX_DEPTH, Changed, Commit
from gitfleet.git.remote import Fate
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move, Person
from gitfleet.model.event import Said
from gitfleet.model.ids import is_id
from gitfleet.model.states import Kind
from gitfleet.plan.settle import beside_id

BOX: Final = LETTERS
LETTER: Final = "Gitfleet-Letter"
"""The trailer by which a letter is known on the board: it is taken in once, whatever dies between
that commit and the deletion of its branch."""

_MOST: Final = 5_000  # files of one letter
_TOLD: Final = 20  # of those that could not be taken, one line each
_WELCOME: Final = frozenset({What.TASK, What.QUESTION, What.NOTE, What.SETTINGS, What.PROMPT})
_LINE: Final = re.compile(r"[\x00-\x1f\x7f]+")


class _Taken(Struct, frozen=True):
    """What of a letter goes onto the board, and what could not go where it wanted."""

    files: dict[str, bytes | None]
    beside: dict[str, str]  # wanted path -> where it went, or why not


def empty_box(fleet: Fleet, far: Mapping[str, str] | None = None) -> None:
    """Take every letter in; one that cannot be read is kept aside, and told.

    `far`: letters on the remote that were fetched, by their branch there.
    """
    for ref, oid in refs.names(fleet.repo, BOX).items():
        somewhere = holders(fleet.repo, ref)
        if somewhere:  # somebody is still writing it
            reason = f"it is checked out in {somewhere[0]}"
            fleet.report.once(ref, "letter-stays", branch=_short(ref), reason=reason)
        elif _read(fleet, ref, oid, far=False):
            _burn(fleet, ref, oid)
    for ref, oid in (far or {}).items():
        if _read(fleet, ref, oid, far=True):
            _burn_far(fleet, ref, oid)


def _read(fleet: Fleet, ref: str, oid: str, *, far: bool) -> bool:
    """Take one letter in. Whether its branch is to go: all of it is somewhere else by now."""
    try:
        letter = fleet.objects.commit(oid)
        fleet.objects.diff(None, letter.tree)
    except GitError as error:
        kept = salvage.keep(fleet.repo, oid, f"{salvage.PREFIX}in/{oid[:10]}")
        fleet.report.action("letter-unreadable", branch=_short(ref), reason=error.what, kept=kept)
        return True
    return _take(fleet, ref, letter, far=far)


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


def _burn(fleet: Fleet, ref: str, oid: str) -> None:
    """Delete the branch, unless something else was pushed there meanwhile."""
    try:
        refs.swap(fleet.repo, ref, oid, None, message="taken in")
    except FleetError as error:  # its lock is busy: next round
        fleet.report.once(ref, "letter-stays", branch=_short(ref), reason=error.what)


def _burn_far(fleet: Fleet, ref: str, oid: str) -> None:
    """The same on the remote, for a letter that did not go in the push that took it in."""
    swap = fleet.store.swap
    assert isinstance(swap, Shared)
    if swap.letters().get(ref) != oid:
        return
    pushed = remote.push(fleet.repo, swap.name, [refs.Move(ref, oid, None)])
    if pushed.fate is not Fate.DONE:
        reason = pushed.reason or "it was pushed to just now"
        fleet.report.once(ref, "letter-stays", branch=_short(ref), reason=reason)


def _take(fleet: Fleet, ref: str, letter: Commit, *, far: bool) -> bool:
    """Put a letter onto the board. False if nobody knows yet whether it is there."""
    if _came_before(fleet, letter):
        return True
    taken, swap = _Taken({}, {}), fleet.store.swap

    def decide(board: Board, now: datetime) -> Change | None:
        nonlocal taken
        if far and isinstance(swap, Shared) and swap.letters().get(ref) != letter.oid:
            return None  # another runner took it in
        taken = _wanted(fleet, board, letter, now)
        if not taken.files:
            return None
        lines = letter.message.strip().splitlines() or [_short(ref)]
        return Change(
            subject=_LINE.sub(" ", lines[0])[:100],
            files=taken.files,
            author=_author(letter),
            body=f"From {_short(ref)}.",
            trailers={LETTER: letter.oid},
            publish=(Move(ref, letter.oid, None),) if far else (),
        )

    result = fleet.store.transact(decide)
    if result.answer is Answer.UNKNOWN:
        return False
    won = result.won
    if taken.beside:
        # The whole letter stays to be looked at: nothing of a person's is dropped in silence.
        kept = salvage.keep(fleet.repo, letter.oid, f"{salvage.PREFIX}in/{letter.oid[:10]}")
        for path, where in islice(taken.beside.items(), _TOLD):
            fleet.report.action("letter-beside", path=path, went=where, kept=kept)
        if len(taken.beside) > _TOLD:
            more = len(taken.beside) - _TOLD
            fleet.report.action("letter-beside", more=more, kept=kept)
    if won:
        names = ",".join(sorted(taken.files)[:_TOLD])
        fleet.report.action("letter", branch=_short(ref), files=names, number=len(taken.files))
    return True


def _author(letter: Commit) -> Person:
    def plain(text: str) -> str:
        return _LINE.sub(" ", re.sub("[<>]", "", text)).strip() or "unknown"

    return Person(plain(letter.author.name), plain(letter.author.email))


def _came_before(fleet: Fleet, letter: Commit) -> bool:
    """Whether this very letter is on the board, and only its branch is still there."""
    said = ("--fixed-strings", f"--grep={LETTER}: {letter.oid}")
    since = (fleet.store.ref, f"^{letter.oid}")
    return bool(git("rev-list", "--max-count=1", *said, *since, cwd=fleet.repo.here).out)


def _wanted(fleet: Fleet, board: Board, letter: Commit, now: datetime) -> _Taken:
    """What the letter changes, compared with where it left the board."""
    objects = fleet.objects
    base = objects.merge_base(board.commit, letter.oid)
    before = objects.tree_of(base) if base else None
    changes = objects.diff(before, letter.tree)
    here = objects.tree_of(board.commit)
    taken = _Taken({}, {})
    for change in changes[:_MOST]:
        refused = _refused(fleet, change)
        if refused:
            taken.beside[change.path] = f"nowhere: {refused}"
        else:
            _one(fleet, board, here, change, taken, _Hold(str(_author(letter)), now))
    for change in changes[_MOST:]:
        taken.beside[change.path] = f"nowhere: a letter has at most {_MOST} files"
    return taken


def _refused(fleet: Fleet, change: Changed) -> str:
    """Why nothing like that is taken in, empty if it is."""
    path, new = change.path, change.new
    what = layout.place(path).what
    if what not in _WELCOME and not _said_by_people(path):
        ours = what is not What.OTHER
        return "only runners write there" if ours else "it is no file of a board"
    if not _plain(path):
        return "its name is no plain path"
    if new is not None and new.kind != "blob":
        return "not a plain file"
    if new is not None and fleet.objects.blob_size(new.oid) > layout.LARGEST:
        return f"larger than {layout.LARGEST // 1024} KiB"
    return ""


def _plain(path: str) -> bool:
    """Whether every system could check it out, and none would take it for another."""
    parts = path.split("/")
    return len(parts) < MAX_DEPTH and all(
        part.isprintable()
        and not part.startswith(".")
        and not part.endswith((".", " "))
        and "\\" not in part
        and "~" not in part
        and len(part) <= 200
        for part in parts
    )


def _said_by_people(path: str) -> bool:
    there = layout.place(path)
    return there.what is What.EVENT and not layout.of_runner(path)


class _Hold(Struct, frozen=True):
    """By whom and when a task that contradicts another is held."""

    by: str
    at: datetime


def _one(
    fleet: Fleet, board: Board, here: str, change: Changed, taken: _Taken, hold: _Hold
) -> None:
    path, new = change.path, change.new
    there = layout.place(path)
    archived = there.what is What.TASK and there.task in board.archived
    now = fleet.objects.find(here, path)
    now_oid = now.oid if now else None
    if now_oid == (new.oid if new else None) and not archived:
        return
    unmoved = now_oid == (change.old.oid if change.old else None)
    if unmoved and there.what is What.EVENT and change.old is not None:
        taken.beside[path] = "nowhere: an event is never changed"
    elif unmoved and not archived:
        taken.files[path] = fleet.objects.blob(new.oid) if new else None
    elif new is None:
        finished = archived or now is None
        why = "it is finished and archived" if finished else "the board has another version"
        taken.beside[path] = f"nowhere: not removed, {why}"
    elif there.what is What.QUESTION and now is not None:
        both = united(fleet.objects.blob(now.oid), fleet.objects.blob(new.oid), path, hold.by)
        if both is None:
            taken.beside[path] = "nowhere: the board has this answer, or another version"
        else:
            taken.files[path] = both
    elif there.what is What.TASK and is_id(there.task):
        taken.beside[path] = _beside(fleet, here, change, taken, hold)
    else:
        taken.beside[path] = "nowhere: the board has another version"


def _beside(fleet: Fleet, here: str, change: Changed, taken: _Taken, hold: _Hold) -> str:
    """Put a task whose name another one has beside it; where it went.

    A new one is simply another task. An edit of one that was also edited here is held: nobody
    said that both versions are to be done.
    """
    assert change.new is not None
    task = layout.place(change.path).task
    name = beside_id(task, change.new.oid)
    goal = layout.task_path(name)
    if fleet.objects.find(here, goal) is None:
        taken.files[goal] = fleet.objects.blob(change.new.oid)
        if change.old is not None:
            reason = f"a letter's version of {task}, which was changed on the board meanwhile"
            event = layout.event_path(name, f"001-{Kind.HOLD}-{change.new.oid[:4]}.yaml")
            taken.files[event] = codec.write(Said(at=hold.at, by=hold.by, reason=reason))
    return goal
