"""The board's line is found through any history, and what breaks an invariant is named."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.audit import repair
from gitfleet.audit.mainline import Mainline, mainline_commits
from gitfleet.board.authorship import REPAIR
from gitfleet.board.clone_state import Clone
from gitfleet.event_log import EventLog
from gitfleet.git import refs
from gitfleet.model.states import Outcome, Role
from gitfleet.plan import archive
from gitfleet.plan.transitions import on_end
from tests.cli.acting import gitfleet, refusal
from tests.conftest import git
from tests.people.kit import repair_board
from tests.sharing.pasts import Past, text, told


@pytest.fixture
def past(repo_path: Path) -> Past:
    return Past(repo_path)


def _claim_and_end(past: Past, task: str, at: str) -> str:
    """A runner's work on a task, two commits from `at`."""
    oid, nonce = past.claimed(task, at=at)
    return past.ended(task, nonce, at=oid)


# -- people's merges


@pytest.mark.parametrize("board_first", [True, False])
def test_a_persons_merge_is_followed_to_the_board_whichever_way_round(
    past: Past, board_first: bool
) -> None:
    """`git pull` puts a person's line first, a pull request the board's: both are one board."""
    fork = past.task("a")
    mine = past.commit({"tasks/mine.md": text()}, fork)
    theirs = _claim_and_end(past, "a", fork)
    parents = (theirs, mine) if board_first else (mine, theirs)
    merge = past.merge(*parents, like=theirs, files={"tasks/mine.md": text()})
    past.go(merge)
    assert past.check() == []
    line = mainline_commits(past.store, merge)
    assert line[-1].parent == theirs
    assert mine not in {on.commit.oid for on in line}
    assert past.check(fork) == []


def test_a_merge_that_only_brings_people_together_fits_either_line(past: Past) -> None:
    """Where no runner did anything since the lines parted, nothing can be wrong."""
    fork = past.task("a")
    one, two = (past.commit({f"tasks/{n}.md": text()}, fork) for n in ("one", "two"))
    past.go(past.merge(one, two, files={"tasks/two.md": text()}))
    assert past.check() == []


def test_a_side_line_with_a_runners_work_is_a_breach(past: Past) -> None:
    """Two lines that both hold a runner's files were two boards; the work of one is lost."""
    fork = past.task("a")
    past.go(fork)
    here = _claim_and_end(past, "a", past.commit({"tasks/b.md": text()}, fork))
    there, _ = past.claimed("a", at=fork)
    past.go(past.merge(here, there))
    found = told(past.check())
    assert ("broken", 6, "claims/a.yaml") in found
    past.go(past.merge(here, there, files={"claims/a.yaml": past.blob("claims/a.yaml", there)}))
    assert all(kind == "broken" for kind, _, _ in told(past.check()))


def test_a_merge_that_throws_a_runners_work_away_harmed_the_board_it_merged(past: Past) -> None:
    """`git merge -s ours` leaves the person's tree: its line is still not the board's."""
    fork = past.task("a")
    theirs = _claim_and_end(past, "a", fork)
    event = past.event("a", theirs)
    mine = past.commit({"tasks/mine.md": text()}, fork)
    merge = past.go(past.merge(mine, theirs))
    assert mainline_commits(past.store, merge)[-1].parent == theirs
    assert ("broken", 3, event) in told(past.check())


def test_a_merge_that_throws_one_claim_away_harmed_the_board_it_merged(past: Past) -> None:
    """However little the runner did: as many files are wrong from either parent."""
    fork = past.task("a")
    theirs, _ = past.claimed("a", at=fork)
    mine = past.commit({"tasks/mine.md": text()}, fork)
    merge = past.go(past.merge(mine, theirs))
    assert mainline_commits(past.store, merge)[-1].parent == theirs
    assert told(past.check()) == [("broken", 2, "claims/a.yaml")]


