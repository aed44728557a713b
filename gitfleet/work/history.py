"""The board's history, judged commit by commit; and what people's commits broke, put back.

The board line goes from the root to the tip. At a merge it follows the parent on whose side runners
wrote; from that one a merge differs only in people's files and people's events, and the other lines
hold nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.clone import read_json, write_json
from gitfleet.errors import GitError
from gitfleet.files import layout
from gitfleet.git import refs
from gitfleet.git.command import git
from gitfleet.git.objects import Changed, Commit, trailers
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.event import Landed
from gitfleet.plan import rules
from gitfleet.plan.rules import Breach, Step
from gitfleet.store import REPAIR, RUNNER_DOMAIN, Store, by_runner
from gitfleet.work.fleet import Fleet

_UNKNOWN_PAST: Final = 500  # commits looked at where nobody has looked before


class Finding(Struct, frozen=True, kw_only=True):
    """A commit that broke something."""

    commit: str
    author: str
    breach: Breach
    repaired: bool = False  # a later commit put it right
    warning: bool = False  # no fault of the board's


def board_line(store: Store, tip: str, stop: str | None = None) -> list[Commit]:
    """The commits of the board line, oldest first; only those after `stop`, if it is on it."""
    found: list[Commit] = []
    at: str | None = tip
    while at is not None and at != stop:
        commit = store.objects.commit(at)
        found.append(commit)
        at = board_parent(store, commit)
    return found[::-1]


def board_parent(store: Store, commit: Commit) -> str | None:
    """The parent that a commit continues the board of; None for the root.

    Of a merge, the one on whose side runners wrote: a person's merge that drops what they wrote is
    to be judged by that side. Where none or several did, the one it differs from the least in
    runners' files.
    """
    if len(commit.parents) < 2:
        return commit.parents[0] if commit.parents else None
    written = [parent for parent in commit.parents if _runners_wrote(store, commit, parent)]
    if len(written) == 1:
        return written[0]

    def differs(parent: str) -> int:
        changed = store.objects.diff(
            store.objects.tree_of(parent), commit.tree, deepest=layout.DEEPEST
        )
        return sum(1 for change in changed if _of_runner(change))

    return min(written or commit.parents, key=differs)


def _runners_wrote(store: Store, merge: Commit, parent: str) -> bool:
    """Whether a merge has runners' commits from that parent and from no other."""
    others = [f"^{other}" for other in merge.parents if other != parent]
    only = ("--max-count=1", "--fixed-strings", f"--committer={RUNNER_DOMAIN}")
    return bool(git("rev-list", *only, parent, *others, cwd=store.repo.here).out)


def _of_runner(change: Changed) -> bool:
    if layout.place(change.path).what is layout.What.PAGE:
        return False  # drawn anew from whatever the board is
    if layout.of_runner(change.path):
        return True
    event = layout.place(change.path).what is layout.What.EVENT
    return event and change.old is not None  # even people's events are never edited


def step_of(store: Store, commit: Commit, parent: str | None) -> Step:
    """A commit on the board line as a step from its board parent."""
    before = store.objects.tree_of(parent) if parent else None
    changed = {
        change.path: (
            change.old.oid if change.old else None,
            change.new.oid if change.new else None,
        )
        for change in store.objects.diff(before, commit.tree, deepest=layout.DEEPEST)
    }
    return Step(
        parent=store.board_at(parent) if parent else store.empty(),
        child=store.board_at(commit.oid),
        changed=changed,
        by_runner=_of_a_runner(commit),
        restores=_restores(store, commit),
        at=datetime.fromtimestamp(commit.committer.when, UTC),
    )


def _restores(store: Store, commit: Commit) -> Mapping[str, str | None]:
    """What a repair puts back: the files as they were before the commit that it names."""
    damaged = trailers(commit.message).get(REPAIR)
    if damaged is None:
        return {}
    try:
        broken = store.objects.commit(damaged)
        parent = board_parent(store, broken)
        if parent is None:
            return {}
        changes = store.objects.diff(
            store.objects.tree_of(parent), broken.tree, deepest=layout.DEEPEST
        )
    except GitError:
        return {}
    return {change.path: change.old.oid if change.old else None for change in changes}


