"""What people's commits did to runners' files is put back, and nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gitfleet.audit import repair
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from tests.people.kit import BOB, SampleProject, git, repair_board, task, tell


def forget(project: SampleProject) -> None:
    """As in another clone, whose runner has never looked at this history."""
    (project.clone.folder / "judged.json").unlink()


def drop(project: SampleProject, *paths: str) -> None:
    """A person's commit past the hooks that removes files."""
    project.git("rm", "-q", *paths)
    project.git("commit", "-q", "--no-verify", "-m", "gone")


def test_a_claim_that_has_ended_since_is_not_put_back(project: SampleProject) -> None:
    """It was dropped, repaired, and has ended: gone is what it is to be. A runner that sees this
    history for the first time must not claim for somebody long gone."""
    project.put({"tasks/a.md": task("A")})
    project.claim("a")
    drop(project, "claims/a.yaml")
    repair_board(project.fleet())
    assert "claims/a.yaml" in project.files()
    ended = (
        f"runner: box\nnonce: {'c1a1' * 8}\nattempt: 1\noutcome: failed\nreason: no\n"
        "started: 2026-01-01T00:00:00Z\nended: 2026-01-01T00:01:00Z\n"
    )
    end = {"claims/a.yaml": None, "log/a/001-work-aaaa.yaml": ended.encode()}
    project.change(end)
    tip = project.tip()
    forget(project)
    repair_board(project.fleet())
    assert project.tip() == tip and project.broken() == []


def test_nothing_is_decided_on_a_damaged_board(project: SampleProject) -> None:
    """Whenever the damage comes: a decision sees the board as it was repaired, and so does every
    look. Else the attempt would be ended and its task claimed again."""
    project.put({"tasks/a.md": task("A")})
    project.claim("a")
    fleet = project.fleet()
    fleet.store.repairer = repair.Repairer(fleet)
    assert fleet.store.board().entries["a"].claim is not None
    drop(project, "claims/a.yaml")
    seen: list[bool] = []

    def decide(board: Board, _now: datetime) -> Change | None:
        seen.append(board.entries["a"].claim is not None)
        return None

    fleet.store.transact(decide)
    assert seen == [True] and project.broken() == []
    drop(project, "claims/a.yaml")
    assert fleet.store.board().entries["a"].claim is not None
    assert len(project.told("repaired")) == 2


def test_what_was_damaged_before_anybody_looked(project: SampleProject) -> None:
    """No runner was at work when it happened: the next one that starts repairs it."""
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    project.claim("a")
    drop(project, "claims/a.yaml")
    project.put({"tasks/b.md": task("B, edited")})
    repair_board(project.fleet())
    assert "claims/a.yaml" in project.files()
    assert project.show("tasks/b.md") == task("B, edited").strip()
    assert project.broken() == [] and len(project.findings()) == 1
    project.clean()


def test_foreign_events_and_claims_go(project: SampleProject) -> None:
    """An edited event is as it was; one that says it landed, and a claim on what nobody could
    claim, go; people's own events stay."""
    project.put({"tasks/a.md": task("A", hold=True)})
    said = "at: 2026-01-01T00:00:00Z\nreason: later\n"
    project.put({"log/a/001-hold-aaaa.yaml": said})
    landed = f"runner: x\nnonce: {'ab' * 16}\nat: 2026-01-01T00:00:00Z\ntarget: main\n"
    landed += f"merge: {'a' * 40}\n"
    project.write(
        {
            "log/a/001-hold-aaaa.yaml": said.replace("later", "never"),
            "log/a/002-landed-bbbb.yaml": landed,
            "log/a/002-note-cccc.yaml": said,
        }
    )
    project.git("add", "-A")
    project.git("commit", "-q", "--no-verify", "-m", "odd")
    repair_board(project.fleet())
    files = project.files()
    assert "log/a/002-landed-bbbb.yaml" not in files and "log/a/002-note-cccc.yaml" in files
    assert project.show("log/a/001-hold-aaaa.yaml") == said.strip()
    assert project.broken() == []


def test_a_merge_that_drops_what_runners_wrote(project: SampleProject, tmp_path: Path) -> None:
    """`git merge -s ours`, or a conflict resolved by the wrong side: judged by the side on which
    runners wrote, whichever parent that is."""
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    clone = project.clone_to(tmp_path / "bobs")
    (clone / "tasks/b.md").write_text(task("B of Bob"))
    git("commit", "-qam", "mine", cwd=clone, env=BOB)
    project.claim("a")
    git("fetch", "-q", cwd=clone)
    git("merge", "-q", "-s", "ours", "--no-edit", "origin/fleet", cwd=clone, env=BOB)
    git("push", "-q", "origin", "fleet", cwd=clone)
    assert "claims/a.yaml" not in project.files()
    repair_board(project.fleet())
    assert "claims/a.yaml" in project.files()
    assert project.show("tasks/b.md") == task("B of Bob").strip()
    assert project.broken() == [] and project.findings()[0].repaired


def test_plain_merges_need_no_repair(project: SampleProject, tmp_path: Path) -> None:
    """Pulls without --rebase, also one into another: nothing is touched, fsck is content."""
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    clone = project.clone_to(tmp_path / "bobs")
    for name in "xyz":
        (clone / f"tasks/{name}.md").write_text(task(name))
        git("add", "-A", cwd=clone)
        git("commit", "-qm", name, cwd=clone, env=BOB)
        project.put({f"tasks/ada-{name}.md": task(name)})
        if name == "y":
            project.claim("a")
        git("pull", "-q", "--no-rebase", "--no-edit", cwd=clone, env=BOB)
    git("push", "-q", "origin", "fleet", cwd=clone)
    tip = project.tip()
    repair_board(project.fleet())
    assert project.tip() == tip and project.findings() == []


def test_a_rewound_branch_is_the_board_now(project: SampleProject) -> None:
    """What was cut off does not come back, and the runner goes on."""
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    base = project.tip()
    project.claim("a")
    repair_board(project.fleet())
    project.git("reset", "-q", "--hard", base)
    repair_board(project.fleet())
    assert project.tip() == base and project.findings() == []
    project.claim("b")
    assert {"claims/b.yaml"} == {f for f in project.files() if f.startswith("claims/b")}


def test_a_commit_that_only_says_it_is_a_runners(project: SampleProject) -> None:
    """Amended by a person past the hooks, with the runner's words: it is judged as theirs."""
    project.put({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    project.claim("a")
    project.git("rm", "-q", "claims/a.yaml")
    project.write({"tasks/b.md": task("B, edited")})
    message = "x\n\nGitfleet-Runner: box\n"
    said = tell("git", "commit", "-qa", "--no-verify", "-m", message, cwd=project.window)
    assert said.status == 0
    repair_board(project.fleet())
    assert "claims/a.yaml" in project.files() and project.broken() == []
