"""Values of the model, and YAML documents that are almost but not quite theirs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from gitfleet.model.claim import Claim
from gitfleet.model.config import (
    Backoff,
    CoderSettings,
    ContextSettings,
    EventsAs,
    PromptBy,
    Roles,
    RoleSettings,
    Settings,
    Timeouts,
    WorkspaceSettings,
)
from gitfleet.model.event import Attempt, Check, Closed, Content, Decision, Event, Landed, Tokens
from gitfleet.model.ids import is_id
from gitfleet.model.question import Asker, Question
from gitfleet.model.states import ATTEMPT_KINDS, PERSON_KINDS, Kind, Outcome, Role
from gitfleet.model.task import Budget, CoderChoice, Task, TaskRole

# What YAML 1.1 makes something else of, and what other readers stumble over.
TRAPS = ["null", "no", "on", "y", "0777", "1_000", "1e3", "12", "0x1f", "true", "~x"]
NASTY = [*TRAPS, "12:30", "2026-01-01", "~", "=", "<<", "- a", "a: b", "# no", "'", '"', "&a",
         "*a", "!!int 3", "%TAG", "@x", "`", "?", "[", "{", "…", "\u2028", "\x85",
         "\ufeff", "---",
         ]  # fmt: skip

ids = (st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,20}\Z") | st.sampled_from(TRAPS[:6])).filter(is_id)
words = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._/:+@-]{0,20}\Z") | st.sampled_from(TRAPS[:10])
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(NASTY)
lines = (
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60
    )
    | st.sampled_from([word for word in NASTY if word != "\x85"])
)  # fmt: skip
commands = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n"), min_size=1, max_size=60
)
branches = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,20}\Z")
durations = st.builds(lambda n, u: f"{n}{u}", st.integers(0, 999999), st.sampled_from("smhd"))
moments = st.datetimes(datetime(1, 1, 1), timezones=st.just(UTC))
oids = st.from_regex(r"\A[0-9a-f]{40}\Z")
nonces = st.from_regex(r"\A[0-9a-f]{32}\Z")
dollars = st.floats(0, 1e9, allow_nan=False)
bodies = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=80)


def some(strategy: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=most).map(tuple)


def or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


lists_of_coders = st.lists(
    words | st.builds(CoderChoice, coder=words, model=or_none(words)), min_size=1, max_size=3
).map(tuple)


def _or_listed(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same with a list of coders in the place of one and its model."""
    return strategy | st.builds(
        lambda value, listed: replace(value, coder=None, model=None, coders=listed),
        strategy,
        lists_of_coders,
    )


one_coder_tasks = st.builds(
    Task,
    title=lines,
    depends_on=some(ids),
    priority=st.integers(0, 4),
    labels=some(words),
    role=st.sampled_from(TaskRole),
    coder=or_none(words),
    model=or_none(words),
    checks=some(commands),
    paths=some(commands),
    base=or_none(branches),
    parent=or_none(ids),
    runs_on=some(words),
    locks=some(words),
    not_before=or_none(moments),
    timeout=or_none(durations),
    max_attempts=or_none(st.integers(1, 100)),
    budget=or_none(
        st.builds(Budget, usd=or_none(st.floats(0.01, 1e6)), tokens=or_none(st.integers(1, 10**12)))
    ),
    hold=st.booleans(),
    fixes=or_none(ids),
    discovered_from=or_none(ids),
    outbox=or_none(st.from_regex(r"\A[0-9a-f]{8,64}\Z")),
    body=bodies,
)
tasks = _or_listed(one_coder_tasks)
claims = st.builds(
    Claim,
    runner=lines,
    nonce=nonces,
    role=st.sampled_from(Role),
    attempt=st.integers(1, 999),
    coder=any_text,
    model=any_text,
    task_blob=oids,
    base=oids,
    head=or_none(oids),
    branch=any_text,
    at=moments,
)
counts = st.integers(0, 10**12)
attempts = st.builds(
    Attempt,
    runner=any_text,
    nonce=nonces,
    attempt=st.integers(1, 999),
    outcome=st.sampled_from(Outcome),
    reason=any_text,
    started=moments,
    ended=moments,
    session=any_text,
    exit_code=or_none(st.integers(-255, 255)),
    signal=or_none(st.integers(1, 64)),
    until=or_none(moments),
    task_blob=or_none(oids),
    head=or_none(oids),
    tokens=st.builds(Tokens, counts, counts, counts, counts),
    usd=dollars,
    checks=some(
        st.builds(
            Check, command=any_text, exit_code=st.integers(-64, 255), seconds=dollars, tail=any_text
        )
    ),
    findings=some(any_text),
    fixed_by=or_none(ids),
)
sayings = st.builds(Decision, at=moments, by=any_text, reason=any_text)
landings = st.builds(
    Landed,
    runner=any_text,
    nonce=nonces,
    at=moments,
    target=any_text,
    merge=oids,
    head=or_none(oids),
)
closings = st.builds(Closed, runner=any_text, at=moments, reason=any_text, by=or_none(ids))


