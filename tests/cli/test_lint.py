"""`gitfleet lint`: every problem where it stands, at the tip and in folders."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.acting import board, gitfleet, refusal
from tests.cli.looking import Lab, task
from tests.conftest import git

FLEET = "format: 2\ntarget: main\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is a board and no repository."""
    return write(tmp_path / "some" / "board", {"fleet.yaml": FLEET, "tasks/a.md": task("A")})


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def lint(cwd: Path, *args: str, code: int = 0) -> list[str]:
    return gitfleet("lint", *args, cwd=cwd, code=code).stdout.splitlines()


def test_a_clean_folder_needs_no_repository(folder: Path) -> None:
    """An example, or a board that is about to be made, can be checked as it lies there."""
    assert lint(folder.parent, "board") == ["2 files: no problems, no warnings"]


def test_every_kind_of_file_is_checked_where_it_stands(folder: Path) -> None:
    """Path as given, line and column, what is wrong and what to do; all of them at once."""
    write(
        folder,
        {
            "fleet.yaml": FLEET + "concurency: 3\n",
            "tasks/b.md": "---\ntitle: B\nprioritty: 1\n---\n",
            "tasks/Upper Case.md": task("C"),
            "claims/a.yaml": "runner: box\n",
            "log/a/001-work-abcd.yaml": "runner: [box\n",
            "log/a/one.yaml": "x: 1\n",
            "questions/a-1.md": "no front matter\n",
            "done/2026-11/old/task.md": "---\ntitle: [1]\n---\n",
            "done/2026-11/old/log/001-closed-abcd.yaml": "runner: 1\n",
        },
    )
    lines = lint(folder.parent, "board", code=1)
    said = "\n".join(lines)
    assert "board/tasks/b.md:3:1: unknown key 'prioritty' (did you mean 'priority'?)" in lines
    assert "board/fleet.yaml:3:1: unknown key 'concurency'" in said
    for path in (
        "tasks/Upper Case.md:1:1: ",
        "claims/a.yaml:1:1: ",
        "log/a/001-work-abcd.yaml:",
        "log/a/one.yaml:1:1: not the name of an event",
        "questions/a-1.md:1:1: no front matter",
        "done/2026-11/old/task.md:2:8: ",
        "done/2026-11/old/log/001-closed-abcd.yaml:",
    ):
        assert f"board/{path}" in said
    assert lines[-1].startswith("10 files: ")
    told = gitfleet("lint", "board", "--json", cwd=folder.parent, code=1).stdout
    assert '"severity": "error"' in told and '"path": "board/fleet.yaml"' in told


def test_what_cannot_be_meant_is_a_warning_where_it_stands(folder: Path) -> None:
    """A board with nothing but warnings passes; each tells its line."""
    write(
        folder,
        {
            "tasks/b.md": task("B", depends_on=["nowhere", "a", "b"]),
            "tasks/c.md": task("C", depends_on=["d"]),
            "tasks/d.md": task("D", depends_on=["c"]),
            "tasks/e.md": "---\ntitle: E\n---\nno coder\n",
            "tasks/f.md": task("F", body="no script\n"),
            "tasks/g.md": "---\ntitle: G\ncoder: shel\n---\n",
            "tasks/h.md": task("H", depends_on=["i"]),
            "tasks/i.md": task("I"),
            "log/i/001-cancel-abcd.yaml": "at: 2026-11-20T15:00:00Z\n",
            "tasks/j.md": task("J", body="no script, and it is over\n"),
            "log/j/001-cancel-abcd.yaml": "at: 2026-11-20T15:00:00Z\n",
        },
    )
    lines = lint(folder, ".")
    said = "\n".join(lines)
    for words in (
        "tasks/b.md:4:14: warning: it depends on nowhere, which is not on the board",
        "tasks/b.md:4:30: warning: it depends on itself",
        "tasks/c.md:4:13: warning: its dependencies form a cycle: c → d → c",
        "tasks/d.md:4:13: warning: its dependencies form a cycle: d → c → d",
        "tasks/e.md:2:8: warning: it has no coder",
        "tasks/f.md:3:8: warning: the coder shell needs a fenced block",
        "tasks/g.md:3:8: warning: no coder is called shel",
        "tasks/h.md:4:14: warning: it depends on i, which is cancelled",
    ):
        assert words in said
    assert "tasks/j.md" not in said
    assert lines[-1] == "13 files: no problems, 8 warnings"


def test_a_forge_that_is_not_here_is_a_warning(folder: Path) -> None:
    """It may be a plugin of other machines; a misspelt one is told with the nearest."""
    write(folder, {"fleet.yaml": FLEET + "forge:\n  base_url: https://x.org\n  kind: gitae\n"})
    (line,) = (line for line in lint(folder, ".") if "forge" in line)
    assert line.startswith("fleet.yaml:5:9: warning: no forge is called gitae (did you mean gitea")


