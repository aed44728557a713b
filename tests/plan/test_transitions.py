"""What runners and people decide, where the random walk does not look closely enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.claim import Claim
from gitfleet.model.event import Check, Closed, Decision, Landed
from gitfleet.model.states import Kind, Outcome, Role, Status
from gitfleet.model.task import CoderChoice, Task
from gitfleet.plan.status import status_of
from gitfleet.plan.transitions import (
    add_tasks,
    by_person,
    on_claim,
    on_end,
    on_landing,
    on_rejection,
)
from tests.plan.kit import (
    ANN,
    NOW,
    OID,
    attempt,
    board,
    claimed,
    logged,
    nonce,
    read,
    stands,
    tasks,
    text,
)

Files = Mapping[str, bytes]
VALIDATING = claimed("app", Role.VALIDATE)
REJECTED = attempt(Outcome.REJECTED, 99, findings=("It leaks.",))
ACCEPTED = attempt(Outcome.ACCEPTED, 99)


def after(files: Files, change: Change | None) -> Board:
    """The board once the change is made."""
    assert change is not None
    tree = {layout.SETTINGS: b"format: 2\n", **files}
    for path, data in change.files.items():
        tree.pop(path, None)
        if data is not None:
            tree[path] = data
    return read(tree)


def landed() -> Landed:
    return Landed(runner="box", nonce=nonce(99), at=NOW, target="main", merge=OID)


def test_a_rejection_adds_one_task_that_repairs() -> None:
    """The fix task lists every finding, inherits what binds the first, and starts from it."""
    files = (
        tasks("app", checks=("pytest",), paths=("src/**",), base="next", role="plan")
        | logged("app", "work submitted")
        | VALIDATING
    )
    judged = attempt(
        Outcome.CHECKS_FAILED,
        99,
        findings=("It leaks.",),
        checks=(
            Check(command="pytest", exit_code=1, tail="E  no"),
            Check(command="ok", exit_code=0),
        ),
    )
    found = after(files, on_rejection.reject(board(files), task="app", attempt=judged, fix=None))
    fix = found.entries["app-fix-1"].task
    assert fix is not None and fix.fixes == "app" and fix.title == "Fix: App"
    assert (fix.checks, fix.paths, fix.base, fix.role) == (
        ("pytest",), ("src/**",), "next", "plan",
    )  # fmt: skip
    assert "\n    It leaks.\n" in fix.body and "    E  no" in fix.body and "`ok`" not in fix.body
    assert stands(found, "app").status is Status.FIXING


def test_the_next_repair_repairs_the_repair() -> None:
    """Rounds go on from the last work, are named after the first task, and come to an end."""
    files = tasks("app") | logged("app", "work submitted", "validate rejected app-fix-1")
    for number in (1, 2, 3):
        above = "app" if number == 1 else f"app-fix-{number - 1}"
        name = f"app-fix-{number}"
        files |= tasks(name, fixes=above) | logged(name, "work submitted")
        found = board(files | claimed(name, Role.VALIDATE))
        change = on_rejection.reject(found, task=name, attempt=REJECTED, fix=None)
        assert change is not None
        new = [path for path in change.files if path.startswith("tasks/")]
        assert new == ([f"tasks/app-fix-{number + 1}.md"] if number < 3 else [])
        if number == 3:
            assert stands(after(files, change), name).status is Status.FAILED
        files |= {p: d for p, d in change.files.items() if d and p.startswith("log/")}


def test_work_rejected_while_on_hold_is_repaired_when_released() -> None:
    """The rejection of a held task adds its repair, on hold too: nothing is begun, nothing lost."""
    files = tasks("app") | logged("app", "work submitted", "hold") | VALIDATING
    found = after(files, on_rejection.reject(board(files), task="app", attempt=REJECTED, fix=None))
    assert stands(found, "app-fix-1").status is Status.HELD
    assert stands(found, "app").status is Status.HELD


def test_work_rejected_after_it_was_cancelled_is_not_repaired() -> None:
    """A person who cancelled or closed the task wants no repair of it."""
    for word in ("cancel", "close"):
        files = tasks("app") | logged("app", "work submitted", word) | VALIDATING
        found = after(
            files, on_rejection.reject(board(files), task="app", attempt=REJECTED, fix=None)
        )
        assert list(found.entries) == ["app"]


@pytest.mark.parametrize("word", ["cancel", "hold", "close"])
def test_what_people_stopped_does_not_land(word: str) -> None:
    """Cancelled, held, closed, removed or invalid meanwhile: `land` makes no change."""
    files = tasks("app") | logged("app", "work submitted", word) | VALIDATING
    made = on_landing.land(
        board(files), NOW, task="app", attempt=ACCEPTED, landed=landed(), move=None
    )
    assert made is None
    for data in ({}, {"tasks/app.md": b"broken"}, tasks("app", hold=True)):
        gone = logged("app", "work submitted") | VALIDATING | data
        made = on_landing.land(
            board(gone), NOW, task="app", attempt=ACCEPTED, landed=landed(), move=None
        )
        assert made is None


def test_landing_closes_the_whole_chain() -> None:
    """The last repair lands, and every task above it is closed in the same change."""
    files = (
        tasks("app") | logged("app", "work submitted", "validate rejected app-fix-1")
        | tasks("app-fix-1", fixes="app")
        | logged("app-fix-1", "work submitted", "validate rejected app-fix-2")
        | tasks("app-fix-2", fixes="app-fix-1") | logged("app-fix-2", "work submitted")
        | claimed("app-fix-2", Role.VALIDATE)
    )  # fmt: skip
    change = on_landing.land(
        board(files), NOW, task="app-fix-2", attempt=ACCEPTED, landed=landed(), move=None
    )
    found = after(files, change)
    for task in ("app", "app-fix-1", "app-fix-2"):
        assert stands(found, task).status is Status.DONE
    closed = found.entries["app"].last(Kind.CLOSED)
    assert closed is not None and isinstance(closed.content, Closed)
    assert closed.content.by == "app-fix-2"


def test_an_accepted_plan_closes_the_plan_it_repairs() -> None:
    """A plan that repairs a rejected plan ends both, as a landing does."""
    files = (
        tasks("app", role="plan") | logged("app", "plan submitted", "validate rejected app-fix-1")
        | tasks("app-fix-1", fixes="app", role="plan") | logged("app-fix-1", "plan submitted")
        | claimed("app-fix-1", Role.VALIDATE)
    )  # fmt: skip
    change = on_landing.accept_plan(board(files), NOW, task="app-fix-1", attempt=ACCEPTED)
    found = after(files, change)
    assert stands(found, "app").status is stands(found, "app-fix-1").status is Status.DONE


def test_code_is_no_plan_because_a_person_edits_the_task() -> None:
    """What was submitted as work lands as work, though the file says `role: plan` by now."""
    found = board(tasks("app", role="plan") | logged("app", "work submitted"))
    assert not on_landing.is_plan(found.entries["app"])
    assert on_landing.is_plan(board(tasks("app", role="plan")).entries["app"])


@pytest.mark.parametrize("kind", [Kind.RETRY, Kind.CANCEL, Kind.CLOSE])
def test_a_repair_nobody_wants_is_cancelled(kind: Kind) -> None:
    """Who retries, cancels or closes a task ends its open repair too, or that would land it."""
    files = (
        tasks("app") | logged("app", "work submitted", "validate rejected app-fix-1")
        | tasks("app-fix-1", fixes="app")
    )  # fmt: skip
    change = by_person.decide(
        board(files), NOW, task="app", kind=kind, person=ANN, reason="no", suffix="abcd"
    )
    found = after(files, change)
    assert stands(found, "app-fix-1").status is Status.CANCELLED
    wanted = {Kind.RETRY: Status.READY, Kind.CANCEL: Status.CANCELLED, Kind.CLOSE: Status.DONE}
    assert stands(found, "app").status is wanted[kind]


def test_a_repair_closed_by_hand_closes_what_it_repairs() -> None:
    """Until the runner follows, nobody claims the task whose repair a person finished."""
    files = (
        tasks("app") | logged("app", "work submitted", "validate rejected app-fix-1")
        | tasks("app-fix-1", fixes="app") | logged("app-fix-1", "close")
    )  # fmt: skip
    found = board(files)
    assert not stands(found, "app").claimable(NOW)
    found = after(files, by_person.close_by_hand(found, NOW, runner="box", suffix="abcd"))
    assert stands(found, "app").status is Status.DONE
    assert by_person.close_by_hand(found, NOW, runner="box", suffix="abcd") is None


def test_unhold_undoes_both_ways_of_holding() -> None:
    """A task held by its file and by an event is free after one `unhold`."""
    files = tasks("app", hold=True) | logged("app", "hold")
    change = by_person.unhold(
        board(files), NOW, task="app", text=files["tasks/app.md"], person=ANN, suffix="abcd"
    )
    assert stands(after(files, change), "app").status is Status.READY
    with pytest.raises(FleetError, match="not on hold"):
        by_person.unhold(board(tasks("app")), NOW, task="app", text=b"", person=ANN, suffix="abcd")


def test_an_event_is_never_too_large_to_be_read() -> None:
    """However much a check prints and a validator finds, the event is read again."""
    much = attempt(
        Outcome.CHECKS_FAILED,
        99,
        checks=tuple(Check(command="c" * 2000, exit_code=1, tail="x" * 9000) for _ in range(99)),
        findings=("y" * 9000,) * 99,
        reason="z" * 300_000,
    )
    files = tasks("app") | logged("app", "work submitted") | VALIDATING
    found = after(files, on_rejection.reject(board(files), task="app", attempt=much, fix=None))
    assert not found.damage
    assert stands(found, "app").status is Status.FIXING
    assert stands(found, "app-fix-1").status is Status.READY


def test_an_event_that_is_too_large_keeps_the_end_of_what_a_check_printed() -> None:
    """There stands what went wrong; of everything else its beginning says what it is."""
    check = Check(command="make" + " x" * 999, exit_code=1, tail=f"begun{'.' * 9000}wrong")
    much = attempt(
        Outcome.CHECKS_FAILED, 99, checks=(check,) * 99, findings=(f"leaks{'.' * 9000}",)
    )
    files = tasks("app") | logged("app", "work submitted") | VALIDATING
    found = after(files, on_rejection.reject(board(files), task="app", attempt=much, fix=None))
    said = found.entries["app"].attempts()[-1]
    assert len(said.checks) == 50 and len(said.findings) == 1
    assert all(one.tail.endswith("wrong") and "begun" not in one.tail for one in said.checks)
    assert said.checks[0].command.startswith("make x")
    assert said.findings[0].startswith("leaks")


def test_after_a_foreign_number_events_go_on() -> None:
    """An event that somebody numbered 999999 does not keep later ones from being read."""
    far = {"log/app/999999-note-abcd.yaml": codec.write(Decision(at=NOW))}
    files = tasks("app") | far | claimed("app")
    change = on_end.end_attempt(
        board(files), task="app", attempt=attempt("failed", 99), role=Role.WORK
    )
    found = after(files, change)
    assert not found.damage
    assert [e.number for e in found.entries["app"].events] == [999999, 1000000]


def test_the_fence() -> None:
    """Without the claim of its nonce at the tip an attempt writes nothing at all."""
    found = board(tasks("app") | logged("app", "work submitted") | claimed("app", nonce=nonce(1)))
    late = attempt("accepted", 99)
    assert on_end.end_attempt(found, task="app", attempt=late, role=Role.VALIDATE) is None
    assert on_rejection.reject(found, task="app", attempt=late, fix=Task(title="x")) is None
    assert on_landing.accept_plan(found, NOW, task="app", attempt=late) is None
    assert on_landing.land(found, NOW, task="app", attempt=late, landed=landed(), move=None) is None
    one = add_tasks.Addition(text=text(), id="more", key="ab" * 8)
    assert add_tasks.file_additions(found, task="app", nonce=late.nonce, additions=[one]) is None


def test_what_an_agent_files_arrives_once_under_a_good_name() -> None:
    """An id that is taken or none at all is replaced; the source is named, whatever its id."""
    files = tasks("null") | claimed("null")
    additions = [
        add_tasks.Addition(text=text("One"), id="null", key="aa" * 8),
        add_tasks.Addition(text=text("Two"), id="Über/../x", key="bb" * 8),
        add_tasks.Addition(text=text("Two"), id="Über/../x", key="bb" * 8),
    ]
    found = board(files)
    change = add_tasks.file_additions(found, task="null", nonce=nonce(99), additions=additions)
    made = after(files, change)
    assert sorted(made.entries) == ["null", "null-aaaaaa", "uber-x"]
    assert all(e.task and e.task.discovered_from in (None, "null") for e in made.entries.values())
    assert made.entries["uber-x"].task is not None
    assert made.entries["uber-x"].task.discovered_from == "null"


def test_a_claim_is_only_of_the_text_that_was_read() -> None:
    """A task edited between look and claim is looked at again."""
    found = board(tasks("app"))
    entry = found.entries["app"]

    def ask(**other: object) -> Change | None:
        values: dict[str, object] = {
            "runner": "box", "nonce": nonce(5), "role": Role.WORK, "attempt": 1,
            "task_blob": entry.blob, "base": OID, "at": NOW,
        }  # fmt: skip
        return on_claim.claim(found, NOW, task="app", claim=Claim(**(values | other)))  # type: ignore[arg-type]

    assert ask() is not None
    assert ask(task_blob=OID) is None
    assert ask(role=Role.VALIDATE) is None
    assert ask(attempt=2) is None


@pytest.mark.parametrize(
    ("word", "kind"),
    [("landed", Kind.CANCEL), ("cancel", Kind.HOLD), ("close", Kind.CLOSE), ("", Kind.UNHOLD)],
)
def test_a_decision_that_makes_no_sense_is_refused(word: str, kind: Kind) -> None:
    """A person is told, in a sentence, why nothing was written."""
    found = board(tasks("app") | (logged("app", word) if word else {}))
    with pytest.raises(FleetError):
        by_person.decide(found, NOW, task="app", kind=kind, person=ANN, reason="", suffix="abcd")
    with pytest.raises(FleetError, match="no task"):
        by_person.decide(
            found, NOW, task="apt", kind=Kind.NOTE, person=ANN, reason="", suffix="abcd"
        )
    assert status_of(found, "app", NOW).reason


def test_a_person_adds_a_task_under_a_free_id_only() -> None:
    """Taken anywhere, `done/` included, is taken; an invalid text is refused with its place."""
    found = board(tasks("app"), {"done/2026-11/old/task.md": text()})
    for taken in ("app", "old"):
        with pytest.raises(FleetError, match="taken"):
            by_person.add(
                found, addition=add_tasks.Addition(text=text(), id=taken), suffixes=[], person=ANN
            )
    broken = add_tasks.Addition(text=b"---\ntitel: x\n---\n", id="new")
    with pytest.raises(FleetError, match=r"tasks/new\.md:2:1"):
        by_person.add(found, addition=broken, suffixes=[], person=ANN)
    made = by_person.add(
        found, addition=add_tasks.Addition(text=text("App"), id=""), suffixes=["1f2e"], person=ANN
    )
    assert list(made.files) == ["tasks/app-1f2e.md"]


def test_a_landing_that_has_happened_is_written_down_whatever_was_decided_since() -> None:
    """Where the target has moved already, `forced` records it, cancelled or not."""
    files = tasks("app") | logged("app", "work submitted", "cancel") | VALIDATING
    change = on_landing.land(
        board(files), NOW, task="app", attempt=ACCEPTED, landed=landed(), move=None, forced=True
    )
    assert stands(after(files, change), "app").status is Status.DONE


def test_nothing_can_be_said_of_a_file_with_a_bad_name() -> None:
    """An event of such a task would lie where nobody looks, so the person is told to rename it."""
    found = board({"tasks/Bad Name.md": text()})
    with pytest.raises(FleetError, match="not a valid task name"):
        by_person.decide(
            found, NOW, task="Bad Name", kind=Kind.CANCEL, person=ANN, reason="", suffix="abcd"
        )


REPAIRERS: list[tuple[Mapping[str, Any], Task | None, Mapping[str, Any]]] = [
    ({"coder": "c", "model": "m"}, None, {"coder": "c", "model": "m"}),
    ({"coder": "c", "model": "m"}, Task(title="x", coder="d"), {"coder": "d"}),
    ({"coder": "c", "model": "m"}, Task(title="x", coder="c"), {"coder": "c", "model": "m"}),
    ({"coder": "c", "model": "m"}, Task(title="x", model="n"), {"coder": "c", "model": "n"}),
    ({"coders": ("c", "d")}, Task(title="x"), {"coders": ("c", "d")}),
    ({"coders": ("c", "d")}, Task(title="x", coder="e", model="n"), {"coder": "e", "model": "n"}),
    ({"coders": ("c", "d")}, Task(title="x", model="n"),
     {"coders": (CoderChoice("c", "n"), "d")}),
]  # fmt: skip


@pytest.mark.parametrize(("own", "proposed", "wanted"), REPAIRERS)
def test_who_repairs_it(
    own: Mapping[str, Any], proposed: Task | None, wanted: Mapping[str, Any]
) -> None:
    """Whom the validator proposes, else whoever the task is for; no model for another's coder."""
    files = tasks("app", **own) | logged("app", "work submitted") | VALIDATING
    found = after(
        files, on_rejection.reject(board(files), task="app", attempt=REJECTED, fix=proposed)
    )
    fix = found.entries["app-fix-1"].task
    assert fix is not None
    whole = {"coder": None, "model": None, "coders": ()} | dict(wanted)
    assert {"coder": fix.coder, "model": fix.model, "coders": fix.coders} == whole


