"""How an attempt ended: each rule by an example, and what holds of all evidence there can be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gitfleet.model.event import Tokens
from gitfleet.model.states import COUNTS, HOPELESS, VERDICTS, Counter, Failure, Outcome, Role
from gitfleet.model.verdict import Ruling, Verdict
from gitfleet.plan.liveness import Limit, LimitHit
from gitfleet.plan.outcome import (
    FIRM,
    OF_FAILURE,
    OF_LIMIT,
    RULES,
    AttemptEnd,
    CoderRun,
    Evidence,
    ProcessExit,
    StopRequest,
    WorkFacts,
    decide,
    ended_well,
)

SOON: Final = datetime(2026, 12, 1, 13, 0, tzinfo=UTC)
DONE: Final = CoderRun(exit=ProcessExit(code=0), session="s-1", tokens=Tokens(10, 2))
KILLED: Final = ProcessExit(signal=15, cut_short="a signal ended its supervisor")
WORK: Final = WorkFacts(head="a" * 40, commits=1, paths=("a.txt", "b.txt"))
NOTHING: Final = WorkFacts(head="a" * 40, commits=0, paths=())
GOOD: Final = Evidence(role=Role.WORK, run=DONE, branch="gitfleet/task/one", work=WORK)
PLAN: Final = Evidence(role=Role.PLAN, run=DONE, filed=2)
ACCEPTED: Final = Verdict(verdict=Ruling.ACCEPTED, reason="it is right")
JUDGED: Final = Evidence(role=Role.VALIDATE, run=DONE, verdict=ACCEPTED)
CANCELLED: Final = StopRequest(Outcome.CANCELLED, "the task was cancelled")
LEAVING: Final = StopRequest(Outcome.INTERRUPTED, "its runner was stopped")


def run(**keys: object) -> Evidence:
    """Work whose coder's run was so."""
    return replace(GOOD, run=replace(DONE, **keys))


def work(**keys: object) -> Evidence:
    """Work that would be submitted, but for this."""
    return replace(GOOD, work=replace(WORK, **keys))


def hit(limit: Limit) -> LimitHit:
    return LimitHit(limit, f"its {limit} is over")


def decided_by(evidence: Evidence) -> str:
    """The name of the rule that decides."""
    return next(rule.__name__ for rule in RULES if rule(evidence) is not None)


EXAMPLES: Final = [
    ("tampered", replace(GOOD, tampered=("it moved main", "it changed hooks")), "tampered"),
    ("stopped", run(stop=CANCELLED), "cancelled: the task was cancelled"),
    ("stopped", run(stop=LEAVING, exit=KILLED), "interrupted: its runner was stopped"),
    ("stopped", run(stop=LEAVING, failure=Failure.CRASHED), "interrupted"),
    ("machine_failed", run(exit=None, fault="no memory"), "interrupted: no memory"),
    ("set_up_failed", Evidence(role=Role.WORK, set_up="npm failed"), "failed: npm failed"),
    (
        "service_waits",
        run(limit=hit(Limit.STALL), failure=Failure.LIMITED, said="come later", until=SOON),
        "limited: come later",
    ),
    ("service_waits", run(limit=hit(Limit.TIME), failure=Failure.AUTH, said="no"), "auth-failed"),
    ("limit_reached", run(limit=hit(Limit.BUDGET)), "over-budget: its budget is over"),
    ("limit_reached", run(limit=hit(Limit.CONTEXT)), "context-full"),
    ("limit_reached", run(limit=hit(Limit.TIME), exit=KILLED), "timed-out: its time is over"),
    ("limit_reached", run(limit=hit(Limit.STALL), failure=Failure.CRASHED), "stalled"),
    # Only silence and slowness are explained by a service that makes it wait.
    ("limit_reached", run(limit=hit(Limit.BUDGET), failure=Failure.LIMITED), "over-budget"),
    ("limit_reached", run(limit=hit(Limit.LEASE)), "interrupted: its lease is over"),
    ("end_unseen", run(exit=KILLED), "interrupted: a signal ended its supervisor"),
    ("end_unseen", run(exit=ProcessExit()), "interrupted: its end was not recorded"),
    ("end_unseen", run(exit=KILLED, failure=Failure.CRASHED), "interrupted"),
    ("coder_failed", run(failure=Failure.REFUSED, said="it will not"), "failed: it will not"),
    ("coder_failed", run(failure=Failure.CRASHED), "failed: crashed"),
    ("coder_failed", run(exit=ProcessExit(signal=9), failure=Failure.CRASHED), "failed"),
    ("coder_failed", run(failure=Failure.NO_SESSION, said="not found"), "interrupted: not found"),
    ("coder_failed", run(exit=None, failure=Failure.MISCONFIGURED), "misconfigured"),
    ("never_ran", replace(GOOD, run=CoderRun()), "interrupted: no coder ran"),
    ("left_conflicts", replace(GOOD, unsolved=("a.txt",)), "failed: it left conflict markers"),
    ("lost_branch", replace(GOOD, work=None), "failed: its branch gitfleet/task/one is gone"),
    ("lost_branch", work(on_base=False), "failed: its branch no longer contains"),
    ("changed_nothing", replace(GOOD, work=NOTHING), "empty: it succeeded but changed nothing"),
    (
        "changed_nothing",
        replace(GOOD, work=replace(NOTHING, left_on="mine")),
        "empty: it changed nothing on gitfleet/task/one; it left the workspace on mine",
    ),
    (
        "changed_nothing",
        replace(run(denied=("Bash", "Write")), work=NOTHING),
        "failed: it changed nothing: it may not use Bash, Write",
    ),
    ("out_of_scope", work(outside=("b.txt",)), "out-of-scope: it changed b.txt, which"),
    ("out_of_scope", work(outside=tuple("abcdefg")), "out-of-scope: it changed a, b, c, d, e …"),
    ("work_submitted", GOOD, "submitted: 1 commit, 2 files changed"),
    ("work_submitted", run(denied=("Bash",)), "submitted"),
    ("work_submitted", run(exit=ProcessExit(code=1)), "submitted"),  # it got over an error
    ("planned", PLAN, "submitted: 2 tasks planned"),
    ("planned", replace(PLAN, filed=0), "empty: it succeeded but planned no task"),
    ("ruled", JUDGED, "accepted: it is right"),
    ("ruled", replace(JUDGED, verdict=Verdict(verdict=Ruling.ACCEPTED)), "accepted"),
    (
        "ruled",
        replace(JUDGED, verdict=Verdict(verdict=Ruling.REJECTED, findings=("", "a bug"))),
        "rejected: a bug",
    ),
    ("ruled", replace(JUDGED, verdict=Verdict(verdict=Ruling.REJECTED)), "rejected: it was"),
    (
        "ruled",
        replace(JUDGED, verdict=None, no_verdict="it gave no verdict"),
        "failed: the validator ended, but it gave no verdict",
    ),
]


