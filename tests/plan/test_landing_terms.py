"""Work lands as it was claimed and proved, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gitfleet.files import layout
from gitfleet.model.board import Board
from gitfleet.model.claim import Claim
from gitfleet.model.states import Role
from gitfleet.plan.landing_terms import (
    ClaimGone,
    TargetMoved,
    Terms,
    TermsChanged,
    current_terms,
    landing_refusal,
)
from gitfleet.plan.transitions.on_landing import OnHold, Withdrawn
from tests.plan.kit import board, claimed, logged, nonce, read, tasks

TIP, OTHER = "a" * 40, "b" * 40
FLEET = "format: 2\ntarget: main\n"
JUDGED = FLEET + "roles: {validate: {coders: [judge, second]}}\n"
SUBMITTED = logged("app", "work submitted")


def at(settings: str = FLEET, *, claim: bool = True, **keys: Any) -> Board:
    """A board on which the task is being validated."""
    files = {
        layout.SETTINGS: settings.encode(),
        **tasks("app", **keys),
        **SUBMITTED,
        **(claimed("app", Role.VALIDATE) if claim else {}),
    }
    return read(files)


def terms(board: Board) -> Terms:
    return Terms(board, board.entries["app"])


def claim_of(board: Board, coder: str = "") -> Claim:
    found = board.entries["app"].claim
    assert found is not None
    return replace(found, coder=coder)


BEFORE = at(checks=("pytest",))


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        (at(checks=("pytest",)), None),
        (at(checks=("pytest", "ruff")), TermsChanged("the task")),
        (at(checks=("pytest",), paths=("docs/",)), TermsChanged("the task")),
        (at(FLEET + "checks: [make]\n", checks=("pytest",)), TermsChanged("the settings")),
        (at(FLEET + "checks_timeout: 1s\n", checks=("pytest",)), TermsChanged("the settings")),
        (at(FLEET + "workspace: {setup: [make]}\n", checks=("pytest",)),
         TermsChanged("the settings")),
        (at(JUDGED, checks=("pytest",)), TermsChanged("the settings")),
        (at("format: 2\ntarget: next\n", checks=("pytest",)), TermsChanged("the settings")),
        (at(JUDGED), TermsChanged("the task")),
        (at(FLEET + "# a remark\n", checks=("pytest",)), None),
    ],
)  # fmt: skip
def test_terms_hold_while_task_and_settings_say_the_same(
    now: Board, difference: TermsChanged | None
) -> None:
    """Any change of either is a change; a remark in the settings says nothing."""
    assert terms(BEFORE).difference(now) == difference
    refusal = landing_refusal(now, terms(BEFORE), nonce(99), before=TIP, tip=TIP)
    assert refusal == difference


@pytest.mark.parametrize("tip", [OTHER, None])
def test_work_lands_only_where_it_was_proved(tip: str | None) -> None:
    """Not on a target that has moved, nor on one that is gone."""
    assert landing_refusal(BEFORE, terms(BEFORE), nonce(99), before=TIP, tip=tip) == TargetMoved()


def test_what_counts_first_is_told_first() -> None:
    """Without its claim nothing else matters; what is not wanted need not be proved again; and
    what must be claimed anew is not proved again for this claim."""
    gone = at(JUDGED, claim=False)
    assert landing_refusal(gone, terms(BEFORE), nonce(99), before=TIP, tip=OTHER) == ClaimGone()
    assert landing_refusal(BEFORE, terms(BEFORE), nonce(1), before=TIP, tip=TIP) == ClaimGone()
    held = at(JUDGED, hold=True)
    assert landing_refusal(held, terms(BEFORE), nonce(99), before=TIP, tip=OTHER) == OnHold()
    changed = landing_refusal(at(JUDGED), terms(at()), nonce(99), before=TIP, tip=OTHER)
    assert changed == TermsChanged("the settings")


def test_a_task_that_vanished_is_not_asked_for_its_terms() -> None:
    """Its file is gone, and its claim may stand there still or not."""
    empty = read({layout.SETTINGS: FLEET.encode()})
    assert landing_refusal(empty, terms(BEFORE), nonce(99), before=TIP, tip=TIP) == ClaimGone()
    alone = read({layout.SETTINGS: FLEET.encode(), **SUBMITTED, **claimed("app", Role.VALIDATE)})
    refusal = landing_refusal(alone, terms(BEFORE), nonce(99), before=TIP, tip=TIP)
    assert isinstance(refusal, Withdrawn)


@pytest.mark.parametrize(
    ("settings", "coder", "fits"),
    [
        (FLEET, "", True),
        (FLEET, "judge", False),  # taken out before the claim: it would be asked for nothing
        (JUDGED, "judge", True),
        (JUDGED, "second", True),  # the first one rested
        (JUDGED, "", False),  # named before the claim: it would not be asked
        (JUDGED, "other", False),
    ],
)
def test_a_claim_brings_the_validator_that_the_settings_name(
    settings: str, coder: str, fits: bool
) -> None:
    """It was chosen for the settings of a moment before."""
    now = at(settings)
    found = current_terms(now, terms(now), claim_of(now, coder))
    assert found == (terms(now) if fits else TermsChanged("the settings"))


def test_terms_are_those_of_the_claim() -> None:
    """Else set-up, limits and validator would be those of other settings than the checks."""
    claim = claim_of(BEFORE)
    assert current_terms(BEFORE, terms(BEFORE), claim) == terms(BEFORE)
    later = at(FLEET + "checks: [make]\n", checks=("pytest",))
    assert current_terms(later, terms(BEFORE), claim) == TermsChanged("the settings")
    assert current_terms(at(), terms(BEFORE), claim) == TermsChanged("the task")
    held = at(checks=("pytest",), hold=True)
    assert current_terms(held, terms(BEFORE), claim) == OnHold()


def test_checks_are_run_once_those_of_all_tasks_first() -> None:
    """In the order in which they are written."""
    both = at(FLEET + "checks: [a, b]\n", checks=("c", "a"))
    assert terms(both).commands == ("a", "b", "c")
    assert terms(board(tasks("app"))).commands == ()
