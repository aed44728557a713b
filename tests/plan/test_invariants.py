"""Single steps of a board: what is blamed, and what is not blamed beside it."""

from __future__ import annotations

from collections.abc import Mapping

from gitfleet.files import codec, layout
from gitfleet.model.event import Closed, Landed
from gitfleet.model.states import Role
from gitfleet.plan.invariants import CommitStep, check_step
from tests.plan.kit import (
    FLEET,
    NOW,
    OID,
    attempt,
    claimed,
    logged,
    nonce,
    oid,
    read,
    tasks,
    text,
)

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


def test_a_person_may_edit_a_task_and_a_runner_may_not() -> None:
    """Runners write no person's file."""
    edited = {"tasks/a.md": text("Do it better")}
    assert broken(tasks("a"), edited, by_runner=False) == []
    assert broken(tasks("a"), edited) == [(6, "tasks/a.md")]


def test_a_landed_repair_may_close_all_that_it_repairs() -> None:
    """Directly or through another repair; nothing else may be closed with it."""
    names = ("a", "a-fix-1", "a-fix-2", "b")
    before = {
        **tasks("a", "b"),
        **tasks("a-fix-1", fixes="a"),
        **tasks("a-fix-2", fixes="a-fix-1"),
        **claimed("a-fix-2", Role.VALIDATE),
        **logged("a", "work submitted", "validate rejected a-fix-1"),
        **logged("a-fix-1", "work submitted", "validate rejected a-fix-2"),
        **logged("a-fix-2", "work submitted"),
    }
    landed = Landed(runner="box", nonce=nonce(99), at=NOW, target="main", merge=OID)
    closed = codec.write(Closed(runner="box", at=NOW, reason="fixed", by="a-fix-2"))
    after = {path: data for path, data in before.items() if not path.startswith("claims/")}
    after["log/a-fix-2/002-validate-beef.yaml"] = codec.write(attempt("accepted", 99))
    after["log/a-fix-2/003-landed-beef.yaml"] = codec.write(landed)
    for name in names[:2]:
        after[f"log/{name}/003-closed-beef.yaml"] = closed
    assert broken(before, after) == []
    after["log/b/001-closed-beef.yaml"] = closed
    assert broken(before, after) == [(6, "log/b/001-closed-beef.yaml")]
