"""People's edits meet the board, by an inbox branch or by commits of a clone: the same for both."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.conftest import git
from tests.people.desks import QUESTION, WAYS, Desks, answer, two_desks
from tests.people.kit import task

Content = str | bytes | None  # None: no such file


class Row(NamedTuple):
    """One file: as both found it, as Ann pushed it, as Ben made it, and on the board in the end."""

    what: str
    path: str
    start: Content
    ann: Content
    ben: Content
    board: Content
    why: str = ""  # what Ben is told, if his version is not on the board as he made it
    copy: str = ""  # the status of the task that holds Ben's version


OTHER, GONE = "the board has another version", "the board has removed it"
STAYS, NEVER = f"not removed: {OTHER}", "an event is never changed"
RUNNERS, NO_FILE, NO_NAME = (
    "only runners write there",
    "it is not a file of a board",
    "its name is not a plain path",
)
T0, T1, T2, T3, T4, T5, T6 = (task(f"Task {number}") for number in range(7))
GOOD = task("Good")
S0, S1, S2 = (f"format: 2\ntarget: main\nmax_attempts: {number}\n" for number in (3, 4, 5))
LONG = f"tasks/{'a' * 64}.md"
Q2 = QUESTION.replace("Which?", "Which one?")
LATER = "\n<!-- Ben <ben@example.org> answered later:\nBen\n-->\n"


def question(number: int) -> str:
    return f"questions/a-{number}.md"


def event(number: int) -> str:
    return f"log/a/{number:03d}-hold-aaaa.yaml"


def held(reason: str) -> str:
    return f"at: 2026-01-01T00:00:00Z\nby: Ben <ben@example.org>\nreason: {reason}\n"


def new(path: str, why: str, content: Content = "x: 1\n") -> Row:
    """Ben adds a file that no board takes."""
    return Row("new", path, None, None, content, None, why)


TABLE: Final[dict[str, list[Row]]] = {
    "no conflict": [
        Row("Ben's edit", "tasks/a.md", T0, T0, T1, T1),
        Row("Ann's edit", "tasks/b.md", T0, T1, T0, T1),
        Row("the same edit", "tasks/c.md", T0, T1, T1, T1),
        Row("both remove it", "tasks/d.md", T0, None, None, None),
        Row("Ben removes it", "tasks/e.md", T0, T0, None, None),
        Row("a new task", "tasks/f.md", None, None, T2, T2),
        Row("bytes that are no task", "tasks/g.md", None, None, b"\xff\0", b"\xff\0"),
        Row("no name of a task", "tasks/Bad Name.md", None, None, "x", "x"),
        Row("no name of a task, in a folder", "tasks/a .md/b.md", None, None, "x", "x"),
        Row("settings that do not validate", "fleet.yaml", S0, S0, "format: [\n", "format: [\n"),
        Row("an answer", question(1), QUESTION, QUESTION, answer("Ben"), answer("Ben")),
        Row("a note", "notes/a/knowledge.md", None, None, "so\n", "so\n"),
        Row("a prompt", "prompts/work.md", None, None, "Be kind.\n", "Be kind.\n"),
        Row("an event", event(1), None, None, held("wait"), held("wait")),
        Row("a file of no board goes", "junk/x.txt", "x", "x", None, None),
        Row("a name of no board goes", "tasks/.x~.md", "x", "x", None, None),
    ],
    "tasks": [
        Row("both edit it", "tasks/a.md", T0, T1, T2, T1, OTHER, "held"),
        Row("the longest id", LONG, T0, T1, T3, T1, OTHER, "held"),
        Row("no valid task", "tasks/c.md", T0, T1, b"\xff\0", T1, OTHER, "invalid"),
        Row("both add it", "tasks/d.md", None, T1, T2, T1, OTHER, "ready"),
        Row("Ann removes it", "tasks/e.md", T0, None, T4, None, GONE, "held"),
        Row("Ben removes it", "tasks/f.md", T0, T1, None, T1, STAYS),
        Row("Ben renames it", "tasks/g.md", T5, T1, None, T1, STAYS),
        Row("its new name", "tasks/g2.md", None, None, T5, T5, "it was g", "held"),
        Row("it is finished", "tasks/h.md", T0, None, T6, None, "a finished task", "held"),
        Row("Ben removes a finished one", "tasks/i.md", T0, None, None, None, "it is finished"),
        Row("a finished one's id", "tasks/j.md", None, None, T6, None, "a finished task", "ready"),
        *(Row("finished", f"done/2026-01/{x}/task.md", None, T0, None, T0) for x in "hi"),
        Row("finished long ago", "done/2026-01/j/task.md", T0, T0, T0, T0),
        Row("no name of a task", "tasks/Bad Name.md", T0, T1, T2, T1, OTHER),
        Row("a folder there, Ben's", "tasks/k.md", T0, T1, None, T1, STAYS),
        Row("a file there", "tasks/k.md/l.md", None, None, T2, None, "tasks/k.md is a file"),
    ],
    "other files": [
        Row("both edit it", "fleet.yaml", S0, S1, S2, S1, OTHER),
        Row("both edit it", "prompts/work.md", "0\n", "1\n", "2\n", "1\n", OTHER),
        Row("no text", "prompts/plan.md", "0\n", "1\n", b"\xff", "1\n", OTHER),
        Row("Ann removes it", "prompts/validate.md", "0\n", None, "2\n", None, GONE),
        Row("both edit it", "notes/a/plan.md", "0\n", "1\n", "2\n", "1\n", OTHER),
        Row("Ben removes it", "notes/a/knowledge.md", "0\n", "1\n", None, "1\n", STAYS),
        Row("both add it", "notes/b/knowledge.md", None, "1\n", "2\n", "1\n", OTHER),
        Row("a file of no board", "x.txt", "0", "1", None, "1", STAYS),
    ],
    "settings removed": [Row("Ben removes them", "fleet.yaml", S0, S1, None, S1, STAYS)],
    "questions": [
        Row("its task", "tasks/a.md", T0, T0, T0, T0),
        Row(
            "both answer", question(1), QUESTION, answer("Ann"), answer("Ben"),
            answer("Ann") + LATER, "another answer came first",
        ),
        Row(
            "the same answer", question(2), QUESTION, answer("Yes"), f"{Q2}## TxnStatus\nYes\n",
            answer("Yes"), "the board has this answer",
        ),
        Row(
            "Ann edits the text", question(3), QUESTION, Q2, answer("Ben"),
            answer("Ben").replace("Which?", "Which one?"), "took only this one's answer",
        ),
        Row(
            "too long together", question(4), QUESTION, answer("a" * 200_000),
            answer("b" * 200_000), answer("a" * 200_000), "this answer, or another version",
        ),
        Row("no question", question(5), QUESTION, answer("Ann"), b"\xff", answer("Ann"), "version"),
        Row("Ann removes it", question(6), QUESTION, None, answer("Ben"), None, GONE),
        Row("Ben removes it", question(7), QUESTION, answer("Ann"), None, answer("Ann"), STAYS),
    ],
    "events and runners' files": [
        Row("its task", "tasks/a.md", T0, T0, T0, T0),
        Row("an event is edited", event(1), held("0"), held("0"), held("2"), held("0"), NEVER),
        Row("an event is removed", event(2), held("0"), held("0"), None, held("0"), NEVER),
        Row("both add it", event(3), None, held("1"), held("2"), held("1"), OTHER),
        Row("removed", "claims/b.yaml", "x: 1\n", "x: 1\n", None, "x: 1\n", RUNNERS),
        new("claims/a.yaml", RUNNERS),
        new("log/a/009-landed-aaaa.yaml", RUNNERS),
        new("log/a/no-event.yaml", RUNNERS),
        new("done/2026-01/b/task.md", RUNNERS, T0),
        new("README.md", RUNNERS),
    ],
    "names and contents": [
        new("task/a.md", NO_FILE, T0),
        new("x.txt", NO_FILE),
        new("tasks/a.txt", NO_FILE),
        new("notes/a/b.", NO_NAME),
        new("notes/a/.hidden", NO_NAME),
        new("notes/a/x~1", NO_NAME),
        new("notes/a/.git~1", NO_NAME),
        new("notes/a/a\\..\\b", NO_NAME),
        new("notes/a/a\nb", NO_NAME),
        new("notes/a/\u202ex", NO_NAME),
        new(f"notes/a/{'x' * 201}", NO_NAME),
        new(f"tasks/{'d/' * 8}deep.md", NO_NAME),
        new("tasks/big.md", "larger than 256 KiB", "x" * 300_000),
    ],
}  # fmt: skip


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    return two_desks(tmp_path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", TABLE.values(), ids=TABLE)
def test_one_table_for_every_way_in(desks: Desks, rows: list[Row], way: str) -> None:
    """The board is the same in the end, Ben is told of each conflict by name with the ref that
    holds his version, his good files arrive all the same, and fsck finds nothing new."""
    desks.start({row.path: row.start for row in rows if row.start is not None})
    desks.ann.push({row.path: row.ann for row in rows if row.ann != row.start} | {"tasks/x.md": T0})
    broken, before = desks.broken(), desks.files()
    edits = {row.path: row.ben for row in rows if row.ben != row.start}
    merged = WAYS[way](desks, {**edits, "tasks/good.md": GOOD})
    assert same(desks.show("tasks/good.md"), GOOD)
    for row in rows:
        assert same(desks.show(row.path), row.board), row
    conflicts = [line for line in merged.told.splitlines() if merged.kept in line]
    assert all(line.isprintable() for line in conflicts)
    lost = [row for row in rows if row.why]
    assert len(conflicts) == len(lost), merged.told
    for row in lost:
        assert any(row.why in line for line in conflicts), (row, conflicts)
    for row in rows:
        if row.copy:
            copies = [one for one in desks.files() - before if is_copy(desks, one, row)]
            assert [desks.status(Path(one).stem) for one in copies] == [row.copy], row
            assert any(copies[0] in line for line in conflicts)
    assert merged.desk.salvaged() == ({merged.kept: merged.commit} if conflicts else {})
    assert desks.broken() == broken
    if merged.desk is desks.ben:  # and his clone is where the remote is
        assert desks.ben.tip() == git("rev-parse", "fleet", cwd=desks.bare)
        assert git("status", "--porcelain", cwd=desks.ben.window) == ""


def is_copy(desks: Desks, path: str, row: Row) -> bool:
    """Whether a new file of the board holds Ben's version of a task."""
    stem = row.path.removesuffix(".md")[: len("tasks/") + 57]
    return path.startswith(stem) and same(desks.show(path), row.ben)


def same(found: bytes | None, wanted: Content) -> bool:
    return found == (wanted.encode() if isinstance(wanted, str) else wanted)
