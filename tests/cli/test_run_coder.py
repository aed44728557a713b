"""Which coder and model a task gets: by its file, by `gitfleet run`, by fleet.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.acting import events, gitfleet, refusal
from tests.cli.looking import Lab, on_terminal, task
from tests.conftest import git

SETTINGS = """\
format: 2
target: main
roles:
  work: {coder: one, model: m1}
coders:
  one: {argv: [touch, "{task}-one-{model}"]}
  two: {argv: [touch, "{task}-two-{model}"]}
"""
# What each file names, the coder and model it gets by fleet.yaml, and how `list` shows that.
TASKS: dict[str, tuple[dict[str, Any], tuple[Any, ...], str]] = {
    "none": ({}, ("one", "m1", True, True), "one/m1 (default)"),
    "model": ({"model": "m9"}, ("one", "m9", True, False), "one (default)/m9"),
    "same": ({"coder": "one"}, ("one", "m1", False, True), "one/m1 (default model)"),
    "other": ({"coder": "two"}, ("two", None, False, False), "two"),
    "both": ({"coder": "two", "model": "m8"}, ("two", "m8", False, False), "two/m8"),
    "list": ({"coders": ["two", "one"]}, ("two", None, False, False), "two"),
}
KEYS = ("coder", "model", "coder_default", "model_default")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A board with two described coders; each leaves a file that says who it was."""
    made = Lab(tmp_path / "repo")
    written = {f"tasks/{name}.md": _task(name, keys) for name, (keys, _, _) in TASKS.items()}
    made.commit({"fleet.yaml": SETTINGS, **written})
    return made


def _task(title: str, keys: dict[str, Any]) -> str:
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())
    return f"---\ntitle: {title}\n{lines}---\nDo it.\n"


def _landed(lab: Lab) -> set[str]:
    return set(git("ls-tree", "--name-only", "main", cwd=lab.path).split()) - {"README"}


def test_a_run_has_a_default_of_its_own(lab: Lab) -> None:
    """It comes after the task's own words and before fleet.yaml, and is on the board as it was."""
    said = lab.say("run", "--until-idle", "--coder", "two", "--model", "m2")
    assert "coder=two model=m2" in said.splitlines()[0]
    assert _landed(lab) == {
        *("none-two-m2", "model-two-m9", "same-one-m1", "other-two-m2", "both-two-m8"),
        "list-two-m2",
    }
    (event,) = events(lab.path, "none", "work")
    assert (event["coder"], event["model"]) == ("two", "m2")


@pytest.mark.slow
def test_a_model_alone_is_for_the_coder_that_is_the_default(lab: Lab) -> None:
    """A model never goes to a coder that it was not named for."""
    lab.say("run", "--until-idle", "--model", "m3")
    assert _landed(lab) == {
        *("none-one-m3", "model-one-m9", "same-one-m3", "other-two-", "both-two-m8", "list-two-"),
    }


@pytest.mark.slow
def test_the_next_run_has_the_default_of_the_board_again(lab: Lab) -> None:
    """What one process was told changes nothing for another, and no file."""
    before = git("rev-parse", "fleet:fleet.yaml", cwd=lab.path)
    lab.say("run", "--once", "none", "--coder", "two")
    lab.say("run", "--once", "model")
    assert {"none-two-", "model-one-m9"} == _landed(lab)
    assert git("rev-parse", "fleet:fleet.yaml", cwd=lab.path) == before


def test_a_default_that_cannot_be_is_refused_at_once(lab: Lab) -> None:
    """An unknown coder, a model without a coder, a model that is no word."""
    assert "no coder is called cluade" in refusal("run", "--coder", "cluade", cwd=lab.path)
    done = gitfleet("run", "--coder", "one", "--model", "--yolo", cwd=lab.path, code=2)
    assert "--model takes one word" in done.stderr
    lab.commit({"fleet.yaml": "format: 2\ntarget: main\n"})
    said = refusal("run", "--model", "m", cwd=lab.path)
    assert "--model needs a coder" in said
    assert "--coder NAME" in said


@pytest.mark.parametrize("name", TASKS)
def test_list_and_show_say_who_will_do_it(lab: Lab, name: str) -> None:
    """And mark what is inherited; programs get the same."""
    _, expected, shown = TASKS[name]
    (row,) = [row for row in lab.json("list") if row["id"] == name]
    assert tuple(row[key] for key in KEYS) == expected
    story = lab.json("show", name)
    assert tuple(story[key] for key in KEYS) == expected
    (line,) = [line for line in lab.say("list").splitlines() if line.split()[1] == name]
    assert f"  {shown}  " in line
    told = dict(line.split(maxsplit=1) for line in lab.say("show", name).splitlines()[2:5] if line)
    coder, model, coder_default, model_default = expected
    if coder_default:
        assert told["coder"] == f"{coder} (default)"
    if model_default:
        assert told["model"] == f"{model} (default)"
    elif model:
        assert told["model"] == model


def test_while_it_runs_they_say_who_does_it(lab: Lab) -> None:
    """What a runner took instead of the default is what counts then."""
    lab.claim("none", coder="two", model="m2")
    row = next(row for row in lab.json("list") if row["id"] == "none")
    assert tuple(row[key] for key in KEYS) == ("two", "m2", False, False)
    assert "coder           two (running)" in lab.say("show", "none")


def test_what_is_finished_gets_no_coder(lab: Lab) -> None:
    """Nobody will do it."""
    lab.say("cancel", "none")
    row = next(row for row in lab.json("list", "--all") if row["id"] == "none")
    assert tuple(row[key] for key in KEYS) == (None, None, False, False)


def test_on_a_narrow_terminal_the_ids_stay_whole(lab: Lab) -> None:
    """80 columns hold a list with coders."""
    lab.commit({"tasks/a-task-with-a-long-name.md": task("A long title that says what to do")})
    said = on_terminal(lab.path, "list", env={"NO_COLOR": "1"})
    assert all(len(line) <= 80 for line in said.splitlines())
    for name in (*TASKS, "a-task-with-a-long-name"):
        assert f" {name} " in said