def test_every_coder_of_a_list_is_looked_at(folder: Path) -> None:
    """Each that nobody knows is told where it stands; beside `coder` a list is an error."""
    write(
        folder,
        {
            "fleet.yaml": FLEET + "roles:\n  work:\n    coders: [{coder: shel, model: m}, shell]\n",
            "tasks/b.md": "---\ntitle: B\ncoders: [shell, {coder: nobody}]\n---\n",
            "tasks/c.md": "---\ntitle: C\ncoder: shell\ncoders: [shell]\n---\n",
        },
    )
    said = "\n".join(lint(folder, ".", code=1))
    for words in (
        "fleet.yaml:5:14: warning: no coder is called shel",
        "tasks/b.md:3:17: warning: no coder is called nobody",
        "tasks/c.md:4:1: both 'coder' and 'coders' are set (keep one; ",
    ):
        assert words in said


def test_a_twin_that_differs_in_case_is_named(folder: Path) -> None:
    """On a system where file names ignore case, one of the two would be lost."""
    write(folder, {"tasks/A.md": task("Big")})
    said = "\n".join(lint(folder, ".", code=1))
    assert "tasks/A.md:1:1: warning: it differs from tasks/a.md only in case" in said


def test_only_what_was_asked_for_is_told_and_the_rest_is_known(folder: Path) -> None:
    """One file is judged with the board around it, however it is named."""
    write(folder, {"tasks/b.md": "---\ntitel: B\n---\n", "tasks/c.md": task("C", depends_on=["a"])})
    assert lint(folder, "tasks/c.md") == ["1 file: no problems, no warnings"]
    assert lint(folder / "tasks", "c.md") == ["1 file: no problems, no warnings"]
    assert lint(folder.parent, str(folder / "tasks" / "c.md"))[-1].startswith("1 file: no problems")
    (line, *_) = lint(folder / "tasks", "b.md", "c.md", code=1)
    assert line.startswith("../tasks/b.md:2:1: ")
    assert lint(folder, "tasks", code=1)[-1].startswith("3 files: ")


@pytest.mark.parametrize("path", ["nowhere", "..", "notes.txt", "../nowhere/tasks/a.md"])
def test_a_path_that_is_no_board_is_one_sentence(folder: Path, path: str) -> None:
    """Exit status 1, and what could be meant."""
    (folder / "notes.txt").write_text("mine\n")
    said = refusal("lint", path, cwd=folder)
    assert len(said.splitlines()) <= 2


def test_no_link_is_followed_and_nothing_large_is_loaded(folder: Path) -> None:
    """A folder from anyone may lead anywhere."""
    (folder / "tasks" / "link.md").symlink_to(folder / "tasks" / "a.md")
    (folder / "log").mkdir()
    (folder / "log" / "a").symlink_to("/")
    os.mkfifo(folder / "tasks" / "pipe.md")
    (folder / "tasks" / "large.md").write_bytes(b"x" * 300_000)
    said = "\n".join(lint(folder, ".", code=1))
    assert "tasks/link.md:1:1: not a plain file" in said
    assert "tasks/pipe.md:1:1: not a plain file" in said
    assert "tasks/large.md:1:1: larger than 256 KiB" in said


def test_without_a_path_it_is_the_board_at_the_tip(tmp_path: Path) -> None:
    """What is committed counts, from wherever in the repository one asks; the window tells the
    same of the same files, and sees what is not committed yet."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/a.md": "---\ntitel: A\n---\n", "tasks/b.md": task("B")})
    tip = lint(lab.path, code=1)
    window = lint(lab.path, ".fleet", code=1)
    assert [line.replace(".fleet/", "") for line in window] == tip
    assert tip[0].startswith("tasks/a.md:2:1: ")
    write(lab.path / ".fleet", {"tasks/a.md": task("A")})
    assert lint(lab.path / ".fleet", ".")[-1].endswith("no problems, no warnings")
    assert lint(lab.path, code=1) == tip


# -- --fix


OLD = {
    "fleet.yaml": "format: 1  # old\ntarget: main\nattempts: 2\n",
    "tasks/a.md": "---\ntitle: A\ncoder: shell\ntouches: [x]\n---\n```sh\ntrue\n```\n",
}


@pytest.fixture
def old(tmp_path: Path) -> Lab:
    """A board of format 1."""
    lab = Lab(tmp_path / "repo")
    lab.commit(OLD)
    return lab


def test_a_fix_waits_for_edits_that_no_commit_has(old: Lab) -> None:
    """They would keep the files in .fleet/ behind the board; files of nobody's kind do not."""
    tip = git("rev-parse", "fleet", cwd=old.path)
    task_file = old.path / ".fleet" / "tasks" / "a.md"
    task_file.write_text(OLD["tasks/a.md"] + "More.\n")
    said = refusal("lint", "--fix", cwd=old.path)
    assert "uncommitted edits" in said and "tasks/a.md" in said and "Commit or revert them" in said
    assert git("rev-parse", "fleet", cwd=old.path) == tip and "More." in task_file.read_text()
    task_file.write_text(OLD["tasks/a.md"])
    (old.path / ".fleet" / "scratch.txt").write_text("mine\n")
    assert lint(old.path, "--fix") == [
        "fleet.yaml: attempts → max_attempts, format 2",
        "tasks/a.md: touches → paths",
        "2 files: no problems, no warnings",
    ]
    assert "paths: [x]" in task_file.read_text()


