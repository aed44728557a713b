"""What is shown of a board: order, words, and that it costs no more than the board is large."""

from __future__ import annotations

import time
from datetime import timedelta

import msgspec
import pytest

from gitfleet.model.board import Board
from gitfleet.model.states import Role, Status
from gitfleet.model.task import Budget
from gitfleet.plan import plain_data, view
from gitfleet.plan.coder_choice import next_coder
from gitfleet.plan.view import Detail
from tests.plan.kit import FLEET, NOW, asked, board, claimed, logged, tasks, text

MIXED = (
    {"tasks/broken.md": b"---\ntitel: no\n---\n"},
    tasks("ready", "running", "stuck", "asker", "parked", "finished", "dropped"),
    tasks("urgent", priority=0),
    tasks("later", depends_on=("ready",)),
    claimed("running"),
    logged("stuck", "work failed", "work failed", "work failed"),
    logged("asker", "work asked"),
    asked("asker-1"),
    logged("parked", "hold"),
    logged("finished", "work submitted", "validate accepted", "landed"),
    logged("dropped", "cancel"),
)


def detail(found: Board, task: str) -> Detail:
    entry = found.get(task)
    assert entry is not None
    return view.detail(found, entry, NOW)


def test_a_list_begins_with_what_waits_for_a_person_and_ends_with_what_is_over() -> None:
    """A person reads from the top: their part, what runs, what comes next, what is parked."""
    found = board(*MIXED)
    order = [row.id for row in view.in_order(found, view.rows(found, NOW))]
    assert order == [
        *("asker", "stuck", "broken", "running", "urgent", "ready"),
        *("later", "parked", "finished", "dropped"),
    ]


def test_every_status_has_its_place_in_the_order() -> None:
    """A status that was forgotten in the order would make every list fail."""
    assert set(view.ORDER) == set(Status)


def test_counts_name_each_status_once_in_the_order_of_the_list() -> None:
    """The line below a list says what the list says."""
    found = board(*MIXED)
    counts = view.counts(view.rows(found, NOW))
    assert list(counts) == [status for status in view.ORDER if status in counts]
    assert sum(counts.values()) == len(found.entries)


def test_the_shape_of_a_row_does_not_depend_on_the_task() -> None:
    """A program may ask for any key of any task, one whose file is broken included."""
    found = board(*MIXED)
    facts = [plain_data.facts(row) for row in view.rows(found, NOW)]
    wanted = (
        "id title status reason role priority depends_on labels attempts claim questions branch"
    )
    assert {tuple(one) for one in facts} == {tuple(facts[0])}
    assert set(wanted.split()) <= set(facts[0])
    by_id = {one["id"]: one for one in facts}
    assert by_id["broken"]["role"] is None and by_id["broken"]["labels"] == []
    assert by_id["running"]["claim"]["runner"] == "box"
    assert by_id["stuck"]["attempts"] == 3
    assert [q["open"] for q in by_id["asker"]["questions"]] == [True]
    msgspec.json.encode(facts)  # nothing in it is unknown to JSON


@pytest.mark.parametrize("task", sorted(board(*MIXED).entries))
def test_every_task_has_a_next_step(task: str) -> None:
    """Whoever looks at a task is told what they can do, and the story of it is plain data."""
    found = detail(board(*MIXED), task)
    assert found.next.endswith(".")
    story = plain_data.story(found)
    assert story["next"] == found.next
    msgspec.json.encode(story)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("asker", "questions/asker-1.md"),
        ("stuck", "gitfleet retry stuck"),
        ("broken", "tasks/broken.md"),
        ("running", "gitfleet log running --follow"),
        ("ready", "gitfleet run --once ready"),
        ("later", "gitfleet show ready"),
        ("parked", "gitfleet unhold parked"),
        ("finished", "gitfleet diff finished"),
        ("dropped", "gitfleet retry dropped"),
    ],
)
def test_the_next_step_is_a_command_that_fits_the_status(task: str, words: str) -> None:
    """The command that is proposed is the one which moves just this task."""
    assert words in detail(board(*MIXED), task).next


def test_the_next_step_of_a_waiting_task_is_about_what_it_waits_for() -> None:
    """A dependency that is nowhere, cancelled or in a circle cannot be waited for."""
    found = board(
        tasks("a", depends_on=("nowhere",)),
        tasks("gone"),
        logged("gone", "cancel"),
        tasks("b", depends_on=("gone",)),
        tasks("c", depends_on=("d",)),
        tasks("d", depends_on=("c",)),
    )
    assert "gitfleet add TITLE --id nowhere" in detail(found, "a").next
    assert "gitfleet retry gone" in detail(found, "b").next
    assert "cycle" in detail(found, "c").next


