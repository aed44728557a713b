"""`gitfleet prompts`, and what lint and the pre-commit hook say of a prompt."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitfleet.attempt import prompt
from gitfleet.files.templates import VARIABLES
from gitfleet.model.states import Role
from tests.cli.acting import gitfleet
from tests.cli.looking import Lab

DOCS = Path(__file__).resolve().parents[2] / "docs" / "prompts.md"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A board without a prompt."""
    return Lab(tmp_path / "repo")


def test_the_prompt_in_force_is_shown_and_can_be_copied(lab: Lab) -> None:
    """Without a file of the board's it is gitfleet's own, which is always to be had."""
    usual = prompt.shipped_text(Role.WORK)
    assert lab.say("prompts", "show", "work") == usual
    lab.commit({"prompts/work.md": usual + "\nBe kind to {{coder}}.\n"})
    assert lab.say("prompts", "show", "work").endswith("\nBe kind to {{coder}}.\n")
    assert lab.say("prompts", "show", "work", "--default") == usual
    assert lab.say("lint").startswith("2 files: no problems")


def test_a_broken_prompt_is_not_in_force_and_that_is_said(lab: Lab) -> None:
    """On standard error, so that a copy of what is shown is a good one."""
    lab.commit({"prompts/validate.md": "{{diff}}\n"})
    done = gitfleet("prompts", "show", "validate", cwd=lab.path)
    assert done.stdout == prompt.shipped_text(Role.VALIDATE)
    assert "prompts/validate.md:1:1: there is no variable {{diff}}" in done.stderr


def test_lint_names_file_line_column_and_remedy(lab: Lab) -> None:
    """Of a variable that does not exist; a prompt that nobody is told is a warning."""
    lab.commit({"prompts/work.md": "Do it.\n  {{brunch}}\n", "prompts/wrok.md": "x\n"})
    said = lab.say("lint", code=1)
    assert "prompts/work.md:2:3: there is no variable {{brunch}} in this prompt" in said
    assert "write {{branch}}, or" in said
    assert "prompts/wrok.md:1:1: warning: no attempt has the role 'wrok'" in said
    assert "1 problem, 1 warning" in said


def test_a_commit_with_a_broken_prompt_is_refused(lab: Lab) -> None:
    """Before any attempt could have been told it."""
    window = lab.path / ".fleet"
    (window / "prompts" / "plan.md").write_text("{{branch}}\n")
    subprocess.run(["git", "add", "-A"], cwd=window, check=True)
    done = subprocess.run(
        ["git", "commit", "-m", "x"], cwd=window, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "prompts/plan.md:1:1: there is no variable {{branch}}" in done.stderr


def test_variables_are_listed_and_documented(lab: Lab) -> None:
    """Each with what it holds; and every one stands in docs/prompts.md under its role."""
    assert lab.json("prompts", "variables", "work") == dict(VARIABLES[Role.WORK])
    assert "{{branch}}  " in lab.say("prompts", "variables", "work")
    rows = [row.split("|") for row in DOCS.read_text().splitlines() if row.startswith("| `{{")]
    shown = {row[1].strip().strip("`{}"): (row[2].strip(), row[3].strip()) for row in rows}
    known = {
        name: (what, ", ".join(role for role in Role if name in VARIABLES[role]))
        for role in Role
        for name, what in VARIABLES[role].items()
    }
    assert shown == known


def test_outside_of_a_repository_the_usual_prompts_are_shown(tmp_path: Path) -> None:
    """One may want to read them before there is a board."""
    said = gitfleet("prompts", "show", "plan", "--default", cwd=tmp_path).stdout
    assert said == prompt.shipped_text(Role.PLAN)
