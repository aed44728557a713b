"""Questions as decisions: asked once, answered once, found by the name a person says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.question import Asker, Question
from gitfleet.model.states import Role
from gitfleet.plan import questions
from gitfleet.plan.questions import QuestionRequest
from tests.plan.kit import (
    ANN,
    FLEET,
    NOW,
    asked,
    board,
    claimed,
    logged,
    nonce,
    read,
    stands,
    tasks,
)

JWT = QuestionRequest(key="00000001", text="Which?", options=("JWT", "cookie"))


def question(name: str, **keys: Any) -> dict[str, bytes]:
    made = Question(
        **{"task": name.rpartition("-")[0], "asked": NOW, "text": "Which?", "name": name, **keys}
    )
    return {layout.question_path(name): codec.write_question(made)}


def running(*parts: Mapping[str, bytes], attempt: int = 1) -> dict[str, bytes]:
    tree = {layout.SETTINGS: FLEET, **tasks("one"), **claimed("one", attempt=attempt)}
    for part in parts:
        tree.update(part)
    return tree


def ask(found: Board, *wanted: QuestionRequest, nonce_: str = nonce(99)) -> Change | None:
    return questions.ask(found, NOW, task="one", nonce=nonce_, wanted=wanted)


def after(tree: dict[str, bytes], change: Change | None) -> dict[str, bytes]:
    assert change is not None
    made = {**tree, **{path: data for path, data in change.files.items() if data is not None}}
    assert all(data is not None for data in change.files.values())
    return made


# -- asking


def test_questions_get_the_next_numbers_in_one_change() -> None:
    """Those that cannot be read count, so that none is overwritten."""
    tree = running(question("one-2"), {"questions/one-7.md": b"damaged"})
    other = replace(JWT, key="00000002", text="And this?")
    change = ask(read(tree), JWT, other)
    assert change is not None and change.author is None
    assert sorted(change.files) == ["questions/one-8.md", "questions/one-9.md"]
    one, two = read(after(tree, change)).entries["one"].questions[1:]
    assert (one.text, one.options, one.by) == ("Which?", JWT.options, Asker("box", "shell", 1))
    assert two.text == "And this?" and one.open and one.asked == NOW


def test_a_question_arrives_once_whatever_dies() -> None:
    """The same letter again is known by its key, even when it was answered meanwhile."""
    tree = after(running(), ask(read(running()), JWT))
    assert ask(read(tree), JWT) is None
    answered = {**tree, **question("one-1", outbox=JWT.key, answer="JWT", options=JWT.options)}
    assert ask(read(answered), JWT) is None


def test_the_same_words_are_the_same_question_until_the_asker_has_its_answer() -> None:
    """While it is open; and from an attempt to the next, which begins anew. Within one attempt
    "May I go on?" can be meant twice."""
    again = replace(JWT, key="00000002")
    mine = question("one-1", options=JWT.options, by=Asker("box", "shell", 1))
    assert ask(read(running(mine)), again) is None
    answered = question("one-1", options=JWT.options, by=Asker("box", "shell", 1), answer="JWT")
    assert ask(read(running(answered)), again) is not None
    assert ask(read(running(answered, attempt=2)), again) is None
    assert ask(read(running(answered, attempt=2)), replace(again, options=())) is not None


def test_without_its_claim_an_attempt_asks_nothing() -> None:
    """The fence: what an attempt says when it lost its task counts no more."""
    assert ask(read(running()), JWT, nonce_=nonce(1)) is None
    assert ask(board(tasks("one")), JWT) is None


def test_notes_are_written_by_who_holds_the_task() -> None:
    """The same fence."""
    found = read(running())
    change = questions.note(found, task="one", nonce=nonce(99), notes={"plan.md": b"x\n"})
    assert change is not None and change.files == {"notes/one/plan.md": b"x\n"}
    assert questions.note(found, task="one", nonce=nonce(1), notes={"plan.md": b"x\n"}) is None
    assert questions.note(found, task="one", nonce=nonce(99), notes={}) is None


# -- how an attempt ends


def test_an_attempt_waits_for_its_own_open_questions() -> None:
    """Not for those of others; also for one that it asked again; and where it was told to stop."""
    tree = running(
        question("one-1", by=Asker("box", "shell", 1)),
        question("one-2", by=Asker("box", "shell", 2), answer="yes"),
    )
    entry = read(tree).entries["one"]
    none: frozenset[str] = frozenset()
    assert questions.unanswered_reason(entry, 1, none, none) == "it asks: Which?"
    assert questions.unanswered_reason(entry, 3, none, none) == ""
    assert questions.unanswered_reason(entry, 3, frozenset({"one-1"}), none) == "it asks: Which?"
    assert questions.unanswered_reason(entry, 2, none, none) == ""
    assert "one-2 was answered" in questions.unanswered_reason(entry, 2, none, frozenset({"one-2"}))


def test_a_task_goes_on_in_its_turn_when_every_question_has_an_answer() -> None:
    """`asking` while one is open, then ready before all that was never begun."""
    tree = [tasks("one"), logged("one", "work asked")]
    half = board(*tree, asked("one-1", answer="x"), asked("one-2"))
    assert stands(half, "one").status == "asking"
    whole = board(*tree, asked("one-1", answer="x"), asked("one-2", answer="y"))
    where = stands(whole, "one")
    assert (where.status, where.role, where.answered) == ("ready", Role.WORK, True)


# -- answering


def test_what_waits_longest_comes_first_with_all_that_waits_behind() -> None:
    """Of unfinished tasks only: nobody waits for the others."""
    found = board(
        tasks("old", "new", "gone"),
        tasks("next", depends_on=("old",)),
        tasks("last", depends_on=("next",)),
        question("new-1", asked=NOW - timedelta(minutes=1)),
        question("old-1", asked=NOW - timedelta(days=2)),
        question("old-2", answer="yes"),
        question("gone-1"),
        logged("gone", "cancel"),
        claimed("new"),
    )
    old, new = questions.waiting(found, NOW)
    assert (old.name, old.since, old.behind, old.running) == (
        ("old-1", 172800.0, ("last", "next"), False)
    )
    assert (new.name, new.behind, new.running) == ("new-1", (), True)


def test_a_question_is_found_by_its_name_or_by_its_task() -> None:
    """By the task's id only if it is clear which one is meant."""
    found = board(
        tasks("one", "two", "fix", "fix-1", "done"),
        question("one-1", answer="x"),
        question("one-2"),
        question("two-1"),
        question("two-2"),
        question("fix-1"),
        question("fix-1-1"),
        question("done-1", answer="x"),
    )

    def name(said: str) -> str:
        return questions.named(found, said).name

    assert (name("one"), name("one-1"), name("one-2")) == ("one-2", "one-1", "one-2")
    assert name("questions/fix-1.md") == "fix-1" and name("fix-1-1") == "fix-1-1"
    for said, word in (
        ("two", "2 open questions"),
        ("fix-1", "a question of fix and a task"),
        ("done", "is already answered"),
        ("nosuch", "no question"),
        ("../x", "no question"),
    ):
        with pytest.raises(FleetError, match=word):
            questions.named(found, said)


