"""Where a task stands: every row of the table of statuses, every outcome, and any garbage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.files import layout
from gitfleet.model.states import COUNTS, HOPELESS, RESTS, Kind, Outcome, Role, Status
from gitfleet.model.task import Budget, CoderChoice
from gitfleet.plan.status import status_of, statuses
from tests.plan.kit import (
    ANN,
    FLEET,
    NOW,
    OID,
    asked,
    attempt,
    board,
    claimed,
    logged,
    oid,
    stands,
    tasks,
    text,
)

LONG_AGO = {"ended": NOW - timedelta(days=2)}
JUST_NOW = {"ended": NOW - timedelta(seconds=1)}
Files = Mapping[str, bytes]


def app(*happened: str, **more: Any) -> dict[str, bytes]:
    """One task, `app`, with that log."""
    return {**tasks("app"), **logged("app", *happened, **more)}


REJECTED = ("work submitted", "validate rejected app-fix-1")

# files of the board, status of `app`, words of the reason
TABLE: list[tuple[str, Files, Status, str]] = [
    ("new", app(), Status.READY, "not started yet"),
    ("claimed for work", app() | claimed("app"), Status.WORKING, "attempt 1, shell on box"),
    ("claimed to validate", app() | claimed("app", Role.VALIDATE), Status.VALIDATING, "on box"),
    ("claimed to plan", app() | claimed("app", Role.PLAN), Status.PLANNING, "on box"),
    ("a claim comes before all", app("landed", "cancel") | claimed("app"), Status.WORKING, "box"),
    ("landed", app("work submitted", "validate accepted", "landed"), Status.DONE, "landed on main"),
    ("closed", app("closed fixed"), Status.DONE, "closed: fixed"),
    ("closed by hand", app("close wontfix"), Status.DONE, "closed by Ann: wontfix"),
    ("done comes before cancelled", app("landed", "cancel"), Status.DONE, "landed"),
    ("landed, its file removed", logged("app", "landed"), Status.DONE, "landed"),
    ("reopened", app("landed", "retry"), Status.READY, "retried"),
    ("cancelled", app("cancel nope"), Status.CANCELLED, "cancelled by Ann: nope"),
    ("cancelled and retried", app("cancel", "retry"), Status.READY, "retried"),
    ("retried and cancelled", app("retry", "cancel"), Status.CANCELLED, "Ann"),
    ("removed", logged("app", "work failed"), Status.CANCELLED, "file was removed"),
    ("never there", {}, Status.CANCELLED, "no such task"),
    ("archived", {"done/2026-11/app/task.md": text()}, Status.DONE, "done/2026-11/app/"),
    ("invalid", {"tasks/app.md": b"---\ntitel: x\n---\n"}, Status.INVALID, "did you mean 'title'"),
    (
        "cancelled comes before invalid",
        {"tasks/app.md": b"", **logged("app", "cancel")},
        Status.CANCELLED,
        "Ann",
    ),
    (
        "a second file of an archived id",
        {"tasks/app.md": text(), "done/2026-11/app/task.md": text()},
        Status.INVALID,
        "taken by done/2026-11/app",
    ),
    ("held by its file", tasks("app", hold=True), Status.HELD, "hold: true"),
    ("held by event", app("hold wait"), Status.HELD, "on hold by Ann: wait"),
    ("taken off hold", app("hold", "unhold"), Status.READY, "not started"),
    ("an unhold does not undo the file", tasks("app", hold=True) | logged("app", "unhold"),
     Status.HELD, "hold: true"),
    ("retry does not unhold", app("hold", "retry"), Status.HELD, "on hold"),
    ("held comes before failed", app("work tampered", "hold"), Status.HELD, "on hold"),
    ("failed once", app("work failed"), Status.READY, "retried; last attempt: failed"),
    ("failed thrice", app(*["work failed"] * 3), Status.FAILED, "all 3 attempts used up"),
    ("mixed failures", app("work failed", "work empty", "work stalled"), Status.FAILED, "stalled"),
    ("own limit of attempts", tasks("app", max_attempts=1) | logged("app", "work timed-out"),
     Status.FAILED, "the only attempt failed (timed-out)"),
    ("retry resets", app(*["work failed"] * 3, "retry"), Status.READY, "retried"),
    ("a note moves nothing", app(*["work failed"] * 3, "note hm"), Status.FAILED, "all 3"),
    ("four interruptions", app(*["work lost", "work interrupted"] * 2), Status.READY, "retried"),
    ("five interruptions", app(*["work lost"] * 5), Status.FAILED, "interruptions"),
    ("interruptions are no failures", app("work failed", "work lost", "work failed", "work lost"),
     Status.READY, "lost"),
    ("two full contexts", app(*["work context-full"] * 2), Status.READY, "context-full"),
    ("three full contexts", app(*["work context-full"] * 3), Status.FAILED, "contexts"),
    ("two conflicts", app(*["work submitted", "validate conflict"] * 2), Status.READY, "conflict"),
    ("three conflicts", app(*["work submitted", "validate conflict"] * 3), Status.FAILED,
     "conflicts"),
    ("over budget", app("work over-budget"), Status.FAILED, "over-budget"),
    ("misconfigured", app("work misconfigured"), Status.FAILED, "gitfleet retry app"),
    ("tampered", app("work tampered"), Status.FAILED, "tampered"),
    ("a validator misconfigured", app("work submitted", "validate misconfigured"), Status.FAILED,
     "misconfigured"),
    ("asked", app("work asked") | asked("app-1"), Status.ASKING, "app-1: Which of the two?"),
    ("answered", app("work asked") | asked("app-1", "That"), Status.READY, "answered"),
    ("one of two answered", app("work asked") | asked("app-1", "That") | asked("app-2"),
     Status.ASKING, "app-2"),
    ("asked, not last", app("work asked", "work failed") | asked("app-1"), Status.READY, "failed"),
    ("a damaged question is no answer", app("work asked") | {"questions/app-1.md": b"---\n<<<<"},
     Status.ASKING, "damaged"),
    ("a question withdrawn", app("work asked"), Status.READY, "removed"),
    ("fixing", app(*REJECTED) | tasks("app-fix-1"), Status.FIXING, "app-fix-1 repairs it"),
    ("fixing, checks", app("work submitted", "validate checks-failed app-fix-1")
     | tasks("app-fix-1"), Status.FIXING, "app-fix-1"),
    ("fixer failed", app(*REJECTED) | tasks("app-fix-1") | logged("app-fix-1", "work tampered"),
     Status.FIXING, "app-fix-1"),
    ("fixer landed, this not closed", app(*REJECTED) | tasks("app-fix-1")
     | logged("app-fix-1", "landed"), Status.READY, "rejected"),
    ("fixer closed by hand", app(*REJECTED) | tasks("app-fix-1") | logged("app-fix-1", "close"),
     Status.FIXING, "closed by hand"),
    ("fixer cancelled", app(*REJECTED) | tasks("app-fix-1") | logged("app-fix-1", "cancel"),
     Status.READY, "rejected"),
    ("fixer gone", app(*REJECTED), Status.READY, "rejected"),
    ("no fixer", app("work submitted", "validate rejected"), Status.FAILED, "no more fix tasks"),
    ("accepted", app("work submitted", "validate accepted"), Status.ACCEPTED, "not landed yet"),
    (
        "accepted of what a retry gave up",
        app("work submitted", "retry", "validate accepted"),
        Status.READY,
        "",
    ),
    ("accepted, then lost", app("work submitted", "validate accepted", "validate lost"),
     Status.ACCEPTED, "not landed"),
    ("submitted", app("work submitted"), Status.SUBMITTED, "waiting for checks and review"),
    ("a plan submitted", app("plan submitted"), Status.SUBMITTED, "waiting for checks and review"),
    ("its validator lost", app("work submitted", "validate lost"), Status.SUBMITTED, "review"),
    ("two validators failed", app("work submitted", *["validate failed"] * 2), Status.SUBMITTED,
     "validation ended failed"),
    ("three validators failed", app("work submitted", *["validate failed"] * 3), Status.FAILED,
     "all 3 validations"),
    ("counters apart", app("work failed", "work failed", "work submitted", "validate failed",
     "validate failed"), Status.SUBMITTED, "validation ended"),
    ("red target", app("work submitted", "validate target-red"), Status.SUBMITTED,
     "target fails its own checks"),
    ("red target counts nothing", app("work submitted", *["validate target-red"] * 30),
     Status.SUBMITTED, "target fails"),
    ("work after a verdict", app(*REJECTED, "work submitted"), Status.SUBMITTED, "review"),
    ("not yet", tasks("app", not_before=NOW + timedelta(days=1)), Status.DELAYED,
     "not before 2026-12-02 12:00:00 UTC"),
    ("now", tasks("app", not_before=NOW), Status.READY, "not started"),
    ("backing off", app("work failed", **JUST_NOW), Status.DELAYED, "next attempt at"),
    ("resting", app("work limited", until=NOW + timedelta(hours=1)), Status.DELAYED,
     "shell is limited on box until 2026-12-01 13:00:00 UTC: it was limited"),
    ("rested", app("work limited", until=NOW), Status.READY, "limited"),
    ("a refused key", app("work auth-failed", **JUST_NOW), Status.DELAYED,
     "shell's key was refused on box, next try at 2026-12-01 12:04:59 UTC"),
    ("a refused key, retried", app("work auth-failed", "retry", **JUST_NOW), Status.READY,
     "retried"),
    ("its coder rests because of another task", app() | tasks("b")
     | logged("b", "work limited", until=NOW + timedelta(hours=1)), Status.DELAYED, "until"),
    ("the next coder of its list is free", tasks("app", coders=("shell", "other"))
     | logged("app", "work limited", until=NOW + timedelta(hours=1)), Status.READY, "limited"),
    ("its judge rests", app("work submitted") | tasks("b")
     | logged("b", "validate limited", coder="judge", until=NOW + timedelta(hours=1)),
     Status.SUBMITTED, "waiting for checks and review"),
    ("it waits, whoever rests", tasks("app", depends_on=("b",)) | tasks("b")
     | logged("b", "work limited", until=NOW + timedelta(hours=1)), Status.WAITING, "waits for b"),
    ("no budget left", tasks("app", budget=Budget(usd=1)) | logged("app", "work failed", usd=1.0),
     Status.FAILED, "budget of 1.00 USD is used up"),
    ("limited a hundred times", app(*["work limited"] * 100, **LONG_AGO), Status.READY, "limited"),
    ("no pause after an interruption", app("work lost", **JUST_NOW), Status.READY, "lost"),
    ("waiting", tasks("app", depends_on=("b",)) | tasks("b"), Status.WAITING, "waits for b"),
    ("a dependency done", tasks("app", depends_on=("b",)) | tasks("b") | logged("b", "landed"),
     Status.READY, "not started"),
    ("a dependency done and claimed again", tasks("app", depends_on=("b",)) | tasks("b")
     | logged("b", "landed") | claimed("b"), Status.WAITING, "waits for b"),
    ("a dependency archived", tasks("app", depends_on=("b",))
     | {"done/2026-11/b/task.md": text()}, Status.READY, "not started"),
    ("a dependency missing", tasks("app", depends_on=("b",)), Status.WAITING, "not on the board"),
    ("a dependency cancelled", tasks("app", depends_on=("b",)) | tasks("b")
     | logged("b", "cancel"), Status.WAITING, "b, which is cancelled"),
    ("a dependency removed", tasks("app", depends_on=("b",)) | logged("b", "work failed"),
     Status.WAITING, "b, which is cancelled"),
    ("on itself", tasks("app", depends_on=("app",)), Status.WAITING, "depends on itself"),
    ("in a circle", tasks("app", depends_on=("b",)) | tasks("b", depends_on=("c",))
     | tasks("c", depends_on=("app",)), Status.WAITING, "cycle: app → b → c → app"),
    ("before a circle", tasks("app", depends_on=("b",)) | tasks("b", depends_on=("c",))
     | tasks("c", depends_on=("b",)), Status.WAITING, "waits for b"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "status", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_table_of_statuses(files: Files, status: Status, words: str) -> None:
    """Each row of the table in docs/lifecycle.md: the board's files, the status, its reason."""
    found = stands(board(files), "app")
    assert found.status is status, found
    assert words in found.reason


