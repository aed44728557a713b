"""What a runner takes next, and why it passes over the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gitfleet.model.board import Board
from gitfleet.model.states import Role
from gitfleet.model.task import CoderList
from gitfleet.plan.coder_choice import choices, named_on
from gitfleet.plan.scheduler import Capacity, candidates, collides, picks
from tests.plan.kit import FLEET, NOW, OID, asked, board, claimed, logged, tasks, text


def convert(listed: Any) -> CoderList:
    return msgspec.convert(listed, CoderList)


PLENTY: dict[str, Any] = {"runner": "box", "slots": 99}


def chosen(found: Board, **offer: Any) -> list[str]:
    return [pick.task for pick in picks(found, NOW, Capacity(**(PLENTY | offer)), "main")[0]]


def passed(found: Board, **offer: Any) -> dict[str, str]:
    over = picks(found, NOW, Capacity(**(PLENTY | offer)), "main")[1]
    return {one.task: one.reason for one in over}


def test_what_is_begun_is_finished_first() -> None:
    """Accepted, submitted, answered, ready; then priority, how many wait for it, id."""
    found = board(
        tasks("z-accepted", base="other")
        | logged("z-accepted", "work submitted", "validate accepted"),
        tasks("y-submitted") | logged("y-submitted", "work submitted"),
        tasks("x-answered") | logged("x-answered", "work asked") | asked("x-answered-1", "That"),
        tasks("w-urgent", priority=0),
        tasks("v-needed"),
        tasks("a", "b"),
        tasks("c", depends_on=("d",)),
        tasks("d", depends_on=("v-needed",)),
        tasks("late", priority=4),
    )
    assert chosen(found) == [
        "z-accepted", "y-submitted", "x-answered", "w-urgent", "v-needed", "a", "b", "late",
    ]  # fmt: skip


def test_only_what_may_be_claimed_is_a_candidate() -> None:
    """Held, failed, waiting, done and badly named tasks are nobody's to take."""
    found = board(
        tasks("held", hold=True),
        tasks("failed") | logged("failed", "work tampered"),
        tasks("waiting", depends_on=("held",)),
        tasks("done") | logged("done", "landed"),
        tasks("taken") | claimed("taken", runner="other"),
        {"tasks/Bad Name.md": text()},
        tasks("late", not_before=NOW + timedelta(seconds=1)),
    )
    assert candidates(found, NOW) == []
    assert [e.id for e, _ in candidates(found, NOW + timedelta(seconds=1))] == ["late"]


def test_slots_count_what_this_runner_holds() -> None:
    """Three slots of which one is taken take two more; others' claims take none of mine."""
    found = board(
        tasks("a", "b", "c", "mine", "theirs"),
        claimed("mine", runner="box"),
        claimed("theirs", runner="other"),
    )
    assert chosen(found, slots=3) == ["a", "b"]
    assert passed(found, slots=3) == {"c": "all 3 slots are taken"}
    assert chosen(found, slots=1) == []


def test_a_coder_runs_no_more_than_its_limit() -> None:
    """`coders.<name>.concurrency` limits that coder alone, counting what runs already."""
    fleet = FLEET + b"coders:\n  shell: {concurrency: 2}\n"
    found = board(tasks("a", "b", "mine"), tasks("c", coder="other"), claimed("mine"), fleet=fleet)
    assert chosen(found) == ["a", "c"]
    assert passed(found) == {"b": "shell already runs 2 attempts"}


def test_needs_are_met_by_labels() -> None:
    """A task that needs a label waits for a runner that has it; a validation needs none."""
    found = board(
        tasks("gpu", runs_on=("gpu", "cuda")),
        tasks("proof", runs_on=("gpu",)) | logged("proof", "work submitted"),
    )
    assert chosen(found) == ["proof"]
    assert passed(found) == {"gpu": "runs only on a runner with gpu, cuda"}
    assert chosen(found, labels=frozenset({"gpu", "cuda"})) == ["proof", "gpu"]


