"""Merge the inbox branches: files that people pushed to gitfleet/in/<name>.

Such a push never loses a race with a busy runner, since nobody else writes to that branch. A runner
commits the files to the board in the author's name and deletes the branch. `merge_human_edits`
decides what becomes of each file, as it does for commits of a clone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from gitfleet.attempt.context import Project
from gitfleet.board.authorship import TXN
from gitfleet.board.backend import TxnStatus
from gitfleet.board.edit_conflicts import ConflictKeeper, log_edits
from gitfleet.board.merge_human_edits import EditConflict, HumanEdits, MergedEdits, merge
from gitfleet.board.remote_backend import INBOX
from gitfleet.errors import FleetError, GitError
from gitfleet.event_log import Action
from gitfleet.files import layout
from gitfleet.git import refs, salvage
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.command import git
from gitfleet.git.commits import Commit, trailers
from gitfleet.git.objects import Changed, TreeEntry
from gitfleet.git.remote import PushFate, Unreachable
from gitfleet.model.board import Board
from gitfleet.model.change import Change, Move, Person

TRAILER: Final = "Gitfleet-Letter"
"""Names the inbox commit in the board's commit. It is merged once, whatever dies between that
commit and the deletion of its branch. Anyone can write that line: `_merged_before` looks at the
files as well."""

_MOST_NAMED: Final = 20  # files named in one line of the log
_LINE: Final = re.compile(r"[\x00-\x1f\x7f]+")


def read_inbox(project: Project, far: Mapping[str, str] | None = None) -> None:
    """Merge every inbox branch into the board; save a branch that cannot be read.

    `far`: fetched branches of the remote, with their commits.
    """
    keeper = ConflictKeeper(project.repo, log_edits(project.report), "in")
    for ref, oid in refs.names(project.repo, INBOX).items():
        somewhere = checkouts_of(project.repo, ref)
        if somewhere:  # a person is still working on it
            reason = f"it is checked out in {somewhere[0]}"
            project.report.once(ref, Action.INBOX_KEPT, branch=_short(ref), reason=reason)
        elif _read(project, keeper, ref, oid, far=False):
            _delete(project, ref, oid)
    for ref, oid in (far or {}).items():
        if _read(project, keeper, ref, oid, far=True):
            _delete_far(project, ref, oid)


def _read(project: Project, keeper: ConflictKeeper, ref: str, oid: str, *, far: bool) -> bool:
    """Merge one branch. True if it may be deleted: all its files are on the board or saved."""
    try:
        commit = _readable(project, ref, oid)
        if commit is None:
            return True
        return _take(project, keeper, ref, commit, far=far)
    except Unreachable:
        raise
    except FleetError as error:  # of this branch: the others do not wait for it
        # A server's reason may name the commit of the push, which is another one each time.
        key = f"inbox {ref} {oid} {type(error).__name__}"
        project.report.first(key, Action.INBOX_KEPT, branch=_short(ref), reason=error.what)
        return False


def _readable(project: Project, ref: str, oid: str) -> Commit | None:
    """The commit of an inbox branch; None if it cannot be read: then it is saved."""
    board = project.store.board()
    try:
        commit = project.objects.commit(oid)
        project.objects.diff(_tree_before(project, board, commit), commit.tree)
    except GitError as error:
        kept = salvage.keep(project.repo, oid, f"{salvage.PREFIX}in/{oid[:10]}")
        project.report.action(
            Action.INBOX_UNREADABLE, branch=_short(ref), reason=error.what, kept=kept
        )
        return None
    return commit


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


def _delete(project: Project, ref: str, oid: str) -> None:
    """Delete the branch, unless a person pushed something new to it meanwhile."""
    try:
        refs.swap(project.repo, ref, oid, None, message="taken in")
    except FleetError as error:  # its lock is busy: next round
        project.report.once(ref, Action.INBOX_KEPT, branch=_short(ref), reason=error.what)


def _delete_far(project: Project, ref: str, oid: str) -> None:
    """Delete it on the remote, unless the push that merged it deleted it too."""
    remote = project.store.backend.remote
    if remote is None or remote.inbox().get(ref) != oid:
        return
    pushed = remote.push_refs([refs.RefMove(ref, oid, None)])
    if pushed.fate is not PushFate.DONE:
        reason = pushed.reason or "it was pushed to just now"
        project.report.once(ref, Action.INBOX_KEPT, branch=_short(ref), reason=reason)


def _take(project: Project, keeper: ConflictKeeper, ref: str, commit: Commit, *, far: bool) -> bool:
    """Put a branch's files onto the board. False if they may not be there yet."""
    merged, saved, remote = MergedEdits({}, ()), True, project.store.backend.remote

    def decide(board: Board, now: datetime) -> Change | None:
        nonlocal merged, saved
        if far and remote is not None and remote.inbox().get(ref) != commit.oid:
            return None  # another runner has merged it
        merged = _merged(project, board, commit, now)
        if merged.files and (before := _merged_before(project, board, commit)):
            merged = _not_again(project, board, commit, before)
        saved = keeper.keep(commit.oid, merged.conflicts)
        return _change(project, ref, commit, merged, far=far) if saved and merged.files else None

    result = project.store.transact(decide)
    if not saved or result.status is TxnStatus.UNKNOWN:
        return False
    if result.won:
        names = ",".join(sorted(merged.files)[:_MOST_NAMED])
        project.report.action(
            Action.INBOX_MERGED, branch=_short(ref), files=names, number=len(merged.files)
        )
    return True