def test_every_status_has_an_example() -> None:
    """No status is left out of the table above."""
    assert {row[2] for row in TABLE} == set(Status)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o in COUNTS])
def test_a_counted_outcome_ends_in_failed(outcome: Outcome) -> None:
    """Whatever counts, counts to its limit and no further, and `retry` starts it again."""
    limit = {"attempts": 3, "interruptions": 5, "contexts": 3, "conflicts": 3}[COUNTS[outcome]]
    for times, failed in ((limit - 1, False), (limit, True)):
        found = stands(board(app(*[f"work {outcome}"] * times, **LONG_AGO)), "app")
        assert (found.status is Status.FAILED) is failed
    again = stands(board(app(*[f"work {outcome}"] * limit, "retry", **LONG_AGO)), "app")
    assert again.status is Status.READY


@pytest.mark.parametrize("outcome", [Outcome.ASKED, Outcome.CANCELLED, *sorted(RESTS)])
def test_what_counts_nothing_never_fails_a_task(outcome: Outcome) -> None:
    """A hundred attempts that nobody is to blame for leave the task to be tried again."""
    found = stands(board(app(*[f"work {outcome}"] * 100, **LONG_AGO)), "app")
    assert found.status is Status.READY


@pytest.mark.parametrize("outcome", sorted(HOPELESS))
def test_what_is_hopeless_waits_only_while_it_is_last(outcome: Outcome) -> None:
    """One such outcome waits for a person; after `retry` it is forgotten."""
    assert stands(board(app(f"work {outcome}")), "app").status is Status.FAILED
    assert stands(board(app(f"work {outcome}", "retry")), "app").status is Status.READY