def test_a_lock_is_held_by_one_task() -> None:
    """Two tasks with one word never run at once: not beside a claim, not in one pick."""
    found = board(tasks("a", locks=("port",)), tasks("b", locks=("disk", "port")), tasks("c"))
    assert chosen(found) == ["a", "c"]
    assert passed(found) == {"b": "a holds the lock port"}
    side_changes = board(
        tasks("a", locks=("port",)), tasks("z", locks=("port",)), claimed("z", runner="far")
    )
    assert chosen(side_changes) == []


def test_one_validation_a_target() -> None:
    """What lands on one branch is proved one at a time; another branch is another matter."""
    found = board(
        tasks("a", "b") | logged("a", "work submitted") | logged("b", "work submitted"),
        tasks("c", base="next") | logged("c", "work submitted"),
    )
    assert chosen(found) == ["a", "c"]
    assert passed(found) == {"b": "a is being checked for main"}
    busy = board(
        tasks("a", "b") | logged("a", "work submitted"), claimed("b", Role.VALIDATE, runner="far")
    )
    assert chosen(busy) == []


def limited(task: str, *words: str, coder: str = "shell", **more: Any) -> dict[str, bytes]:
    """A task that is done, and whose log tells how `coder` ended there, just now."""
    ended = {"started": NOW - timedelta(minutes=1), "ended": NOW - timedelta(seconds=1)}
    lines = [f"work {word}" for word in words or ("limited",)]
    return tasks(task) | logged(task, *lines, "landed", **({"coder": coder} | ended | more))


def test_a_limited_coder_rests() -> None:
    """A coder whose limit has not reset is passed over until it has, by the runner that saw it."""
    until = NOW + timedelta(minutes=5)
    found = board(tasks("a"), tasks("b", coder="other"), limited("old", until=until))
    assert chosen(found) == ["b"]
    over = picks(found, NOW, Capacity(**PLENTY), "main")[1]
    assert [(one.task, one.until, one.rests, one.for_a_person) for one in over] == [
        ("a", until, True, False)
    ]
    assert over[0].reason.startswith("shell is limited on box until 2026-12-01 12:05:00 UTC")
    assert chosen(found, runner="elsewhere") == ["a", "b"]
    later = picks(found, until, Capacity(**PLENTY), "main")[0]
    assert [pick.task for pick in later] == ["a", "b"]


def test_the_next_coder_of_a_list_does_it_while_the_first_rests() -> None:
    """The first that does not rest, is known and may run here; its own model goes with it."""
    listed = ("one", {"coder": "two", "model": "m"}, "three")
    found = board(tasks("a", coders=convert(listed)), limited("old", coder="one"))

    def who(**offer: Any) -> tuple[str, str] | None:
        first = picks(found, NOW, Capacity(**(PLENTY | offer)), "main")[0]
        return (first[0].coder, first[0].model) if first else None

    assert who() == ("two", "m")
    assert who(runner="elsewhere") == ("one", "")
    assert who(absent={"two": "no coder is called two"}) == ("three", "")
    assert who(coders=frozenset({"one"})) is None


def test_a_busy_coder_is_waited_for() -> None:
    """The next of a list is for when the first cannot, not for when all its slots are taken."""
    fleet = FLEET + b"coders:\n  one: {concurrency: 1}\n"
    found = board(
        tasks("a", "mine", coders=("one", "two")), claimed("mine", coder="one"), fleet=fleet
    )
    assert chosen(found) == []
    assert passed(found) == {"a": "one already runs 1 attempt"}


def test_a_refused_key_waits_for_a_person() -> None:
    """A limit ends by itself, a refused key does not; of a list the limit is waited for."""
    refused = limited("old", "auth-failed", coder="one")
    over = picks(board(tasks("a", coder="one"), refused), NOW, Capacity(**PLENTY), "main")[1][0]
    assert (over.for_a_person, over.rests, over.until) == (True, True, None)
    assert over.reason.startswith("one's key was refused on box, next try at")
    until = NOW + timedelta(minutes=5)
    both = board(
        tasks("a", coders=("one", "two")), refused, limited("older", coder="two", until=until)
    )
    over = picks(both, NOW, Capacity(**PLENTY), "main")[1][0]
    assert (over.for_a_person, over.until) == (False, until)
    assert "one's key" in over.reason and "two is limited" in over.reason


