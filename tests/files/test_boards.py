"""A board from its files: at the cost of what changed, and never an error, whatever the bytes."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitfleet.files import boards, layout
from gitfleet.files.boards import File
from gitfleet.model.board import Board
from gitfleet.model.states import Status
from gitfleet.plan.status import status_of, statuses
from tests.lanes import sample
from tests.plan.kit import (
    FLEET,
    NOW,
    asked,
    board,
    claimed,
    files_of,
    logged,
    read,
    stands,
    tasks,
    text,
)

EXAMPLE = Path(__file__).parents[2] / ".fleet-example"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def example() -> dict[str, bytes]:
    return {
        str(path.relative_to(EXAMPLE)): path.read_bytes()
        for path in sorted(EXAMPLE.rglob("*"))
        if path.is_file()
    }


def same(one: Board, other: Board) -> bool:
    parts = ("entries", "archived", "hidden", "damage", "prompts", "settings", "settings_problems")
    return all(getattr(one, part) == getattr(other, part) for part in parts)


def changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> dict[str, File | None]:
    files = files_of(after)
    return {
        path: files.get(path)
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


# --- formats ------------------------------------------------------------------------------------

OLD_FLEET = FLEET.replace(b"format: 2", b"format: 1")
OLD_TASK = b"---\ntitle: Old\ntouches: [src/]\n---\n"


def test_the_format_of_the_board_says_which_keys_a_task_may_have() -> None:
    """And it says so at once of every task, also of those that did not change."""
    tree = {"fleet.yaml": OLD_FLEET, "tasks/old.md": OLD_TASK, **tasks("new", paths=("src/",))}
    old = read(tree)
    for task in (old.entries["old"].task, old.entries["new"].task):
        assert task is not None and task.paths == ("src/",)
    assert old.settings.old_format and stands(old, "old").status is Status.READY
    new = boards.update(old, files_of({"fleet.yaml": FLEET}))
    assert same(new, read({**tree, "fleet.yaml": FLEET}))
    assert stands(new, "old").status is Status.INVALID and stands(new, "new").status is Status.READY
    assert "`touches` is now `paths`" in stands(new, "old").reason
    assert same(boards.update(new, files_of({"fleet.yaml": OLD_FLEET})), old)


def test_settings_that_rule_in_place_of_broken_ones_bring_their_format() -> None:
    """A broken fleet.yaml leaves older settings in force, and with them what a task may say."""
    broken = read({"fleet.yaml": b"?", "tasks/old.md": OLD_TASK})
    assert stands(broken, "old").status is Status.INVALID
    settings = read({"fleet.yaml": OLD_FLEET}).settings
    assert stands(boards.with_settings(broken, settings), "old").status is Status.READY


def test_the_files_of_finished_tasks_are_of_any_format() -> None:
    """Whatever the board is now; of a file with a mistake the title is there."""
    found = boards.read_finished(
        files_of({"tasks/old.md": OLD_TASK, "tasks/bad.md": b"---\ntitle: Bad\nx: 1\n---\n"})
    )
    assert [found.entries[task].title for task in ("old", "bad")] == ["Old", "Bad"]
    assert found.entries["old"].problems == () and len(found.entries["bad"].problems) == 1


# --- the example --------------------------------------------------------------------------------

INTENDED = {
    "plan-offline-mode": Status.SUBMITTED,
    "parse-gpx": Status.FIXING,
    "parse-gpx-fix-1": Status.WORKING,
    "elevation-profile": Status.WAITING,
    "map-tiles": Status.ASKING,
    "share-links": Status.READY,
    "dark-mode": Status.HELD,
    "yearly-report": Status.DELAYED,
    "fix-timezone-3c1e": Status.READY,
    "import-photos": Status.FAILED,
    "old-exporter": Status.CANCELLED,
}


def test_the_example_is_a_valid_board() -> None:
    """The board that ships as an example has no problem, and each task stands where it should."""
    found = read(example())
    assert found.settings_problems == () and dict(found.damage) == {}
    for entry in found.entries.values():
        assert entry.problems == (), entry
    told = {task: where.status for task, where in statuses(found, NOON).items()}
    assert told == INTENDED
    assert dict(found.archived) == {"read-fit-files": "done/2026-10/read-fit-files"}
    assert status_of(found, "read-fit-files", NOON).status is Status.DONE
    assert set(found.prompts) == {"work", "validate", "plan"}
    assert found.entries["share-links"].questions[0].answer
    assert (EXAMPLE / ".gitattributes").read_text() == "* text eol=lf\n"


def test_the_archived_task_of_the_example_can_be_read() -> None:
    """Put back where they came from, the files of a finished task are a task that is done."""
    folder = "done/2026-10/read-fit-files/"
    tree = {
        layout.restored_path("read-fit-files", path.removeprefix(folder)): data
        for path, data in example().items()
        if path.startswith(folder)
    }
    found = board(tree)
    assert dict(found.damage) == {}
    assert stands(found, "read-fit-files").status is Status.DONE
    assert {layout.archived_path(path, folder[:-1]) for path in tree} <= set(example())
    assert found.entries["read-fit-files"].notes and found.entries["read-fit-files"].questions


def test_the_example_says_nothing_of_this_machine() -> None:
    """Nobody's home and no absolute path stands in what ships."""
    for path, data in example().items():
        assert b"/home/" not in data and b"/tmp/" not in data and b"\r" not in data, path


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["claims/app.yaml", "log/app/001-work-abcd.yaml", "questions/app-1.md", "log/app/hello.yaml",
     "log/app/1-note-abcd.yaml", "log/app/0001-note-abcd.yaml", "log/app/001-jump-abcd.yaml"],
)  # fmt: skip
def test_a_damaged_file_is_told_and_stops_nothing_else(path: str) -> None:
    """What runners and agents write and nobody can read is damage, not an error; mended or taken
    away, it is damage no more."""
    tree = {layout.SETTINGS: b"format: 2\n"} | tasks("app", "b")
    found = read(tree)
    bad = boards.update(found, files_of({path: b"<<<<<<<\x00"}))
    assert set(bad.damage) == {path} and bad.damage[path][0].remedy
    assert stands(bad, "b").status is Status.READY
    assert same(boards.update(bad, {path: None}), found)