def test_a_ready_task_without_a_coder_is_told_to_name_one() -> None:
    """`gitfleet run` would pass it over, so it is no next step."""
    found = board(tasks("a"), fleet=b"format: 2\n")
    assert "coder" in detail(found, "a").next


def test_a_fix_chain_is_told_from_each_of_its_tasks() -> None:
    """Whoever meets one repair of several sees the whole story, in its order."""
    found = board(
        tasks("app"),
        tasks("app-fix-1", fixes="app"),
        tasks("app-fix-2", fixes="app-fix-1"),
        logged("app", "work submitted", "validate rejected app-fix-1"),
        logged("app-fix-1", "work submitted", "validate rejected app-fix-2"),
    )
    for task in ("app", "app-fix-1", "app-fix-2"):
        chain = [(near.id, near.status) for near in detail(found, task).fix_chain]
        assert chain == [
            ("app", Status.FIXING),
            ("app-fix-1", Status.FIXING),
            ("app-fix-2", Status.READY),
        ]


def test_a_chain_that_bites_its_tail_ends() -> None:
    """Anyone can push `fixes:` lines that go in a circle."""
    found = board(tasks("a", fixes="b"), tasks("b", fixes="a"))
    assert len(detail(found, "a").fix_chain) == 2


def test_what_waits_for_a_task_is_counted_through_others() -> None:
    """Who finishes a task wants to know all that this sets free."""
    found = board(tasks("a"), tasks("b", depends_on=("a",)), tasks("c", depends_on=("b",)))
    one = detail(found, "a")
    assert [near.id for near in one.waits_for_it] == ["b"]
    assert one.behind == 2


def test_an_archived_task_is_shown_as_done_with_what_it_did() -> None:
    """A task tells the same story wherever its files lie."""
    parts = (tasks("old"), logged("old", "work submitted", "validate accepted", "landed"))
    entry = board(*parts).entries["old"]
    found = board({"done/2026-11/old/task.md": text("Old")})
    one = view.detail(found, entry, NOW)
    assert one.row.status is Status.DONE and one.row.archived == "done/2026-11/old"
    assert "landed on main" in one.row.reason
    assert one.landed is not None
    assert [row.id for row in view.finished(found, [entry], NOW)] == ["old"]


def test_what_is_archived_is_done_even_if_its_files_do_not_say_so() -> None:
    """A task in done/ is final; an edit there does not raise it."""
    entry = board(tasks("old")).entries["old"]
    found = board({"done/2026-11/old/task.md": text("Old")})
    (row,) = view.finished(found, [entry], NOW)
    assert row.status is Status.DONE


def test_a_claim_for_validation_shows_the_role_of_the_task_not_of_the_claim() -> None:
    """`role` is the task's word; the claim has its own."""
    found = board(tasks("a"), claimed("a", Role.VALIDATE, coder="judge"))
    (row,) = view.rows(found, NOW)
    assert row.role is Role.WORK and row.claim is not None and row.claim.role is Role.VALIDATE
    assert row.doer is not None and row.doer.coder == "shell"


def test_the_time_of_a_list_grows_no_faster_than_the_board() -> None:
    """Ten times the tasks, in one long chain, take about ten times as long, not a hundred."""

    def seconds(number: int) -> float:
        chain = {"tasks/t0.md": text("T")}
        for i in range(1, number):
            chain[f"tasks/t{i}.md"] = text("T", depends_on=(f"t{i - 1}",))
        found = board(chain, fleet=FLEET)
        best = []
        for _ in range(3):
            fresh = msgspec.structs.replace(found)  # what is computed is kept with the board
            began = time.process_time()
            view.in_order(fresh, view.rows(fresh, NOW + timedelta(days=1)))
            best.append(time.process_time() - began)
        return min(best)

    assert seconds(3000) < 40 * seconds(300)


def test_a_failed_task_is_told_what_helps_better_than_to_try_again() -> None:
    """A budget is raised, what is too large is split; anything else is retried."""
    poor = board(tasks("a", budget=Budget(usd=1.0)), logged("a", "work failed", usd=1.5))
    one = detail(poor, "a")
    assert one.next.startswith("Raise `budget` in tasks/a.md") and one.spent.usd == 1.5
    assert plain_data.story(one)["spent"] == {"usd": 1.5, "tokens": 0}
    large = board(tasks("a"), logged("a", *["work context-full"] * 3))
    assert detail(large, "a").next.startswith("It is too large for one context")
    both = board(tasks("a", budget=Budget(usd=1.0)), logged("a", *["work failed"] * 3, usd=1.5))
    assert "retries it" in detail(both, "a").next


