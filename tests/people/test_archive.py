"""Finished tasks move to done/, and what people did offline meanwhile is merged by plain git."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gitfleet.plan.graph import is_done
from gitfleet.runner.maintenance import Maintenance
from tests.lanes import sample
from tests.people.kit import BOB, SampleProject, git, moment, repair_board, task, tell

OVER = moment("2026-01-10 12:00")
NOTE = "at: 2026-01-12T00:00:00Z\nby: Bob <bob@example.org>\nreason: well done\n"
_HOW = ["--no-rebase", "--rebase"]
PULLS = pytest.mark.parametrize("how", sample(_HOW, "--rebase"))


def batch(project: SampleProject, now: datetime) -> None:
    """The runner tidies up at that time."""
    Maintenance(project.fleet(now=lambda: now)).round()


@pytest.fixture
def offline(project: SampleProject, tmp_path: Path) -> Path:
    """Bob's clone with all tasks in tasks/; afterwards `a`, `b` and `c` have moved to done/."""
    texts = {name: task(f"Task {name}", "true\n" * 20, labels=[name]) for name in "abcde"}
    project.put({f"tasks/{name}.md": text for name, text in texts.items()})
    project.close_task("abc", OVER)
    clone = project.clone_to(tmp_path / "bobs")
    batch(project, OVER + timedelta(days=2))
    assert {"done/2026-01/a/task.md", "done/2026-01/c/log/001-close-aaaa.yaml"} <= project.files()
    assert "tasks/d.md" in project.files() and "tasks/a.md" not in project.files()
    return clone


def pull(clone: Path, how: str) -> int:
    return tell("git", "pull", "-q", "--no-edit", how, cwd=clone, env=BOB).status


def commit(clone: Path) -> None:
    git("add", "-A", cwd=clone)
    git("commit", "-q", "-m", "Offline", cwd=clone, env=BOB)


def push(project: SampleProject, clone: Path) -> None:
    """The push goes through, and the history is legal once a runner has looked at it."""
    git("push", "-q", "origin", "fleet", cwd=clone)
    repair_board(project.fleet())
    assert project.broken() == []


def test_a_day_must_have_passed_and_some_more_for_company(project: SampleProject) -> None:
    """Not before a day; then within an hour; all that is due goes in one commit, legally."""
    for name in ("a", "b", "open"):
        project.put({f"tasks/{name}.md": task(name), f"notes/{name}/plan.md": name})
    project.close_task("a", OVER)
    project.close_task("b", OVER + timedelta(minutes=59))
    for hours in (0, 23.9, 24.5):
        batch(project, OVER + timedelta(hours=hours))
        assert "tasks/a.md" in project.files()
    batch(project, OVER + timedelta(hours=25.1))
    files = project.files()
    assert {"done/2026-01/a/task.md", "done/2026-01/b/notes/plan.md"} <= files
    assert not {"tasks/a.md", "log/a/001-close-aaaa.yaml", "notes/a/plan.md"} & files
    assert {"tasks/open.md", "notes/open/plan.md", "tasks/.gitkeep", "log/.gitkeep"} <= files
    assert project.told("archived") == ["archived tasks=2"]
    assert is_done(project.board(), "a") and project.board().taken("a")
    assert project.broken() == []
    project.clean()


@pytest.mark.slow
def test_many_do_not_wait(project: SampleProject) -> None:
    """Fifty that are due go at once."""
    project.put({f"tasks/t{n}.md": task(f"T{n}") for n in range(50)})
    project.close_task([f"t{n}" for n in range(50)], OVER)
    batch(project, OVER + timedelta(hours=24.1))
    assert project.told("archived") == ["archived tasks=50"]
    assert project.broken() == []


@PULLS
def test_a_new_task_stays_where_it_was_put(project: SampleProject, offline: Path, how: str) -> None:
    """git would take it along into done/, were it not for merge.directoryRenames=false and the
    .gitkeep; with either one it stays."""
    git("config", "--unset", "merge.directoryRenames", cwd=offline)
    (offline / "tasks/new.md").write_text(task("New"))
    commit(offline)
    assert pull(offline, how) == 0
    push(project, offline)
    assert "tasks/new.md" in project.files()


@PULLS
@pytest.mark.slow
def test_a_note_on_a_moved_task_follows_with_the_next_batch(
    project: SampleProject, offline: Path, how: str
) -> None:
    """An event and a file of notes come as stragglers; nobody has to do anything."""
    (offline / "log/a").mkdir(exist_ok=True)
    (offline / "log/a/003-note-b0b0.yaml").write_text(NOTE)
    (offline / "notes/a").mkdir(parents=True)
    (offline / "notes/a/more.md").write_text("I was there\n")
    commit(offline)
    assert pull(offline, how) == 0
    push(project, offline)
    assert "log/a/003-note-b0b0.yaml" in project.files()
    project.close_task("d", OVER + timedelta(days=3))
    batch(project, OVER + timedelta(days=5))
    files = project.files()
    assert {
        "done/2026-01/d/task.md",
        "done/2026-01/a/log/003-note-b0b0.yaml",
        "done/2026-01/a/notes/more.md",
    } <= files
    assert not {"log/a/003-note-b0b0.yaml", "notes/a/more.md"} & files
    assert project.broken() == []


