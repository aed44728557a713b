"""Inbox branches: files pushed to gitfleet/in/<name> are merged into the board."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gitfleet.board.remote_backend import INBOX
from gitfleet.board.store import utc_now
from gitfleet.git import refs
from gitfleet.intake.inbox_branches import read_inbox
from gitfleet.plan.status import status_of
from tests.people.kit import ADA, BOB, SampleProject, git, moment, task

Send = Callable[..., str]


@pytest.fixture
def send(project: SampleProject, tmp_path: Path) -> Send:
    """Put files on an inbox branch, as a push from Bob's clone does; the commit."""
    clone = project.clone_to(tmp_path / "bobs")

    def sent(
        files: Mapping[str, str | bytes | None],
        *,
        message: str = "By an inbox branch",
        at: str = "",
    ) -> str:
        git("fetch", "-q", "origin", cwd=clone)
        git("checkout", "-q", "--detach", at or "origin/fleet", cwd=clone)
        for name, content in files.items():
            path = clone / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git("add", "-A", cwd=clone)
        git("commit", "-q", "--allow-empty", "-m", message, cwd=clone, env=BOB)
        git("push", "-q", "origin", "HEAD:refs/heads/gitfleet/in/bob", cwd=clone)
        return git("rev-parse", "HEAD", cwd=clone)

    return sent


def taken_in(project: SampleProject) -> None:
    """The runner reads the inbox branches; afterwards none is left and the board is legal."""
    read_inbox(project.fleet())
    assert refs.names(project.repo, INBOX) == {}
    assert project.broken() == []
    project.clean()


def mine(project: SampleProject, path: str, text: str) -> None:
    """Ada changes a file on the board meanwhile."""
    project.change({path: text.encode()}, author=ADA)


def test_new_tasks_edits_answers_and_deletions(project: SampleProject, send: Send) -> None:
    """All that people write comes in, as one commit of its author, under its own words."""
    head = "task: a\nasked: 2026-01-01T00:00:00Z\nby: {runner: r, coder: c, attempt: 1}\n"
    question = f"---\n{head}---\n## Question\nWhich?\n"
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B"), "questions/a-1.md": question})
    event = "at: 2026-01-01T00:00:00Z\nreason: not now\n"
    sent = {
        "tasks/a.md": task("A, better"),
        "tasks/b.md": None,
        "tasks/new.md": task("New"),
        "questions/a-1.md": question + "\n## TxnStatus\nThis one.\n",
        "notes/a/knowledge.md": "it is so\n",
        "prompts/work.md": "Be kind.\n",
        "log/a/001-hold-aaaa.yaml": event,
        "fleet.yaml": (project.window / "fleet.yaml").read_text() + "max_attempts: 2\n",
    }
    send(sent, message="More work\n\nand why")
    taken_in(project)
    for path, content in sent.items():
        assert (path in project.files()) == (content is not None)
        assert content is None or project.show(path) == content.strip()
    log = git("log", "-1", "--format=%an <%ae> %s", "fleet", cwd=project.path)
    assert log == "Bob <bob@example.org> More work"
    assert project.told("inbox-merged") and not project.told("edit-conflict")


def test_a_branch_from_an_old_board_brings_its_own_changes_only(
    project: SampleProject, send: Send
) -> None:
    """Later changes stay: it is compared with the commit where it left the board."""
    project.put({"tasks/a.md": task("A"), "tasks/gone.md": task("G")})
    old = project.tip()
    mine(project, "tasks/a.md", task("A, better"))
    project.change({"tasks/gone.md": None}, author=ADA)
    project.claim("a")
    send({"tasks/new.md": task("New")}, at=old)
    taken_in(project)
    assert {"tasks/new.md", "claims/a.yaml"} <= project.files()
    assert "tasks/gone.md" not in project.files()
    assert project.show("tasks/a.md") == task("A, better").strip()


def test_two_tasks_of_one_name(project: SampleProject, send: Send) -> None:
    """Bob's goes beside Ada's under another name, and both are to be done."""
    old = project.tip()
    mine(project, "tasks/a.md", task("A of Ada"))
    sent = send({"tasks/a.md": task("A of Bob")}, at=old)
    taken_in(project)
    assert project.show("tasks/a.md") == task("A of Ada").strip()
    (line,) = project.told("edit-conflict")
    name = line.split("went=tasks/")[1].split(".md")[0]
    assert project.show(f"tasks/{name}.md") == task("A of Bob").strip()
    assert str(status_of(project.board(), name, utc_now()).status) == "ready"
    assert f"kept=refs/gitfleet/salvage/in/{sent[:10]}" in line


