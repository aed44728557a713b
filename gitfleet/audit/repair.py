"""fsck and repair: check every commit of the board, and restore what people's commits broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.attempt.context import Project
from gitfleet.audit.mainline import (
    Mainline,
    MainlineCommit,
    SideChange,
    board_parent,
    mainline_commits,
    of_a_runner,
)
from gitfleet.board.authorship import REPAIR
from gitfleet.board.clone_state import read_json, write_json
from gitfleet.board.store import Store
from gitfleet.errors import GitError
from gitfleet.event_log import Action
from gitfleet.files import layout
from gitfleet.git import refs
from gitfleet.git.command import git
from gitfleet.git.commits import Commit, trailers
from gitfleet.model.change import Change
from gitfleet.model.event import Landed
from gitfleet.plan import invariants
from gitfleet.plan.invariants import CommitStep, Violation

_UNKNOWN_PAST: Final = 500  # commits to check where no earlier check is recorded
_LONG: Final = 600.0  # seconds for git to search a history

Tick = Callable[[int, int], None]
# The known tips of a target; none if it is unknown.
Tips = Callable[[str], Sequence[str]]


class HistoryFinding(Struct, frozen=True, kw_only=True):
    """A commit that broke something."""

    commit: str
    author: str
    violation: Violation
    repaired: bool = False  # it was repaired, or never reached the board
    warning: bool = False  # not a fault of the board

    @property
    def broken(self) -> bool:
        """Whether the board is damaged."""
        return not (self.repaired or self.warning)


class _Claim(NamedTuple):
    """A landing that a commit records, to be looked up in the target."""

    number: int
    commit: Commit
    path: str
    landed: Landed


def step_of(store: Store, on: MainlineCommit) -> CommitStep:
    """A mainline commit as a step from its board parent."""
    commit, parent = on
    before = store.objects.tree_of(parent) if parent else None
    changed = {
        change.path: (
            change.old.oid if change.old else None,
            change.new.oid if change.new else None,
        )
        for change in store.objects.diff(before, commit.tree, deepest=layout.DEEPEST)
        if not change.bit_only  # a file system without that bit does no harm
    }
    return CommitStep(
        parent=store.board_at(parent) if parent else store.empty(),
        child=store.board_at(commit.oid),
        changed=changed,
        by_runner=of_a_runner(commit),
        at=datetime.fromtimestamp(commit.committer.when, UTC),
    )


# -- checking


def check(
    store: Store,
    tip: str,
    *,
    start: str | None = None,
    tick: Tick | None = None,
    tips: Tips | None = None,
    strict: bool = False,
) -> list[HistoryFinding]:
    """Check every mainline commit after `start`; findings in the order of history.

    `tick(done, of)` is called before the first commit and after each. `tips` gives a target's tips,
    and `strict` says that they are complete: then a merge that is not in them did not land.
    """
    history = Mainline(store, tip, start)
    judge = _Judge(store, history, history.line())
    judge.run(tick or (lambda _done, _of: None))
    judge.look_up(tips or (lambda target: _tips(store, target)), strict=strict)
    return judge.findings()


class _Judge:
    """Walks the mainline once. Whether damage is undone later is known only at the end."""

    def __init__(self, store: Store, history: Mainline, line: list[MainlineCommit]) -> None:
        self._store, self._history, self._line = store, history, line
        self._on_line = {on.commit.oid for on in line}
        self._found: list[tuple[int, HistoryFinding]] = []
        # Current damage: path -> its finding, and the file before the damage.
        self._broken: dict[str, tuple[int, str | None]] = {}
        self._landings: list[_Claim] = []
        self._mended: set[str] = set()  # damage that was repaired since

    def run(self, tick: Tick) -> None:
        """Check each step."""
        tick(0, len(self._line))
        for number, on in enumerate(self._line, 1):
            self._check(number, on)
            tick(number, len(self._line))

    def _check(self, number: int, on: MainlineCommit) -> None:
        step = step_of(self._store, on)
        step = replace(step, restores={**self._by_trailer(on), **self._put_back(step)})
        for violation in invariants.check_step(step):
            self._broken[violation.path] = (len(self._found), step.changed[violation.path][0])
            self._note(number, on.commit, violation)
        if on.parent is not None and len(self._history.parents[on.commit.oid]) > 1:
            for side in self._history.side_changes(on.commit.oid, on.parent):
                self._side_change(number, on, side, taken=side.change.path in step.changed)
        for path, landed in invariants.merges_to_see(step):
            self._landings.append(_Claim(number, on.commit, path, landed))

    def _put_back(self, step: CommitStep) -> dict[str, str | None]:
        """The damaged files that this step restores, unchanged since the damage.

        Decided by the change itself: a trailer proves nothing, and a person may undo their own
        commit.
        """
        restored: dict[str, str | None] = {}
        for path in self._broken.keys() & step.changed.keys():
            index, before = self._broken.pop(path)
            if step.changed[path][1] == before:
                restored[path] = before
                self._mended.add(path)
                number, finding = self._found[index]
                self._found[index] = number, replace(finding, repaired=True)
        return restored

    def _by_trailer(self, on: MainlineCommit) -> Mapping[str, str | None]:
        """The restored files of a repair whose damage is older than this check."""
        damaged = trailers(on.commit.message).get(REPAIR)
        if damaged is None or damaged in self._on_line or on.parent is None:
            return {}
        return damage_of(self._store, on.parent, damaged)

    def _note(
        self,
        number: int,
        commit: Commit,
        violation: Violation,
        *,
        good: bool = False,
        warn: bool = False,
    ) -> None:
        author = f"{commit.author.name} <{commit.author.email}>"
        found = HistoryFinding(
            commit=commit.oid, author=author, violation=violation, repaired=good, warning=warn
        )
        self._found.append((number, found))

    def _side_change(
        self, number: int, on: MainlineCommit, side: SideChange, *, taken: bool
    ) -> None:
        """Record a runner's file that changed off the mainline.

        If a person's commit only lost or damaged one there, and the merge did not take that over,
        no harm is done. But work that runners did there is lost.
        """
        commit = self._store.objects.commit(side.oid)
        harmless = side.change.old is not None and not taken and not of_a_runner(commit)
        what = f"a runner's file was changed off the mainline ({side.oid[:10]})"
        self._note(number, on.commit, Violation(6, side.change.path, what), good=harmless)

    # -- invariant 4

    def look_up(self, tips: Tips, *, strict: bool) -> None:
        """Whether every recorded landing's merge is in its target; one query per target."""
        for target in sorted({one.landed.target for one in self._landings}):
            claims = [one for one in self._landings if one.landed.target == target]
            known = tips(target)
            missing = _not_in(self._store, {one.landed.merge for one in claims}, known)
            for one in claims:
                if one.landed.merge in missing:
                    self._not_landed(one, seen=bool(known), strict=strict)

    def _not_landed(self, one: _Claim, *, seen: bool, strict: bool) -> None:
        merge, target = one.landed.merge[:10], one.landed.target
        warn = False
        if not seen:
            what, warn = (
                f"there is no {target} here, so {merge} cannot be looked up in it",
                not strict,
            )
        elif not self._store.objects.exists(one.landed.merge):
            what = f"the commit {merge} does not exist here"
        elif not strict and self._made_for(one.landed):
            what, warn = f"{target} was rewritten: {merge} is no longer in it", True
        else:
            what = f"the commit {merge} is not in {target}"
        self._note(one.number, one.commit, Violation(4, one.path, what), warn=warn)
        if one.path in self._mended:
            number, finding = self._found[-1]
            self._found[-1] = number, replace(finding, repaired=True)

    def _made_for(self, landed: Landed) -> bool:
        merge = self._store.objects.commit(landed.merge)
        return trailers(merge.message).get("Gitfleet-Nonce") == landed.nonce

    def findings(self) -> list[HistoryFinding]:
        """All findings, oldest commit first."""
        return [finding for _, finding in sorted(self._found, key=lambda pair: pair[0])]


