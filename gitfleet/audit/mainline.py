"""Find the board's mainline in a history with merges of people.

The mainline goes from the root to the tip. At a merge it follows the parent from which the merge
differs only in people's files and people's events, while the other side contains nothing else. If
the history since some commit is asked for, that commit was the board: the mainline goes through it.

One `git rev-list` reads the shape of the history; later questions cost only their own commits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from gitfleet.board.authorship import RUNNER_DOMAIN, by_runner
from gitfleet.board.store import Store
from gitfleet.errors import FleetError
from gitfleet.files import layout
from gitfleet.git.command import git
from gitfleet.git.commits import Commit
from gitfleet.git.objects import Changed

_LONG: Final = 600.0  # seconds for git to list a history
_BOARD, _OTHER = 1, 2  # the side from which a commit is reached


class MainlineCommit(NamedTuple):
    """A commit of the mainline, and the parent that it continues."""

    commit: Commit
    parent: str | None


class SideChange(NamedTuple):
    """A runner's file that was changed off the mainline."""

    oid: str
    change: Changed


def of_runner(change: Changed) -> bool:
    """Whether only runners make such a change. The status page is excepted: it is regenerated."""
    there = layout.place(change.path)
    if there.what is layout.FileKind.PAGE:
        return False
    if layout.of_runner(change.path):
        return True
    # Even people's events are never edited.
    return there.what is layout.FileKind.EVENT and change.old is not None


def of_a_runner(commit: Commit) -> bool:
    """Whether a runner made the commit.

    An amended runner's commit keeps its message, not its author.
    """
    return by_runner(commit) and commit.committer.email.endswith(RUNNER_DOMAIN)