def _merged(project: Project, board: Board, commit: Commit, now: datetime) -> MergedEdits:
    """The branch's files, compared with the commit where it left the board."""
    objects = project.objects
    edits = HumanEdits(
        before=_tree_before(project, board, commit),
        after=commit.tree,
        by=str(_author(commit)),
        at=now,
    )
    return merge(objects, objects.tree_of(board.commit), edits)


def _tree_before(project: Project, board: Board, commit: Commit) -> str | None:
    """The tree of the commit where the branch left the board; None without a common history."""
    base = project.objects.merge_base(board.commit, commit.oid)
    return project.objects.tree_of(base) if base else None


def _change(
    project: Project, ref: str, commit: Commit, merged: MergedEdits, *, far: bool
) -> Change:
    lines = commit.message.strip().splitlines() or [_short(ref)]
    files = {
        path: project.objects.blob(file.oid) if isinstance(file, TreeEntry) else file
        for path, file in merged.files.items()
    }
    return Change(
        subject=_LINE.sub(" ", lines[0])[:100],
        files=files,
        author=_author(commit),
        body=f"From {_short(ref)}.",
        trailers={TRAILER: commit.oid},
        publish=(Move(ref, commit.oid, None),) if far else (),
    )


def _author(commit: Commit) -> Person:
    def plain(text: str) -> str:
        return _LINE.sub(" ", re.sub("[<>]", "", text)).strip() or "unknown"

    return Person(plain(commit.author.name), plain(commit.author.email))


# -- commits that were merged before


def _merged_before(project: Project, board: Board, commit: Commit) -> str:
    """The board's commit that merged exactly this one; empty if none did."""
    said = ("--fixed-strings", f"--grep={TRAILER}: {commit.oid}")
    since = (board.commit, f"^{commit.oid}")
    found = git("rev-list", *said, *since, cwd=project.repo.here).out.split()
    edits = project.objects.diff(_tree_before(project, board, commit), commit.tree)
    return next((oid for oid in found if _took(project, oid, commit, edits)), "")


def _took(project: Project, oid: str, commit: Commit, edits: Sequence[Changed]) -> bool:
    """Whether a commit of the board merged these edits.

    Its own trailers say so, not a line that somebody quoted, and it changed one of their files or
    holds one under another name.
    """
    objects, made = project.objects, project.objects.commit(oid)
    own = trailers(made.message)
    if own.get(TRAILER) != commit.oid or TXN not in own or len(made.parents) != 1:
        return False
    paths = {edit.path for edit in edits}
    blobs = {edit.new.oid for edit in edits if edit.new is not None}
    changes = objects.diff(objects.tree_of(made.parents[0]), made.tree, deepest=layout.DEEPEST)
    return any(one.path in paths or (one.new and one.new.oid in blobs) for one in changes)


def _not_again(project: Project, board: Board, commit: Commit, before: str) -> MergedEdits:
    """No files, and a conflict for each that the board has otherwise since that merge."""
    objects, here = project.objects, project.objects.tree_of(board.commit)
    why = f"{before[:10]} merged this commit before; to merge it again, push it as a new commit"
    lost = [
        EditConflict(edit.path, why, removal=edit.new is None)
        for edit in objects.diff(_tree_before(project, board, commit), commit.tree)
        if not edit.bit_only and _oid(objects.find(here, edit.path)) != _oid(edit.new)
    ]
    return MergedEdits({}, tuple(lost))


def _oid(entry: TreeEntry | None) -> str:
    return entry.oid if entry is not None else ""