def check(
    store: Store,
    tip: str,
    *,
    start: str | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[Finding]:
    """Judge every commit of the board line after `start`; findings in the order of history.

    `tick(done, of)` is called for each commit.
    """
    line = board_line(store, tip, start)
    parent = board_parent(store, line[0]) if line else None
    repairs = {trailers(commit.message).get(REPAIR) for commit in line}
    for number, commit in enumerate(line, 1):
        step = step_of(store, commit, parent)
        repaired = commit.oid in repairs
        for breach in rules.judge(step):
            yield _finding(commit, breach, repaired=repaired)
        yield from _other_lines(store, commit, parent)
        for path, landed in rules.merges_to_see(step):
            for finding in _landing(store, commit, path, landed):
                yield replace(finding, repaired=repaired)
        parent = commit.oid
        if tick is not None:
            tick(number, len(line))


def _finding(
    commit: Commit, breach: Breach, *, repaired: bool = False, warning: bool = False
) -> Finding:
    author = f"{commit.author.name} <{commit.author.email}>"
    return Finding(
        commit=commit.oid, author=author, breach=breach, repaired=repaired, warning=warning
    )


def _other_lines(store: Store, commit: Commit, parent: str | None) -> Iterator[Finding]:
    """What a merge brings in besides the board line may hold people's changes only."""
    others = [other for other in commit.parents if other != parent]
    if not others or parent is None:
        return
    out = git("rev-list", *others, f"^{parent}", cwd=store.repo.here).out
    for oid in out.split():
        side = store.objects.commit(oid)
        if len(side.parents) != 1:
            continue  # a merge on the way is judged by what it merges
        before = store.objects.tree_of(side.parents[0])
        for change in store.objects.diff(before, side.tree, deepest=layout.DEEPEST):
            if _of_runner(change):
                what = f"a runner's file was changed beside the board line ({oid[:10]})"
                yield _finding(commit, Breach(6, change.path, what))


def _landing(store: Store, commit: Commit, path: str, landed: Landed) -> Iterator[Finding]:
    """Invariant 4: the merge was in the target when `landed` was written."""
    objects = store.objects
    if not objects.exists(landed.merge):
        yield _finding(commit, Breach(4, path, f"the commit {landed.merge[:10]} does not exist"))
        return
    tip = refs.read(store.repo, f"refs/heads/{landed.target}")
    if tip is not None and objects.is_ancestor(landed.merge, tip):
        return
    merge = objects.commit(landed.merge)
    if trailers(merge.message).get("Gitfleet-Nonce") == landed.nonce:
        what = f"{landed.target} was rewritten since: {landed.merge[:10]} is not in it any more"
        yield _finding(commit, Breach(4, path, what), warning=True)
    else:
        what = f"the commit {landed.merge[:10]} is not in {landed.target} and was not made for it"
        yield _finding(commit, Breach(4, path, what))


# -- repair


def repair(fleet: Fleet) -> None:
    """Put back what people's commits did to runners' files since we last looked.

    A commit made while an index lagged behind does that, with nobody meaning it. Only files that
    are still as the damage left them are touched.
    """
    store = fleet.store
    note = fleet.clone.folder / "judged.json"
    tip = store.tip()
    assert tip is not None
    seen = read_json(note).get("commit")
    if seen == tip:
        return
    known = isinstance(seen, str) and store.objects.exists(seen)
    for commit, parent in _since(store, tip, seen if known else None):
        if not _of_a_runner(commit):
            _repair_one(fleet, commit, parent)
    write_json(note, {"commit": store.tip() or tip})


def _since(store: Store, tip: str, seen: str | None) -> list[tuple[Commit, str | None]]:
    found: list[tuple[Commit, str | None]] = []
    at: str | None = tip
    while at is not None and at != seen and len(found) < _UNKNOWN_PAST:
        commit = store.objects.commit(at)
        parent = board_parent(store, commit)
        found.append((commit, parent))
        at = parent
    return found[::-1]


def _repair_one(fleet: Fleet, commit: Commit, parent: str | None) -> None:
    if parent is None:
        return
    step = step_of(fleet.store, commit, parent)
    broken = {b.path: b.what for b in rules.judge(step) if _repairable(b.path)}
    if not broken:
        return

    def decide(board: Board, _now: datetime) -> Change | None:
        since = _touched_since(fleet.store, board.commit, commit.oid)
        if since is None:
            return None  # that commit is not on the board's line any more
        files: dict[str, bytes | None] = {}
        for path in broken.keys() - since:
            before, _ = step.changed[path]
            files[path] = fleet.objects.blob(before) if before else None
        if not files:
            return None
        return Change(
            subject=f"Repair what {commit.oid[:10]} did to runners' files",
            files=files,
            trailers={REPAIR: commit.oid},
        )

    if fleet.store.transact(decide).won:
        fleet.report.action(
            "repaired",
            commit=commit.oid[:10],
            author=commit.author.name,
            files=",".join(sorted(broken)),
            reason=next(iter(broken.values())),
        )


def _touched_since(store: Store, tip: str, commit: str) -> set[str] | None:
    """The paths that any commit of the board line after `commit` changed; None if it is not there.

    That a file looks as the damage left it proves nothing: a claim that was dropped, put back and
    has ended since is gone, too.
    """
    found: set[str] = set()
    at: str | None = tip
    for _ in range(_UNKNOWN_PAST * 2):
        if at is None or at == commit:
            break
        one = store.objects.commit(at)
        at = board_parent(store, one)
        before = store.objects.tree_of(at) if at else None
        found.update(
            change.path for change in store.objects.diff(before, one.tree, deepest=layout.DEEPEST)
        )
    return found if at == commit else None


def _of_a_runner(commit: Commit) -> bool:
    """Whether a runner made it. Who amends a runner's commit keeps its message, not its name."""
    return by_runner(commit) and commit.committer.email.endswith(RUNNER_DOMAIN)


def _repairable(path: str) -> bool:
    """Runners' files, and everybody's events: those are never edited."""
    return layout.of_runner(path) or layout.place(path).what is layout.What.EVENT