def test_a_fix_of_a_broken_fleet_yaml_is_refused(old: Lab) -> None:
    """Without its format the tasks would be of none."""
    old.commit({"fleet.yaml": OLD["fleet.yaml"] + "targte: x\n"})
    tip = git("rev-parse", "fleet", cwd=old.path)
    assert "fleet.yaml:4:1: unknown key 'targte'" in refusal("lint", "--fix", cwd=old.path)
    assert git("rev-parse", "fleet", cwd=old.path) == tip


def test_a_fix_renames_what_came_with_an_old_key_later(old: Lab) -> None:
    """On a board of the newest format, too; what it must not guess is left and told."""
    lint(old.path, "--fix")
    old.commit(
        {
            "tasks/b.md": "---\ntitle: B\nattempts: 1\ncoder: shell\n---\n```sh\n```\n",
            "tasks/c.md": "---\ntitle: C\nneeds: [x]\nruns_on: [y]\n---\n",
        }
    )
    said = "\n".join(lint(old.path, code=1))
    assert "tasks/b.md:3:1: `attempts` is now `max_attempts` (rename it, or run" in said
    done = gitfleet("lint", "--fix", "--json", cwd=old.path, code=1)
    assert done.stderr == "tasks/b.md: attempts → max_attempts\n"
    (problem,) = json.loads(done.stdout)
    assert problem["path"] == "tasks/c.md" and "both here" in problem["what"]


def test_a_fix_of_files_commits_nothing(folder: Path) -> None:
    """With paths it renames keys on disk, in these files alone; a link is left as it is."""
    new = OLD["tasks/a.md"].replace("touches", "paths")
    write(folder, {"tasks/a.md": OLD["tasks/a.md"], "tasks/b.md": OLD["tasks/a.md"]})
    (folder / "tasks" / "a.md").chmod(0o640)
    (folder / "tasks" / "c.md").symlink_to(folder / "tasks" / "b.md")
    assert lint(folder, "--fix", "tasks/a.md") == [
        "tasks/a.md: touches → paths",
        "1 file: no problems, no warnings",
    ]
    assert (folder / "tasks" / "a.md").read_text() == new
    assert (folder / "tasks" / "a.md").stat().st_mode & 0o777 == 0o640
    assert (folder / "tasks" / "b.md").read_text() == OLD["tasks/a.md"]
    assert lint(folder, "--fix", ".", code=1)[0] == "tasks/b.md: touches → paths"
    assert (folder / "tasks" / "c.md").is_symlink()
    assert (folder / "tasks" / "b.md").read_text() == new


def test_a_fix_of_files_leaves_the_format_to_the_board(old: Lab) -> None:
    """The number in fleet.yaml is for every file of the board."""
    said = refusal("lint", "--fix", ".fleet/fleet.yaml", cwd=old.path)
    assert "without PATH" in said
    assert (old.path / ".fleet" / "fleet.yaml").read_text() == OLD["fleet.yaml"]


def test_a_refused_commit_says_how_to_rename_its_keys(tmp_path: Path) -> None:
    """`lint --fix` with the path, since the file is not committed; afterwards the commit passes."""
    path = board(tmp_path / "repo")
    window = path / ".fleet"
    write(window, {"tasks/a.md": OLD["tasks/a.md"]})
    git("add", "-A", cwd=window)
    done = subprocess.run(
        ["git", "commit", "-qm", "A"], cwd=window, capture_output=True, text=True, check=False
    )
    assert "or run `gitfleet lint --fix tasks/a.md` in .fleet/" in done.stderr
    lint(window, "--fix", "tasks/a.md")
    git("commit", "-qam", "A", cwd=window)