@pytest.mark.parametrize(("rule", "evidence", "told"), EXAMPLES)
def test_the_first_rule_that_fits_decides(rule: str, evidence: Evidence, told: str) -> None:
    """Each rule by examples: which one decides, the outcome, and the sentence for a person."""
    end = decide(evidence)
    assert decided_by(evidence) == rule
    assert f"{end.outcome}: {end.reason}".startswith(told)


def test_every_rule_has_an_example() -> None:
    """In the order of the table, so that the examples read as it does."""
    assert list(dict.fromkeys(rule for rule, _, _ in EXAMPLES)) == [r.__name__ for r in RULES]


def test_every_failure_and_every_limit_has_an_outcome() -> None:
    """The board knows outcomes alone. A refused key, a limit and a lost session burn no attempt."""
    assert set(OF_FAILURE) == set(Failure) and set(OF_LIMIT) == set(Limit)
    free = {Failure.AUTH, Failure.LIMITED, Failure.OVERLOADED, Failure.NO_SESSION}
    assert not [one for one in free if COUNTS.get(OF_FAILURE[one]) is Counter.ATTEMPTS]


def test_a_limit_of_the_service_is_told_with_its_end() -> None:
    """The coder rests until then; no other end says anything of its account."""
    limited = run(failure=Failure.LIMITED, until=SOON)
    assert decide(limited).until == SOON
    assert decide(replace(limited, run=replace(limited.run, stop=LEAVING))).until is None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_question_is_weaker_than_what_needs_a_person_at_once(outcome: Outcome) -> None:
    """Cancelled, tampered, misconfigured, over budget stay so; all else is half done work."""
    assert (outcome in FIRM) is (outcome in HOPELESS or outcome is Outcome.CANCELLED)


@pytest.mark.parametrize(
    "evidence", [GOOD, PLAN, JUDGED, run(stop=LEAVING), replace(GOOD, work=None)]
)
def test_an_attempt_that_asked_waits_for_the_answer(evidence: Evidence) -> None:
    """Whatever its role, and also where its runner left or its work is not to be seen."""
    asks = replace(evidence, question="it asks: Which?")
    assert decide(asks) == AttemptEnd(
        outcome=Outcome.ASKED, reason="it asks: Which?", session="s-1"
    )


def test_conflict_markers_do_not_hide_that_a_person_cancelled() -> None:
    """Nor does the question that was open then: a person has decided."""
    left = replace(GOOD, unsolved=("a.txt",), question="it asks: Which?")
    assert decide(replace(left, run=replace(DONE, stop=CANCELLED))).outcome is Outcome.CANCELLED


@pytest.mark.parametrize("role", list(Role))
def test_a_session_is_only_resumed_where_that_can_go_well(role: Role) -> None:
    """For every role: not where it is gone, and not where its context was full when it asked."""
    evidence = Evidence(role=role, run=replace(DONE, failure=Failure.NO_SESSION))
    assert decide(evidence) == AttemptEnd(outcome=Outcome.INTERRUPTED, reason="no-session")
    full = Evidence(role=role, run=replace(DONE, limit=hit(Limit.CONTEXT)), question="it asks")
    assert decide(full) == AttemptEnd(outcome=Outcome.ASKED, reason="it asks")


