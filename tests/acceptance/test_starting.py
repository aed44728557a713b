"""What starts work, where a runner may stand, and which settings rule."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab
from tests.conftest import git


def test_a_task_committed_with_plain_git_starts_by_itself(lab: Lab) -> None:
    """The runner sees the commit; nobody has to tell it."""
    live = lab.start()
    live.wait_for("running")
    lab.task("hello", script="echo hi > hi.txt")
    live.wait_for("landed", task="hello", timeout=25)  # the slow poll comes after 30 s only
    assert (lab.path / "hi.txt").read_text() == "hi\n"
    live.signal()
    assert live.wait().status == 0


@pytest.mark.slow
def test_a_push_into_a_bare_repository_starts_work_there(make_lab: MakeLab) -> None:
    """A runner in a bare repository needs no checkout, and a push from a clone wakes it."""
    lab = make_lab(bare=True)
    live = lab.start()
    live.wait_for("running")
    lab.task("hello", script="echo hi > hi.txt")
    live.wait_for("landed", task="hello", timeout=25)
    assert lab.show("main:hi.txt") == "hi"
    lab.task("more", script="cat hi.txt hi.txt > more.txt", depends_on=["hello"])
    live.wait_for("landed", task="more", timeout=25)
    live.signal()
    live.wait()
    assert lab.worktrees() == [lab.path]
    assert lab.fsck().status == 0


def test_a_runner_may_stand_in_a_linked_worktree(lab: Lab) -> None:
    """Started in a linked worktree it works on the whole repository, and leaves that tree be."""
    side = lab.folder / "side"
    git("worktree", "add", "-q", "-b", "side", str(side), cwd=lab.path)
    lab.task("hello", script="echo hi > hi.txt")
    live = lab.start("--until-idle", at=side)
    assert live.wait().status == 0
    assert lab.landings() == ["hello"]
    assert (lab.path / "hi.txt").exists() and not (side / "hi.txt").exists()
    assert git("status", "--porcelain", cwd=side) == ""


def test_a_second_runner_of_one_clone_says_who_runs(lab: Lab) -> None:
    """One live runner a clone: the second ends at once and names the first."""
    live = lab.start()
    live.wait_for("running")
    second = lab.gitfleet("run", "--until-idle")
    assert second.returncode == 1
    assert f"process {live.pid}" in second.stderr and "gitfleet stop" in second.stderr


def test_settings_that_change_on_the_branch_rule_at_once(make_lab: MakeLab) -> None:
    """A runner at work reads fleet.yaml again when it changes."""
    lab = make_lab(roles={})
    live = lab.start()
    lab.task("hello", script="echo hi > hi.txt")
    assert "no coder" in live.wait_for("skipped", task="hello").fields["reason"]
    lab.set(roles={"work": {"coder": "shell"}}, checks=["test -f hi.txt"])
    live.wait_for("landed", task="hello", timeout=25)
    assert [check.command for check in lab.attempts("hello", "validate")[0].checks] == [
        "test -f hi.txt"
    ]


def test_broken_settings_are_said_once_and_the_old_ones_rule(lab: Lab) -> None:
    """A fleet.yaml that does not validate stops nothing; each of its problems is one line."""
    live = lab.start()
    live.wait_for("running")
    (lab.window / "fleet.yaml").write_text("format: 2\nconcurrncy: 3\nchecks: none\n")
    lab.commit("Broken")
    assert "concurrncy" in live.wait_for("broken-settings").fields["reason"]
    for id in ("one", "two"):
        lab.task(id, script=f"echo {id} > {id}.txt")
        live.wait_for("landed", task=id, timeout=25)
    assert len(live.lines.of("broken-settings")) == 2


def test_a_newer_format_is_left_alone_until_somebody_upgrades(lab: Lab) -> None:
    """On a board of a newer format nothing is claimed."""
    live = lab.start()
    live.wait_for("running")
    lab.set(format=99)
    assert "99" in live.wait_for("newer-format").fields["reason"]
    lab.task("hello", script="echo hi > hi.txt")
    lab.set(format=2)
    back = lab.tip("fleet")
    live.wait_for("landed", task="hello", timeout=25)
    before = git("log", "--format=%s", back, cwd=lab.path)
    assert "Claim" not in before


def test_an_older_format_is_left_alone_until_somebody_fixes_it(lab: Lab) -> None:
    """A runner whose board is put back to format 1 says what to do, and goes on once it is done."""
    live = lab.start()
    live.wait_for("running")
    settings = (lab.window / "fleet.yaml").read_text()
    (lab.window / "fleet.yaml").write_text(settings.replace("format: 2", "format: 1"))
    lab.write_task("hello", script="echo hi > hi.txt", touches=["hi.txt"])
    lab.commit("Back")
    assert "gitfleet lint --fix" in live.wait_for("older-format").fields["remedy"]
    lab.gitfleet("lint", "--fix")
    live.wait_for("landed", task="hello", timeout=25)
    told = git("log", "--format=%s", "fleet", cwd=lab.path)
    assert "Claim" not in told.partition("Rename keys to those of format 2")[2]


def test_a_task_that_may_not_start_yet_keeps_nobody_waiting(lab: Lab) -> None:
    """--until-idle waits for back-offs, never for not_before."""
    lab.task("later", script="echo later > later.txt", not_before="2999-01-01T00:00:00Z")
    ran = lab.run("--until-idle")
    assert ran.status == 0
    assert lab.status("later") == "delayed"
    assert not ran.lines.of("claimed")


def test_once_does_one_task_and_its_repairs_only(lab: Lab) -> None:
    """--once leaves every other task for others."""
    lab.task("one", script="echo 1 > one.txt")
    lab.task("two", script="echo 2 > two.txt")
    assert lab.run("--once", "two").status == 0
    assert lab.statuses() == {"one": "ready", "two": "done"}


def test_a_run_until_idle_names_what_it_leaves_to_a_person(lab: Lab) -> None:
    """Status 4 does not come alone: a line tells for which tasks' sake."""
    lab.set(max_attempts=1)
    lab.task("bad", script="exit 1")
    lab.task("good", script="echo good > good.txt")
    ran = lab.run("--until-idle")
    assert ran.status == 4
    (line,) = ran.lines.of("unfinished")
    assert line.fields["tasks"] == "bad" and "gitfleet list" in line.fields["remedy"]
    lab.gitfleet("cancel", "bad")
    ran = lab.run("--until-idle")
    assert (ran.status, ran.lines.of("unfinished")) == (0, [])
