"""`gitfleet list`, as a person sees it and as a program reads it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gitfleet.model.states import Outcome
from gitfleet.plan.coder_choice import NO_CODER
from tests.cli.acting import gitfleet, refusal
from tests.cli.looking import Lab, on_terminal, task
from tests.conftest import git, init

COLOUR = re.compile("\x1b\\[[0-9;]*m")
KEYS = "id title status reason role priority depends_on labels attempts claim questions branch"


@pytest.fixture(scope="module")
def made() -> list[Lab]:
    """Keeps what is only looked at; it is made inside a test, in the world of one."""
    return []


@pytest.fixture
def lab(made: list[Lab], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Three open tasks, one of them running, one cancelled, one archived; only to look at."""
    if not made:
        made.append(_make(tmp_path_factory.mktemp("shared") / "repo"))
    return made[0]


@pytest.fixture
def empty(tmp_path: Path) -> Lab:
    """A board without a task, to be changed."""
    return Lab(tmp_path / "repo")


def _make(path: Path) -> Lab:
    lab = Lab(path)
    lab.commit(
        {
            "tasks/base.md": task("The base", labels=["core"], priority=1),
            "tasks/next.md": task("What comes next", depends_on=["base"], labels=["ui", "core"]),
            "tasks/run.md": task("It runs"),
            "tasks/old.md": task("It is old", labels=["core"]),
            "tasks/bad.md": "---\ntitel: no\n---\n",
        }
    )
    lab.land("old", _submitted(lab, "old"))
    lab.archive("old")
    lab.claim("run")
    gitfleet("cancel", "next", cwd=lab.path)
    return lab


def _submitted(lab: Lab, name: str) -> str:
    claim = lab.claim(name)
    head = lab.work(name, {f"{name}.txt": "work\n"})
    lab.end(name, claim, Outcome.SUBMITTED, head=head)
    return head


def ids(found: list[dict[str, object]]) -> list[object]:
    return [one["id"] for one in found]


def test_a_list_shows_what_is_unfinished_and_counts_the_rest(lab: Lab) -> None:
    """Whoever asks wants to see what is to be done; what is over is a number below."""
    lines = lab.say("list").splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["invalid", "bad"],
        ["working", "run"],
        ["ready", "base"],
    ]
    assert lines[-1] == "3 tasks: 1 invalid, 1 working, 1 ready; 2 finished (--all)"
    assert len({line.index("p") for line in lines[1:3]}) == 1  # the columns are aligned


def test_a_pipe_gets_no_colours_and_whole_lines(lab: Lab) -> None:
    """What goes into grep is the text, uncut."""
    said = lab.say("list", "--all")
    assert "\x1b" not in said and "…" not in said
    assert "add a line `title: …`" not in said
    assert "What comes next" in said


def test_all_shows_the_finished_wherever_their_files_lie(lab: Lab) -> None:
    """A task does not vanish because a batch moved it."""
    rows = {one["id"]: one for one in lab.json("list", "--all")}
    assert set(rows) == {"bad", "run", "base", "next", "old"}
    assert rows["old"]["status"] == "done" and "landed on main" in rows["old"]["reason"]
    assert rows["old"]["archived"] == "done/2026-11/old"
    assert rows["next"]["status"] == "cancelled"


def test_a_finished_task_with_a_key_that_nobody_knows_keeps_its_title(empty: Lab) -> None:
    """It is final, so nobody could repair it; all that can be read of it is shown."""
    files = {"tasks/a.md": task("The title", priority=1, labels=["core"], warp=9)}
    empty.commit(files)
    gitfleet("close", "a", cwd=empty.path)
    empty.archive("a")
    (row,) = empty.json("list", "--all")
    assert (row["title"], row["priority"], row["labels"]) == ("The title", 1, ["core"])
    assert row["status"] == "done" and "The title" in empty.say("show", "a")


def test_json_has_every_key_for_every_task(lab: Lab) -> None:
    """Programs rely on the words of docs/lifecycle.md."""
    rows = lab.json("list", "--all")
    for one in rows:
        assert set(KEYS.split()) <= set(one)
    run = next(one for one in rows if one["id"] == "run")
    assert run["claim"]["runner"] == "box" and run["branch"] == "gitfleet/task/run"
    assert lab.json("list", "--label", "nobody") == []


def test_filters_add_up(lab: Lab) -> None:
    """Several of one kind mean any of them; the two kinds together mean both."""
    assert ids(lab.json("list", "--status", "ready", "--status", "working")) == ["run", "base"]
    assert ids(lab.json("list", "--label", "core")) == ["base"]
    assert ids(lab.json("list", "--label", "core", "--all")) == ["base", "old", "next"]
    assert ids(lab.json("list", "--status", "done")) == ["old"]  # asked for by name
    assert lab.json("list", "--label", "core", "--status", "working") == []
    assert "No task matches" in lab.say("list", "--label", "nobody")


def test_a_status_that_does_not_exist_is_wrong_usage(lab: Lab) -> None:
    """Exit status 2, and the words there are."""
    said = gitfleet("list", "--status", "nope", cwd=lab.path, code=2).stderr
    assert "'working'" in said