def test_only_one_task_if_so_told() -> None:
    """`only` leaves nothing but that task, and does not report the others as passed over."""
    found = board(tasks("a", "b"))
    assert chosen(found, only=frozenset({"b"})) == ["b"]
    assert passed(found, only=frozenset({"b"})) == {}


def test_what_cannot_land_takes_no_slot() -> None:
    """An accepted task whose landing is blocked is passed over with that reason."""
    found = board(tasks("a", "b") | logged("a", "work submitted", "validate accepted"))
    blocked = {"a": "the checkout has uncommitted changes"}
    assert chosen(found, slots=1, blocked=blocked) == ["b"]
    assert passed(found, slots=1, blocked=blocked) == blocked


def test_a_red_target_is_due_when_it_moves() -> None:
    """What waits for a red target is taken as soon as the target's tip is another commit."""
    ended = NOW - timedelta(seconds=1)
    red = logged("a", "work submitted", "validate target-red", ended=ended, base=OID)
    found = board(tasks("a") | red)
    assert chosen(found) == []
    assert chosen(found, tips={"main": OID}) == []
    assert chosen(found, tips={"main": "b" * 40}) == ["a"]


def test_a_coder_that_may_not_or_cannot_run_here() -> None:
    """Not allowed on this machine, not known here, or not named at all: each is told apart."""
    found = board(
        tasks("a"), tasks("b", coder="mine"), fleet=b"format: 2\ncoders:\n  mine: {argv: [x]}\n"
    )
    assert "name one in the task" in passed(found)["a"]
    assert chosen(found) == ["b"]
    assert "does not allow mine here" in passed(found, coders=frozenset({"shell"}))["b"]
    why = "the plugin shell (gitfleet-shell 1.0) cannot be imported"
    assert passed(board(tasks("a")), absent={"shell": why}) == {"a": why}


def test_every_coder_that_a_board_names_can_be_listed() -> None:
    """Those of roles and of tasks, alone or in lists: a runner looks whether it has them."""
    fleet = b"format: 1\nroles: {work: {coder: one}, validate: {coders: [two, {coder: three}]}}\n"
    found = board(tasks("a", coder="four") | tasks("b", coders=("five", "one")), fleet=fleet)
    assert named_on(found) == {"one", "two", "three", "four", "five"}


def test_checks_alone_need_no_coder() -> None:
    """Without `roles.validate` a validation has no coder, whatever coders may run here."""
    found = board(tasks("a") | logged("a", "work submitted"))
    first = picks(found, NOW, Capacity(**PLENTY, coders=frozenset()), "main")[0][0]
    assert (first.role, first.coder) == (Role.VALIDATE, "")


def test_what_waits_for_a_person_is_told_apart() -> None:
    """A slot becomes free by itself; a coder that is not named does not."""
    found = board(tasks("a"), tasks("b", coder="c"), fleet=b"format: 2\n")
    over = picks(found, NOW, Capacity(runner="box", slots=0), "main")[1]
    assert {one.task: one.for_a_person for one in over} == {"a": True, "b": False}


def test_what_collides_with_a_claim() -> None:
    """Just before it is written, a claim is held against what others have to themselves."""
    parts = tasks("a", locks=("port",)) | tasks("b", locks=("port",))
    pick = picks(board(parts), NOW, Capacity(**PLENTY), "main")[0][0]
    assert not collides(board(parts), pick, "main")
    assert collides(board(parts | claimed("b", runner="far")), pick, "main")
    assert collides(board(), pick, "main")


