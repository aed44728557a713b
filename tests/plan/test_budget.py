"""What a task may cost, and when a context is given up."""

from __future__ import annotations

import pytest

from gitfleet.model.event import Tokens
from gitfleet.model.states import Status
from gitfleet.model.task import Budget
from gitfleet.plan.budget import Spent, context_full, exceeded, spent, used_up
from tests.plan.kit import FLEET, OID, asked, board, logged, oid, stands, tasks, text

COST = {"tokens": Tokens(input=100, output=20, cache_read=3, cache_write=2), "usd": 0.5}
JUDGED = FLEET + b"  validate: {coder: judge}\n"


def test_all_attempts_since_the_last_retry_are_summed() -> None:
    """To work and to validate, however they ended; `retry` begins again."""
    made = ("work failed", "work submitted", "validate limited")
    found = board(tasks("app"), logged("app", *made, **COST)).entries["app"]
    assert spent(found) == Spent(1.5, 375)
    again = board(tasks("app"), logged("app", *made, "retry", "work lost", **COST))
    assert spent(again.entries["app"]) == Spent(0.5, 125)
    assert spent(board(tasks("app")).entries["app"]) == Spent()


def test_what_is_reported_is_never_a_gain() -> None:
    """Anyone may write an event: what it takes back of the costs does not count."""
    odd = {"tokens": Tokens(input=-500), "usd": -3.0}
    found = board(tasks("app"), logged("app", "work failed", **odd)).entries["app"]
    assert spent(found) == Spent()
    assert exceeded(Budget(usd=1, tokens=10), Spent(1.0, 10), Tokens(input=-5), -1.0) == ""


def test_nothing_is_begun_when_nothing_is_left() -> None:
    """A budget that is just reached lets its attempt end well, and none begin after it."""
    both = Budget(usd=2.0, tokens=1000)
    assert used_up(both, Spent(1.99, 999)) == ""
    assert used_up(both, Spent(2.0, 0)) == "its budget of 2.00 USD is used up (2.00 USD)"
    assert used_up(both, Spent(0, 1000)) == "its budget of 1000 tokens is used up (1000 tokens)"
    assert "USD" in (why := used_up(both, Spent(3, 3000))) and "tokens" in why
    assert used_up(None, Spent(10**9, 10**15)) == used_up(Budget(), Spent(1, 1)) == ""


def test_an_attempt_ends_when_it_exceeds_what_was_left() -> None:
    """Before it and by it, together; what nobody tells is nothing."""
    budget = Budget(usd=2.0, tokens=1000)
    before = Spent(1.5, 900)
    assert exceeded(budget, before) == exceeded(budget, before, None, None) == ""
    assert exceeded(budget, before, Tokens(input=60, cache_read=40), 0.5) == ""
    assert "(1001 tokens)" in exceeded(budget, before, Tokens(input=60, output=41), 0.5)
    assert "(2.01 USD)" in exceeded(budget, before, Tokens(), 0.51)
    assert exceeded(Budget(usd=2.0), before, Tokens(input=10**9)) == ""
    assert exceeded(None, before, Tokens(input=10**9), 1e9) == ""


def test_a_task_without_budget_left_waits_for_a_person() -> None:
    """It is `failed` and says how to go on; a higher budget or a `retry` does it."""
    log = logged("app", "work failed", "work lost", **COST)
    found = stands(board(tasks("app", budget=Budget(usd=1.0)), log), "app")
    assert found.status is Status.FAILED and found.role is None
    assert found.reason == (
        "its budget of 1.00 USD is used up (1.00 USD)"
        " (raise `budget` in its file, or `gitfleet retry app`)"
    )
    assert stands(board(tasks("app", budget=Budget(usd=1.1)), log), "app").status is Status.READY
    again = logged("app", "work failed", "work lost", "retry", **COST)
    assert stands(board(tasks("app", budget=Budget(usd=1.0)), again), "app").status is Status.READY


@pytest.mark.parametrize(
    ("happened", "more", "status"),
    [
        (("work asked",), asked("app-1"), Status.ASKING),
        (("work asked",), asked("app-1", "That"), Status.FAILED),
        (("work submitted", "validate rejected app-fix-1"), tasks("app-fix-1"), Status.FIXING),
        (("work submitted", "validate accepted"), {}, Status.ACCEPTED),
        (("work submitted",), {}, Status.FAILED),
        (("work submitted", "validate conflict"), {}, Status.FAILED),
        (("landed",), {}, Status.DONE),
    ],
)
def test_only_what_would_cost_more_is_stopped(
    happened: tuple[str, ...], more: dict[str, bytes], status: Status
) -> None:
    """An answer is waited for, a repair has its own budget, and what is accepted may land."""
    poor = tasks("app", budget=Budget(tokens=1))
    found = board(poor, logged("app", *happened, **COST), more, fleet=JUDGED)
    assert stands(found, "app").status is status


def test_checks_alone_cost_nothing() -> None:
    """Work that used up its budget is still proved where no coder judges it."""
    found = board(tasks("app", budget=Budget(tokens=1)), logged("app", "work submitted", **COST))
    assert stands(found, "app").status is Status.SUBMITTED


def test_a_task_that_cost_too_much_goes_on_with_a_higher_budget() -> None:
    """`over-budget` waits for a person; to raise the budget in its file is enough."""
    keys = {"budget": Budget(tokens=100)}
    blob = oid(text("App", **keys))
    log = logged("app", "work over-budget", task_blob=blob, **COST)
    assert stands(board(tasks("app", **keys), log), "app").status is Status.FAILED
    for tokens, status in ((125, Status.FAILED), (126, Status.READY)):
        raised = tasks("app", budget=Budget(tokens=tokens))
        assert stands(board(raised, log), "app").status is status
    # The same file: nobody has decided anything, whatever little the event tells of the cost.
    free = logged("app", "work over-budget", task_blob=blob)
    assert stands(board(tasks("app", **keys), free), "app").status is Status.FAILED
    unknown = logged("app", "work over-budget", task_blob=OID)
    assert stands(board(tasks("app"), unknown), "app").status is Status.READY  # it has none now


@pytest.mark.parametrize(
    ("used", "window", "stop", "full"),
    [
        (89, 100, 90, False),
        (90, 100, 90, True),
        (250, 200, 90, True),
        (180_000, 200_000, 90, True),
        (199_999, 200_000, 100, False),
        (200_000, 200_000, 100, True),
        (1, 200_000, 1, False),
        (None, 100, 90, False),
        (100, None, 90, False),
        (0, 0, 90, False),
        (5, 0, 1, False),
    ],
)
def test_a_context_is_full_at_the_percent_that_is_set(
    used: int | None, window: int | None, stop: int, full: bool
) -> None:
    """At `context.stop` and not before; what nobody knows is never full."""
    assert context_full(used, window, stop) is full
