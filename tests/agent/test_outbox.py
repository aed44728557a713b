"""What an agent says is data from a stranger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitfleet.agent import outbox
from gitfleet.agent.outbox import FiledTask, RejectedFile
from gitfleet.files import layout

GOOD = b"---\ntitle: Look there\n---\nNow.\n"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    made = tmp_path / "run" / "outbox"
    made.mkdir(parents=True)
    return made


def told(box: Path, source: str = "one") -> dict[str, FiledTask | RejectedFile]:
    return {letter.path.name: letter for letter in outbox.tasks(box, source)}


def test_a_task_that_was_renamed_into_place_is_a_letter(box: Path) -> None:
    """What is still written aside is not seen; nor is what is no task."""
    (box / "task-look.md").write_bytes(GOOD)
    (box / ".task-half.md").write_bytes(b"---\nti")
    (box / "notes.txt").write_bytes(b"x")
    (letter,) = told(box).values()
    assert isinstance(letter, FiledTask)
    assert (letter.addition.id, letter.addition.text) == ("look", GOOD)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("task-Look.md", GOOD, "id"),
        ("task-.md", GOOD, "id"),
        ("task-a b.md", GOOD, "id"),
        ("task-con.md", GOOD, "id"),
        ("task-look", GOOD, "id"),
        ("task-" + "x" * 65 + ".md", GOOD, "id"),
        ("task-look.md", b"no front matter", "front matter"),
        ("task-look.md", b"---\ntitel: x\n---\n", "titel"),
        ("task-look.md", b"\xff\xfe", "UTF-8"),
        ("task-look.md", b"---\ntitle: x\n---\n" + b"x" * layout.LARGEST, "256 KiB"),
        ("task-look.md", b"---\ntitle: x\nfixes: one\n---\n", "written by gitfleet"),
        ("task-look.md", b"---\ntitle: x\noutbox: 00000000\n---\n", "written by gitfleet"),
        ("task-look.md", b"---\ntitle: x\ndiscovered_from: a\n---\n", "written by gitfleet"),
    ],
)
def test_what_says_nothing_is_refused_with_the_reason(
    box: Path, name: str, data: bytes, word: str
) -> None:
    """A bad name, a bad file, a claim to be what only gitfleet writes."""
    (box / name).write_bytes(data)
    (refused,) = told(box).values()
    assert isinstance(refused, RejectedFile) and word in refused.reason


def test_links_pipes_devices_and_folders_are_not_read(box: Path, tmp_path: Path) -> None:
    """Nothing of the disk comes onto the board through a link; nobody waits for a pipe."""
    (tmp_path / "secret").write_bytes(GOOD)
    (box / "task-link.md").symlink_to(tmp_path / "secret")
    (box / "task-gone.md").symlink_to(tmp_path / "nothing")
    os.mkfifo(box / "task-pipe.md")
    (box / "task-folder.md").mkdir()
    (box / "task-null.md").symlink_to("/dev/zero")
    letters = told(box)
    assert len(letters) == 5
    assert all(isinstance(letter, RejectedFile) for letter in letters.values())


def test_what_is_refused_is_set_aside_and_not_seen_again(box: Path) -> None:
    """With the reason beside it; again and again, whatever lies there already."""
    for _ in range(2):
        (box / "task-folder.md").mkdir()
        (box / "task-folder.md" / "x").touch()
        (refused,) = told(box).values()
        assert isinstance(refused, RejectedFile)
        outbox.set_aside(refused)
        assert told(box) == {}
    kept = sorted((box.parent / "refused").glob("*/reason.txt"))
    assert len(kept) == 2 and "plain file" in kept[0].read_text()


def test_an_agent_that_spoils_its_outbox_spoils_nothing_else(box: Path) -> None:
    """No outbox, a file in its place, a folder that nothing can be moved to: still no error."""
    (box / "task-x.md").write_bytes(b"")
    (refused,) = told(box).values()
    assert isinstance(refused, RejectedFile)
    (box.parent / "refused").write_text("in the way")
    outbox.set_aside(refused)
    (box / "task-x.md").unlink()
    box.rmdir()
    assert told(box) == {}
    box.write_text("no folder")
    assert told(box) == {}
    assert outbox.verdict(box)[0] is None


def test_the_same_words_have_the_same_key_whoever_says_them_again(box: Path) -> None:
    """By the key they arrive once; other words, or another task's, are another letter."""

    def key(name: str, data: bytes, source: str = "one") -> str:
        (box / name).write_bytes(data)
        (letter,) = told(box, source).values()
        assert isinstance(letter, FiledTask)
        outbox.take_out(letter)
        return letter.addition.key

    first = key("task-a.md", GOOD)
    assert key("task-a.md", GOOD) == first
    others = {key("task-b.md", GOOD), key("task-a.md", GOOD + b"!"), key("task-a.md", GOOD, "two")}
    assert first not in others and len(others) == 3
    assert told(box) == {}


def test_a_flood_is_taken_in_parts(box: Path) -> None:
    """Not all of a thousand files at once."""
    for number in range(250):
        (box / f"task-{number}.md").write_bytes(GOOD)
    first = list(outbox.tasks(box, "one"))
    assert len(first) == 200
    for letter in first:
        assert isinstance(letter, FiledTask)
        outbox.take_out(letter)
    assert len(told(box)) == 50


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (None, "gave no verdict"),
        (b"verdict: fine\n", "verdict"),
        (b"verdict: accepted\nverdict: rejected\n", "twice"),
        (b"reason: x\n", "missing"),
        (b"verdict: accepted\n" + b"#" * layout.LARGEST, "256 KiB"),
    ],
)
def test_no_verdict_is_none(box: Path, data: bytes | None, word: str) -> None:
    """Whatever is not a plain verdict is none, and the reason is told."""
    if data is not None:
        (box / "verdict.yaml").write_bytes(data)
    found, why = outbox.verdict(box)
    assert found is None and word in why


def test_a_verdict_by_a_link_is_none(box: Path, tmp_path: Path) -> None:
    """Not even where it leads to a good one, or to nothing."""
    (tmp_path / "good").write_text("verdict: accepted\n")
    (box / "verdict.yaml").symlink_to(tmp_path / "good")
    assert outbox.verdict(box)[0] is None
    (tmp_path / "good").unlink()
    assert "plain file" in outbox.verdict(box)[1]


def test_a_verdict_with_a_fix_is_read_whole(box: Path) -> None:
    """Ruling, reason, findings and the task that would repair it."""
    (box / "verdict.yaml").write_text(
        "verdict: rejected\nreason: bad\nfindings: [one, two]\nfix: {title: Repair, coder: shell}\n"
    )
    found, why = outbox.verdict(box)
    assert found is not None and why == ""
    assert (found.verdict, found.findings, found.fix and found.fix.title) == (
        "rejected",
        ("one", "two"),
        "Repair",
    )
