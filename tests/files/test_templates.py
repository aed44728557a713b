"""Prompts as templates: places from a fixed list, and every mistake told with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.attempt import prompt
from gitfleet.files import boards, templates
from gitfleet.files.boards import File
from gitfleet.files.templates import SECTIONS, VARIABLES, Template
from gitfleet.model.board import Problem
from gitfleet.model.states import Role


def read(text: str, role: Role = Role.WORK) -> Template:
    found, problems = templates.read_prompt(text.encode(), f"prompts/{role}.md", role)
    assert found is not None, problems
    return found


def problems_of(text: str | bytes, role: Role = Role.WORK) -> tuple[Problem, ...]:
    data = text.encode() if isinstance(text, str) else text
    found, problems = templates.read_prompt(data, f"prompts/{role}.md", role)
    assert (found is None) == bool(problems)
    return problems


def test_places_are_filled_in_and_all_else_stays() -> None:
    """Blanks inside the braces do not matter; single braces and closing ones are text."""
    text = "On {{branch}} do {{ id }}: {x} }} ${y} {{branch}}\n\n{{task}}\n"
    values = {"branch": "b", "id": "fix", "task": "T"}
    assert read(text).filled(values) == "On b do fix: {x} }} ${y} b\n\nT\n"


def test_two_braces_can_be_meant() -> None:
    """A project that is itself about templates can say so."""
    assert read("Use \\{{name}} here.\n").filled({"task": ""}) == "Use {{name}} here.\n"


@given(st.text(), st.text())
def test_what_is_filled_in_is_not_read_again(body: str, answers: str) -> None:
    """A task's text, or an answer, that holds a place stays as it is: nothing is expanded twice."""
    body, answers = f"x{body}{{{{before}}}}y", f"x{answers}{{{{task}}}}y"
    filled = read("{{task}}|{{answers}}").filled({"task": body, "answers": answers, "before": "?"})
    assert filled == f"{body}|{answers}\n\n?\n"


def test_a_section_without_a_place_stands_at_the_end() -> None:
    """Who writes a prompt of their own loses neither the task nor an answer by it."""
    values = {name: name.upper() for name in VARIABLES[Role.WORK]}
    told = read("Be kind.\n\n{{notes}}\n").filled(values)
    assert told == "Be kind.\n\nNOTES\n\nTASK\n\nSTART\n\nANSWERS\n\nBEFORE\n"


def test_an_empty_section_leaves_no_hole() -> None:
    """And the empty lines inside of another one stay, since they may be output."""
    told = read("A\n\n{{answers}}\n\n{{notes}}\n\n{{before}}\n\nB\n")
    assert told.filled({"before": "x\n\n\n\ny"}) == "A\n\nx\n\n\n\ny\n\nB\n"
    assert told.filled({}) == "A\n\nB\n"


@pytest.mark.parametrize(
    ("text", "where", "what", "remedy"),
    [
        ("a\nb {{tsk}}\n", (2, 3), "no variable {{tsk}}", "write {{task}}, or \\{{"),
        ("{{checks}}\n", (1, 1), "no variable {{checks}}", "write one of id, title,"),
        ("é {{ Task }}\n", (1, 3), "no variable {{Task}}", "write {{task}}"),
        ("x {{task\n}}\n", (1, 3), "{{ does not start a variable here", "on one line"),
        ("{{}}\n", (1, 1), "{{ does not start a variable here", "write {{name}}"),
        ("{{{task}}}\n", (1, 1), "{{ does not start a variable here", "\\{{ for the two"),
        ("{{% if x %}}\n", (1, 1), "{{ does not start a variable here", "\\{{ for the two"),
        ("{{task.title}}\n", (1, 1), "{{ does not start a variable here", "write {{name}}"),
        (" \n\n", (1, 1), "the prompt is empty", "remove the file"),
    ],
)
def test_a_mistake_is_told_with_line_column_and_remedy(
    text: str, where: tuple[int, int], what: str, remedy: str
) -> None:
    """A misspelt variable never reaches a coder as if it were text."""
    (problem, *more) = problems_of(text)
    assert (problem.line, problem.column) == where and not more
    assert what in problem.what and remedy in problem.remedy
    assert problem.path == "prompts/work.md"


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    """Not one at a time, each after the last was mended."""
    found = problems_of("{{a}} {{task}}\n{{b}} {{\n")
    assert [(p.line, p.column) for p in found] == [(1, 1), (2, 1), (2, 7)]
    assert "not UTF-8" in problems_of(b"\xff{{task}}")[0].what


@pytest.mark.parametrize("role", Role)
def test_the_prompts_that_ship_are_valid_and_place_every_section(role: Role) -> None:
    """So that what they show is what a person who copies one begins with."""
    named = prompt.shipped(role).names
    assert named >= {name for name in SECTIONS if name in VARIABLES[role]}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_template_or_problems(data: bytes) -> None:
    """A prompt comes from anyone who can push."""
    found, problems = templates.read_prompt(data, "prompts/work.md", Role.WORK)
    assert (found is None) == bool(problems)
    if found is not None:
        found.filled({})


def test_a_broken_prompt_is_damage_and_the_others_stay_in_force() -> None:
    """The board tells it, and reads as if the file were not there; mended, it is in force."""
    good, bad = File("1" * 40, b"{{task}}"), File("2" * 40, b"{{tsk}}")
    board = boards.read({"prompts/work.md": bad, "prompts/validate.md": good})
    assert dict(board.prompts) == {"validate": "1" * 40}
    (problem,) = board.damage["prompts/work.md"]
    assert "until then gitfleet's own prompt is used" in problem.remedy
    board = boards.update(board, {"prompts/work.md": good})
    assert set(board.prompts) == {"work", "validate"} and not board.damage
    board = boards.update(board, {"prompts/work.md": File("3" * 40, trouble="a link")})
    assert set(board.prompts) == {"validate"} and "prompts/work.md" in board.damage
    board = boards.update(board, {"prompts/work.md": None, "prompts/wrok.md": bad})
    assert set(board.prompts) == {"validate"} and not board.damage
