"""Bytes to model and back, and what is said about bytes that are no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitfleet.errors import FleetError
from gitfleet.files import codec, edit_key, layout, schemas, yaml
from gitfleet.files.layout import FileKind
from gitfleet.model.board import Problem
from gitfleet.model.claim import Claim
from gitfleet.model.config import Settings
from gitfleet.model.event import CONTENT_OF, Attempt, Check, Decision, Event
from gitfleet.model.question import Question
from gitfleet.model.states import Kind, Outcome
from gitfleet.model.task import Task
from tests.files import strategies as some
from tests.plan.kit import NOW, attempt, text

SCHEMAS = Path(__file__).parents[2] / "schemas"


def task_of(front: str, body: str = "") -> tuple[Task | None, tuple[Problem, ...]]:
    return codec.read_task(f"---\n{front}\n---\n{body}".encode(), "tasks/app.md")


# --- round trips --------------------------------------------------------------------------------


@given(some.tasks)
def test_a_task_comes_back(task: Task) -> None:
    """What gitfleet writes as a task it reads as the same task, whatever the words in it."""
    assert codec.read_task(codec.write_task(task), "tasks/app.md") == (task, ())


@given(some.claims)
def test_a_claim_comes_back(claim: Claim) -> None:
    """A claim is read as it was written."""
    assert codec.read_claim(codec.write(claim), "claims/app.yaml") == (claim, ())


@given(some.events)
def test_an_event_comes_back(event: Event) -> None:
    """An event is read as it was written, its name and its content."""
    path = layout.event_path(event.task, event.name)
    found = codec.read_event(codec.write(event.content), path, event.task, event.name)
    assert found == (event, ())


def test_an_event_of_format_1_is_what_it_is_called_now_and_keeps_its_name() -> None:
    """`release` was the word for `unhold`. Such files stay where they are, and go to done/ so."""
    name = "002-release-abcd.yaml"
    data = codec.write(Decision(at=NOW, by="Ann"))
    event, problems = codec.read_event(data, f"log/a/{name}", "a", name)
    assert problems == () and event is not None
    assert event.kind is Kind.UNHOLD and event.name == name
    assert layout.place(f"log/a/{name}").what is FileKind.EVENT
    assert not layout.of_runner(f"log/a/{name}")


@given(some.questions)
def test_a_question_comes_back(question: Question) -> None:
    """A question and its answer are read as they were written."""
    named = msgspec.structs.replace(question, name=f"{question.task}-1")
    path = layout.question_path(named.name)
    assert codec.read_question(codec.write_question(named), path) == (named, ())


@given(some.fleets)
def test_settings_come_back(fleet: Settings) -> None:
    """fleet.yaml is read as it was written."""
    assert codec.read_settings(codec.write(fleet)) == (fleet, ())


def test_what_no_file_can_hold_is_left_out() -> None:
    """Half a character or NaN dollars, as coders report them, do not make an event unreadable."""
    odd = attempt(Outcome.FAILED, usd=float("nan"))
    odd = msgspec.structs.replace(
        odd,
        reason="half \ud83d",
        checks=(Check(command="\udcff", exit_code=1, seconds=float("inf")),),
    )
    found, problems = codec.read_event(
        codec.write(odd), "log/a/001-work-abcd.yaml", "a", "001-work-abcd.yaml"
    )
    assert problems == () and found is not None
    assert isinstance(found.content, Attempt)
    assert found.content.reason == "half ?" and found.content.usd == 0


@pytest.mark.parametrize("usd", [0.0012345678901234567, 8.1e-05, 5e-324, 1.7e308, 0.1 + 0.2])
def test_any_cost_is_read_as_it_was_written(usd: float) -> None:
    """A float of any length: an event that could not be read again would not end its attempt."""
    costly = attempt(Outcome.FAILED, usd=usd)
    name = "001-work-abcd.yaml"
    found, problems = codec.read_event(codec.write(costly), f"log/a/{name}", "a", name)
    assert problems == () and found is not None and found.content == costly


def test_a_question_that_looks_answered_is_refused() -> None:
    """A question whose own text has the line `## Answer` would answer itself."""
    question = Question(task="app", asked=attempt("failed").ended, text="So?\n## Answer\nYes.")
    with pytest.raises(FleetError, match="## Answer"):
        codec.write_question(question)


@pytest.mark.parametrize(
    ("body", "question", "answer"),
    [
        ("## Question\nWhy?\n", "Why?", ""),
        ("Why?", "Why?", ""),
        ("## Question\nWhy?\n## Answer\n", "Why?", ""),
        ("## Question\nWhy?\n## Answer\n<!-- write here -->\n\n", "Why?", ""),
        ("## Question\nWhy?\n## Answer\n<!-- write here -->\nSo.\n", "Why?", "So."),
        ("## Question\nWhy?\n\n  ## Answer  \n\nSo.\n\nAnd so.\n", "Why?", "So.\n\nAnd so."),
        ("## Question\nA\n## Question\nB\n## Answer\nC", "A\n## Question\nB", "C"),
    ],
)
def test_question_and_answer(body: str, question: str, answer: str) -> None:
    """A hint alone is no answer; below the heading everything is."""
    assert codec.split_answer(body) == (question, answer)


# --- strictness ---------------------------------------------------------------------------------

REFUSED = [
    ("title: &a x", "an anchor", (2, 8)),
    ("title: x\nlabels: [&a x, *a]", "an anchor", (3, 10)),
    ("title: *a", "alias", (2, 8)),
    ("title: !!python/object:os.system x", "a tag", (2, 8)),
    ("title: !!str x", "a tag", (2, 8)),
    ("title: x\ntitle: y", "is here twice", (3, 1)),
    ("title: x\nbudget: {usd: 1, usd: 2}", "is here twice", (3, 18)),
    ("title: x\n? [a]\n: b", "a key that is not a word", (3, 3)),
    ("title: x\x07", "control character (0x07)", (2, 9)),
    ("title: x\nmodel: a\x1bb", "control character (0x1b)", (3, 9)),
    ("title: x\nmodel: a\x90b", "control character (0x90)", (3, 9)),
    ("title: x\nlabels: [a", "not valid YAML", (4, 1)),
    ("title: x\n\tmodel: y", "not valid YAML", (3, 1)),
    ("<<<<<<< ours\ntitle: x\n=======\ntitle: y\n>>>>>>> theirs", "markers of a conflict", (2, 1)),
    ("- a", "not a mapping", (2, 1)),
    ("just words", "not a mapping", (2, 1)),
    ("x-deep: " + "[" * 13 + "]" * 13 + "\ntitle: x", "nested too deeply", (2, 20)),
]


@pytest.mark.parametrize(
    ("front", "what", "mark"), REFUSED, ids=[r[1] + str(i) for i, r in enumerate(REFUSED)]
)
def test_what_yaml_can_and_a_board_does_not(front: str, what: str, mark: tuple[int, int]) -> None:
    """Anchors, aliases, tags, keys given twice, control characters, conflict markers and deep
    nesting are refused at their line and column, with a remedy."""
    task, problems = task_of(front)
    assert task is None
    assert what in problems[0].what
    assert (problems[0].line, problems[0].column) == mark, problems[0]
    assert problems[0].remedy


@pytest.mark.parametrize(
    "front",
    [
        "[" * 10_000,
        "{" * 10_000,
        "- " * 10_000,
        "x: " + "- " * 10_000,
        "? " * 10_000,
        "x: " + "[" * 10_000 + "]" * 10_000,
        "{a: " * 10_000,
        "\n".join(" " * i + "-" for i in range(700)),
        "\n".join(" " * i + "a:" for i in range(600)),
        "\n".join(" " * i + "?" for i in range(700)),
        "-\t" * 10_000,
        "x: &a [a]\ny: [" + "*a," * 10_000 + "]",
    ],
)
def test_no_depth_crashes(front: str) -> None:
    """However deep it is nested, a file is refused with a place, and the interpreter lives."""
    task, problems = task_of(front)
    assert task is None and problems[0].line >= 2


def test_scalars_are_what_the_key_wants() -> None:
    """Names stay names, whatever YAML 1.1 makes of them; numbers are numbers only where wanted."""
    task, problems = task_of(
        "title: no\ndepends_on: [0777, 1_000, null, yes, 12]\nlabels: [12:30, 1e3, true]\n"
        "priority: 1\nhold: false\nbudget: {usd: 2}\nmodel: null\nnot_before: 2026-12-01T09:00:00Z"
    )
    assert problems == () and task is not None
    assert task.title == "no"
    assert task.depends_on == ("0777", "1_000", "null", "yes", "12")
    assert task.labels == ("12:30", "1e3", "true")
    assert (task.priority, task.hold, task.model) == (1, False, None)
    assert task.budget is not None and task.budget.usd == 2.0
    for endless in ("1e999", ".inf", ".nan", "-.inf"):
        assert task_of(f"title: x\nbudget: {{usd: {endless}}}")[0] is None
    quoted, problems = task_of('title: "null"\ndiscovered_from: "null"')
    assert quoted is not None and quoted.discovered_from == "null"


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf---\ntitle: x\n---\nbody\n",
        b"---\r\ntitle: x\r\n---\r\nbody\r\n",
        b"---\rtitle: x\r---\rbody\r",
        b"--- \ntitle: x\n---\t\nbody\n",
    ],
)
def test_editors_are_forgiven(data: bytes) -> None:
    """A byte order mark, CRLF, and blanks behind a fence are no mistakes."""
    task, problems = codec.read_task(data, "tasks/app.md")
    assert problems == () and task is not None
    assert (task.title, task.body) == ("x", "body\n")


PROBLEMS = [
    ("titel: x", (2, 1), "unknown key 'titel'", "did you mean 'title'?"),
    ("title: x\npriorty: 1", (3, 1), "unknown key 'priorty'", "did you mean 'priority'?"),
    ("title: x\n  \nzzzz:\n  - 1", (4, 1), "unknown key 'zzzz'", "start its name with x-"),
    ("title: x\nbudget: {eur: 3}", (3, 10), "unknown key 'eur'", ""),
    ("title: x\nbudget:\n  usd: 1\n  x-eur: 3", (5, 3), "unknown key 'x-eur'", ""),
    ("title: x\nbody: y", (3, 1), "unknown key 'body'", ""),
    ("model: y", (2, 1), "'title' is missing", "add a line `title: …`"),
    ("title:", (2, 1), "title must be text", "it is empty"),
    ("title: x\npriority: 9", (3, 11), "priority: 9 is greater than", "0 is most urgent"),
    ("title: x\npriority: high", (3, 11), "priority must be a whole number", 'it is "high"'),
    ("title: x\ndepends_on:\n  - ok\n  - Not Ok", (5, 5), 'depends_on cannot be "Not Ok"',
     "the name of its file without .md"),
    ("title: x\ndepends_on: app", (3, 13), "depends_on must be a list",
     'write `depends_on: ["app"]`'),
    ("title: x\nrole: planning", (3, 7), 'role cannot be "planning"', "did you mean 'plan'?"),
    ("title: x\ntimeout: 45 minutes", (3, 10), 'timeout cannot be "45 minutes"', "45m"),
    ("title: x\nnot_before: tomorrow", (3, 13), 'not_before cannot be "tomorrow"',
     "2026-12-01T09:00:00Z"),
    ("title: x\nnot_before: 2026-12-01T09:00:00", (3, 13), "not_before cannot be", "zone"),
    ("title: x\nhold: yes", (3, 7), "hold must be true or false", 'it is "yes"'),
    ("title: x\nbudget:\n  usd: -1", (4, 8), "budget.usd: -1.0 is less than", "US dollars"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("front", "mark", "what", "remedy"), PROBLEMS, ids=[p[0] for p in PROBLEMS]
)
def test_a_problem_says_where_and_what_to_do(
    front: str, mark: tuple[int, int], what: str, remedy: str
) -> None:
    """Line and column of the value, or of the key where that is wrong; and what would be right."""
    task, problems = task_of(front)
    assert task is None
    assert problems[0].what.startswith(what), problems
    assert remedy in problems[0].remedy
    assert (problems[0].line, problems[0].column) == mark, problems[0]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"# Title\n", "no front matter"),
        (b"---\ntitle: x\n", "no end"),
        (b"---\ntitle: \xff\n---\n", "not UTF-8"),
        (b"---\ntitle: x\n---\n" + b"x" * layout.LARGEST, "larger than 256 KiB"),
    ],
)
def test_what_is_no_task_file_at_all(data: bytes, what: str) -> None:
    """Each way to be no task file has its own sentence and remedy."""
    task, problems = codec.read_task(data, "tasks/app.md")
    assert task is None and what in problems[0].what and problems[0].remedy


def test_the_place_of_bytes_that_are_no_text() -> None:
    """Line and column count characters, a byte order mark is none of them."""
    _, problems = codec.read_task(b"\xef\xbb\xbf---\ntitle: \xc3\xa4\xff\n---\n", "tasks/app.md")
    assert (problems[0].line, problems[0].column) == (2, 9)


def test_not_endlessly_many_problems() -> None:
    """A file full of mistakes is answered in no time, with the first of them."""
    _, problems = task_of("title: x\ndepends_on: [" + ", ".join(["Not OK"] * 20_000) + "]")
    assert 0 < len(problems) <= 20


def test_keys_of_your_own_are_kept() -> None:
    """`x-…` keys may hold anything that is YAML."""
    task, problems = task_of("title: x\nx-mine: {a: [1, no]}\nx-: y")
    assert task is not None and problems == ()


def test_a_newer_format_says_upgrade() -> None:
    """A board of a newer format has one problem, whatever else it holds that is not known yet."""
    _, problems = codec.read_settings(b"format: 99\nwarp: {speed: 9}\n")
    assert [p.remedy for p in problems] == ["upgrade gitfleet"]


# --- former names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what", "column"),
    [
        ("touches: [a]", "`touches` is now `paths`", 1),
        ('"needs": [a]', "`needs` is now `runs_on`", 1),
        ("exclusive: [a]", "`exclusive` is now `locks`", 1),
        ("attempts: 3", "`attempts` is now `max_attempts`", 1),
    ],
)
def test_a_former_key_is_an_error_that_names_the_new_one(line: str, what: str, column: int) -> None:
    """With both ways to put it right, and never taken for a misspelt key."""
    task, problems = task_of(f"title: x\n{line}")
    assert task is None
    remedy = "rename it, or run `gitfleet lint --fix`"
    assert problems == (Problem("tasks/app.md", 3, column, what, remedy),)


def test_former_keys_of_settings_depend_on_their_format() -> None:
    """In format 1 they are the names; since then each is an error, also inside of a mapping."""
    text = "format: {}\nattempts: 7\nretry: {{first: 3s}}\n"
    old, problems = codec.read_settings(text.format(1).encode())
    assert problems == () and old is not None and old.old_format
    assert (old.max_attempts, old.backoff.initial) == (7, "3s")
    new, problems = codec.read_settings(text.format(2).encode())
    assert new is None
    assert [(p.line, p.column, p.what) for p in problems] == [
        (2, 1, "`attempts` is now `max_attempts`"),
        (3, 1, "`retry` is now `backoff`"),
        (3, 9, "`first` is now `initial`"),
    ]
    _, problems = codec.read_settings(b"attempts: 7\n")
    assert {p.what for p in problems} == {
        "'format' is missing",
        "`attempts` is now `max_attempts`",
    }


def test_a_key_under_both_names_is_there_twice() -> None:
    """Nobody is to guess which of the two counts."""
    _, problems = task_of("title: x\ntouches: [a]\npaths: [b]")
    assert [p.what for p in problems] == [
        "the keys 'touches' and 'paths' are both here, and they mean the same"
    ]


def test_a_value_of_a_former_key_is_read_as_that_of_the_new_one() -> None:
    """A label that looks like a truth value or a number is a label in format 1, too."""
    data = b"---\ntitle: x\nneeds: [true, 0777, 12]\nexclusive: [no]\n---\n"
    found = codec.read_task_of_any_format(data, "tasks/app.md").value
    assert found is not None and found.runs_on == ("true", "0777", "12") and found.locks == ("no",)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("nonsense: 1", 1),
        ("priority: high", 1),
        ("coder: a\ncoders: [b]", 1),
        ("budget: {usd: -1}\ndepends_on: [A B]", 2),
        ("touches: [src/]", 0),
    ],
)
def test_a_finished_task_is_read_as_far_as_it_can_be(line: str, wrong: int) -> None:
    """It is final, so nobody can repair it: its title and its good keys are shown."""
    data = f"---\ntitle: The title\nlabels: [x]\n{line}\n---\nText.\n".encode()
    task, problems = codec.read_finished_task(data, "tasks/app.md")
    assert task is not None and task.title == "The title" and task.body == "Text.\n"
    assert len(problems) == wrong
    assert task.labels == (() if "coders" in line else ("x",))


@pytest.mark.parametrize("data", [b"?", b"---\ntitle: [1]\n---\n", b"---\ntitle: [\n---\n"])
def test_a_finished_task_without_a_title_is_none(data: bytes) -> None:
    """There is nothing that could be shown of it but its id."""
    task, problems = codec.read_finished_task(data, "tasks/app.md")
    assert task is None and problems


# --- setting a key ------------------------------------------------------------------------------

FILE = b"""---
# who did this
title:   'Quoted'   # a comment
hold: true  # until Bob is back
depends_on:
  - a

  # and this
  - b