ROLES: list[tuple[str, Mapping[str, Any], Role, tuple[str, str]]] = [
    ("work: {coder: c, model: m}", {}, Role.WORK, ("c", "m")),
    ("work: {coder: c, model: m}", {"model": "n"}, Role.WORK, ("c", "n")),
    ("work: {coder: c, model: m}", {"coder": "c"}, Role.WORK, ("c", "m")),
    ("work: {coder: c, model: m}", {"coder": "d"}, Role.WORK, ("d", "")),
    ("work: {coder: c, model: m}", {"coder": "d", "model": "n"}, Role.WORK, ("d", "n")),
    ("work: {coder: c, model: m}", {}, Role.PLAN, ("c", "m")),
    ("work: {coder: c, model: m}\n  plan: {model: big}", {}, Role.PLAN, ("c", "big")),
    ("work: {coder: c, model: m}\n  plan: {coder: p}", {}, Role.PLAN, ("p", "")),
    ("work: {coder: c, model: m}\n  plan: {coder: c}", {}, Role.PLAN, ("c", "m")),
    (
        "work: {coder: c}\n  validate: {coder: v, model: w}",
        {"coder": "d"},
        Role.VALIDATE,
        ("v", "w"),
    ),
    ("work: {coder: c}", {"coder": "d"}, Role.VALIDATE, ("", "")),
    ("plan: {coder: p}", {"model": "n"}, Role.WORK, ("", "")),
    ("work: {coders: [c, d]}", {}, Role.WORK, ("c", "")),
    ("work: {coders: [{coder: c, model: m}, d]}", {}, Role.PLAN, ("c", "m")),
    ("work: {coder: c}\n  validate: {coders: [{coder: v, model: w}, c]}", {}, Role.VALIDATE,
     ("v", "w")),
]  # fmt: skip


@pytest.mark.parametrize(("roles", "keys", "role", "wanted"), ROLES)
def test_who_does_it(
    roles: str, keys: Mapping[str, Any], role: Role, wanted: tuple[str, str]
) -> None:
    """The task's coder, else the role's; a model never goes to a coder it was not named for."""
    found = board(tasks("a", **keys), fleet=f"format: 2\nroles:\n  {roles}\n".encode())
    first = choices(found, found.entries["a"], role)[:1]
    assert [(one.coder, one.model) for one in first] == ([wanted] if wanted[0] else [])


LISTS: list[tuple[str, Mapping[str, Any], list[tuple[str, str]]]] = [
    ("work: {coders: [c, {coder: d, model: m}]}", {}, [("c", ""), ("d", "m")]),
    ("work: {coders: [c, {coder: d, model: m}]}", {"model": "n"}, [("c", "n"), ("d", "m")]),
    ("work: {coders: [c, {coder: d, model: m}]}", {"coder": "d"}, [("d", "m")]),
    ("work: {coder: c, model: m}", {"coders": ["d", "c"]}, [("d", ""), ("c", "m")]),
    ("work: {coder: c, model: m}", {"coders": [{"coder": "c", "model": "n"}]}, [("c", "n")]),
    ("work: {coders: [c]}\n  plan: {coders: [d, c]}", {"role": "plan"}, [("d", ""), ("c", "")]),
    ("work: {coders: [c, d]}\n  plan: {model: m}", {"role": "plan"}, [("c", "m"), ("d", "")]),
]  # fmt: skip


@pytest.mark.parametrize(("roles", "keys", "wanted"), LISTS)
def test_who_may_do_it(roles: str, keys: Mapping[str, Any], wanted: list[tuple[str, str]]) -> None:
    """A task's list goes before the role's; a model alone is for the first of the role's list."""
    made = {key: convert(v) if key == "coders" else v for key, v in keys.items()}
    found = board(tasks("a", **made), fleet=f"format: 2\nroles:\n  {roles}\n".encode())
    role = Role(keys.get("role", "work"))
    assert [(one.coder, one.model) for one in choices(found, found.entries["a"], role)] == wanted


def test_the_target_is_the_tasks_or_the_boards_or_the_default() -> None:
    """`base` in the task, `target` in fleet.yaml, what the runner found: in this order."""
    for fleet, keys, target in (
        (b"format: 2\ntarget: t\n", {"base": "b"}, "b"),
        (b"format: 2\ntarget: t\n", {}, "t"),
        (b"format: 2\n", {}, "main"),
    ):
        found = board(tasks("a", coder="c", **keys), fleet=fleet)
        assert picks(found, NOW, Capacity(**PLENTY), "main")[0][0].target == target