class Mainline:
    """The commits that `tip` has and `stop` lacks; all of them without a `stop`."""

    def __init__(self, store: Store, tip: str, stop: str | None = None) -> None:
        self.store, self.tip, self.stop = store, tip, stop
        args = ("rev-list", "--topo-order", "--parents", tip, *([f"^{stop}"] if stop else []))
        # libgit2 ignores replaced objects, so no check may follow them.
        env = {"GIT_NO_REPLACE_OBJECTS": "1"}
        out = git(*args, "--", cwd=store.repo.here, env=env, timeout=_LONG).out
        rows = [line.split() for line in out.splitlines()]
        self.parents: dict[str, tuple[str, ...]] = {
            oid: tuple(dict.fromkeys(parents)) for oid, *parents in rows
        }
        self._place = {oid: number for number, oid in enumerate(self.parents)}

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def _since_stop(self) -> frozenset[str]:
        """The descendants of `stop`."""
        found: set[str] = set()
        for oid in reversed(self.parents):
            if any(p == self.stop or p in found for p in self.parents[oid]):
                found.add(oid)
        return frozenset(found)

    def line(self) -> list[MainlineCommit]:
        """The mainline, oldest first, without `stop` itself."""
        found: list[MainlineCommit] = []
        at: str | None = self.tip
        while at is not None and at in self.parents:
            commit = self.store.objects.commit(at)
            parent = self.parent_of(commit)
            found.append(MainlineCommit(commit, parent))
            at = parent
        return found[::-1]

    def parent_of(self, commit: Commit) -> str | None:
        """The parent that a mainline commit continues; None for the root."""
        parents = self.parents[commit.oid]
        if len(parents) < 2:
            if not parents and commit.oid in self._shallow():
                raise FleetError(
                    "this clone is shallow: the older history of the board is not here",
                    remedy="Fetch it with `git fetch --unshallow`.",
                )
            return parents[0] if parents else None
        boards = [p for p in parents if p == self.stop or p in self._since_stop] or parents
        return boards[0] if len(boards) == 1 else self._best(commit, boards)

    def _shallow(self) -> list[str]:
        """Commits where a shallow clone was cut off; both git and libgit2 hide their parents."""
        try:
            return (self.store.repo.common / "shallow").read_text().split()
        except FileNotFoundError:
            return []

    def _best(self, commit: Commit, parents: list[str] | tuple[str, ...]) -> str:
        """The parent whose board the merge continues; if none fits, the parent that it harmed
        least.

        That is, the parent that lost the least, and no runner's commit: a merge that threw away
        runners' changes (`-s ours`) looks just like the person's line, and still it is the board
        that was harmed.
        """
        scored: list[tuple[bool, int, int, int, str]] = []
        for number, parent in enumerate(parents):
            own = self._harm(commit, parent)
            if not own and not any(self.beside(commit.oid, parent)):
                return parent
            lost = list(self.beside(commit.oid, parent))
            work = any(of_a_runner(self.store.objects.commit(oid)) for oid, _ in lost)
            scored.append((work, own + len(lost), own, number, parent))
        return min(scored)[-1]

    def _harm(self, commit: Commit, parent: str) -> int:
        objects = self.store.objects
        changes = objects.diff(objects.tree_of(parent), commit.tree, deepest=layout.DEEPEST)
        return sum(1 for change in changes if of_runner(change) and not change.bit_only)

    # -- the other sides of merges

    def beside(self, merge: str, parent: str) -> Iterator[SideChange]:
        """Runners' files that changed on the sides that a merge brings in besides `parent`."""
        others = [p for p in self.parents[merge] if p != parent]
        for oid in self._only_in(others, parent):
            for change in self._of_side(oid):
                yield SideChange(oid, change)

    def _of_side(self, oid: str) -> list[Changed]:
        """Runners' files that a commit off the mainline changes; for a merge, on all its sides."""
        objects = self.store.objects
        tree = objects.tree_of(oid)
        befores: list[str | None] = [objects.tree_of(p) for p in self.parents[oid]]
        found: list[list[Changed]] = []
        for before in befores or [None]:
            found.append(
                [
                    c
                    for c in objects.diff(before, tree, deepest=layout.DEEPEST)
                    if of_runner(c) and not c.bit_only
                ]
            )
            if not found[-1]:
                return []
        return min(found, key=len)

    def _only_in(self, others: list[str], parent: str) -> Iterator[str]:
        """The commits that `others` reach and `parent` does not, newest first.

        Both sides are painted downwards, children before parents, until every remaining commit is
        reached from both, so the cost is the number of commits since the lines parted.
        """
        paint: dict[str, int] = {}
        queue: list[tuple[int, str]] = []
        waiting = 0  # commits in the queue that only the others reach

        def reach(oid: str, colour: int) -> None:
            nonlocal waiting
            if oid not in self._place:
                return  # `stop` has it
            old = paint.get(oid, 0)
            new = old | colour
            if new == old:
                return
            paint[oid] = new
            if not old:
                heapq.heappush(queue, (self._place[oid], oid))
            waiting += (new == _OTHER) - (old == _OTHER)

        for oid in others:
            reach(oid, _OTHER)
        reach(parent, _BOARD)
        while waiting:
            _, oid = heapq.heappop(queue)
            if paint[oid] == _OTHER:
                waiting -= 1
                yield oid
            for above in self.parents[oid]:
                reach(above, paint[oid])


def board_parent(store: Store, commit: Commit) -> str | None:
    """The parent that a mainline commit continues; None for the root."""
    if len(commit.parents) < 2:
        return commit.parents[0] if commit.parents else None
    return Mainline(store, commit.oid).parent_of(commit)


def mainline_commits(store: Store, tip: str, stop: str | None = None) -> list[MainlineCommit]:
    """The mainline's commits after `stop`, oldest first.

    A straight history is walked directly: git lists the history's shape only if it has merges.
    """
    found: list[MainlineCommit] = []
    at: str | None = tip
    while at is not None and at != stop:
        commit = store.objects.commit(at)
        if len(commit.parents) > 1 or (not commit.parents and stop is not None):
            return Mainline(store, tip, stop).line()
        at = commit.parents[0] if commit.parents else None
        found.append(MainlineCommit(commit, at))
    return found[::-1]
