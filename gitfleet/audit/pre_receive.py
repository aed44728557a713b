"""The server's pre-receive check: a push to the fleet branch must keep the board valid.

It checks new commits only, each with its own settings, on the mainline through the old tip. Refs
pushed along with the board count: a landing moves its target in the same push. Other pushes pass
unchecked. The check looks at what a push changes; who may push is the server's decision.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from gitfleet.audit import repair
from gitfleet.board.authorship import TXN
from gitfleet.board.store import Store
from gitfleet.errors import FleetError, GitError
from gitfleet.event_log import value
from gitfleet.git import refs
from gitfleet.git.command import git
from gitfleet.git.commits import trailers
from gitfleet.git.repo import config
from gitfleet.model.board import Board, Problem

MOST: Final = 10_000  # new commits of one push, unless gitfleet.mostCommits sets another limit
SECONDS: Final = 45.0  # limit for the check of one push: a pusher waits no longer than 60
_ZERO: Final = "0" * 40
_IN_PARTS: Final = "Push it in parts: `git push REMOTE OLDER-COMMIT:{branch}` first."


class PushRefusal(Struct, frozen=True):
    """The reason why a push is refused, and the remedy."""

    what: str
    remedy: str = ""


class PushedRef(NamedTuple):
    """One ref of a push. None: it does not exist before, or after."""

    ref: str
    old: str | None
    new: str | None


class _TooLong(Exception):
    """The check takes too long."""


def read(lines: Iterable[str]) -> list[PushedRef]:
    """Read git's input to the hook: `old new ref` on each line."""
    found: list[PushedRef] = []
    for line in lines:
        old, _, rest = line.rstrip("\n").partition(" ")
        new, _, ref = rest.partition(" ")
        if ref:
            found.append(PushedRef(ref, _oid(old), _oid(new)))
    return found


def _oid(text: str) -> str | None:
    return None if text == _ZERO else text


def check_push(store: Store, lines: Iterable[str]) -> list[PushRefusal]:
    """Why the push that these lines describe is refused; [] if it is accepted."""
    pushes = read(lines)
    board = next((push for push in pushes if push.ref == store.ref), None)
    if board is None:
        return []
    try:
        return list(_check(store, board, pushes))
    except FleetError as error:
        return [PushRefusal(f"{store.branch} cannot be checked: {error.what}", error.remedy)]


def _check(store: Store, board: PushedRef, pushes: Sequence[PushedRef]) -> Iterator[PushRefusal]:
    old, new = board.old, board.new
    free = _allowed(store, "gitfleet.allowRewind")
    if new is None:
        if not free:
            what = f"{store.branch} is the board and must not be deleted"
            yield PushRefusal(what, "On the server: git config gitfleet.allowRewind true")
        return
    try:
        store.objects.commit(new)
    except GitError:
        yield PushRefusal(f"{store.branch} must be a commit")
        return
    if old is not None and not store.objects.is_ancestor(old, new):
        if not free:
            what = f"{store.branch} has moved: this push would remove {old[:10]} from the board"
            remedy = (
                "Fetch and merge first, or push to gitfleet/in/<name>, which is always accepted."
            )
            yield PushRefusal(what, remedy)
            return
        old = store.objects.merge_base(old, new)
    yield from _new_commits(store, old, new, pushes)


def _allowed(store: Store, key: str) -> bool:
    said = git("config", "--type=bool", "--get", key, cwd=store.repo.here, check=False)
    return said.out == "true"


def _new_commits(
    store: Store, old: str | None, new: str, pushes: Sequence[PushedRef]
) -> Iterator[PushRefusal]:
    remedy = _IN_PARTS.format(branch=store.branch)
    most = _most(store)
    since = [f"^{old}"] if old else []
    args = ("rev-list", "--count", f"--max-count={most + 1}", new, *since, "--")
    if int(git(*args, cwd=store.repo.here).out) > most:
        yield PushRefusal(f"more than {most} new commits on {store.branch} at once", remedy)
        return
    targets = {push.ref: push.new for push in pushes}
    deadline = time.monotonic() + SECONDS

    def tick(_done: int, _of: int) -> None:
        if time.monotonic() > deadline:
            raise _TooLong

    def tips(target: str) -> list[str]:
        ref = f"refs/heads/{target}"
        try:
            tip = targets[ref] if ref in targets else refs.read(store.repo, ref)
        except GitError:
            return []  # no possible branch name
        return [tip] if tip is not None else []

    try:
        found = repair.check(store, new, start=old, tick=tick, tips=tips, strict=True)
    except _TooLong:
        yield PushRefusal(f"checking the new commits takes longer than {SECONDS:g} seconds", remedy)
        return
    for finding in found:
        if finding.broken:
            violation = finding.violation
            where = f"commit {finding.commit[:10]} breaks invariant {violation.rule}"
            yield PushRefusal(f"{where}: {value(violation.path)}: {violation.what}")
    yield from _problems(store, old, new)


def _most(store: Store) -> int:
    said = config(store.repo, "gitfleet.mostCommits") or ""
    return int(said) if said.isdecimal() else MOST


def _problems(store: Store, old: str | None, new: str) -> Iterator[PushRefusal]:
    """People's files in the push that do not validate.

    gitfleet's own pushes pass: they may carry files that a person committed elsewhere or pushed to
    an inbox branch, and a broken task must stop only itself.
    """
    commit = store.objects.commit(new)
    if TXN in trailers(commit.message):
        return
    before = store.objects.tree_of(old) if old else None
    changed = {c.path for c in store.objects.diff(before, commit.tree) if c.new is not None}
    for problem in sorted(_all(store.board_at(new))):
        if problem.path in changed:
            yield PushRefusal(f"{problem.where}: {problem.what}", problem.remedy)


def _all(board: Board) -> Iterator[Problem]:
    yield from board.settings_problems
    for problems in board.damage.values():
        yield from problems
    for entry in board.entries.values():
        yield from entry.problems