def test_a_straggler_never_replaces_what_is_final(project: SampleProject, offline: Path) -> None:
    """A second file of a name that lies in done/ already stays outside."""
    project.put({"log/a/001-close-aaaa.yaml": NOTE})
    project.close_task("d", OVER + timedelta(days=3))
    batch(project, OVER + timedelta(days=5))
    assert "done/2026-01/d/task.md" in project.files()
    assert "well done" not in project.show("done/2026-01/a/log/001-close-aaaa.yaml")
    assert "log/a/001-close-aaaa.yaml" in project.files() and project.broken() == []


@PULLS
def test_a_deletion_of_an_unfinished_task(project: SampleProject, offline: Path, how: str) -> None:
    """It is cancelled, as ever; what moved has moved."""
    (offline / "tasks/d.md").unlink()
    commit(offline)
    assert pull(offline, how) == 0
    push(project, offline)
    assert "tasks/d.md" not in project.files() and "done/2026-01/a/task.md" in project.files()


@PULLS
def test_a_deletion_of_a_moved_task_stops_the_pull(
    project: SampleProject, offline: Path, how: str
) -> None:
    """git asks (rename/delete). To keep what is done is the answer that stands; the other one is
    repaired, since what is in done/ is final."""
    (offline / "tasks/a.md").unlink()
    commit(offline)
    assert pull(offline, how) == 1
    git("add", "done/2026-01/a/task.md", cwd=offline)
    go_on(offline, how)
    push(project, offline)
    assert "done/2026-01/a/task.md" in project.files()


@PULLS
@pytest.mark.slow
def test_a_finished_task_deleted_after_all_is_put_back(
    project: SampleProject, offline: Path, how: str
) -> None:
    """Who answers the conflict with the deletion sees it repaired."""
    (offline / "tasks/a.md").unlink()
    commit(offline)
    assert pull(offline, how) == 1
    git("rm", "-q", "done/2026-01/a/task.md", cwd=offline)
    go_on(offline, how)
    push(project, offline)
    assert "done/2026-01/a/task.md" in project.files()
    assert project.told("repaired") and project.board().taken("a")


def go_on(clone: Path, how: str) -> None:
    env = {**BOB, "GIT_EDITOR": "true"}
    verb = ("rebase", "--continue") if how == "--rebase" else ("commit", "-q", "--no-edit")
    said = tell("git", *verb, cwd=clone, env=env)
    if said.status != 0 and "nothing to commit" in said.out + said.err:
        git("rebase", "--skip", cwd=clone, env=env)
    else:
        assert said.status == 0, said.out + said.err


@PULLS
@pytest.mark.slow
def test_a_rename_of_an_unfinished_task(project: SampleProject, offline: Path, how: str) -> None:
    """A rename is a deletion and a new task, beside any batch."""
    git("mv", "tasks/d.md", "tasks/delta.md", cwd=offline)
    commit(offline)
    assert pull(offline, how) == 0
    push(project, offline)
    assert "tasks/delta.md" in project.files() and "tasks/d.md" not in project.files()


@PULLS
def test_a_rename_of_a_moved_task_stops_the_pull(
    project: SampleProject, offline: Path, how: str
) -> None:
    """git asks (rename/rename); kept are the finished one, and Bob's as a new task."""
    git("mv", "tasks/a.md", "tasks/alpha.md", cwd=offline)
    commit(offline)
    assert pull(offline, how) == 1
    git("rm", "-q", "--cached", "--ignore-unmatch", "tasks/a.md", cwd=offline)
    git("add", "-A", "tasks", "done", cwd=offline)
    go_on(offline, how)
    push(project, offline)
    assert {"tasks/alpha.md", "done/2026-01/a/task.md"} <= project.files()
    assert "tasks/a.md" not in project.files()


@PULLS
@pytest.mark.slow
def test_an_edit_of_a_moved_task_is_undone_and_told(
    project: SampleProject, offline: Path, how: str
) -> None:
    """git carries it into done/ by itself. A finished task is final: the runner puts it back, and
    the edit stays in the history."""
    path = offline / "tasks/a.md"
    text = project.show("done/2026-01/a/task.md")
    path.write_text(path.read_text() + "\nOne thing more.\n")
    commit(offline)
    assert pull(offline, how) == 0
    push(project, offline)
    assert project.show("done/2026-01/a/task.md") == text
    assert "done/2026-01/a/task.md" in project.told("repaired")[0]