def test_a_merge_by_a_lagging_index_is_blamed_for_what_it_dropped_alone(past: Past) -> None:
    """Not for all that the runner did since the person's line began."""
    past.task("a")
    fork = past.task("b")
    theirs = _claim_and_end(past, "b", _claim_and_end(past, "a", fork))
    mine = past.commit({"tasks/mine.md": text()}, fork)
    event = past.event("a", theirs)
    past.go(past.merge(mine, theirs, like=theirs, files={event: None, "tasks/mine.md": text()}))
    assert told(past.check()) == [("broken", 3, event)]


def test_damage_on_a_side_line_that_the_merge_did_not_take_is_told_as_repaired(
    past: Past,
) -> None:
    """A runner merges by structure what people committed locally; such damage stays there."""
    fork = _claim_and_end(past, "a", past.task("a"))
    past.go(fork)
    event = past.event("a")
    mine = past.commit({event: None, "tasks/mine.md": text()}, fork)
    theirs = past.commit({"tasks/b.md": text()}, fork)
    past.go(past.merge(theirs, mine, files={"tasks/mine.md": text()}))
    assert told(past.check()) == [("repaired", 6, event)]


def test_an_octopus_is_one_step_of_the_board(past: Past) -> None:
    """Any number of pull requests may be merged at once."""
    fork = past.task("a")
    theirs = _claim_and_end(past, "a", fork)
    sides = [past.commit({f"tasks/s{n}.md": text()}, fork) for n in range(3)]
    files = {f"tasks/s{n}.md": text() for n in range(3)}
    past.go(past.merge(sides[0], sides[1], theirs, sides[2], like=theirs, files=files))
    assert past.check() == []
    assert mainline_commits(past.store, past.tip)[-1].parent == theirs


def test_a_root_of_its_own_may_hold_peoples_files_and_nothing_else(past: Past) -> None:
    """Somebody merges a history that never met the board's."""
    past.task("a")
    objects = past.store.objects
    who = past.store.signature()

    def alone(path: str) -> str:
        tree = objects.write_tree(None, {path: text()})
        return objects.write_commit(tree, [], "another root\n", who, who)

    board = past.tip
    past.go(past.merge(board, alone("tasks/new.md"), files={"tasks/new.md": text()}))
    assert past.check() == []
    past.go(past.merge(past.tip, alone("claims/a.yaml")))
    assert told(past.check()) == [("broken", 6, "claims/a.yaml")]


def test_a_side_line_that_kept_up_with_the_board_is_fine(past: Past) -> None:
    """A branch into which its owner merges the board again and again brings nothing of runners'."""
    fork = past.task("a")
    side = past.commit({"tasks/side.md": text()}, fork)
    board = _claim_and_end(past, "a", fork)
    side = past.merge(side, board, like=board, files={"tasks/side.md": text()})
    side = past.commit({"tasks/more.md": text()}, side)
    board = past.commit({"tasks/b.md": text()}, board)
    files = {"tasks/side.md": text(), "tasks/more.md": text()}
    past.go(past.merge(board, side, files=files))
    assert past.check() == []


def test_a_merge_on_a_side_line_may_not_smuggle_in_a_runners_file(past: Past) -> None:
    """What neither of its parents has is the merge's own doing."""
    fork = past.task("a")
    one, two = (past.commit({f"tasks/{n}.md": text()}, fork) for n in ("one", "two"))
    evil = past.merge(one, two, files={"tasks/two.md": text(), "claims/a.yaml": b"x: y\n"})
    both = {"tasks/one.md": text(), "tasks/two.md": text()}
    past.go(past.merge(past.commit({"tasks/b.md": text()}, fork), evil, files=both))
    assert told(past.check()) == [("broken", 6, "claims/a.yaml")]


def test_the_line_goes_through_the_commit_that_was_the_board(past: Past) -> None:
    """Who judges a push knows the old tip: another line, however right in itself, was not the
    board, so what the old one had and the new has not was thrown away."""
    fork = past.task("a")
    old = _claim_and_end(past, "a", fork)
    event = past.event("a", old)
    forged = _claim_and_end(past, "a", past.commit({"tasks/b.md": text()}, fork))
    past.go(past.merge(forged, old))
    assert mainline_commits(past.store, past.tip, old)[0].parent == old
    assert ("broken", 3, event) in told(past.check(old))


# -- a rewound branch, settings of their own time, archives, groups