def _event(kinds: frozenset[Kind], content: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        task=ids,
        number=st.integers(1, 10**9),
        kind=st.sampled_from(sorted(kinds)),
        suffix=st.from_regex(r"\A[0-9a-f]{4}\Z"),
        content=content,
    )


events = st.one_of(
    _event(ATTEMPT_KINDS, attempts),
    _event(PERSON_KINDS, sayings),
    _event(frozenset({Kind.LANDED}), landings),
    _event(frozenset({Kind.CLOSED}), closings),
)
contents: st.SearchStrategy[Content] = attempts | sayings | landings | closings
prose = bodies.map(str.strip).filter(
    lambda text: (
        not any(line.strip() in ("## Answer", "## Question") for line in text.splitlines())
        and "<!--" not in text
    )
)
questions = st.builds(
    Question,
    task=ids,
    asked=moments,
    by=st.builds(Asker, any_text, any_text, st.integers(0, 99)),
    options=some(any_text),
    name=st.just(""),
    text=prose,
    answer=prose,
)
coders = st.builds(
    CoderSettings,
    concurrency=or_none(st.integers(0, 1000)),
    argv=some(lines),
    prompt=or_none(st.sampled_from(PromptBy)),
    events=st.sampled_from(EventsAs),
    env=st.dictionaries(any_text, any_text, max_size=2),
)
role_settings = _or_listed(st.builds(RoleSettings, coder=or_none(words), model=or_none(words)))
fleets = st.builds(
    Settings,
    format=st.just(2),
    target=or_none(branches),
    concurrency=st.integers(1, 1000),
    checks=some(commands),
    checks_timeout=durations,
    roles=st.builds(Roles, work=role_settings, validate=or_none(role_settings), plan=role_settings),
    coders=st.dictionaries(words, coders, max_size=2),
    max_attempts=st.integers(1, 100),
    max_fix_rounds=st.integers(0, 100),
    backoff=st.builds(Backoff, initial=durations, factor=st.floats(1, 100), max=durations),
    timeouts=st.builds(Timeouts, silence=durations),
    context=st.builds(ContextSettings, stop=st.integers(1, 100)),
    heartbeat=durations,
    workspace=st.builds(WorkspaceSettings, setup=some(commands), copy=some(lines)),
    sign=st.booleans(),
    remote=or_none(words),
)

# --- anything that looks like a document of the board ------------------------------------------

KEYS = sorted(
    {*Task.__struct_fields__, *Settings.__struct_fields__, *Attempt.__struct_fields__}
    | {"usd", "work", "first", "input", "command", "x-mine", "X-mine", "body", "titel"}
)
scalars = st.one_of(
    st.integers(-2, 10**20).map(str),
    st.floats(allow_nan=False, width=16).map(str),
    st.sampled_from(
        ["", "~", "null", "Null", "true", "False", "yes", "no", "0777", "1_000", "12:30", "+1",
         "-0", "1.", ".5", "1e3", "1e999", ".inf", ".nan", "0x10", '"3"', "'true'", "main", "work",
         "plan", "Work", "45m", "1.5h", "45 m", "rejected", "great", "0" * 40, "a" * 40, "A" * 40,
         "a" * 32,
         "2026-12-01T09:00:00Z", "2026-12-01 09:00:00+02:00", "2026-12-01", "2026-02-30T00:00:00Z",
         "2026-12-01T09:00:00", "fix-login", "con", "Fix_Login", "a" * 65, "x" * 201, '"a\\nb"',
         "[]", "{}", "[a, b]", "[1, [2]]", "{usd: 1}", "{usd: 0}", "{x-a: 1}", "{work: {coder: c}}",
         "{work: {coder: c, coders: [d]}}", "[a, {coder: b}]", "[{model: b}]", "[{coder: c, x: 1}]",
         "{stop: 90}", "{stop: 0}"]
    ),
)  # fmt: skip
documents = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=6)