@pytest.mark.parametrize(
    "name",
    ["1-note-abcd", "0001-note-abcd", "001-jump-abcd", "001-note-xyz", "001-note-abc", "001-note"],
)
def test_an_event_has_one_name_only(name: str) -> None:
    """An event whose file is named in another way than gitfleet would is none, however valid its
    content: else two files could be one event, or its number would change its order."""
    content = b"at: 2026-11-20T12:00:00Z\n"
    good = boards.update(board(tasks("app")), files_of({"log/app/001-note-abcd.yaml": content}))
    assert len(good.entries["app"].events) == 1 and not good.damage
    found = boards.update(good, files_of({f"log/app/{name}.yaml": content}))
    assert set(found.damage) == {f"log/app/{name}.yaml"}
    assert found.entries == good.entries


def test_a_file_that_is_no_file_is_told() -> None:
    """A symbolic link or a file too large to be read is a problem of that file alone."""
    odd = File("0" * 40, trouble="a symbolic link; only plain files are read")
    found = boards.update(
        read(tasks("app", "b")),
        {"tasks/app.md": odd, "claims/b.yaml": odd, "fleet.yaml": odd, "questions/b-1.md": odd},
    )
    assert stands(found, "app").status is Status.INVALID
    assert set(found.damage) == {"claims/b.yaml", "questions/b-1.md"}
    assert found.settings_problems[0].what.startswith("a symbolic link")


def test_broken_settings_leave_the_old_ones_in_force() -> None:
    """Until fleet.yaml validates again the last good one rules, and the problem is shown."""
    good = board(fleet=b"format: 2\nconcurrency: 7\n")
    for data in (b"format: 2\nconcurency: 2\n", b"format: 99\n", b""):
        found = boards.update(good, files_of({"fleet.yaml": data}))
        assert found.settings.concurrency == 7 and found.settings_problems
    gone = boards.update(good, {"fleet.yaml": None})
    assert gone.settings.concurrency == 7 and gone.settings_problems


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Login", "LOGIN", "con", "nul", "com1", "lpt9", "-x", "_x", "a b", "a.b", "ä", "sub/x", "..",
     ".", "", "a" * 65, "x\n", "x\u202e", "prn"],
)  # fmt: skip
def test_a_task_file_with_another_name_is_invalid(name: str) -> None:
    """Such a file is shown with a name it could have, and is never worked on; its twin in small
    letters is another task."""
    found = board({f"tasks/{name}.md": text()}, tasks("login"))
    assert stands(found, name).status is Status.INVALID
    assert stands(found, "login").status is Status.READY
    remedy = found.entries[name].problems[0].remedy
    better = remedy.partition("tasks/")[2].partition(".md")[0]
    assert stands(board({f"tasks/{better}.md": text()}), better).status is Status.READY


@pytest.mark.parametrize(
    "path",
    ["tasks/app.txt", "tasks/.gitkeep", "claims/.gitkeep", "claims/Con.yaml", "claims/con.yaml",
     "log/app/deep/001-work-abcd.yaml", "log/App/001-work-abcd.yaml", "questions/app.md",
     "questions/app-x.md", "notes/app.md", "notes/../x/plan.md", "done/2026/app/task.md",
     "done/2026-11/App/task.md", "fleet.yml", "FLEET.YAML", "tasks", "", "../tasks/app.md",
     "/tasks/app.md", "a/fleet.yaml"],
)  # fmt: skip
def test_any_other_file_is_ignored(path: str) -> None:
    """What is none of ours may lie on the branch; it changes nothing."""
    found = board(tasks("app"))
    assert same(boards.update(found, files_of({path: b"?"})), found)