def test_a_rewound_branch_is_the_board_now(past: Past) -> None:
    """Nothing is held against a board for a future that it does not have."""
    past.work("a")
    early = past.root
    past.work("b")
    past.go(past.commit({"tasks/c.md": text()}, early))
    assert past.check() == []
    assert set(past.board().entries) == {"c"}


def test_a_whole_life_with_archive_and_group_commits_is_clean(past: Past) -> None:
    """Work, landing, the move to done/, and several runners' changes in one commit."""
    for task in ("a", "b", "c"):
        past.work(task)
    past.now += timedelta(days=2)
    batch = archive.batch(past.board(), past.now)
    assert batch is not None
    files: dict[str, bytes | None] = {}
    for origin, goal in batch.relocated.items():
        files[origin], files[goal] = None, past.blob(origin)
    past.go(past.commit({**batch.files, **files}, runner=True, message="Archive"))
    assert set(past.board().archived) == {"a", "b", "c"}

    past.task("d")
    past.task("e")
    claims = [past.claimed(task) for task in ("d", "e")]
    paths = ("claims/d.yaml", "claims/e.yaml")
    both = {p: past.blob(p, oid) for p, (oid, _) in zip(paths, claims, strict=True)}
    past.go(past.commit(both, runner=True, message="Claim d (and 1 more)"))
    ends: dict[str, bytes | None] = {}
    for task, (_, nonce) in zip("de", claims, strict=True):
        change = on_end.end_attempt(
            past.board(),
            task=task,
            attempt=past.attempt(nonce, 1, Outcome.FAILED),
            role=Role.WORK,
        )
        assert change is not None
        ends |= dict(change.files)
    past.go(past.commit(ends, runner=True, message="Two at once"))
    assert past.check() == []


def test_changes_that_share_a_commit_are_each_judged_on_its_parent(past: Past) -> None:
    """A group is no way to claim what only another change of the group made claimable."""
    past.task("a")
    past.person({"tasks/b.md": b"---\ntitle: B\ndepends_on: [a]\n---\n"})
    oid, nonce = past.claimed("a")
    past.go(oid)
    past.go(past.ended("a", nonce))
    oid, nonce = past.claimed("a", Role.VALIDATE)
    past.go(oid)
    landed = past.landed("a", nonce)
    claim, _ = past.claimed("b", at=landed)
    files: dict[str, bytes | None] = {
        change.path: past.store.text(change.new.oid) if change.new else None
        for change in past.store.objects.diff(
            past.store.objects.tree_of(past.tip), past.store.objects.tree_of(claim)
        )
    }
    past.go(past.commit(files, runner=True, message="All at once"))
    assert told(past.check()) == [("broken", 1, "claims/b.yaml")]


# -- repairs


def test_what_is_put_back_untouched_is_told_as_repaired(past: Past) -> None:
    """Whoever puts it back: the trailer is for people, what changed is what counts."""
    past.work("a")
    event = past.event("a")
    data = past.blob(event)
    past.person({event: None})
    assert told(past.check()) == [("broken", 3, event)]
    past.task("b")
    past.person({event: data}, message="Revert that")
    assert told(past.check()) == [("repaired", 3, event)]


def test_a_trailer_that_names_a_repair_proves_nothing(past: Past) -> None:
    """Neither does it excuse what is not put back, nor may a legal commit be undone with it."""
    past.task("a")
    oid, nonce = past.claimed("a")
    claim = past.blob("claims/a.yaml", oid)
    past.go(oid)
    end = past.go(past.ended("a", nonce))
    event = past.event("a")
    past.person({event: None, "claims/a.yaml": claim}, message=f"Undo\n\n{REPAIR}: {end}")
    assert {kind for kind, _, _ in told(past.check())} == {"broken"}
    assert {kind for kind, _, _ in told(past.check(end))} == {"broken"}
    broken = past.tip
    past.person({"tasks/b.md": text()}, message=f"Nothing\n\n{REPAIR}: {broken}")
    assert {kind for kind, _, _ in told(past.check())} == {"broken"}


