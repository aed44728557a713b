"""A merge on trial: a candidate, a conflict, or nothing to merge."""

from __future__ import annotations

from gitfleet.git.commits import trailers
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.trial_merge import AlreadyIn, Conflicting, merge_on_trial
from gitfleet.model.states import Outcome
from tests.landing.kit import Bench
from tests.people.kit import git


def test_a_clean_merge_is_a_candidate_on_the_tip(bench: Bench) -> None:
    """Its parents are the tip and the work, its tree has both, and nothing has moved."""
    head = bench.submit(files={"new.txt": b"new\n"})
    tip = bench.commit({"other.txt": b"other\n"})
    ctx = bench.claim()
    made = merge_on_trial(ctx, bench.terms(), tip)
    assert isinstance(made, Candidate)
    commit = bench.fleet.objects.commit(made.commit)
    assert commit.parents == (tip, head) == (made.before, made.head)
    assert commit.tree == made.tree
    assert {"new.txt", "other.txt"} <= bench.tree(made.commit)
    assert bench.tip() == tip


def test_the_candidate_lies_on_the_commit_it_is_told(bench: Bench) -> None:
    """Not on the tip: another candidate may lie between them."""
    git("branch", "release", cwd=bench.project.path)
    bench.submit("one")
    head = bench.submit("two", base="release")
    first = bench.candidate(bench.claim("one"))
    ctx = bench.claim("two")
    second = merge_on_trial(ctx, bench.terms("two"), first.commit)
    assert isinstance(second, Candidate)
    assert bench.fleet.objects.commit(second.commit).parents == (first.commit, head)
    assert {"one.txt", "two.txt"} <= bench.tree(second.commit)


def test_the_merge_says_whose_work_it_is(bench: Bench) -> None:
    """Coder, model and number are those of the work, the nonce is that of this attempt."""
    bench.submit()
    ctx = bench.claim()
    message = bench.fleet.objects.commit(bench.candidate(ctx).commit).message
    assert message.splitlines()[0] == "Merge one: Do one"
    assert trailers(message) == {
        "Gitfleet-Task": "one",
        "Gitfleet-Attempt": "1",
        "Gitfleet-Coder": "shell",
        "Gitfleet-Model": "small-1",
        "Gitfleet-Nonce": ctx.nonce,
    }


def test_a_conflict_names_its_files(bench: Bench) -> None:
    """The work is not blamed by a check: it is begun again on the target's tip."""
    bench.submit(files={"README": b"theirs\n"})
    tip = bench.commit({"README": b"mine\n"})
    ctx = bench.claim()
    assert merge_on_trial(ctx, bench.terms(), tip) == Conflicting(tip, ("README",))
    bench.underway(ctx).join()
    attempt = bench.last()
    assert (attempt.outcome, attempt.findings, attempt.base) == (
        Outcome.CONFLICT,
        ("README",),
        tip,
    )
    assert attempt.reason == "it conflicts with main in README"
    assert bench.tip() == tip


def test_work_that_a_person_merged_is_in_the_target_already(bench: Bench) -> None:
    """Merged, or squashed to the same tree: there is nothing to merge, and it counts as landed."""
    head = bench.submit("one")
    git("merge", "-q", "--no-ff", "-m", "By hand", head, cwd=bench.project.path)
    merged = bench.tip()
    ctx = bench.claim("one")
    assert merge_on_trial(ctx, bench.terms("one"), merged) == AlreadyIn(merged, head)
    bench.underway(ctx).join()
    head = bench.submit("two")
    squashed = bench.commit({"two.txt": b"done\n"})
    ctx = bench.claim("two")
    assert merge_on_trial(ctx, bench.terms("two"), squashed) == AlreadyIn(squashed, head)
    bench.underway(ctx).join()
    for name, commit in (("one", merged), ("two", squashed)):
        landed = bench.landed(name)
        assert landed is not None and landed.merge == commit
        assert bench.outcomes(name) == ["accepted"]
    assert bench.tip() == squashed