def test_any_past_board_can_be_listed(lab: Lab) -> None:
    """`--at` takes a revision or a commit's id, and shows what was true then."""
    then = git("rev-list", "--reverse", "fleet", cwd=lab.path).split()[2]
    was = {one["id"]: one["status"] for one in lab.json("list", "--at", then)}
    assert was == {
        **dict.fromkeys(("base", "run", "old"), "ready"),
        "next": "waiting",
        "bad": "invalid",
    }
    assert ids(lab.json("list", "--at", "fleet~1")) == ["bad", "run", "base", "next"]


@pytest.mark.parametrize("revision", ["--help", "--exec=touch owned", "nowhere", "", "main", "@{"])
def test_what_is_no_board_is_refused_in_one_sentence(lab: Lab, revision: str) -> None:
    """A revision is never an option of git's, and a commit of the project is no board."""
    said = refusal("list", f"--at={revision}", cwd=lab.path)
    assert "commit" in said
    assert not (lab.path / "owned").exists()


def test_a_terminal_gets_colours_and_lines_that_fit(empty: Lab) -> None:
    """A list that wraps is no list."""
    lab = empty
    lab.commit({"tasks/long.md": task("Title " * 30), "tasks/wide.md": task("漢字" * 40)})
    said = on_terminal(lab.path, "list", columns=60)
    assert COLOUR.search(said)
    lines = COLOUR.sub("", said).splitlines()
    assert max(len(line) + sum("一" <= c <= "鿿" for c in line) for line in lines[:-1]) <= 60
    assert any("…" in line for line in lines)
    assert not COLOUR.search(on_terminal(lab.path, "list", env={"NO_COLOR": "1"}))


def test_no_text_of_others_draws_on_a_terminal(empty: Lab) -> None:
    """Whoever can push a file could else rewrite the screen, or turn text round."""
    lab = empty
    evil = "\\e[2Jboo\\u202e\\x9d0;owned\\a"
    lab.commit(
        {
            "tasks/evil.md": f'---\ntitle: fine\ncoder: shell\nparent: "{evil}"\n---\n',
            "tasks/evil2.md": '---\ntitle: "C1 \\x9b2J \\u202e here"\ncoder: shell\n---\n',
        }
    )
    for args in (("list",), ("list", "--json"), ("show", "evil2"), ("lint",)):
        if args == ("lint",):
            said = gitfleet("lint", cwd=lab.path, code=1).stdout
        else:
            said = COLOUR.sub("", on_terminal(lab.path, *args, columns=200))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said), args


def test_an_empty_board_says_so_and_a_broken_file_is_told(empty: Lab) -> None:
    """The first thing a person sees after `init` is no blank screen; and what shows in no row,
    since it is no task, is not silent."""
    assert empty.say("list") == "No open tasks; `gitfleet add` creates one\n"
    assert empty.json("list") == []
    empty.commit({"fleet.yaml": "format: 2\nconcurency: 2\n"})
    assert "gitfleet lint" in gitfleet("list", cwd=empty.path).stderr


def test_without_a_board_there_is_one_sentence(tmp_path: Path) -> None:
    """Before `init`, the remedy is named."""
    assert "gitfleet init" in refusal("list", cwd=init(tmp_path / "repo", name="bare"))


def test_a_list_starts_without_what_it_does_not_need(empty: Lab) -> None:
    """These take longer to import than all a list does."""
    code = (
        "import sys; from gitfleet.cli.main import cli\n"
        "cli.main(['list'], standalone_mode=False)\n"
        "heavy = {'rich', 'jsonschema', 'watchdog', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    # Only what is wrong is explained by jsonschema, so this board has nothing wrong.
    empty.commit({"tasks/a.md": task("A")})
    subprocess.run([sys.executable, "-c", code], cwd=empty.path, check=True, capture_output=True)


def test_what_no_coder_will_ever_begin_says_so(empty: Lab) -> None:
    """A coder's name that is misspelt in a file is seen where one looks first."""
    empty.commit({"tasks/one.md": "---\ntitle: One\ncoder: shel\n---\n"})
    assert "no coder is called shel; describe it" in gitfleet("list", cwd=empty.path).stdout
    assert "no coder is called shel; describe it" in gitfleet("show", "one", cwd=empty.path).stdout
    assert empty.json("list")[0]["reason"].startswith("no coder is called shel; describe it")


def test_a_task_without_any_coder_says_what_it_lacks(empty: Lab) -> None:
    """It would stay `ready` for ever; the reason and the next step are where one looks first."""
    empty.commit({"tasks/one.md": "---\ntitle: One\n---\n"})
    said = gitfleet("show", "one", cwd=empty.path).stdout
    assert f"ready: {NO_CODER}" in said and "Next  Name a coder: " in said
    assert NO_CODER in gitfleet("list", cwd=empty.path).stdout
    assert [row["reason"] for row in empty.json("list")] == [NO_CODER]