def test_a_repair_is_known_though_its_damage_lies_before_the_range(past: Past) -> None:
    """CI judges one push at a time."""
    past.work("a")
    event = past.event("a")
    data = past.blob(event)
    damage = past.person({event: None})
    between = past.task("b")
    past.person({event: data}, message=f"Repair\n\n{REPAIR}: {damage}")
    assert past.check(between) == []


def _fleet(past: Past, lines: list[str]) -> Project:
    repo = past.store.repo
    return Project(
        repo, Clone(repo), past.store, EventLog(lines.append), "box-1", "main", WorkspacePool(repo)
    )


def test_a_runner_repairs_a_merge_that_dropped_its_files_and_nothing_else(past: Past) -> None:
    """The merge of an index that lagged behind: what the person added stays, in either order."""
    fork = past.task("a")
    past.go(fork)
    lines: list[str] = []
    repair_board(_fleet(past, lines))
    theirs = _claim_and_end(past, "a", fork)
    event = past.event("a", theirs)
    mine = past.commit({"tasks/mine.md": text()}, fork)
    past.go(past.merge(mine, theirs, like=theirs, files={event: None, "tasks/mine.md": text()}))
    repair_board(_fleet(past, lines))
    assert [line.split()[1] for line in lines] == ["repaired"]
    assert past.blob(event) == past.blob(event, theirs)
    assert "mine" in past.board().entries
    assert told(past.check()) == [("repaired", 3, event)]


def test_a_claim_that_ended_since_is_not_put_back(past: Past) -> None:
    """It looks as the damage left it, and is gone for good reason."""
    past.task("a")
    oid, nonce = past.claimed("a")
    past.go(oid)
    claim = past.blob("claims/a.yaml")
    damage = past.person({"claims/a.yaml": None})
    past.go(past.commit({"claims/a.yaml": claim}, runner=True, message="Back"))
    past.go(past.ended("a", nonce))
    assert repair.damage_of(past.store, past.tip, damage) == {}
    repair_board(_fleet(past, []))
    assert past.store.file(past.board(), "claims/a.yaml") is None


# -- invariant 4


def test_a_landing_is_looked_up_in_the_target_wherever_that_is_known(past: Past) -> None:
    """A clone whose own main lags behind takes the remote's word."""
    past.work("a")
    assert past.check(strict=True) == []
    ahead = git("commit-tree", "main^{tree}", "-p", "main", "-m", "ahead", cwd=past.path)
    past.task("b")
    oid, nonce = past.claimed("b")
    past.go(oid)
    past.go(past.ended("b", nonce))
    oid, nonce = past.claimed("b", Role.VALIDATE)
    past.go(oid)
    past.go(past.landed("b", nonce, merge=ahead))
    assert [rule for _, rule, _ in told(past.check())] == [4]
    git("remote", "add", "origin", "/nowhere", cwd=past.path)
    git("update-ref", "refs/remotes/origin/main", ahead, cwd=past.path)
    assert past.check() == []


def test_a_target_that_is_not_here_is_a_warning_and_to_a_server_a_breach(past: Past) -> None:
    """A clone of the fleet branch alone cannot see landings; a server must."""
    past.work("a")
    git("checkout", "-q", "--detach", cwd=past.path)
    git("branch", "-q", "-m", "main", "trunk", cwd=past.path)
    assert [kind for kind, _, _ in told(past.check())] == ["warning"]
    assert [kind for kind, _, _ in told(past.check(strict=True))] == ["broken"]


def test_a_merge_that_does_not_exist_did_not_land(past: Past) -> None:
    """Forty letters are not a commit."""
    past.task("a")
    oid, nonce = past.claimed("a")
    past.go(oid)
    past.go(past.ended("a", nonce))
    oid, nonce = past.claimed("a", Role.VALIDATE)
    past.go(oid)
    past.go(past.landed("a", nonce, merge="a" * 40))
    assert [(kind, rule) for kind, rule, _ in told(past.check())] == [("broken", 4)]


# -- what it costs


