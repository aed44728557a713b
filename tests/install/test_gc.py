"""`gitfleet gc`: what it shows, what it refuses, what it removes."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from gitfleet.git import refs, salvage, worktree
from gitfleet.install import gc
from gitfleet.model.config import Machine
from gitfleet.runner.maintenance import Maintenance
from tests.people.kit import SampleProject, git, script, settings, task

OLD = timedelta(days=14)
DAY = 86400


def workspace(project: SampleProject, name: str, *, days: float = 30, branch: bool = True) -> Path:
    """A workspace as an attempt leaves it, that many days ago."""
    path = project.clone.workspaces / name
    on = f"gitfleet/task/{name}" if branch else None
    worktree.add(project.repo, path, branch=on, base="main")
    return aged(path, days)


def aged(path: Path, days: float) -> Path:
    when = time.time() - days * DAY
    places = [path]
    if (path / ".git").exists():
        places.append(worktree.git_dir(path) / "index")
    for place in places:
        os.utime(place, (when, when))
    return path


def cancelled(project: SampleProject, *names: str) -> None:
    for name in names:
        event = "at: 2026-01-01T00:00:00Z\nreason: no\n"
        project.put({f"tasks/{name}.md": task(), f"log/{name}/001-cancel-aaaa.yaml": event})


def found(project: SampleProject, older: timedelta = OLD) -> dict[str, str]:
    """What there is, by name, with why it stays."""
    litter = gc.find(project.fleet(), project.board(), older)
    return {Path(one.name).name if one.name.startswith("/") else one.name: one.refused
            for one in litter}  # fmt: skip


def test_old_things_of_finished_tasks_are_shown_and_go(project: SampleProject) -> None:
    """Workspaces, outputs, merged branches; young ones and those of open tasks stay. First it is
    said, with sizes and ages; without --yes nobody is taken by surprise."""
    cancelled(project, "over", "young")
    project.put({"tasks/open.md": task()})
    for name, days in (("over", 30), ("young", 3), ("open", 30)):
        path = workspace(project, name, days=days)
        (path / "ignored").write_bytes(b"x" * 2**20)
        (project.path / ".git/info/exclude").write_text("/.fleet/\nignored\n")
        aged(path, days)
    output = project.clone.run_dir("over", 1, "a" * 32).path
    output.mkdir(parents=True)
    (output / "stdout").write_bytes(b"x" * 5000)
    aged(output, 20)
    said = project.gitfleet("gc", "--dry-run")
    assert said.status == 0
    lines = said.out.splitlines()
    over = project.clone.workspaces / "over"
    assert any(line.startswith(f"workspace {over} (30d 0h old, 1") for line in lines), lines
    assert any(line.startswith(f"output {output} (20d 0h old, ") for line in lines)
    assert any(": kept, open is not finished" in line for line in lines)
    assert not any("young" in line for line in lines)
    assert project.gitfleet("gc").status == 1  # not a terminal
    assert output.exists()
    done = project.gitfleet("gc", "--yes")
    assert done.status == 0 and done.out.endswith("Removed.\n"), done.err
    assert not output.exists() and not over.exists()
    assert (project.clone.workspaces / "open").exists()
    assert (project.clone.workspaces / "young").exists()
    young = project.gitfleet("gc", "--yes", "--older-than", "2d")
    assert young.status == 0 and not (project.clone.workspaces / "young").exists()


def test_what_is_unsaved_is_refused(project: SampleProject) -> None:
    """Uncommitted files, commits on no branch, a folder that is no worktree."""
    cancelled(project, "dirty", "loose", "strange")
    (workspace(project, "dirty") / "new").write_text("x")
    loose = workspace(project, "loose", branch=False)
    git("commit", "-q", "--allow-empty", "-m", "alone", cwd=loose)
    strange = project.clone.workspaces / "strange"
    strange.mkdir()
    for name in ("dirty", "loose", "strange"):
        aged(project.clone.workspaces / name, 30)
    assert found(project) == {
        "dirty": "it has uncommitted changes",
        "loose": "its commits are on no branch",
        "strange": "it is not a gitfleet worktree; check it and remove it yourself",
    } | {k: v for k, v in found(project).items() if k.startswith("refs/")}
    project.gitfleet("gc", "--yes", "--older-than", "0s")
    assert (project.clone.workspaces / "dirty/new").exists() and loose.exists() and strange.exists()


def test_the_workspace_of_a_check_is_no_work(project: SampleProject) -> None:
    """A merge that never landed, and what checks left lying: made of what is on branches."""
    cancelled(project, "a")
    path = project.clone.check_workspace("a")
    worktree.add(project.repo, path, branch=None, base="main")
    git("commit", "-q", "--allow-empty", "-m", "merge", cwd=path)
    (path / "build").write_text("x")
    aged(path, 30)
    assert found(project)["a.check"] == ""


def test_a_workspace_that_is_worked_in_again_stays(project: SampleProject) -> None:
    """Between the question and the answer the task was taken up again."""
    cancelled(project, "a")
    path = workspace(project, "a")
    fleet = project.fleet()
    (one,) = (o for o in gc.find(fleet, project.board(), OLD) if o.what == "workspace")
    event = "at: 2026-01-02T00:00:00Z\n"
    project.put({"log/a/002-retry-aaaa.yaml": event})
    with pytest.raises(Exception, match="worked on again"):
        gc.remove(fleet, one)
    assert path.exists()


def test_salvage_is_as_old_as_its_ref(project: SampleProject) -> None:
    """A commit of last year that was saved a moment ago is not old; packed refs tell it, too."""
    env = {"GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}
    tree = git("rev-parse", "main^{tree}", cwd=project.path)
    old = git("commit-tree", tree, "-m", "old", cwd=project.path, env=env)
    ref = salvage.keep(project.repo, old, f"{salvage.PREFIX}a/work")
    git("pack-refs", "--all", cwd=project.path)
    assert found(project) == {}
    assert found(project, timedelta()) == {ref: ""}
    log = project.path / ".git/logs" / ref
    log.write_text(log.read_text().replace(str(int(time.time()))[:4], "1500"))
    assert found(project) == {ref: ""}
    assert project.gitfleet("gc", "--yes").status == 0
    assert refs.read(project.repo, ref) is None


def test_only_merged_branches_of_finished_tasks_go(project: SampleProject) -> None:
    """What is merged nowhere is unsaved; what is open is needed; what is checked out is in use."""
    cancelled(project, "merged", "ahead", "held")
    project.put({"tasks/open.md": task()})
    for name in ("merged", "open", "held"):
        git("branch", f"gitfleet/task/{name}", "main", cwd=project.path)
    tree = git("rev-parse", "main^{tree}", cwd=project.path)
    ahead = git("commit-tree", tree, "-p", "main", "-m", "x", cwd=project.path)
    git("branch", "gitfleet/task/ahead", ahead, cwd=project.path)
    place = project.path.parent / "held"
    git("worktree", "add", "-q", str(place), "gitfleet/task/held", cwd=project.path)
    assert found(project, timedelta()) == {
        "refs/heads/gitfleet/task/merged": "",
        "refs/heads/gitfleet/task/held": "a worktree has it checked out",
    }
    assert project.gitfleet("gc", "--yes", "--older-than", "0s").status == 0
    left = git("branch", "--list", "gitfleet/task/*", "--format=%(refname:short)", cwd=project.path)
    assert left.split() == [f"gitfleet/task/{name}" for name in ("ahead", "held", "open")]


def test_objects_are_never_pruned_at_once(
    project: SampleProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git gc --auto` and nothing stronger: somebody may be just about to use an object."""
    cancelled(project, "a")
    workspace(project, "a")
    log = tmp_path / "log"
    real = shutil.which("git")
    script(tmp_path / "bin/git", f"echo \"$@\" >> '{log}'; exec '{real}' \"$@\"")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert project.gitfleet("gc", "--yes").status == 0
    calls = [line for line in log.read_text().splitlines() if " gc " in f" {line} "]
    assert calls and all("--auto" in line and "prune=now" not in line for line in calls)