def test_a_filed_task_never_takes_the_place_of_another() -> None:
    """Not even where its second name is taken, too."""
    found = board(tasks("app", "more", "more-aaaaaa"), claimed("app"))
    one = add_tasks.Addition(text=text("One"), id="more", key="aa" * 8)
    filed = add_tasks.file_additions(found, task="app", nonce=nonce(99), additions=[one])
    assert filed is None


def test_what_was_filed_by_an_earlier_life_is_not_filed_again() -> None:
    """Its key is on the board, among tasks that people wrote, and under whatever name."""
    found = board(tasks("app"), tasks("else", outbox="aa" * 8), claimed("app"))
    one = add_tasks.Addition(text=text("One"), id="more", key="aa" * 8)
    filed = add_tasks.file_additions(found, task="app", nonce=nonce(99), additions=[one])
    assert filed is None


def test_one_problem_is_enough_to_refuse_a_task() -> None:
    """What is wrong, where, and what to do."""
    wrong = add_tasks.Addition(text=b"---\ntitle: x\nhold: 2\n---\n", id="new")
    with pytest.raises(FleetError, match=r"tasks/new\.md:3:7") as refused:
        by_person.add(board(), addition=wrong, suffixes=[], person=ANN)
    assert refused.value.remedy


def test_an_event_that_can_be_read_is_kept_whole() -> None:
    """Many findings, as long as they fit, all reach who repairs it."""
    many = attempt(Outcome.REJECTED, 99, findings=tuple(f"finding {n}" for n in range(80)))
    files = tasks("app") | logged("app", "work submitted") | VALIDATING
    found = after(files, on_rejection.reject(board(files), task="app", attempt=many, fix=None))
    assert found.entries["app"].attempts()[-1].findings == many.findings


def test_an_attempt_of_a_task_that_left_the_board_has_not_ended_there() -> None:
    """A runner that comes back late asks for a task that is archived."""
    assert not on_end.has_ended(board(tasks("other")), "app", attempt("failed", 99))


def test_work_whose_task_became_invalid_is_rejected_without_a_repair() -> None:
    """There is no text to repair it by; a person mends the file first."""
    files = logged("app", "work submitted") | VALIDATING
    files["tasks/app.md"] = b"---\ntitel: x\n---\n"
    change = on_rejection.reject(board(files), task="app", attempt=REJECTED, fix=None)
    assert list(after(files, change).entries) == ["app"]


def test_an_event_is_named_by_number_kind_and_four_digits_of_its_nonce() -> None:
    """docs/board.md says so; people and scripts read these names."""
    found = board(tasks("app"), logged("app", "work submitted"), VALIDATING)
    rejected = on_rejection.reject(found, task="app", attempt=REJECTED, fix=None)
    ended = on_end.end_attempt(found, task="app", attempt=REJECTED, role=Role.VALIDATE)
    for change in (rejected, ended):
        assert change is not None and "log/app/002-validate-0000.yaml" in change.files
