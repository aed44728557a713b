"""The backend of a shared board: a push is the compare-and-swap (docs/protocol.md).

The remote's branch is the truth. The local branch follows it, and may have people's commits on top
that the remote lacks: the next change merges them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

from gitfleet.board.authorship import by_runner
from gitfleet.board.backend import TxnResult, TxnStatus, lock_checkouts, no_board
from gitfleet.board.edit_conflicts import ConflictKeeper, ReportEdits
from gitfleet.board.fairness import ClaimThrottle
from gitfleet.board.heartbeats import BEATS, SEEN_BEATS
from gitfleet.board.merge_human_edits import HumanEdits, MergedEdits, merge
from gitfleet.board.remote_handle import RemoteHandle
from gitfleet.errors import FleetError, GitError
from gitfleet.event_log import Action
from gitfleet.files import layout
from gitfleet.git import refs, remote
from gitfleet.git.command import git
from gitfleet.git.commits import Signature
from gitfleet.git.objects import Objects, is_path
from gitfleet.git.remote import PushFate, PushResult, RemoteRejected
from gitfleet.git.repo import Repo
from gitfleet.model.change import Change, Move

INBOX: Final = "refs/heads/gitfleet/in/"
SEEN_INBOX: Final = "refs/gitfleet/seen/in/"


_MOST_NOTICED: Final = 200  # commits per fetch
_MOMENT: Final = 0.1  # seconds


class RemoteBackend:
    """A board on a remote."""

    def __init__(
        self,
        repo: Repo,
        branch: str,
        name: str,
        signature: Callable[[], Signature],
        report_edits: ReportEdits,
        tell: Callable[..., None] | None = None,
        patience: float | None = None,
        pace: ClaimThrottle | None = None,
    ) -> None:
        """Use the board of the remote `name`.

        `signature` is the author of merges of people's commits. `report_edits` reports commits that
        conflict with the board. `tell` is an event log's `action`. `patience`: seconds for one
        conversation, if not the default. `pace`: the throttle, if not a runner's.
        """
        self.repo, self.branch, self.name = repo, branch, name
        self.ref = f"refs/heads/{branch}"
        self.track = f"refs/remotes/{name}/"
        self.targets: set[str] = set()
        self._objects = Objects(repo)
        self._signature = signature
        self._patience = patience
        self._tell = tell or (lambda _name, **_fields: None)
        self._keeper = ConflictKeeper(repo, report_edits, "edits")
        self._fetched = False
        self._seen_at = 0.0
        self._behind: tuple[str, ...] = ()  # branches to fetch too before the next decision
        self.pace = pace or ClaimThrottle()
        self._pushing = threading.RLock()
        self._merged: tuple[str, str, str] | None = None

    # -- the remote, beyond the board

    @property
    def remote(self) -> RemoteHandle:
        """This board's remote."""
        return self

    def address(self) -> str | None:
        """The remote's URL; None if git no longer has one."""
        return remote.address(self.repo, self.name)

    def push_refs(self, moves: Sequence[refs.RefMove]) -> PushResult:
        """Move refs on the remote, all or none, each from its expected value."""
        return remote.push(self.repo, self.name, moves, timeout=self._patience)

    def list_refs(self, pattern: str) -> dict[str, str]:
        """The remote's refs that match, with their commits."""
        return remote.listing(self.repo, self.name, pattern)

    def fetch_refs(self, specs: Sequence[str]) -> None:
        """Fetch refspecs."""
        remote.fetch(self.repo, self.name, specs, timeout=self._patience)

    # -- fetching

    def fetch(self, extra: Iterable[str] = ()) -> None:
        """Fetch the board, the targets, all heartbeats and inbox branches, and the branches
        `extra`.

        Raises Unreachable; FleetError if the remote no longer has a board.
        """
        # Not during a push or another fetch: a late answer would move our view of the board back,
        # to before a claim of ours, and its attempt would be ended for no reason.
        with self._pushing:
            branches = [self.branch, *sorted({*self.targets, *extra})]
            specs = [f"+refs/heads/{b}:{self.track}{b}" for b in branches]
            specs += [f"+{BEATS}*:{SEEN_BEATS}*", f"+{INBOX}*:{SEEN_INBOX}*"]
            before, began = self.tip(), time.monotonic()
            for ref in remote.fetch(self.repo, self.name, specs, timeout=self._patience):
                self._gone(ref)
            self._fetched, self._behind, self._seen_at = True, (), time.monotonic()
            self.pace.looked(time.monotonic() - began)
            self._note_writers(before)
            self.pace.heard(refs.names(self.repo, SEEN_BEATS))

    def _note_writers(self, before: str | None) -> None:
        """Record which other runners have written since the last fetch."""
        at, own = self.tip(), self._signature().name
        for _ in range(_MOST_NOTICED):
            if at is None or at == before or before is None:
                return
            commit = self._objects.commit(at)
            if commit.author.name != own:
                self.pace.saw_writer(commit.author.name)
            at = commit.parents[0] if commit.parents else None

    def _gone(self, ref: str) -> None:
        """Record that the remote no longer has a branch, so that the next push creates it."""
        if ref == self.ref:
            raise FleetError(
                f"{self.name} no longer has a branch {self.branch}",
                remedy=f"`git push {self.name} {self.branch}` puts the board back.",
            )
        track = f"{self.track}{ref.removeprefix('refs/heads/')}"
        known = refs.read(self.repo, track)
        if known is not None:
            refs.swap(self.repo, track, known, None, message="gone from the remote")

    def fetch_commit(self, oid: str, branch: str) -> bool:
        """Fetch a commit that another machine made on a task's branch. False if there is none."""
        if not self._objects.exists(oid):
            self.fetch([branch])
        return self._objects.exists(oid)

    def inbox(self) -> dict[str, str]:
        """The inbox branches on the remote with their commits, as of the last fetch."""
        found = refs.names(self.repo, SEEN_INBOX)
        return {f"{INBOX}{ref.removeprefix(SEEN_INBOX)}": oid for ref, oid in found.items()}

    def tip_of(self, branch: str) -> str | None:
        """The remote's tip of a branch, as of the last fetch."""
        if branch not in self.targets:
            self.targets.add(branch)
            if self._fetched:
                self.fetch()
        return refs.read(self.repo, f"{self.track}{branch}")

    def cached_head(self) -> str | None:
        """The board as of the last fetch, with this clone's commits by people."""
        if self.tip() is None:
            return refs.read(self.repo, self.ref)
        return self._base()

    def tip(self) -> str | None:
        """The remote's tip of the board, as of the last fetch."""
        return refs.read(self.repo, f"{self.track}{self.branch}")

    # -- the swap

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Allow one push at a time from this clone."""
        with self._pushing, refs.mutex(self.repo):
            yield

    def backoff(self, losses: int) -> float:
        """Long enough for other writers to succeed; grows with the losses."""
        return self.pace.patience(losses)

    def refresh(self) -> str:
        """The remote's board with people's commits of this clone on top."""
        # On a crowded board even a view that is a moment old is outdated: a push based on it only
        # takes time from others whose pushes could arrive.
        old = time.monotonic() - self._seen_at > _MOMENT
        if not self._fetched or (old and self.pace.crowded()):
            self.fetch(self._behind)
        return self._base()

    def _base(self) -> str:
        theirs = self.tip()
        ours = refs.read(self.repo, self.ref)
        if theirs is None:
            raise no_board(f"{self.name}/{self.branch}")
        if ours is None or self._objects.is_ancestor(ours, theirs):
            return theirs
        known = self._merged
        if known is not None and known[:2] == (theirs, ours):
            return known[2]
        made = self._with_people(theirs, ours)
        if made is None:
            return theirs  # people's commits wait in this clone
        self._merged = (theirs, ours, made)
        return made

    def _with_people(self, theirs: str, ours: str) -> str | None:
        """The remote's board with people's commits of this clone; None if they cannot be merged."""
        try:
            return self._merge(theirs, ours)
        except GitError as error:
            self._keeper.wait(ours, error.what)
            return None

    def _merge(self, theirs: str, ours: str) -> str | None:
        base = self._objects.merge_base(theirs, ours)
        here, who = self._objects.tree_of(theirs), self._signature()
        commit, ahead = self._objects.commit(ours), base == theirs
        edits = HumanEdits(
            before=self._objects.tree_of(base) if base else None,
            after=commit.tree,
            by=f"{commit.author.name} <{commit.author.email}>",
            at=datetime.fromtimestamp(who.when, UTC),
            ahead=ahead,
        )
        merged = merge(self._objects, here, edits)
        if ahead and not merged.conflicts:
            return ours
        tree = self._objects.write_tree(here, merged.files)
        if not self._keeper.keep(ours, merged.conflicts):
            return None
        message = f"Merge people's commits ({ours[:10]}) into the board\n"
        if self._is_unfit(theirs, ours, edits, merged):
            return self._objects.write_commit(tree, [theirs], message, commit.author, who)
        parents = [ours] if ahead else [theirs, ours]
        return self._objects.write_commit(tree, parents, message, who, who)

    def _is_unfit(self, theirs: str, ours: str, edits: HumanEdits, merged: MergedEdits) -> bool:
        """Whether people's commits must stay out of the board's history.

        They add runners' files, or names that a server may reject. Their other files are merged
        anyway.
        """
        bad = (
            not is_path(one.path)
            or (layout.of_runner(one.path) and not one.removal and not self._had(edits, one.path))
            for one in merged.conflicts
        )
        if not any(bad):
            return False
        line = git("rev-list", ours, f"^{theirs}", cwd=self.repo.here).out.split()
        return not any(by_runner(self._objects.commit(oid)) for oid in line)

    def _had(self, edits: HumanEdits, path: str) -> bool:
        return edits.before is not None and self._objects.find(edits.before, path) is not None

    def commit(self, old: str, new: str, change: Change) -> TxnResult | None:
        """Push the board with the change's other refs, each with its expected value."""
        theirs = self.tip()
        if theirs is None or not self._objects.is_ancestor(theirs, old):
            return None  # a fetch came in between: the decision used an older board
        moves = [refs.RefMove(self.ref, theirs, new)]
        moves += [refs.RefMove(move.ref, move.old, move.new) for move in change.moves]
        moves += [self._published(move) for move in change.publish]
        moves = [move for move in moves if move.old != move.new]
        began = time.monotonic()
        pushed = remote.push(self.repo, self.name, moves, timeout=self._patience)
        match pushed.fate:
            case PushFate.DONE:
                self.pace.pushed(time.monotonic() - began)
                return self._won(moves, new, change)
            case PushFate.STALE:
                # Fetch after the pause, right before the next try: an earlier view would be
                # outdated again by then.
                self._fetched, self._behind = False, tuple(_branches(change))
                return None
            case PushFate.REFUSED:
                return self._refused(pushed, change)
        return self._unknown(moves, new, change, pushed)

    def _published(self, move: Move) -> refs.RefMove:
        """The refs that go to the remote with the change.

        A task's branch starts from the remote's value. An inbox branch starts from the value that
        was read, so that a later push to it survives.
        """
        if move.ref.startswith(INBOX):
            return refs.RefMove(move.ref, move.old, move.new)
        short = move.ref.removeprefix("refs/heads/")
        return refs.RefMove(move.ref, refs.read(self.repo, f"{self.track}{short}"), move.new)

    def _refused(self, pushed: PushResult, change: Change) -> TxnResult:
        if any(move.ref == pushed.ref for move in change.moves):
            target = pushed.ref.removeprefix("refs/heads/")
            return TxnResult(
                TxnStatus.LOST, f"{self.name} rejected the push to {target}: {pushed.reason}"
            )
        raise RemoteRejected(
            f"{self.name} rejected the push to {pushed.ref}: {pushed.reason}",
            remedy="Allow runners to push to the fleet branch, or check the server's hooks.",
        )

    def _unknown(
        self, moves: list[refs.RefMove], new: str, change: Change, pushed: PushResult
    ) -> TxnResult | None:
        """Find out whether a push arrived whose answer was lost.

        A fetch that shows our commit means won. A board that moved elsewhere means lost, because
        then the push can never succeed. Otherwise it stays unknown.
        """
        before = moves[0].old
        self.fetch(_branches(change))
        tip = self.tip()
        if tip is not None and self._objects.is_ancestor(new, tip):
            return self._won(moves, new, change)
        if tip != before:
            return None
        return TxnResult(TxnStatus.UNKNOWN, pushed.reason)

    # -- after the push

    def _won(self, moves: list[refs.RefMove], new: str, change: Change) -> TxnResult:
        self._seen_at = time.monotonic()
        for pushed in moves:
            if pushed.ref.startswith(INBOX):
                self._note(f"{SEEN_INBOX}{pushed.ref.removeprefix(INBOX)}", pushed.new)
                continue
            short = pushed.ref.removeprefix("refs/heads/")
            self._note(f"{self.track}{short}", pushed.new)
        self._follow(self.ref, new)
        for move in change.moves:
            if move.new is not None:
                self._follow(move.ref, move.new)
        return TxnResult(TxnStatus.WON)

    def _note(self, ref: str, new: str | None) -> None:
        """Update our tracking ref of the remote; git's push may have updated it already."""
        old = refs.read(self.repo, ref)
        if old != new and not (
            old is not None and new is not None and self._objects.is_ancestor(new, old)
        ):
            refs.swap(self.repo, ref, old, new, message="pushed")

    def follow(self) -> None:
        """Fast-forward the local board and targets to the remote's tips."""
        with self.exclusive():
            for branch in (self.branch, *sorted(self.targets)):
                tip = refs.read(self.repo, f"{self.track}{branch}")
                if tip is not None:
                    self._follow(f"refs/heads/{branch}", tip)

    def _follow(self, ref: str, new: str) -> None:
        """Fast-forward a local branch with its checkout.

        A branch with local commits, or with a checkout that cannot follow, stays, and this is
        reported.
        """
        old = refs.read(self.repo, ref)
        if old == new:
            return
        if old is None:
            if ref == self.ref:
                refs.swap(self.repo, ref, None, new, message="fetched")
            return
        if not self._objects.is_ancestor(old, new) and not self._holds(new, old):
            if ref != self.ref and not self._objects.is_ancestor(new, old):
                self._tell(Action.DIVERGED, branch=ref.removeprefix("refs/heads/"))
            return
        with ExitStack() as stack:
            if ref == self.ref:
                held, why = lock_checkouts(stack, self.repo, (), Move(ref, old, new))
            else:
                held, why = lock_checkouts(stack, self.repo, (Move(ref, old, new),), None)
            if why:
                self._tell(Action.BRANCH_BEHIND, branch=ref.removeprefix("refs/heads/"), reason=why)
                return
            if refs.swap(self.repo, ref, old, new, message="fetched"):
                for one in held:
                    one.follow()

    def _holds(self, new: str, old: str) -> bool:
        """Whether the board `new` contains the files of people's commits up to `old`."""
        known = self._merged
        return known is not None and known[1] == old and self._objects.is_ancestor(known[2], new)


def _branches(change: Change) -> list[str]:
    """The task branches that go up with a change; a normal fetch does not look at them."""
    return [
        move.ref.removeprefix("refs/heads/")
        for move in change.publish
        if not move.ref.startswith(INBOX)
    ]