def test_the_pause_grows_and_ends() -> None:
    """10 s, 20 s, 40 s … up to five minutes, from the settings of the board."""
    many = FLEET + b"max_attempts: 50\n"
    ended = NOW - timedelta(seconds=1)
    pauses = []
    for times in (1, 2, 3, 5, 6, 40):
        found = stands(board(app(*["work failed"] * times, ended=ended), fleet=many), "app")
        assert found.until is not None and not found.claimable(NOW)
        pauses.append((found.until - ended).total_seconds())
        assert stands(board(app(*["work failed"] * times), fleet=many), "app", found.until).status
    assert pauses == [10, 20, 40, 160, 300, 300]


JUDGED = FLEET + b"  validate: {coder: judge}\n"
IN_AN_HOUR = NOW + timedelta(hours=1)


def test_a_task_whose_coder_rests_may_be_taken_elsewhere() -> None:
    """`delayed`, with the runner named: another machine's account may not be used up."""
    found = stands(board(app("work limited", until=IN_AN_HOUR)), "app")
    assert (found.status, found.until, found.rests) == (Status.DELAYED, IN_AN_HOUR, True)
    assert found.role is Role.WORK and found.claimable(NOW)


def test_all_that_rest_are_named_and_the_first_to_come_back_is_waited_for() -> None:
    """Of a list every coder is told with its reason."""
    log = logged("app", "work limited", until=IN_AN_HOUR, coder="one")
    more = logged("b", "work limited", until=IN_AN_HOUR - timedelta(minutes=5), coder="two")
    found = stands(board(tasks("app", coders=("one", "two")), log, tasks("b"), more), "app")
    assert found.until == IN_AN_HOUR - timedelta(minutes=5)
    assert "one is limited" in found.reason and "two is limited" in found.reason


