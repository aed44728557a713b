"""The hooks of a window: what they refuse, what they let through, whose hooks they respect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import warm
from tests.people.kit import SampleProject, git, moment, script, task, tell

BROKEN = "---\ntitle: Broken\npriorty: 1\n---\n"


@pytest.mark.parametrize(
    ("path", "content", "where", "what"),
    [
        ("tasks/a.md", BROKEN, "tasks/a.md:3:1: ", "priority"),
        ("tasks/a.md", "---\ntitle: A\ntouches: [x]\n---\n", "tasks/a.md:3:1: ", "is now `paths`"),
        ("tasks/Bad Name.md", task(), "tasks/Bad Name.md:1:1: ", "rename it, for example"),
        ("tasks/a.md", "no front matter\n", "tasks/a.md:1:1: ", "start it with a line ---"),
        ("tasks/a.md", b"---\ntitle: \xff\n---\n", "tasks/a.md:2:8: ", "save the file as UTF-8"),
        ("tasks/a.md", b"x" * 300_000, "tasks/a.md:1:1: ", "larger than 256 KiB"),
        ("fleet.yaml", "format: one\n", "fleet.yaml:1:9: ", "whole number"),
        ("questions/a-1.md", "---\ntask: b\n---\n", "questions/a-1.md:", ""),
        ("claims/a.yaml", "x: 1\n", "claims/a.yaml:1:1: ", "only gitfleet writes this file"),
        ("log/a/001-work-0001.yaml", "x: 1\n", "log/a/001-work-", "git restore --staged"),
        ("done/2026-01/a/task.md", task(), "done/2026-01/a/task.md:", "only gitfleet writes"),
    ],
)
def test_an_invalid_file_is_refused_with_its_place_and_a_remedy(
    project: SampleProject, path: str, content: str | bytes, where: str, what: str
) -> None:
    """Nothing is committed, the file stays as it is, and what is told helps to mend it."""
    before = project.tip()
    said = project.commit({path: content})
    assert said.status == 1
    line = next(line for line in said.err.splitlines() if line.startswith(where))
    assert what in line
    assert "nothing was committed. Fix the files, `git add` them" in said.err
    assert project.tip() == before and (project.window / path).exists()


def test_what_is_committed_counts_not_what_lies_there(project: SampleProject) -> None:
    """A good file staged and then broken goes through; the staged text is what is judged. Files
    of nobody's kind, notes and the page are anybody's."""
    project.write({"tasks/a.md": task(), "notes/a/plan.md": "?", "README.md": "x", "other": "y"})
    project.git("add", "-A")
    project.write({"tasks/a.md": BROKEN})
    project.git("commit", "-q", "-m", "staged")
    assert project.show("tasks/a.md") == task().strip()
    said = tell("git", "commit", "-qam", "broken", cwd=project.window)
    assert said.status == 1 and "tasks/a.md:3:1" in said.err


def test_an_id_of_a_finished_task_is_refused(project: SampleProject) -> None:
    """Its files are in done/, where one does not see them at once."""
    project.put_by_hooks({"tasks/a.md": task()})
    project.close_task("a", moment("2026-01-01 10:00"))
    project.change({"tasks/a.md": None, "done/2026-01/a/task.md": task().encode()})
    said = project.commit({"tasks/a.md": task("Another")})
    assert said.status == 1 and "the id is taken by done/2026-01/a" in said.err
    assert "give the new task another name" in said.err


def test_a_runners_commit_is_not_amended(project: SampleProject) -> None:
    """It would then say that a runner did what the person does."""
    project.put_by_hooks({"tasks/a.md": task(), "tasks/b.md": task()})
    project.claim("a")
    project.write({"tasks/b.md": task("B")})
    said = tell("git", "commit", "-qa", "--amend", "-C", "HEAD", cwd=project.window)
    assert said.status == 1 and "Commit without --amend" in said.err
    project.put_by_hooks({})
    assert project.broken() == []


def test_the_message_is_the_persons_own_if_they_amend(project: SampleProject) -> None:
    """With words of their own it is their commit, and what the runner did in it stays legal."""
    project.put_by_hooks({"tasks/a.md": task(), "tasks/b.md": task()})
    project.claim("a")
    assert project.commit({"tasks/b.md": task("B")}, "--amend").status == 0
    assert "claims/a.yaml" in project.files() and project.broken() == []


def test_the_projects_hooks_do_not_run_in_the_window(
    project: SampleProject, tmp_path: Path
) -> None:
    """A failing .git/hooks/pre-commit, or a core.hooksPath of the project: in the project they
    fail as ever, on the board nobody asks them."""
    script(project.path / ".git/hooks/pre-commit", "echo no config here >&2; exit 1")
    project.put_by_hooks({"tasks/a.md": task()})
    assert tell("git", "commit", "--allow-empty", "-qm", "x", cwd=project.path).status == 1
    script(project.path / ".husky/pre-commit", "exit 1")
    script(project.path / ".husky/commit-msg", "exit 1")
    git("config", "core.hooksPath", ".husky", cwd=project.path)
    project.put_by_hooks({"tasks/b.md": task()})
    assert tell("git", "commit", "--allow-empty", "-qm", "x", cwd=project.path).status == 1


@pytest.mark.slow
def test_hooks_the_user_has_for_everything_run(project: SampleProject, tmp_path: Path) -> None:
    """core.hooksPath of the user is chained, with arguments and input, also when it is set after
    ours were installed; what it refuses is refused, and taking it away takes it away."""
    hooks = tmp_path / "my hooks"
    note = tmp_path / "note"
    for name in ("pre-commit", "commit-msg", "post-commit"):
        script(hooks / name, f"echo {name} \"$#\" >> '{note}'")
    git("config", "--global", "core.hooksPath", str(hooks), cwd=project.path)
    project.put_by_hooks({"tasks/a.md": task()})
    assert note.read_text().splitlines() == ["pre-commit 0", "commit-msg 1", "post-commit 0"]
    script(hooks / "commit-msg", "exit 3")
    assert project.commit({"tasks/b.md": task()}).status == 1
    (hooks / "commit-msg").unlink()
    project.put_by_hooks({})
    script(hooks / "pre-commit", "exit 3")
    git("config", "--global", "--unset", "core.hooksPath", cwd=project.path)
    project.put_by_hooks({"tasks/c.md": task()})


@pytest.mark.slow
def test_nothing_on_the_board_runs_in_a_hook(project: SampleProject, tmp_path: Path) -> None:
    """Who can write the branch must not run code at a person's commit: Python would look for
    modules in the current folder first."""
    for hook in (project.clone.folder / "hooks").iterdir():
        hook.write_text(hook.read_text().replace(sys.executable, warm.PYTHON))
    evil = f"open({str(tmp_path / 'owned')!r}, 'w')"
    modules = ("gitfleet/__init__.py", "gitfleet/__main__.py", "click.py", "yaml.py", "re.py")
    project.put_by_hooks(dict.fromkeys(modules, evil))
    project.put_by_hooks({"tasks/a.md": task()})
    assert project.commit({"tasks/b.md": BROKEN}).status == 1
    assert not (tmp_path / "owned").exists()


def test_a_python_that_is_gone_does_not_stop_people(project: SampleProject) -> None:
    """The environment was removed: commits go on, unchecked; a runner tells what is invalid."""
    hook = project.clone.folder / "hooks" / "pre-commit"
    hook.write_text(hook.read_text().replace(sys.executable, "/nonexistent/python"))
    project.put_by_hooks({"tasks/a.md": BROKEN})


def test_installing_twice_and_removing(project: SampleProject) -> None:
    """Twice is harmless. Afterwards nothing of ours is left, and what was there is back."""
    project.gitfleet("hooks", "remove")
    before = (project.path / ".git/config").read_text()
    deny = "receive.denyCurrentBranch"
    git("config", deny, "refuse", cwd=project.path)
    theirs = script(project.path / ".git/hooks/push-to-checkout", "exit 7").read_text()
    for _ in range(2):
        said = project.gitfleet("hooks", "install")
        assert said.status == 0 and "rejects invalid tasks" in said.out, said.err
    assert project.commit({"tasks/a.md": BROKEN}).status == 1
    said = project.gitfleet("hooks", "remove")
    assert said.status == 0 and "push-to-checkout" in said.out
    assert git("config", deny, cwd=project.path) == "refuse"
    git("config", "--unset", deny, cwd=project.path)
    assert (project.path / ".git/config").read_text().split() == before.split()
    assert (project.path / ".git/hooks/push-to-checkout").read_text() == theirs
    assert not (project.clone.folder / "hooks").exists()
    project.put_by_hooks({})
    again = project.gitfleet("hooks", "remove")
    assert again.status == 0 and "No gitfleet hook" in again.out


def test_a_shared_hooks_folder_is_left_alone(project: SampleProject, tmp_path: Path) -> None:
    """core.hooksPath leads elsewhere: a hook written there would run in other repositories, too.
    Installing says what follows, and how to send something all the same."""
    project.gitfleet("hooks", "remove")
    shared = tmp_path / "shared"
    shared.mkdir()
    git("config", "--global", "core.hooksPath", str(shared), cwd=project.path)
    said = project.gitfleet("hooks", "install")
    assert said.status == 0 and list(shared.iterdir()) == []
    assert "git refuses" in said.out and "Push to gitfleet/in/<name> instead" in said.out
    assert tell("git", "config", "receive.denyCurrentBranch", cwd=project.path).status == 1


def test_a_window_elsewhere_of_a_bare_repository(project: SampleProject, tmp_path: Path) -> None:
    """Hooks guard any worktree that shows the board; the repository stays bare to git."""
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(project.path), str(bare), cwd=tmp_path)
    git("remote", "remove", "origin", cwd=bare)
    window = tmp_path / "odd [name]*"
    git("worktree", "add", "-q", str(window), "fleet", cwd=bare)
    said = project.gitfleet("hooks", "install", at=bare)
    assert said.status == 0 and "rejects invalid tasks" in said.out, said.err
    (window / "tasks/a.md").write_text(BROKEN)
    git("add", "-A", cwd=window)
    assert tell("git", "commit", "-qm", "x", cwd=window).status == 1
    assert git("rev-parse", "--is-bare-repository", cwd=bare) == "true"
    assert git("rev-parse", "--is-inside-work-tree", cwd=window) == "true"