def test_judging_a_commit_costs_the_same_in_a_long_history(past: Past) -> None:
    """Linear: what is read of git's objects does not grow with the commits before; counted, since
    times differ from machine to machine."""
    counts = []
    for round_ in range(3):
        for number in range(8):
            past.work(f"t{round_}-{number}")
        reads = 0
        store = Past.__new__(Past)  # a store that has read nothing yet
        store.store = type(past.store)(past.store.repo)
        original = store.store.objects._read

        def counted(*args: object, original: object = original) -> bytes:
            nonlocal reads
            reads += 1
            return original(*args)  # type: ignore[operator,no-any-return]

        store.store.objects._read = counted  # type: ignore[method-assign,assignment]
        assert repair.check(store.store, past.tip) == []
        counts.append(reads / len(mainline_commits(past.store, past.tip)))
    assert counts[2] < counts[0] * 1.3


def test_a_long_side_line_is_read_once(past: Past) -> None:
    """A merge costs the commits since the lines parted, not the history."""
    for number in range(5):
        past.work(f"t{number}")
    fork = past.tip
    side = past.commit({"tasks/s.md": text()}, fork)
    board = _claim_and_end(past, "u", past.commit({"tasks/u.md": text()}, fork))
    merge = past.merge(board, side, files={"tasks/s.md": text()})
    shape = Mainline(past.store, merge)
    assert list(shape._only_in([side], board)) == [side]
    assert set(shape._only_in([board], side)) == set(
        git("rev-list", board, f"^{side}", cwd=past.path).split()
    )


# -- the verb


def test_a_range_is_judged_for_ci(past: Past) -> None:
    """Exit status 1 names commit, file, invariant; what lies before the range is not told."""
    past.work("a")
    event = past.event("a")
    bad = past.person({event: None})
    good = past.task("b")
    said = gitfleet("fsck", "--range", f"{bad}..{good}", cwd=past.path).stdout
    assert said == "1 commits, 0 broken, 0 repaired or warned\n"
    said = gitfleet("fsck", "--range", f"{bad}~1..", cwd=past.path, code=1).stdout
    assert f"{bad[:10]} broken invariant 3 {event}" in said
    nothing = "0" * 40
    found = gitfleet("fsck", "--json", "--range", f"{nothing}..{good}", cwd=past.path, code=1)
    parsed = json.loads(found.stdout)
    assert parsed["findings"][0]["commit"] == bad and parsed["commits"] > 7


def test_a_range_that_is_none_is_refused(past: Past) -> None:
    """With a sentence, and of a rewound branch it says so."""
    tip = past.task("a")
    past.go(past.commit({"tasks/b.md": text()}, past.root))
    assert "is not a range" in refusal("fsck", "--range", "fleet", cwd=past.path)
    assert "is not a commit here" in refusal("fsck", "--range", "nope..fleet", cwd=past.path)
    assert "rewound" in refusal("fsck", "--range", f"{tip}..fleet", cwd=past.path)


def test_a_shallow_clone_is_told_apart_from_a_broken_board(past: Past, tmp_path: Path) -> None:
    """Half a history cannot be judged, and nobody is blamed for that."""
    past.work("a")
    url = f"file://{past.path}"
    git("clone", "-q", "--depth", "2", "-b", "fleet", url, str(tmp_path / "half"), cwd=tmp_path)
    assert "shallow" in refusal("fsck", cwd=tmp_path / "half")


def test_a_terminal_shows_how_far_it_is(past: Past) -> None:
    """And a pipe gets the findings alone."""
    for number in range(5):
        past.work(f"t{number}")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gitfleet", "fsck"]
    with subprocess.Popen(command, cwd=past.path, stdout=subprocess.PIPE, stderr=theirs) as ran:
        os.close(theirs)
        assert ran.stdout is not None
        out = ran.stdout.read()
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert ran.returncode == 0 and out.endswith(b"0 repaired or warned\n")
    assert "100%" in shown


def test_names_that_could_be_no_branch_are_no_way_out_of_the_repository(past: Past) -> None:
    """A `landed` comes from anyone, and its target is asked of git."""
    for target in ("../../config", "-x", "a..b", "", "main\n"):
        assert repair._tips(past.store, target) == []
    assert refs.read(past.store.repo, "refs/heads/main") in repair._tips(past.store, "main")
