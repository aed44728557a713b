"""README.md of the board, for people who look at it on a forge."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from gitfleet.files import boards
from gitfleet.files.boards import File
from gitfleet.model.board import Board
from gitfleet.plan import readme_page
from gitfleet.runner.maintenance import PAGE_EVERY, Maintenance
from tests.people.kit import SampleProject, moment, task

NOW = moment("2026-11-20 15:00")
BASE = "a" * 40


def board_of(files: dict[str, str]) -> Board:
    given = {"fleet.yaml": "format: 2\n", **files}
    return boards.read({path: File(BASE, text.encode()) for path, text in given.items()}, "c")


def claim(name: str) -> str:
    return (
        f"runner: box\nnonce: {'c1' * 16}\nrole: work\nattempt: 1\ncoder: shell\n"
        f"task_blob: {BASE}\nbase: {BASE}\nbranch: gitfleet/task/{name}\nat: 2026-11-20T14:00:00Z\n"
    )


LANDED = f"runner: box\nnonce: {'c1' * 16}\nat: 2026-11-20T14:30:00Z\ntarget: main\nmerge: {BASE}\n"


def test_what_waits_for_a_person_comes_first() -> None:
    """Then what runs, what is ready, what waits; then what landed lately, with its commit."""
    drawn = readme_page.draw(
        board_of(
            {
                "tasks/broken.md": "nothing",
                "tasks/running.md": task("Runs"),
                "claims/running.yaml": claim("running"),
                "tasks/ready.md": task("Is ready"),
                "tasks/later.md": task("Waits", depends_on=["ready"]),
                "tasks/over.md": task("Is over"),
                "log/over/001-landed-aaaa.yaml": LANDED,
            }
        ),
        NOW,
    )
    places = [drawn.index(f"\n## {title}\n") for title in re.findall(r"^## (.*)$", drawn, re.M)]
    titles = re.findall(r"^## (.*)$", drawn, re.MULTILINE)
    assert titles == [
        "Needs attention", "Running", "Next", "Later", "Recently landed", "Dependencies",
    ]  # fmt: skip
    assert places == sorted(places)
    assert "| broken | invalid |" in drawn
    assert "| [ready](tasks/ready.md) | ready | Is ready |" in drawn
    assert "| [over](tasks/over.md) | Is over | 2026-11-20 14:30 | aaaaaaaaaa |" in drawn
    assert 't0["ready<br/>ready"]' in drawn and "t0 --> t1" in drawn
    assert "1 working, " in drawn


def test_an_empty_board_has_a_page() -> None:
    """A sentence."""
    assert readme_page.draw(board_of({}), NOW).endswith("There are no tasks yet.\n")


def test_there_are_no_relative_times() -> None:
    """The same board a month later is the same page, back-offs aside: it differs when facts do."""
    files = {
        f"tasks/t{n}.md": task(f"T{n}", depends_on=[f"t{n - 1}"] if n else []) for n in range(9)
    }
    board = board_of({**files, "claims/t0.yaml": claim("t0")})
    assert readme_page.draw(board, NOW) == readme_page.draw(board, NOW + timedelta(days=30))


def test_the_graph_ends_at_sixty_tasks() -> None:
    """More would be unreadable, and forges refuse it; the page says how many are missing."""
    files = {
        f"tasks/t{n}.md": task(f"T{n}", depends_on=[f"t{n - 1}"] if n else []) for n in range(200)
    }
    drawn = readme_page.draw(board_of(files), NOW)
    graph = drawn.split("```mermaid\n")[1].split("```")[0]
    assert len(re.findall(r"^  t\d+\[", graph, re.MULTILINE)) == 60
    assert "140 more tasks are not shown." in drawn
    assert set(re.findall(r"t(\d+) -->", graph)) <= {str(n) for n in range(60)}
    assert len(drawn) < 30_000 and "and 149 more." in drawn
    sixty = {f"tasks/t{n}.md": files[f"tasks/t{n}.md"] for n in range(60)}
    assert "not drawn" not in readme_page.draw(board_of(sixty), NOW)


INJECTIONS = [
    "a | b | c",
    "<script>alert(1)</script> <img src=x onerror=y>",
    "<!-- hidden",
    "-->",
    "![x](http://evil.example/x.png) [click](javascript:alert(1))",
    "`code` ``` **bold** _it_ ~~x~~ # head",
    "www.evil.example https://evil.example mail@evil.example @everyone #1",
    "$\\sqrt{x}$ &lt;b&gt; \\| \\",
    "\u202egnp.exe \u2028 next \u0085 line",
    'x"] --> t9; click t0 "javascript:x"',
]


@pytest.mark.parametrize("words", INJECTIONS)
def test_titles_are_words_and_nothing_else(words: str) -> None:
    """Whatever a title holds: one cell of one row, no tag, link, image, mention, table or graph of
    its own."""
    quiet = readme_page.draw(
        board_of({"tasks/a.md": task("plain"), "tasks/b.md": task("plain")}), NOW
    )
    drawn = readme_page.draw(
        board_of({"tasks/a.md": task(words), "tasks/b.md": task("plain")}), NOW
    )
    assert len(drawn.splitlines()) == len(quiet.splitlines())
    (row,) = [line for line in drawn.splitlines() if line.startswith("| [a]")]
    bare = re.sub(r"\\.", "", row)  # what no backslash guards
    assert bare.count("|") == 5
    cell = bare.split("|")[3]
    assert not re.search(r"[<>\[\]`*_~#$&@!:]|www\.", cell), cell
    assert cell.isprintable() and len(row) < 600


def test_a_name_that_is_no_text_can_be_drawn() -> None:
    """A file name that is not UTF-8 must not stop the page, and with it the runner."""
    drawn = readme_page.draw(board_of({"tasks/\udcff\u202e.md": task(), "tasks/b.md": task()}), NOW)
    assert drawn.encode() and "invalid" in drawn


# -- when it is drawn


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def drawings(project: SampleProject) -> int:
    said = project.git("log", "--format=%s", "fleet")
    return said.split("\n").count("Update the README page")


def test_at_most_every_thirty_seconds_and_only_when_it_differs(project: SampleProject) -> None:
    """Not at once, not twice in half a minute, and never a commit without a difference."""
    clock = Clock()
    maintenance = Maintenance(project.fleet(), clock)
    project.put({"tasks/a.md": task("A")})
    maintenance.round()
    assert drawings(project) == 0
    clock.now += PAGE_EVERY
    maintenance.round()
    assert drawings(project) == 1 and "[a](tasks/a.md)" in project.show("README.md")
    project.put({"tasks/b.md": task("B")})
    clock.now += PAGE_EVERY - 1
    maintenance.round()
    assert drawings(project) == 1
    clock.now += 1
    maintenance.round()
    assert drawings(project) == 2 and "[b](tasks/b.md)" in project.show("README.md")
    project.put({"tasks/b.md": task("B", script="another")})
    for _ in range(100):
        clock.now += PAGE_EVERY
        maintenance.round()
    assert drawings(project) == 2
    assert PAGE_EVERY == 30.0 and project.broken() == []
    project.clean()


def test_a_time_that_has_come_is_drawn_without_a_commit(project: SampleProject) -> None:
    """`not_before` lies ahead, then behind: within some minutes the page says so."""
    today = [datetime(2026, 1, 1, tzinfo=UTC)]
    clock = Clock()
    maintenance = Maintenance(project.fleet(now=lambda: today[0]), clock)
    project.put({"tasks/a.md": task("A", not_before="2026-01-02T00:00:00Z")})
    maintenance.draw()
    assert "## Later" in project.show("README.md")
    today[0] += timedelta(days=2)
    clock.now += 3600
    maintenance.round()
    assert "## Next" in project.show("README.md")


def test_a_persons_own_page_stays(project: SampleProject) -> None:
    """A README.md that gitfleet did not draw is never written over."""
    project.put({"README.md": "# Ours\n", "tasks/a.md": task()})
    maintenance = Maintenance(project.fleet(), Clock())
    before = project.tip()
    maintenance.draw()
    assert project.tip() == before and project.show("README.md") == "# Ours"
    project.put({"README.md": None})
    maintenance.draw()
    assert project.show("README.md").startswith(readme_page.MARK)


def test_the_last_page_of_a_runner_is_drawn(project: SampleProject) -> None:
    """`gitfleet run --until-idle` leaves the board as it looks now."""
    project.put({"tasks/a.md": task("A", "touch made")})
    assert project.start("--until-idle").wait().status == 0
    assert "## Recently landed" in project.show("README.md")
    assert project.broken() == []
    project.clean()