def test_an_answered_task_goes_first_though_its_coder_rests() -> None:
    """That its question was answered is not forgotten meanwhile."""
    log = logged("app", "work asked") | tasks("b") | logged("b", "work limited", until=IN_AN_HOUR)
    found = stands(board(tasks("app"), log, asked("app-1", "That")), "app")
    assert (found.status, found.answered) == (Status.DELAYED, True)


@pytest.mark.parametrize("verdict", ["", "validate accepted"])
def test_a_judge_that_rests_delays_the_proof(verdict: str) -> None:
    """It stays submitted, or accepted, and says why; on another runner it may be judged."""
    made = ["work submitted", *([verdict] if verdict else [])]
    rests = tasks("b") | logged("b", "validate limited", coder="judge", until=IN_AN_HOUR)
    found = stands(board(app(*made), rests, fleet=JUDGED), "app")
    assert found.status is (Status.ACCEPTED if verdict else Status.SUBMITTED)
    assert found.reason.startswith("judge is limited on box until 2026-12-01 13:00:00 UTC")
    assert (found.until, found.rests, found.claimable(NOW)) == (IN_AN_HOUR, True, True)
    over = stands(board(app(*made), rests, fleet=JUDGED), "app", IN_AN_HOUR)
    assert (over.until, over.rests) == (None, False)