def test_a_task_that_waits_for_a_key_says_where_to_mend_it() -> None:
    """Nothing else helps; a limit ends by itself, and so does `not_before`."""
    just_now = {"ended": NOW - timedelta(seconds=1)}
    found = board(tasks("a"), logged("a", "work auth-failed", **just_now))
    assert detail(found, "a").next == (
        "Fix the key of shell on box; `gitfleet retry a` then retries at once."
    )
    limited = board(tasks("a"), logged("a", "work limited", **just_now))
    assert detail(limited, "a").next.startswith("Nothing: ")
    later = tasks("a", not_before=NOW + timedelta(days=1))
    late = board(later, logged("a", "work auth-failed", **just_now))
    assert detail(late, "a").next.startswith("Nothing: ")


def test_a_task_whose_file_was_removed_comes_back_with_its_file() -> None:
    """No command does that: a person reverts the commit on the board."""
    found = board(logged("removed", "work failed"))
    assert "restore tasks/removed.md" in detail(found, "removed").next


def test_the_branch_of_a_task_is_that_of_its_claim_else_of_its_last_attempt() -> None:
    """Before its first attempt there is none to look at."""
    made = logged("a", "work failed", branch="gitfleet/task/old")
    (first,) = view.rows(board(tasks("a")), NOW)
    (ended,) = view.rows(board(tasks("a"), made), NOW)
    (runs,) = view.rows(board(tasks("a"), made, claimed("a", branch="gitfleet/task/a")), NOW)
    assert [first.branch, ended.branch, runs.branch] == [
        None, "gitfleet/task/old", "gitfleet/task/a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "shell/big (default)"),
        ({"model": "small"}, "shell (default)/small"),
        ({"coder": "claude"}, "claude"),
        ({"coder": "claude", "model": "small"}, "claude/small"),
        ({"coder": "shell"}, "shell/big (default model)"),
    ],
)
def test_what_a_task_inherits_is_said_to_be_the_default(keys: dict[str, str], words: str) -> None:
    """A person sees at a glance what its file decides, and what fleet.yaml does."""
    fleet = b"format: 2\nroles:\n  work: {coder: shell, model: big}\n"
    (row,) = view.rows(board(tasks("a", **keys), fleet=fleet), NOW)
    assert str(row.doer) == words
    facts = plain_data.facts(row)
    assert facts["coder_default"] is ("coder" not in keys)
    assert facts["model"] == (words.partition("/")[2].partition(" ")[0] or None)


def test_checks_alone_have_no_coder_to_show() -> None:
    """A claim that names none is not said to be somebody's."""
    found = board(tasks("a"), claimed("a", Role.VALIDATE, coder=""))
    assert next_coder(found, found.entries["a"], Role.VALIDATE) is None


def test_a_row_was_updated_by_its_newest_event_or_claim() -> None:
    """A list of what happened lately goes by it; a task that nothing happened to has no time."""
    made = logged("a", "work failed")
    earlier, later = NOW - timedelta(hours=3), NOW - timedelta(minutes=1)
    updated = [
        view.rows(board(tasks("a"), *parts), NOW)[0].updated
        for parts in ((), (made,), (made, claimed("a", at=later)), (made, claimed("a", at=earlier)))
    ]
    assert updated == [None, NOW - timedelta(hours=1), later, NOW - timedelta(hours=1)]


def test_a_task_that_does_not_validate_shows_nobody_who_does_it() -> None:
    """Its file may have named anyone."""
    (row,) = view.rows(board({"tasks/a.md": b"---\ntitel: x\n---\n"}), NOW)
    assert (row.status, row.role, row.doer) == (Status.INVALID, None, None)


def test_an_archived_task_is_shown_among_the_tasks_that_are_left() -> None:
    """What it depended on has the status that it has there."""
    old = board(tasks("old", depends_on=("b",)), logged("old", "landed")).entries["old"]
    found = board({"done/2026-11/old/task.md": text("Old")}, tasks("b"))
    (near,) = view.detail(found, old, NOW).depends_on
    assert (near.id, near.title, near.status) == ("b", "B", Status.READY)
