"""What a runner can do now, from its options, its machine, the board and the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitfleet.landing.blocked import BlockedLandings
from gitfleet.model.config import Machine
from gitfleet.model.states import Role
from gitfleet.runner.capacity import LocalCapacity
from gitfleet.runner.options import Options
from tests.plan.kit import FLEET, NOW, claimed, logged, tasks
from tests.runner.kit import Place


@pytest.mark.parametrize(
    ("option", "machine", "slots"), [(None, None, 5), (None, 4, 4), (7, 4, 7), (7, None, 7)]
)
def test_the_nearest_word_on_slots_counts(
    tmp_path: Path, option: int | None, machine: int | None, slots: int
) -> None:
    """The command line, then this machine, then the board."""
    place = Place(tmp_path, {"fleet.yaml": FLEET + b"concurrency: 5\n"})
    place.project = replace(place.project, machine=Machine(concurrency=machine))
    assert (
        LocalCapacity(place.project, Options(slots=option), BlockedLandings(place.project))
        .now(place.board)
        .slots
        == slots
    )


def test_the_machine_says_which_labels_and_coders_it_has(tmp_path: Path) -> None:
    """A machine that lists no coders has all; one that lists none has none."""
    place = Place(tmp_path)
    place.project = replace(place.project, machine=Machine(labels=("gpu",), coders=()))
    found = LocalCapacity(place.project, Options(), BlockedLandings(place.project)).now(place.board)
    assert found.labels == {"gpu"} and found.coders == frozenset() and found.runner == "box"
    place.project = replace(place.project, machine=Machine())
    assert (
        LocalCapacity(place.project, Options(), BlockedLandings(place.project))
        .now(place.board)
        .coders
        is None
    )


def test_the_one_task_that_was_asked_for_brings_those_that_repair_it(tmp_path: Path) -> None:
    """However far down the chain; everything else is left alone."""
    place = Place(
        tmp_path, tasks("app", "other"), tasks("fix", fixes="app"), tasks("fix-fix", fixes="fix")
    )
    once = LocalCapacity(place.project, Options(once="app"), BlockedLandings(place.project))
    assert once.only(place.board) == frozenset({"app", "fix", "fix-fix"})
    assert (
        LocalCapacity(place.project, Options(), BlockedLandings(place.project)).only(place.board)
        is None
    )
    chosen, _skipped = once.picks(place.board, NOW)
    assert "other" not in {pick.task for pick in chosen}


def test_a_target_that_is_no_branch_keeps_its_tasks_with_a_reason(tmp_path: Path) -> None:
    """They are skipped for a person; as soon as the branch is made they are picked."""
    place = Place(tmp_path, tasks("app", base="next"), tasks("plain"))
    capacity = LocalCapacity(place.project, Options(), BlockedLandings(place.project))
    chosen, skipped = capacity.picks(place.board, NOW)
    assert [pick.task for pick in chosen] == ["plain"]
    assert [(one.task, one.for_a_person) for one in skipped] == [("app", True)]
    assert "there is no such branch" in skipped[0].reason
    place.git("branch", "next")
    chosen, skipped = capacity.picks(place.board, NOW)
    assert {pick.task for pick in chosen} == {"app", "plain"} and not skipped


def test_slots_that_are_taken_are_not_given_twice(tmp_path: Path) -> None:
    """Claims of ours on the board count; those of others do not."""
    mine, theirs = claimed("a"), claimed("b", runner="oak")
    place = Place(tmp_path, tasks("a", "b", "c", "d"), mine, theirs)
    chosen, _skipped = LocalCapacity(
        place.project, Options(slots=2), BlockedLandings(place.project)
    ).picks(place.board, NOW)
    assert len(chosen) == 1 and chosen[0].role is Role.WORK


def test_a_plug_that_is_not_here_is_named(tmp_path: Path) -> None:
    """A coder that this machine has no module of is a reason, and no error."""
    place = Place(tmp_path, tasks("app", coder="nowhere"), logged("app", "note hm"))
    chosen, skipped = LocalCapacity(place.project, Options(), BlockedLandings(place.project)).picks(
        place.board, NOW
    )
    assert not chosen and "nowhere" in skipped[0].reason