def test_a_pause_of_its_own_comes_before_a_rest() -> None:
    """What failed waits out its pause everywhere, whoever rests meanwhile."""
    rests = tasks("b") | logged("b", "validate limited", coder="judge", until=IN_AN_HOUR)
    failed = app("work submitted", "validate failed", coder="judge", **JUST_NOW)
    found = stands(board(failed, rests, fleet=JUDGED), "app")
    assert not found.rests and not found.claimable(NOW)
    assert "validation ended failed" in found.reason
    assert found.until is not None
    over = stands(board(failed, rests, fleet=JUDGED), "app", found.until)
    assert over.rests and over.until == IN_AN_HOUR


def test_a_task_too_large_for_its_context_is_to_be_split() -> None:
    """The third full context waits for a person, with the advice to split it."""
    found = stands(board(app(*["work context-full"] * 3)), "app")
    assert found.reason.endswith("split the task (`gitfleet retry app`)")


def test_a_red_target_is_tried_ever_more_seldom() -> None:
    """The pause of a target that is red by itself grows up to an hour, not up to `retry.max`."""
    found = stands(
        board(app("work submitted", *["validate target-red"] * 20, **JUST_NOW, base="b" * 40)),
        "app",
    )
    assert found.red == "b" * 40
    assert found.until == JUST_NOW["ended"] + timedelta(hours=1)
    assert found.role is Role.VALIDATE and not found.claimable(NOW)


@pytest.mark.parametrize("backoff", ["{initial: 0s, factor: 1, max: 1s}", "{initial: 2s, max: 2s}"])
def test_a_red_target_is_never_tried_at_once(backoff: str) -> None:
    """Nothing has changed: however short the pauses are set, this one lasts ten seconds."""
    fleet = FLEET + f"backoff: {backoff}\n".encode()
    red = app("work submitted", "validate target-red", **JUST_NOW, base="b" * 40)
    assert stands(board(red, fleet=fleet), "app").until == JUST_NOW["ended"] + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("ends", "pause"),
    [
        (("interrupted",), None),
        (("lost",), None),
        (("interrupted", "interrupted"), 10),
        (("lost", "interrupted"), 10),
        (("interrupted", "lost", "interrupted"), 20),
        (("interrupted", "target-red", "interrupted"), None),
    ],
)
def test_a_validation_that_is_interrupted_again_is_paused(
    ends: tuple[str, ...], pause: int | None
) -> None:
    """The first is taken up again at once. What interrupts the second one too would else use all
    of them up within a second."""
    happened = ("work submitted", *(f"validate {end}" for end in ends))
    found = stands(board(app(*happened, **JUST_NOW)), "app")
    until = JUST_NOW["ended"] + timedelta(seconds=pause) if pause else None
    assert found.until == until
    assert found.claimable(NOW) == (pause is None)