def _not_in(store: Store, commits: set[str], tips: Sequence[str]) -> set[str]:
    """The commits that no tip reaches, with a single git command."""
    here = {oid for oid in commits if store.objects.exists(oid)}
    lines = [*sorted(here), *(f"^{tip}" for tip in tips)]
    if not here or not tips:
        return set(commits)
    data = "".join(f"{line}\n" for line in lines).encode()
    args = ("rev-list", "--stdin")
    try:
        out = git(*args, cwd=store.repo.here, input=data, timeout=_LONG).out
    except GitError:
        return set(commits)  # one of them is not a commit
    return (commits - here) | (commits & set(out.split()))


def _tips(store: Store, target: str) -> list[str]:
    """The tips of a branch in this clone and, as far as they are known, on its remotes."""
    remotes = git("remote", cwd=store.repo.here).out.split()
    found: list[str] = []
    for ref in (f"refs/heads/{target}", *(f"refs/remotes/{name}/{target}" for name in remotes)):
        try:
            tip = refs.read(store.repo, ref)
        except GitError:
            continue  # no possible branch name: files come from anyone
        if tip is not None:
            found.append(tip)
    return found


# -- the damage of a commit


def damage_of(store: Store, tip: str, commit: str) -> dict[str, str | None]:
    """The files that a commit before `tip` damaged, unchanged since then, as they were before."""
    try:
        if not store.objects.is_ancestor(commit, tip):
            return {}
        named = store.objects.commit(commit)
    except GitError:
        return {}
    line = mainline_commits(store, tip, commit)
    parent = board_parent(store, named)
    if parent is None or (line and line[0].parent != commit):
        return {}
    step = step_of(store, MainlineCommit(named, parent))
    broken = {
        violation.path for violation in invariants.check_step(step) if _repairable(violation.path)
    }
    # A file that still looks damaged proves nothing: a claim that was dropped, restored and has
    # ended since is gone, too.
    touched = {path for on in line for path in _paths(store, on)} if broken else set()
    return {path: step.changed[path][0] for path in broken - touched}


