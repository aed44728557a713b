"""What attempts are really told: the prompt file that a coder of a real runner gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleetlab import Lab, laboratory

# Keeps what it was told, then does what the test has written for this attempt.
_CODER = (
    'cp "$0" "{folder}/$GITFLEET_TASK-$GITFLEET_ATTEMPT.md"; '
    '. "{folder}/$GITFLEET_TASK-$GITFLEET_ATTEMPT.sh"'
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A coder `mind` that works and one that judges, both of them scripts."""
    with laboratory(tmp_path / "lab") as lab:
        argv = ["sh", "-c", _CODER.format(folder=lab.folder), "{prompt_file}"]
        lab.set(coders={"mind": {"argv": argv}}, roles={"work": {"coder": "mind"}})
        yield lab


def does(lab: Lab, *scripts: str, task: str = "one") -> None:
    """What the coder does in its first, second, … attempt on a task."""
    for number, script in enumerate(scripts, 1):
        (lab.folder / f"{task}-{number}.sh").write_text(script)


def told(lab: Lab, number: int = 1, task: str = "one") -> str:
    return (lab.folder / f"{task}-{number}.md").read_text()


def test_a_first_attempt_plans_and_a_second_is_told_what_happened(lab: Lab) -> None:
    """The first has no past and is asked for a plan; the next goes on where that one ended."""
    does(lab, "echo begun > whole; echo 'I am ```stuck```' >&2; exit 1", "echo done >> whole")
    lab.task("one", body="Make it whole.")
    assert lab.run("--until-idle").status == 0
    first, second = told(lab), told(lab, 2)
    assert "Make it whole." in first and "on the branch `gitfleet/task/one`" in first
    assert "merged with `main`" in first
    assert "This is the first attempt." in first and "gitfleet note plan" in first
    assert "What happened before" not in first and "{{" not in first
    assert "This is attempt 2. The work of earlier attempts is on this branch" in second
    assert "Attempt 1, work by mind," in second and ": failed." in second
    assert "````data\nexit status 1: I am ```stuck```\n````" in second


def test_notes_and_answers_of_the_board_are_told(lab: Lab) -> None:
    """What an earlier attempt wrote down, and what a person decided, reaches the next one."""
    does(lab, "echo x > x")
    lab.write_task("one", body="Do it.")
    files = {
        "notes/one/plan.md": "First the parser.\n",
        "questions/one-1.md": "---\ntask: one\nasked: '2026-11-20T10:09:40Z'\n---\n"
        "## Question\nWhich?\n\n## Answer\nThe second.\n",
    }
    for name, text in files.items():
        path = lab.window / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    lab.commit()
    assert lab.run("--until-idle").status == 0
    assert "notes/one/plan.md:\n\n````note\nFirst the parser.\n````" in told(lab)
    assert "````answer\nThe second.\n````" in told(lab)


def test_a_boards_own_prompt_is_in_force_and_loses_nothing(lab: Lab) -> None:
    """Its places are filled in, and the task stands at the end where it has no place for it."""
    does(lab, "echo x > x")
    _own(lab, "work", "Be kind on {{branch}}, attempt {{attempt}} by {{coder}}.\n")
    lab.task("one", body="Do it {{attempt}} times.")
    assert lab.run("--until-idle").status == 0
    assert told(lab).startswith("Be kind on gitfleet/task/one, attempt 1 by mind.\n\n# The task: ")
    assert "Do it {{attempt}} times." in told(lab) and "This is the first attempt." in told(lab)


@pytest.mark.slow
def test_a_broken_prompt_does_not_stop_the_night(lab: Lab) -> None:
    """It is told once, with its place; gitfleet's own is used, and the work lands."""
    does(lab, "exit 1", "echo x > x")
    _own(lab, "work", "Be kind.\nDo {{tsak}}.\n")
    lab.task("one", body="Do it.")
    ran = lab.run("--until-idle")
    assert ran.status == 0
    (damaged,) = ran.lines.of("damaged")
    assert damaged.fields["reason"].startswith("prompts/work.md:2:4: there is no variable {{tsak}}")
    assert "gitfleet's own prompt is used" in damaged.fields["reason"]
    for number in (1, 2):
        assert "Be kind" not in told(lab, number) and "Do it." in told(lab, number)


def test_a_judge_is_told_the_change_its_checks_and_how_to_speak(lab: Lab) -> None:
    """And that the work was done to another text, where the task was changed since."""
    does(lab, "echo x > x", "gitfleet verdict accepted --reason fine")
    lab.set(checks=["test -f x"], roles={"work": {"coder": "mind"}, "validate": {"coder": "mind"}})
    lab.task("one", body="Do it.")
    assert lab.run("--until-idle").status == 0
    judge = told(lab, 2)
    assert "The change is `git diff " in judge and "gitfleet verdict rejected" in judge
    assert "Attempt 1, by mind, handed it in: 1 commit, 1 file changed." in judge
    assert "test -f x" in judge and "exit status 0" in judge and "changed after" not in judge
    assert "Do it." in judge and "first attempt" not in judge


def test_a_repair_is_told_that_the_work_is_there(lab: Lab) -> None:
    """It repairs; it does not begin anew. What was noted on the rejected task is told, too."""
    does(lab, "echo bad > x")
    does(lab, "echo good > x", task="one-fix-1")
    lab.write_task("one", body="Do it.", checks=["grep good x"])
    note = lab.window / "notes" / "one" / "plan.md"
    note.parent.mkdir(parents=True)
    note.write_text("A plan.\n")
    lab.commit()
    assert lab.run("--until-idle").status == 0
    repair = told(lab, task="one-fix-1")
    assert "is already on this branch" in repair
    assert "A plan." in repair and "grep good x" in repair


def _own(lab: Lab, role: str, text: str) -> None:
    path = lab.window / "prompts" / f"{role}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    lab.commit()