@pytest.mark.parametrize("happened", [("work failed",), ("work submitted", "validate failed")])
def test_a_pause_ends_with_its_last_second(happened: tuple[str, ...]) -> None:
    """The runner wakes at that very second: what could not be claimed then would wait for the
    next time it looks."""
    ended = NOW - timedelta(seconds=10)
    found = board(app(*happened, ended=ended))
    early = stands(found, "app", NOW - timedelta(seconds=1))
    assert early.until == NOW
    assert not early.claimable(NOW - timedelta(seconds=1)) and early.claimable(NOW)
    assert stands(found, "app", NOW).claimable(NOW)


def test_a_note_does_not_end_a_pause() -> None:
    """What a person remarks moves nothing, not even the pause before the next validation."""
    plain = stands(board(app("work submitted", "validate failed", **JUST_NOW)), "app")
    noted = stands(board(app("work submitted", "validate failed", "note hm", **JUST_NOW)), "app")
    assert plain.until is not None
    assert noted == plain


def test_a_delayed_task_is_not_claimable_before_its_dependencies() -> None:
    """`delayed` comes before `waiting`, but nobody may claim what still depends on something."""
    later = tasks("app", not_before=NOW + timedelta(days=1), depends_on=("b",))
    assert stands(board(later, tasks("b")), "app").role is None
    free = tasks("app", not_before=NOW + timedelta(days=1))
    assert stands(board(free), "app").role is Role.WORK


def test_a_moment_is_told_in_utc() -> None:
    """A time written with another zone is shown as what it is in UTC."""
    data = b"---\ntitle: x\nnot_before: 2026-12-02T01:00:00+02:00\n---\n"
    assert "2026-12-01 23:00:00 UTC" in stands(board({"tasks/app.md": data}), "app").reason


def test_cycles_are_found_in_time() -> None:
    """A chain of five thousand tasks with a circle at its end costs no noticeable time."""
    chain: dict[str, bytes] = {}
    for i in range(5000):
        chain |= tasks(f"t{i}", depends_on=(f"t{i + 1}",))
    chain |= tasks("t5000", depends_on=("t4998",))
    found = board(chain)
    started = datetime.now(tz=UTC)
    assert "cycle: t4999 → t5000 → t4998 → t4999" in stands(found, "t4999").reason
    assert stands(found, "t0").reason == "waits for t1"
    assert (datetime.now(tz=UTC) - started).total_seconds() < 5


def test_only_red_targets_in_a_row_make_the_next_pause_longer() -> None:
    """An interruption before says nothing about the target."""
    red = ("work submitted", "validate target-red")
    mixed = ("work submitted", "validate interrupted", "validate target-red")
    once, after = (stands(board(app(*log, **JUST_NOW, base=OID)), "app") for log in (red, mixed))
    assert once.until == after.until


def test_the_first_problem_of_a_file_is_told_and_the_others_are_counted() -> None:
    """One line of a list has no room for all; `gitfleet lint` shows them."""
    data = b"---\ntitle: x\npriority: no\nlabels: 1\nhold: 2\n---\n"
    found = stands(board({"tasks/app.md": data}), "app")
    assert found.status is Status.INVALID and found.reason.endswith(", and 2 more")
    one = stands(board({"tasks/app.md": b"---\ntitle: x\nhold: 2\n---\n"}), "app")
    assert "more" not in one.reason