def _paths(store: Store, on: MainlineCommit) -> Iterator[str]:
    before = store.objects.tree_of(on.parent) if on.parent else None
    for change in store.objects.diff(before, on.commit.tree, deepest=layout.DEEPEST):
        yield change.path


def _repairable(path: str) -> bool:
    """Whether it is a runner's file, or an event: events are never edited."""
    return layout.of_runner(path) or layout.place(path).what is layout.FileKind.EVENT


# -- repair


class Repairer:
    """Restores runners' files that people's commits damaged since this clone's last check.

    A commit made while an index lagged behind does such damage unintentionally. Only files without
    a later change are restored. The store calls this before anything is read or decided, so that no
    attempt ends, and no task is claimed twice, because a claim seems to be gone.
    """

    def __init__(self, project: Project) -> None:
        self._store, self._report = project.store, project.report
        self._note = project.clone.folder / "judged.json"
        known = read_json(self._note).get("commit")
        self._seen = known if isinstance(known, str) else None
        self._noted = self._seen

    def due(self, tip: str) -> Change | None:
        """The repair of the oldest damage that still exists."""
        for on in _since(self._store, tip, self._seen):
            if not of_a_runner(on.commit) and (repair := _repair_of(self._store, tip, on)):
                return repair
        self._seen = tip
        return None

    def done(self, change: Change) -> None:
        """Report a repair that was made."""
        on = self._store.objects.commit(change.trailers[REPAIR])
        self._report.action(
            Action.REPAIRED,
            commit=on.oid[:10],
            author=on.author.name,
            files=",".join(sorted(change.files)),
            reason=change.body,
        )

    def remember(self) -> None:
        """Record the last checked commit for this clone's next runner."""
        if self._seen is not None and self._seen != self._noted:
            write_json(self._note, {"commit": self._seen})
            self._noted = self._seen


def _since(store: Store, tip: str, seen: str | None) -> list[MainlineCommit]:
    """The mainline since the last check; without one, or after a rewind, its newest part."""
    if seen == tip:
        return []
    if seen is not None and store.objects.exists(seen) and store.objects.is_ancestor(seen, tip):
        return mainline_commits(store, tip, seen)
    return mainline_commits(store, tip, None)[-_UNKNOWN_PAST:]


def _repair_of(store: Store, tip: str, on: MainlineCommit) -> Change | None:
    """The repair at `tip` of the damage of one earlier commit."""
    if on.parent is None:
        return None
    broken = {
        b.path: b.what for b in invariants.check_step(step_of(store, on)) if _repairable(b.path)
    }
    befores = damage_of(store, tip, on.commit.oid) if broken else {}
    if not befores:
        return None
    return Change(
        subject=f"Repair what {on.commit.oid[:10]} did to runners' files",
        body=next(iter(broken.values())),
        files={path: store.objects.blob(old) if old else None for path, old in befores.items()},
        trailers={REPAIR: on.commit.oid},
    )