# -- whatever the evidence

_words = st.sampled_from(["", "a word"])
_names = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)
_exits = st.builds(
    ProcessExit,
    code=st.none() | st.sampled_from([0, 1, 137]),
    signal=st.none() | st.just(9),
    cut_short=_words,
)
_runs = st.builds(
    CoderRun,
    exit=st.none() | _exits,
    fault=_words,
    stop=st.sampled_from([None, CANCELLED, LEAVING]),
    limit=st.none() | st.sampled_from(Limit).map(hit),
    failure=st.none() | st.sampled_from(Failure),
    said=_words,
    until=st.sampled_from([None, SOON]),
    denied=_names,
    session=_words,
)
_facts = st.builds(
    WorkFacts,
    head=st.just("a" * 40),
    commits=st.integers(0, 3),
    paths=_names,
    outside=_names,
    on_base=st.booleans(),
    left_on=_words,
)
_verdicts = st.builds(Verdict, verdict=st.sampled_from(Ruling), reason=_words, findings=_names)
# Half of the runs ended well, so that what they did is looked at as often as how they ended.
_evidence = st.builds(
    Evidence,
    role=st.sampled_from(Role),
    run=_runs | st.just(DONE),
    tampered=st.just(()) | _names,
    question=_words,
    set_up=st.just("") | _words,
    branch=st.just("gitfleet/task/one"),
    work=st.none() | _facts,
    unsolved=st.just(()) | _names,
    filed=st.integers(0, 2),
    verdict=st.none() | _verdicts,
    no_verdict=_words,
)
# Evidence has many parts: more examples than usual for every change, too.
whatever = settings(max_examples=max(100, settings().max_examples))


@given(_evidence)
@whatever
def test_all_evidence_has_one_end(evidence: Evidence) -> None:
    """Total and deterministic, with a reason for a person; only a validator gives a verdict."""
    end = decide(evidence)
    assert end.reason and end == decide(evidence)
    assert end.outcome not in VERDICTS or evidence.role is Role.VALIDATE
    assert end.outcome is not Outcome.SUBMITTED or evidence.role is not Role.VALIDATE


@given(_evidence)
@whatever
def test_tampering_wins(evidence: Evidence) -> None:
    """Over all that it did, said and asked, and over who ended it."""
    assert (decide(evidence).outcome is Outcome.TAMPERED) is bool(evidence.tampered)


@given(_evidence, st.sampled_from([CANCELLED, LEAVING]))
@whatever
def test_a_stop_is_never_a_failure(evidence: Evidence, stop: StopRequest) -> None:
    """It ends as the stop says, or waits for an answer; a cancelled one does not even wait."""
    evidence = replace(evidence, tampered=(), run=replace(evidence.run, stop=stop))
    outcome = decide(evidence).outcome
    asked = evidence.question and stop is LEAVING
    assert outcome is (Outcome.ASKED if asked else stop.outcome)


@given(_evidence, st.sampled_from(["fault", "lease", "unseen", "cut short", "nothing ran"]))
@whatever
def test_a_fault_of_the_machine_never_counts_as_a_failed_attempt(
    evidence: Evidence, fault: str
) -> None:
    """Neither our own errors, nor a supervisor that is gone, nor a runner that left it alone."""
    healthy = replace(evidence.run, fault="", limit=None)
    faults = {
        "fault": replace(evidence.run, fault="no memory"),
        "lease": replace(evidence.run, limit=hit(Limit.LEASE)),
        "unseen": replace(healthy, exit=ProcessExit()),
        "cut short": replace(healthy, exit=KILLED),
        "nothing ran": replace(healthy, exit=None, failure=None),
    }
    end = decide(replace(evidence, set_up="", run=faults[fault]))
    assert COUNTS.get(end.outcome) is not Counter.ATTEMPTS


@given(_evidence)
@whatever
def test_nothing_is_submitted_or_accepted_for_how_it_ended_alone(evidence: Evidence) -> None:
    """There must be commits in scope on the branch, or tasks, or a verdict; and a good end."""
    end, facts = decide(evidence), evidence.work
    if end.outcome not in (Outcome.SUBMITTED, Outcome.ACCEPTED):
        return
    assert ended_well(evidence) and evidence.run.exit is not None
    match evidence.role:
        case Role.WORK:
            assert facts is not None and facts.paths and facts.on_base
            assert not (facts.outside or evidence.unsolved)
        case Role.PLAN:
            assert evidence.filed
        case Role.VALIDATE:
            assert evidence.verdict is not None
            assert evidence.verdict.verdict is Ruling.ACCEPTED


@given(_evidence)
@whatever
def test_an_open_question_never_counts(evidence: Evidence) -> None:
    """The attempt is `asked`, unless a person is to look at it at once or has decided."""
    end = decide(replace(evidence, question="it asks: Which?"))
    assert end.outcome is Outcome.ASKED or end.outcome in FIRM
    assert COUNTS.get(end.outcome) is None
