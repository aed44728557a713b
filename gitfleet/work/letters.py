"""The letter box: whatever people's files are pushed to gitfleet/in/<name> go onto the board.

Such a push never loses a race with a busy runner, since nobody else writes to that branch. The
runner takes the files over as a commit of their author's and deletes the branch. Nothing is lost
on the way: what contradicts the board goes beside it, under another name, and is told.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Final

from msgspec import Struct

from gitfleet.errors import FleetError, GitError
from gitfleet.files import layout
from gitfleet.files.layout import What
from gitfleet.git import refs, salvage
from gitfleet.git.objects import Changed, Commit
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Person
from gitfleet.plan.settle import beside_id
from gitfleet.work.fleet import Fleet

BOX: Final = "refs/heads/gitfleet/in/"
_MOST: Final = 5_000  # files of one letter
_WELCOME: Final = frozenset({What.TASK, What.QUESTION, What.NOTE, What.SETTINGS, What.PROMPT})


class _Taken(Struct, frozen=True):
    """What of a letter goes onto the board, and what could not go where it wanted."""

    files: dict[str, bytes | None]
    beside: dict[str, str]  # wanted path -> where it went, or why not


def empty_box(fleet: Fleet) -> None:
    """Take every letter in; one that cannot be read is kept aside, and told once."""
    for ref, oid in refs.names(fleet.repo, BOX).items():
        try:
            _take(fleet, ref, oid)
        except GitError as error:
            fleet.report.once(f"letter {ref}", "letter-unreadable", ref=ref, reason=error.what)


def _take(fleet: Fleet, ref: str, oid: str) -> None:
    letter = fleet.objects.commit(oid)
    taken: _Taken | None = None

    def decide(board: Board, _now: datetime) -> Change | None:
        nonlocal taken
        taken = _wanted(fleet, board, letter)
        if not taken.files:
            return None
        who = Person(letter.author.name or "unknown", letter.author.email or "unknown")
        subject = letter.message.strip().splitlines()[0][:100] if letter.message.strip() else ref
        return Change(
            subject=subject, files=taken.files, author=who, body=f"From {ref.removeprefix(BOX)}."
        )

    result = fleet.store.transact(decide)
    beside = taken.beside if taken else {}
    if beside:
        # The whole letter stays to be looked at: nothing of a person's is dropped in silence.
        kept = salvage.keep(fleet.repo, oid, f"{salvage.PREFIX}in/{oid[:10]}")
        for path, where in beside.items():
            fleet.report.action("letter-beside", path=path, went=where, kept=kept)
    with contextlib.suppress(FleetError):
        refs.swap(fleet.repo, ref, oid, None, message="taken in")
    if result.won and taken is not None:
        names = ",".join(sorted(taken.files))
        fleet.report.action("letter", branch=ref.removeprefix("refs/heads/"), files=names)


def _wanted(fleet: Fleet, board: Board, letter: Commit) -> _Taken:
    """What the letter changes, compared with where it left the board."""
    objects = fleet.objects
    base = objects.merge_base(board.commit, letter.oid)
    before = objects.tree_of(base) if base else None
    changes = objects.diff(before, letter.tree)
    here = objects.tree_of(board.commit)
    taken = _Taken({}, {})
    for change in changes[:_MOST]:
        _one(fleet, here, change, taken)
    for change in changes[_MOST:]:
        taken.beside[change.path] = f"nowhere: a letter has at most {_MOST} files"
    return taken


def _one(fleet: Fleet, here: str, change: Changed, taken: _Taken) -> None:
    path, new = change.path, change.new
    there = layout.place(path)
    if there.what not in _WELCOME and not _said_by_people(path):
        if there.what is not What.OTHER:
            taken.beside[path] = "nowhere: only runners write there"
        return
    if new is not None and new.kind != "blob":
        taken.beside[path] = "nowhere: not a plain file"
        return
    if new is not None and fleet.objects.blob_size(new.oid) > layout.LARGEST:
        taken.beside[path] = f"nowhere: larger than {layout.LARGEST // 1024} KiB"
        return
    now = fleet.objects.find(here, path)
    now_oid = now.oid if now else None
    if now_oid == (new.oid if new else None):
        return
    if now_oid == (change.old.oid if change.old else None):
        taken.files[path] = fleet.objects.blob(new.oid) if new else None
    elif new is not None and there.what is What.TASK:
        goal = layout.task_path(beside_id(there.task, new.oid))
        if fleet.objects.find(here, goal) is None:
            taken.files[goal] = fleet.objects.blob(new.oid)
        taken.beside[path] = goal
    else:
        taken.beside[path] = "nowhere: the board has another version"


def _said_by_people(path: str) -> bool:
    there = layout.place(path)
    return there.what is What.EVENT and not layout.of_runner(path)