x-mine:  {a:   1}
labels:
- one
- two
# the end
---
Body, with hold: true in it.\t
"""


def test_a_key_goes_and_nothing_else() -> None:
    """The line of the key goes; comments, blanks, quotes and order stay byte for byte."""
    assert edit_key.set_key(FILE, "hold", None) == FILE.replace(
        b"hold: true  # until Bob is back\n", b""
    )


def test_a_value_of_several_lines_goes_whole() -> None:
    """A list goes with all its items, with what stands between them, and no further."""
    before, _, rest = FILE.partition(b"depends_on:\n")
    assert edit_key.set_key(FILE, "depends_on", None) == before + rest[rest.index(b"x-mine") :]
    assert edit_key.set_key(FILE, "labels", "[]") == FILE.replace(
        b"labels:\n- one\n- two\n", b"labels: []\n"
    )


def test_a_key_is_added_at_the_end() -> None:
    """A new key comes before the closing fence, with the line ends of the file."""
    assert edit_key.set_key(FILE, "priority", "0") == FILE.replace(
        b"\n---\nBody", b"\npriority: 0\n---\nBody"
    )
    crlf = FILE.replace(b"\n", b"\r\n")
    assert edit_key.set_key(crlf, "priority", "0") == crlf.replace(
        b"\r\n---\r\nBody", b"\r\npriority: 0\r\n---\r\nBody"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"---\n{title: x, hold: true}\n---\n",
        b"no front matter",
        b"---\ntitle: x\nhold: true\n",
        b"---\n? hold\n: true\ntitle: x\n---\n",
    ],
)
def test_a_file_written_otherwise_is_left_alone(data: bytes) -> None:
    """Where a line cannot be changed by itself a person is asked to; nothing is broken."""
    with pytest.raises(FleetError, match="automatically"):
        edit_key.set_key(data, "hold", None)


@given(some.tasks, st.sampled_from(["hold", "priority", "discovered_from", "depends_on"]))
@example(Task(title="a\u2028hold: true"), "hold")
def test_any_key_of_any_task_can_be_set(task: Task, key: str) -> None:
    """After removing a key and setting it again the file says the same as before, but for it."""
    data = codec.write_task(task)
    bare = edit_key.set_key(data, key, None)
    found, problems = codec.read_task(bare, "tasks/app.md")
    default = getattr(Task(title="x"), key)
    assert problems == () and found == msgspec.structs.replace(task, **{key: default})
    again = edit_key.set_key(bare, "discovered_from", edit_key.scalar("null"))
    named, _ = codec.read_task(again, "tasks/app.md")
    assert named is not None and named.discovered_from == "null"


# --- schemas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(schemas.SCHEMAS))
def test_the_shipped_schemas_are_the_generated_ones(name: str) -> None:
    """`schemas/*.json` say what the model says."""
    made = json.loads(json.dumps(schemas.schema_of(schemas.SCHEMAS[name])))
    shipped = json.loads((SCHEMAS / f"{name}.json").read_text())
    assert shipped == made, "out of date; run: python -m gitfleet.files.schemas schemas"


def test_no_schema_is_left_over() -> None:
    """Each file in `schemas/` belongs to a type."""
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(schemas.SCHEMAS)


def agree(data: bytes, kind: type) -> bool:
    """Whether the codec and jsonschema say the same of a YAML text; True if both accept it."""
    value, problems = codec.read_yaml(data.decode(), kind, "x")
    try:
        document = yaml.load(data.decode(), kind)
    except yaml.YamlError:
        assert value is None
        return False
    accepted: bool = schemas.validator(kind).is_valid(document.data)
    assert accepted == (value is not None), (data, problems)
    if value is None:
        assert problems and all(p.line >= 1 and p.column >= 1 and p.what for p in problems)
    return accepted


def _mutated(value: Mapping[str, Any], key: str, scalar: str) -> bytes:
    rest = {k: v for k, v in value.items() if k != key}
    line = f"{key}: {scalar}\n".encode()
    return (yaml.dump(rest) if rest else b"") + line


VALID: list[tuple[st.SearchStrategy[Any], str]] = [
    (some.tasks, "task"),
    (some.fleets, "fleet"),
    (some.claims, "claim"),
    (some.attempts, "attempt"),
    (some.sayings, "decision"),
    (some.landings, "landed"),
    (some.closings, "closed"),
]


@pytest.mark.parametrize(("values", "name"), VALID, ids=[name for _, name in VALID])
def test_the_codec_accepts_what_the_schema_accepts(
    values: st.SearchStrategy[Any], name: str
) -> None:
    """On valid and on mutated files the codec and the schema editors use are of one mind."""
    kind = schemas.SCHEMAS[name]
    fields = st.sampled_from(sorted({*schemas.fields_of(kind), "x-mine", "X-mine", "titel"}))
    write: Callable[[Any], dict[str, Any]] = codec._plain

    @given(values, fields, some.scalars)
    def check(value: Any, key: str, scalar: str) -> None:
        plain = {k: v for k, v in write(value).items() if k in schemas.fields_of(kind)}
        assert agree(yaml.dump(plain), kind)
        agree(_mutated(plain, key, scalar), kind)

    check()


@pytest.mark.parametrize("name", sorted(schemas.SCHEMAS))
def test_they_agree_on_anything(name: str) -> None:
    """So they are on documents made of keys of all types and values of all sorts."""

    @given(some.documents)
    def check(document: Mapping[str, str]) -> None:
        data = "".join(f"{key}: {value}\n" for key, value in document.items())
        agree(data.encode(), schemas.SCHEMAS[name])

    check()


def test_every_kind_of_event_has_a_schema() -> None:
    """No content of an event is without a type of its own."""
    assert set(CONTENT_OF.values()) <= set(schemas.SCHEMAS.values())
    assert text()


@pytest.mark.parametrize(
    ("line", "what", "remedy"),
    [
        ("roles: {work: claude}", "roles.work must be a mapping", "write `work: {coder: claude}`"),
        ("checks: pytest -q", "checks must be a list", 'write `checks: ["pytest -q"]`'),
        ("roles: claude", "roles must be a mapping", 'it is "claude"'),
    ],
)
def test_one_word_in_place_of_a_mapping_or_a_list(line: str, what: str, remedy: str) -> None:
    """One error, which says how to write it."""
    settings, (problem,) = codec.read_settings(f"format: 2\n{line}\n".encode())
    assert settings is None
    assert problem.what.startswith(what) and problem.remedy == remedy


def test_settings_without_a_format_say_which() -> None:
    """The newest that this gitfleet knows."""
    _, (problem,) = codec.read_settings(b"target: main\n")
    assert problem.remedy == "add a line `format: 2`"