def test_two_edits_of_one_task(project: SampleProject, send: Send) -> None:
    """Bob's version goes beside, held: nobody said that both are to be done."""
    project.put({"tasks/a.md": task("A")})
    old = project.tip()
    mine(project, "tasks/a.md", task("A of Ada"))
    send({"tasks/a.md": task("A of Bob")}, at=old)
    taken_in(project)
    name = project.told("edit-conflict")[0].split("went=tasks/")[1].split(".md")[0]
    where = status_of(project.board(), name, utc_now())
    assert str(where.status) == "held"
    assert "another version of a, which was changed on the board meanwhile" in where.reason


def test_what_contradicts_and_cannot_go_beside_is_kept_and_told(
    project: SampleProject, send: Send
) -> None:
    """Settings edited twice, an edited task deleted, a finished one edited: the commit is kept."""
    project.put({"tasks/a.md": task("A"), "tasks/f.md": task("F")})
    old = project.tip()
    settings = (project.window / "fleet.yaml").read_text()
    mine(project, "fleet.yaml", settings + "max_attempts: 1\n")
    mine(project, "tasks/a.md", task("A of Ada"))
    project.close_task("f", moment("2026-01-01 10:00"))
    project.change({"tasks/f.md": None, "done/2026-01/f/task.md": task("F").encode()})
    sent = send(
        {"fleet.yaml": settings + "max_attempts: 2\n", "tasks/a.md": None, "tasks/f.md": None},
        at=old,
    )
    read_inbox(project.fleet())
    told = " ".join(project.told("edit-conflict"))
    assert 'path=fleet.yaml went="ignored: the board has another version"' in told
    assert 'path=tasks/a.md went="ignored: not removed: the board has another version"' in told
    assert 'path=tasks/f.md went="ignored: not removed: it is finished and archived"' in told
    assert project.tip(f"refs/gitfleet/salvage/in/{sent[:10]}") == sent
    assert "tasks/a.md" in project.files() and "max_attempts: 1" in project.show("fleet.yaml")


def test_a_new_task_with_a_finished_ones_name_goes_beside(
    project: SampleProject, send: Send
) -> None:
    """An id is taken while it is anywhere on the board."""
    project.put({"tasks/f.md": task("F")})
    old = project.tip()
    project.close_task("f", moment("2026-01-01 10:00"))
    project.change({"tasks/f.md": None, "done/2026-01/f/task.md": task("F").encode()})
    send({"tasks/f.md": task("F again")}, at=f"{old}~1")
    read_inbox(project.fleet())
    name = project.told("edit-conflict")[0].split("went=tasks/")[1].split(".md")[0]
    assert str(status_of(project.board(), name, utc_now()).status) == "ready"


def test_what_is_not_for_people_is_refused_in_words(project: SampleProject, send: Send) -> None:
    """Each by itself: the other files of the branch arrive, and the whole commit is kept. The
    table of `test_human_edits` has every kind of file."""
    project.put({"tasks/a.md": task("A")})
    refused = {
        "claims/a.yaml": "only runners write there",
        "task/a.md": "it is not a file of a board",
        "notes/a/\u202ex": "its name is not a plain path",
        "notes/a/a\nb": "its name is not a plain path",
    }
    sent = send({**dict.fromkeys(refused, "x: 1\n"), "tasks/good.md": task()})
    read_inbox(project.fleet())
    assert refs.names(project.repo, INBOX) == {} and "tasks/good.md" in project.files()
    lines = project.told("edit-conflict")
    assert len(lines) == len(refused) and not project.files() & refused.keys()
    for line, why in zip(lines, (refused[path] for path in sorted(refused)), strict=True):
        assert f'went="ignored: {why}"' in line and line.isprintable()
        assert f"kept=refs/gitfleet/salvage/in/{sent[:10]}" in line
    assert project.broken() == []