def test_names_and_places_belong_together() -> None:
    """Every path of a task goes to `done/` and comes back the same."""
    for path in (
        "tasks/a.md", "log/a/001-work-abcd.yaml", "questions/a-12.md", "notes/a/plan.md",
    ):  # fmt: skip
        moved = layout.archived_path(path, "done/2026-11/a")
        there = layout.place(moved)
        assert (there.what, there.task) == (layout.FileKind.ARCHIVED, "a")
        assert layout.restored_path("a", there.name) == path
    with pytest.raises(ValueError, match="finished task"):
        layout.archived_path("claims/a.yaml", "done/2026-11/a")
    assert layout.place("questions/a-1-2.md")[1:] == ("a-1", "a-1-2")


# --- archived ids -------------------------------------------------------------------------------

ARCHIVED = {"done/2026-11/app/task.md": text("Old")}


def test_a_second_file_of_an_archived_id_is_invalid() -> None:
    """The id is taken for ever; when either file goes, the other is what it was."""
    tree = {layout.SETTINGS: b"format: 2\n"} | tasks("app") | logged("app", "work failed")
    alone = read(tree)
    both = boards.update(alone, files_of(ARCHIVED))
    assert stands(both, "app").status is Status.INVALID
    assert "done/2026-11/app" in both.entries["app"].problems[0].what
    assert same(both, read(tree | ARCHIVED))
    assert same(boards.update(both, dict.fromkeys(ARCHIVED)), alone)
    again = boards.update(both, files_of(logged("app", "note")))
    assert len(again.entries["app"].problems) == 1


def test_stragglers_of_an_archived_task_are_no_task() -> None:
    """A note or event that came after the task went to `done/` shows nothing by itself, and is
    there again if the task comes back."""
    tree = ARCHIVED | {layout.SETTINGS: b"format: 2\n"}
    late = logged("app", "note") | {"notes/app/plan.md": b"Late."}
    found = boards.update(read(tree), files_of(late))
    assert "app" not in found.entries and stands(found, "app").status is Status.DONE
    back = boards.update(found, dict.fromkeys(ARCHIVED))
    assert len(back.entries["app"].events) == 1
    assert same(back, read({layout.SETTINGS: b"format: 2\n"} | late))


def test_a_note_alone_makes_no_task() -> None:
    """Notes that come before their task are its notes as soon as it is there."""
    found = boards.update(board(), files_of({"notes/app/plan.md": b"First."}))
    assert "app" not in found.entries
    found = boards.update(found, files_of(tasks("app")))
    assert found.entries["app"].notes == ("notes/app/plan.md",)


# --- anything at all ----------------------------------------------------------------------------


def _mutated(tree: Mapping[str, bytes], chance: random.Random) -> dict[str, bytes]:
    """A few bytes, lines or files of a board changed at random."""
    after = dict(tree)
    for _ in range(chance.randrange(1, 6)):
        path = chance.choice(sorted(after))
        data = bytearray(after[path])
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0:
                data[at:at] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + chance.randrange(1, 20)]
            case 2:
                data[at : at + 1] = chance.choice(
                    [
                        b"[",
                        b"{",
                        b"- ",
                        b": ",
                        b"&a ",
                        b"*a",
                        b"!",
                        b"\n",
                        b"\r",
                        b"\x00",
                        b"---\n",
                        b"|",
                    ]
                )
            case 3:
                data[at:at] = data[: chance.randrange(200)]
            case 4:
                data[at:at] = chance.choice([b"[", b"- ", b"{a: ", b"? ", b"\xff", b" "]) * 10_000
            case 5:
                del after[path]
                continue
            case _:
                other = chance.choice(sorted(after))
                after[other] = bytes(data)
        after[path] = bytes(data)
    return after


@pytest.mark.parametrize("rounds", sample([40, 250], 40))
def test_no_bytes_do_harm(rounds: int) -> None:
    """Random mutations of a valid board never raise, stay quick and small, leave every task with a
    status and a reason; and the board brought up to date is the one read afresh."""
    chance = random.Random(20261120)
    valid = example()
    start = read(valid)
    tracemalloc.start()
    for round_ in range(rounds):
        tree = _mutated(valid, chance)
        started = time.process_time()
        found = boards.update(start, changed(valid, tree))
        for task, where in statuses(found, NOW).items():
            assert where.reason, task
        assert time.process_time() - started < 1, round_
        for problems in found.damage.values():
            assert problems
        if not found.settings_problems:  # else the older settings rule, which nobody reads afresh
            assert same(found, read(tree)), round_
        assert same(boards.update(found, changed(tree, valid)), start), round_
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_the_kit_is_a_board() -> None:
    """Claims and questions of the tests are read as such."""
    found = board(tasks("app") | claimed("app") | asked("app-1"))
    assert found.entries["app"].claim and found.entries["app"].questions
    assert found.taken("app") and not found.taken("b")