def test_what_is_archived_or_damaged_says_so() -> None:
    """Final is final; a file that cannot be read is mended first."""
    tree = {
        layout.SETTINGS: FLEET,
        "done/2026-11/old/task.md": tasks("old")["tasks/old.md"],
        **tasks("one"),
        "questions/one-1.md": b"damaged",
    }
    for said, word in (("old", "archived"), ("old-1", "archived"), ("one-1", "front matter")):
        with pytest.raises(FleetError, match=word):
            questions.named(read(tree), said)


def answer(tree: dict[str, bytes], text: str, name: str = "one-1") -> Change:
    file = tree[layout.question_path(name)]
    return questions.answer(read(tree), NOW, question=name, file=file, text=text, person=ANN)


def test_an_answer_is_a_persons_commit_and_the_first_one_counts() -> None:
    """The second stands under it, whoever gives it."""
    tree = running(question("one-1"))
    first = answer(tree, "  JWT\r\n")
    assert first.author == ANN and first.tasks == ("one",) and first.subject == "Answer one-1: JWT"
    tree = after(tree, first)
    second = answer(tree, "cookie")
    assert second.subject == "Add to the answer of one-1: cookie"
    found = read(after(tree, second)).entries["one"].questions[0]
    assert found.answer == "JWT"
    assert second.files["questions/one-1.md"].endswith(  # type: ignore[union-attr]
        b"<!-- Ann <ann@example.org> answered later:\ncookie\n-->\n"
    )


@pytest.mark.parametrize("text", ["", " \n", "<!-- later -->", "\x1b\x07"])
def test_what_says_nothing_is_no_answer(text: str) -> None:
    """Nor is a comment, nor what nobody can see."""
    with pytest.raises(FleetError, match="is empty"):
        answer(running(question("one-1")), text)


def test_an_answer_cannot_draw_on_a_terminal_nor_make_another_answer() -> None:
    """It is shown to people and agents; a heading in it is part of it."""
    change = answer(running(question("one-1")), "a\x1b[31mb\n## Answer\nc")
    found = read(after(running(question("one-1")), change)).entries["one"].questions[0]
    assert found.answer == "a[31mb\n## Answer\nc"


def test_options_are_counted_from_one() -> None:
    """And there is no other one."""
    made = Question(task="one", asked=NOW, name="one-1", text="?", options=("a", "b"))
    assert [questions.option(made, number) for number in (1, 2)] == ["a", "b"]
    for number in (0, 3, -1):
        with pytest.raises(FleetError, match="1 to 2"):
            questions.option(made, number)
    with pytest.raises(FleetError, match="write a text"):
        questions.option(replace(made, options=()), 1)


def test_a_question_that_is_not_there_cannot_be_answered() -> None:
    """Nothing is written for a name that somebody mistyped."""
    found = read(running(question("one-1")))
    with pytest.raises(FleetError, match="no question 'one-7'"):
        questions.answer(found, NOW, question="one-7", file=b"", text="yes", person=ANN)


def test_damaged_files_beside_a_tasks_questions_do_not_count_among_them() -> None:
    """Neither another task's question nor an event: the next number is that of its own."""
    damaged = {"questions/two-7.md": b"damaged", "log/one/900-work-abcd.yaml": b"damaged"}
    change = ask(read(running(tasks("two"), damaged)), JWT)
    assert change is not None and list(change.files) == ["questions/one-1.md"]


def test_a_question_of_this_moment_has_not_waited() -> None:
    """Nor has one whose asker's clock runs ahead."""
    found = board(
        tasks("one"),
        question("one-1"),
        question("one-2", asked=NOW + timedelta(hours=1)),
    )
    assert [row.since for row in questions.waiting(found, NOW)] == [0.0, 0.0]