def raw_tree(project: SampleProject, *entries: tuple[str, str, str]) -> str:
    """A tree of (mode, name, id) written byte by byte, past every check of git's."""
    data = b"".join(
        f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
    )
    command = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    made = subprocess.run(command, cwd=project.path, input=data, capture_output=True, check=True)
    return made.stdout.decode().strip()


@pytest.mark.parametrize("name", ["..", ".git", "../../x", "."])
def test_trees_that_git_would_not_write(project: SampleProject, name: str) -> None:
    """Somebody who makes trees byte by byte gets nowhere either, and no branch is left."""
    blob = git("hash-object", "-w", "README", cwd=project.path)
    inner = raw_tree(project, ("100644", f"{name}.md", blob), ("100644", name, blob))
    tree = raw_tree(project, ("40000", name, inner), ("40000", "notes", inner))
    commit = git("commit-tree", tree, "-m", "evil", cwd=project.path, env=BOB)
    git("update-ref", f"{INBOX}evil", commit, cwd=project.path)
    before = project.files()
    taken_in(project)
    assert project.files() == before
    assert project.told("edit-conflict") or project.told("inbox-unreadable")


def test_links_and_submodules_are_refused(
    project: SampleProject, tmp_path: Path, send: Send
) -> None:
    """A link could point anywhere, and a submodule is somebody else's repository."""
    clone = tmp_path / "bobs"
    (clone / "tasks/link.md").symlink_to("/etc/passwd")
    commit = git("rev-parse", "HEAD", cwd=clone)
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},tasks/sub.md", cwd=clone)
    git("add", "tasks/link.md", cwd=clone)
    git("commit", "-q", "-m", "links", cwd=clone)
    git("push", "-q", "origin", "HEAD:gitfleet/in/x", cwd=clone)
    taken_in(project)
    told = project.told("edit-conflict")
    assert len(told) == 2 and all('went="ignored: not a plain file"' in line for line in told)
    assert "tasks/link.md" not in project.files()


def test_a_crash_before_the_branch_is_deleted_is_harmless(
    project: SampleProject, send: Send
) -> None:
    """It is on the board already: it does not come twice, whatever happened since."""
    sent = send({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    taken_in(project)
    mine(project, "tasks/a.md", task("A, edited since"))
    project.change({"tasks/b.md": None}, author=ADA)
    before = project.tip()
    git("update-ref", f"{INBOX}bob", sent, cwd=project.path)  # as if it had never been deleted
    taken_in(project)
    assert project.tip() == before


def test_a_branch_that_is_still_being_written_is_left_alone(project: SampleProject) -> None:
    """A worktree here has it checked out: somebody is at it."""
    place = project.path.parent / "writing"
    git("worktree", "add", "-q", "-b", "gitfleet/in/me", str(place), "fleet", cwd=project.path)
    (place / "tasks/a.md").write_text(task())
    git("add", "-A", cwd=place)
    git("commit", "-q", "-m", "half", cwd=place)
    read_inbox(project.fleet())
    assert f"{INBOX}me" in refs.names(project.repo, INBOX) and "tasks/a.md" not in project.files()
    assert "checked out in" in project.told("inbox-kept")[0]
    git("worktree", "remove", str(place), cwd=project.path)
    taken_in(project)
    assert "tasks/a.md" in project.files()


def test_a_branch_with_an_odd_author_and_no_history(project: SampleProject) -> None:
    """No ancestor in common, an empty message, a name that would be a second header."""
    tree = git("rev-parse", "fleet^{tree}", cwd=project.path)
    odd = {**BOB, "GIT_AUTHOR_NAME": "B\x07ob", "GIT_AUTHOR_EMAIL": "a b"}
    commit = git("commit-tree", tree, "-m", "", cwd=project.path, env=odd)
    git("update-ref", f"{INBOX}odd", commit, cwd=project.path)
    before = project.files()
    taken_in(project)
    assert project.files() == before


def test_a_runner_at_work_merges_inbox_branches(project: SampleProject, send: Send) -> None:
    """From push to landing, without anybody pulling."""
    live = project.start()
    live.wait_for("running")
    send({"tasks/hers.md": task("By an inbox branch", "touch by-branch")})
    live.wait_for("landed", task="hers")
    assert live.stop().status == 0
    assert "by-branch" in project.files("main") and refs.names(project.repo, INBOX) == {}
