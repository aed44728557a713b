"""`gitfleet show`: the whole story of one task."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.model.event import Check, Tokens
from gitfleet.model.states import Outcome, Role
from tests.cli.acting import gitfleet, refusal
from tests.cli.looking import Lab, on_terminal, task

BODY = "".join(f"Line {n} of the text.\n" for n in range(40))


@pytest.fixture(scope="module")
def made() -> list[Lab]:
    """Keeps what is only looked at; it is made inside a test, in the world of one."""
    return []


@pytest.fixture
def lab(made: list[Lab], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A task of each kind of story; only to look at."""
    if not made:
        made.append(_make(tmp_path_factory.mktemp("shared") / "repo"))
    return made[0]


def _make(path: Path) -> Lab:
    lab = Lab(path)
    lab.commit(
        {
            "tasks/app.md": task("The app", BODY, priority=1, labels=["ui"], checks=["true"]),
            "tasks/after.md": task("After the app", depends_on=["app"]),
            "tasks/asker.md": task("It asks"),
            "tasks/old.md": task("It is old"),
            "tasks/gone.md": task("It goes"),
            "questions/asker-1.md": "---\ntask: asker\nasked: 2026-11-20T15:00:00Z\n---\n"
            "## Question\nWhich of\nthe two?\n",
        }
    )
    _reject(lab)
    claim = lab.claim("asker")
    lab.end("asker", claim, Outcome.ASKED)
    claim = lab.claim("old")
    head = lab.work("old", {"old.txt": "old\n"})
    lab.end("old", claim, Outcome.SUBMITTED, head=head)
    lab.land("old", head)
    lab.archive("old")
    gitfleet("cancel", "gone", cwd=path)
    return lab


def _reject(lab: Lab) -> None:
    """One failed attempt with a wicked reason, one that is rejected by its checks."""
    failed = lab.claim("app")
    lab.end(
        "app", failed, Outcome.LIMITED, reason="boo\x1b[2J\nhoo", tokens=Tokens(700, 77), usd=0.5
    )
    again = lab.claim("app")  # the pause after a limit is over: these attempts lie minutes back
    head = lab.work("app", {"app.txt": "app\n"})
    lab.end("app", again, Outcome.SUBMITTED, head=head)
    judged = lab.claim("app", Role.VALIDATE, head=head)
    tail = "\n".join(f"tail {n}" for n in range(30))
    checks = (
        Check(command="make ok", exit_code=0, seconds=1.5),
        Check(command="make bad", exit_code=2, seconds=0.25, tail=tail),
    )
    lab.end("app", judged, Outcome.FAILED, checks=checks)


def test_a_task_tells_its_story(lab: Lab) -> None:
    """What, why this status, what happened, who waits for it, and what to do next."""
    said = lab.say("show", "app")
    lines = said.splitlines()
    assert lines[0] == "app  The app"
    assert lines[1].startswith("submitted: its validation ended failed")
    assert "  priority        1" in lines and "  labels          ui" in lines
    assert "Waits for it  after (waiting)" in lines
    assert lines[-1].startswith("Next  `gitfleet run`")
    table = lines[lines.index("Attempts") + 2 :][:3]
    assert [row.split()[:4] for row in table] == [
        ["1", "work", "shell", "limited"],
        ["2", "work", "shell", "submitted"],
        ["3", "validate", "-", "failed"],
    ]
    assert table[0].split()[4:6] == ["5s", "777"]
    assert "  ok    make ok, 1.5s" in lines
    assert "  FAIL  make bad, 0.25s (exit status 2)" in lines


def test_long_text_is_shortened_unless_asked_for(lab: Lab) -> None:
    """The first screen shows the story; --full shows every line."""
    short, full = lab.say("show", "app"), lab.say("show", "app", "--full")
    assert "Line 3 of" in short and "Line 39 of" not in short and "--full" in short
    assert "Line 39 of" in full and "more lines" not in full
    assert "tail 29" in short and "tail 0\n" not in short and "tail 0\n" in full


def test_json_tells_it_all_in_the_words_of_the_board(lab: Lab) -> None:
    """The row of `list`, and the events as their files have them."""
    told = lab.json("show", "app")
    (row,) = lab.json("list", "--status", "submitted")
    assert {key: told[key] for key in row} == row
    assert told["body"] == BODY
    assert told["task"]["checks"] == ["true"]
    assert [event["kind"] for event in told["events"]] == ["work", "work", "validate"]
    assert told["events"][0]["tokens"]["input"] == 700
    assert [check["exit_code"] for check in told["checks"]] == [0, 2]
    assert [near["id"] for near in told["waits_for_it"]] == ["after"]


def test_a_dependency_that_never_existed_is_not_called_cancelled(tmp_path: Path) -> None:
    """Its id is misspelt, or its task is not filed yet: nobody cancelled anything."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/lost.md": task("Lost", depends_on=["nowhere"])})
    assert "nowhere (not on the board)" in lab.say("show", "lost")


def test_an_open_question_is_shown_with_the_way_to_answer_it(lab: Lab) -> None:
    """The person who is waited for finds the file to write into."""
    said = lab.say("show", "asker")
    assert "asker-1, open: Which of the two?" in said
    assert "questions/asker-1.md" in said.splitlines()[-1]


def test_finished_and_cancelled_tasks_have_a_story_too(lab: Lab) -> None:
    """Wherever the files lie."""
    old = lab.say("show", "old")
    assert "done: landed on main as" in old and "archived in     done/2026-11/old/" in old
    assert "Landed        main as" in old
    assert "gitfleet diff old" in old
    assert "gitfleet retry gone" in lab.say("show", "gone")
    told = lab.json("show", "old")
    assert told["landed"]["target"] == "main" and told["status"] == "done"


def test_an_unknown_id_is_answered_with_those_that_are_like_it(lab: Lab) -> None:
    """One sentence, and what was probably meant, archived ids included."""
    assert "did you mean after?" in refusal("show", "aftre", cwd=lab.path)
    assert "old" in refusal("show", "ol", cwd=lab.path)
    assert "gitfleet list --all" in refusal("show", "../../x", cwd=lab.path)


def test_a_terminal_gets_nothing_but_colours(lab: Lab) -> None:
    """A coder's reason cannot clear the screen, nor break the table."""
    said = on_terminal(lab.path, "show", "app", columns=80)
    assert "\x1b[2J" not in said and "boo" in said and "boo\n" not in said
    assert "\x1b[1m" in said
