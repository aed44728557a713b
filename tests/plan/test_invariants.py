"""Single steps of a board: what is blamed, and what is not blamed beside it."""

from __future__ import annotations

from collections.abc import Mapping

from gitfleet.files import layout
from gitfleet.plan.invariants import CommitStep, check_step
from tests.plan.kit import FLEET, NOW, claimed, logged, nonce, oid, read, tasks

Tree = Mapping[str, bytes]


def broken(before: Tree, after: Tree, *, by_runner: bool = True) -> list[tuple[int, str]]:
    """The violations of the step from these files to those: the rule and the path."""
    old, new = ({layout.SETTINGS: FLEET, **tree} for tree in (before, after))
    changed = {
        path: (oid(old[path]) if path in old else None, oid(new[path]) if path in new else None)
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    }
    step = CommitStep(
        parent=read(old), child=read(new), changed=changed, by_runner=by_runner, at=NOW
    )
    return [(one.rule, one.path) for one in check_step(step)]


def test_the_event_that_ends_a_claim_is_not_blamed_for_one_beside_it() -> None:
    """Repair puts back what is blamed, and nothing else."""
    ended = logged("a", "work failed", nonce=nonce(99))
    invented = {"log/a/002-work-beef.yaml": logged("a", "work failed")["log/a/001-work-0001.yaml"]}
    assert broken(tasks("a") | claimed("a"), tasks("a") | ended) == []
    assert broken(tasks("a") | claimed("a"), tasks("a") | ended | invented) == [
        (2, "log/a/002-work-beef.yaml")
    ]