# -- the disk


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_stops_new_claims_and_is_told_once(
    project: SampleProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is asked and however the number changes; when there is room again that is
    told, too, and a second time is a new time."""
    free = [500]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Disk(10**12, 0, free[0] * 2**20))
    maintenance = Maintenance(project.fleet(machine=Machine(disk_reserve=1000)))
    for number in (500, 499, 498):
        free[0] = number
        assert maintenance.short_of_disk()
    (line,) = project.told("disk-full")
    assert "free=500MiB reserve=1000MiB" in line and "gitfleet gc" in line
    free[0] = 1001
    assert not maintenance.short_of_disk() and not maintenance.short_of_disk()
    assert len(project.told("disk-free")) == 1
    free[0] = 1
    assert maintenance.short_of_disk() and len(project.told("disk-full")) == 2


def test_a_runner_waits_for_room(project: SampleProject) -> None:
    """A real one whose reserve no disk can hold claims nothing, says why, and stops on demand."""
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "gitfleet/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"disk_reserve: {2**40}\n")
    project.put({"tasks/a.md": task("A", "touch made")})
    live = project.start()
    live.wait_for("disk-full")
    settings(project, max_attempts=2)  # wakes it
    ran = live.stop()
    assert ran.status == 0 and not ran.lines.of("claimed")
    assert len(ran.lines.of("disk-full")) == 1
    config.unlink()
    assert project.start("--until-idle").wait().lines.of("landed", task="a")