def test_a_repair_that_is_settled_holds_up_nothing() -> None:
    """Only between a person's `close` and a runner's `closed` is there something to wait for."""
    parts = (app(*REJECTED), tasks("app-fix-1", fixes="app"))
    closing = stands(board(*parts, logged("app-fix-1", "close")), "app")
    assert closing.status is Status.FIXING and "closed by hand" in closing.reason
    settled = stands(board(*parts, logged("app-fix-1", "close", "closed")), "app")
    assert settled.status is Status.READY


@pytest.mark.parametrize(("times", "pause"), [(2, 10), (3, 20), (4, 40)])
def test_work_that_is_interrupted_again_is_paused_as_after_failures(
    times: int, pause: float
) -> None:
    """The first interruption costs nothing; a lasting cause is not met every second."""
    found = stands(board(app(*["work interrupted"] * times, **JUST_NOW)), "app")
    assert found.until == JUST_NOW["ended"] + timedelta(seconds=pause)


# --- anything at all ----------------------------------------------------------------------------

MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(
    [NOW, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["work", "validate", "plan"]),
            st.sampled_from([o.value for o in Outcome]),
            st.sampled_from(["", "app", "b", "c"]),
            MOMENTS,
            st.none() | MOMENTS,
        ),
        st.tuples(
            st.sampled_from(
                [k.value for k in Kind if k not in (Kind.WORK, Kind.VALIDATE, Kind.PLAN)]
            ),
            st.just(""),
            st.just(""),
            MOMENTS,
            st.none(),
        ),
    ),
    max_size=12,
)
TASKS = st.one_of(
    st.none(),
    st.just(b"nonsense"),
    st.builds(
        text,
        depends_on=st.lists(st.sampled_from(["app", "b", "c", "d"]), max_size=3).map(tuple),
        hold=st.booleans(),
        max_attempts=st.none() | st.integers(1, 3),
        not_before=st.none() | MOMENTS,
        fixes=st.none() | st.sampled_from(["app", "b"]),
        coders=st.sampled_from([(), ("shell",), ("other", CoderChoice("shell", "m"))]),
        budget=st.none() | st.just(Budget(usd=1.2)),
    ),
)
BOARDS = st.fixed_dictionaries(
    {task: st.tuples(TASKS, EVENTS, st.booleans()) for task in ("app", "b", "c")}
)


def _tree(drawn: Mapping[str, Any]) -> dict[str, bytes]:
    tree: dict[str, bytes] = {}
    for task, (data, events, claim) in drawn.items():
        if data is not None:
            tree[layout.task_path(task)] = data
        for number, (kind, word, fixer, ended, until) in enumerate(events, 1):
            line = " ".join([kind, word, fixer]).strip()
            name, made = next(
                iter(logged(task, line, ended=ended, started=ended, until=until, usd=0.4).items())
            )
            tree[name.replace("/001-", f"/{number:03d}-")] = made
        if claim:
            tree |= claimed(task)
    return tree


@given(BOARDS, MOMENTS)
def test_every_board_has_a_status_for_every_task(drawn: Mapping[str, Any], now: datetime) -> None:
    """`standing` is total and deterministic, whatever sequence of events lies on the board."""
    tree = _tree(drawn)
    found = board(tree)
    again = board(dict(reversed(tree.items())))
    for task in ("app", "b", "c", "d"):
        where = status_of(found, task, now)
        assert where.reason.strip()
        assert where == status_of(again, task, now)
        assert task not in found.entries or statuses(found, now)[task] == where
        assert where.role is None or where.status in {
            Status.READY, Status.DELAYED, Status.SUBMITTED, Status.ACCEPTED,
        }  # fmt: skip
        assert where.status is not Status.DELAYED or (where.until is not None and where.until > now)


def test_the_kit_writes_what_validates() -> None:
    """The files these tests make are read without a problem, so the tables test what they say."""
    found = board(app(*REJECTED) | asked("app-1") | claimed("app"))
    assert not found.damage and not found.entries["app"].problems
    assert oid(b"") != oid(b"x") and attempt("failed").reason and str(ANN)
