"""What lands, what waits, and what of a person's survives it."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab, parsed, until
from tests.conftest import git


@pytest.mark.slow
def test_a_red_target_is_said_once_and_nobody_is_blamed(make_lab: MakeLab) -> None:
    """A shared check that fails on main itself leaves the work submitted, with no fix task."""
    lab = make_lab(files={"broken": "x\n"}, checks=["test ! -e broken"])
    for id in ("one", "two"):
        lab.task(id, script=f"echo {id} > {id}")
    ran = lab.run("--until-idle")
    assert ran.status == 4
    assert lab.statuses() == {"one": "submitted", "two": "submitted"}
    assert lab.outcomes("one", "validate") == ["target-red"]
    assert len(ran.lines.of("target-red")) == 1
    assert "main" in lab.reason("one")


@pytest.mark.slow
def test_a_red_target_is_repaired_by_a_change_that_is_green(make_lab: MakeLab) -> None:
    """The repair lands although its target is red, and what waited for it lands after."""
    lab = make_lab(files={"broken": "x\n"}, checks=["test ! -e broken"])
    lab.task("one", script="echo one > one")
    assert lab.run("--until-idle").status == 4
    lab.task("repair", script="git rm -q broken")
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["repair", "one"]
    assert set(lab.statuses()) == {"one", "repair"}


@pytest.mark.slow
def test_a_check_of_its_own_is_never_the_targets_fault(make_lab: MakeLab) -> None:
    """A task's check fails until its work is done, so it fails on main, too: the work is blamed."""
    lab = make_lab(max_fix_rounds=0)
    lab.task("one", script="echo x > other", checks=["test -e wanted"])
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one", "validate") == ["checks-failed"]
    assert lab.status("one") == "failed"


@pytest.mark.slow
def test_checks_run_on_the_tree_that_lands(lab: Lab) -> None:
    """Two changes that are each good and together bad: the second one does not land."""
    gate = lab.gate("gate")
    lab.set(checks=["test ! -e one -o ! -e two"], max_fix_rounds=0)
    for id in ("one", "two"):
        lab.write_task(id, script=f"{gate.pause}\necho {id} > {id}")
    lab.commit("Both")
    live = lab.start("--until-idle")
    gate.reached()
    gate.reached()
    gate.open(2)
    assert live.wait().status == 4
    assert sorted(lab.statuses().values()) == ["done", "failed"]
    assert len(lab.landings()) == 1


def test_edits_in_the_way_keep_the_work_waiting_and_it_lands_when_they_are_gone(lab: Lab) -> None:
    """A person's uncommitted edit is never overwritten: accepted, with the reason; then it lands
    by itself."""
    (lab.path / "README").write_text("mine\n")
    lab.task("one", script="echo theirs > README")
    live = lab.start()
    reason = live.wait_for("blocked", task="one").fields["reason"]
    assert "README" in reason and "commit or stash" in reason
    live.wait_for("ended", task="one", outcome="accepted")
    lab.wait_status("one", "accepted")
    assert "README" in lab.reason("one")
    assert lab.landings() == [] and (lab.path / "README").read_text() == "mine\n"
    git("checkout", "-q", "README", cwd=lab.path)
    git("branch", "something-moves", cwd=lab.path)  # or the slow poll sees it
    live.wait_for("landed", task="one", timeout=25)
    until(lambda: (lab.path / "README").read_text() == "theirs\n")
    assert git("status", "--porcelain", cwd=lab.path) == ""
    assert len(live.lines.of("blocked")) == 1
    assert lab.outcomes("one", "work") == ["submitted"]


def test_a_runner_that_cannot_land_ends_idle_and_says_that_a_person_is_wanted(lab: Lab) -> None:
    """--until-idle does not wait for a person's checkout: exit status 4."""
    (lab.path / "README").write_text("mine\n")
    lab.task("one", script="echo theirs > README")
    assert lab.run("--until-idle").status == 4
    assert lab.status("one") == "accepted"
    git("checkout", "-q", "README", cwd=lab.path)
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["one"]


def test_edits_elsewhere_survive_a_landing(make_lab: MakeLab) -> None:
    """Staged, unstaged, deleted and untracked: a landing in other files leaves them as they are."""
    lab = make_lab(files={name: f"{name}\n" for name in ("staged", "edited", "gone")})
    (lab.path / "staged").write_text("staged by me\n")
    git("add", "staged", cwd=lab.path)
    (lab.path / "edited").write_text("edited by me\n")
    (lab.path / "gone").unlink()
    (lab.path / "new").write_text("new of mine\n")
    before = git("status", "--porcelain", cwd=lab.path)
    lab.task("one", script="echo theirs > README; mkdir d; echo x > d/x")
    assert lab.run("--until-idle").status == 0
    assert git("status", "--porcelain", cwd=lab.path) == before
    assert (lab.path / "README").read_text() == "theirs\n" and (lab.path / "d/x").exists()
    assert (lab.path / "edited").read_text() == "edited by me\n"


def test_a_checkout_of_another_branch_is_not_touched(lab: Lab) -> None:
    """Where nobody has the target checked out it just moves."""
    git("switch", "-q", "-c", "mine", cwd=lab.path)
    (lab.path / "README").write_text("edited\n")
    lab.task("one", script="echo theirs > README")
    assert lab.run("--until-idle").status == 0
    assert (lab.path / "README").read_text() == "edited\n"
    assert lab.show("main:README") == "theirs"


def test_work_that_a_person_merged_by_hand_is_landed(lab: Lab) -> None:
    """It is seen in the target, and nothing is merged again."""
    (lab.path / "README").write_text("mine\n")
    lab.task("one", script="echo theirs > README")
    assert lab.run("--until-idle").status == 4
    git("checkout", "-q", "README", cwd=lab.path)
    git("merge", "-q", "--no-ff", "-m", "By hand", "gitfleet/task/one", cwd=lab.path)
    by_hand = lab.tip()
    assert lab.run("--until-idle").status == 0
    assert lab.tip() == by_hand
    assert lab.status("one") == "done"
    (landed,) = lab.events("one", "landed")
    assert landed.content.merge == by_hand  # type: ignore[union-attr]
    assert lab.fsck().status == 0


def test_work_that_a_person_squashed_by_hand_is_landed(lab: Lab) -> None:
    """The same change under another commit: merging would change nothing."""
    (lab.path / "README").write_text("mine\n")
    lab.task("one", script="echo theirs > README")
    assert lab.run("--until-idle").status == 4
    git("checkout", "-q", "README", cwd=lab.path)
    git("merge", "-q", "--squash", "gitfleet/task/one", cwd=lab.path)
    git("commit", "-q", "-m", "Squashed", cwd=lab.path)
    by_hand = lab.tip()
    assert lab.run("--until-idle").status == 0
    assert (lab.tip(), lab.status("one")) == (by_hand, "done")
    assert lab.fsck().status == 0


@pytest.mark.slow
def test_a_task_lands_on_the_branch_that_it_names(lab: Lab) -> None:
    """`base` is where the work starts and lands; a branch that does not exist is told."""
    git("branch", "release", cwd=lab.path)
    lab.write_task("one", script="echo x > x", base="release")
    lab.write_task("two", script="echo x > x", base="nowhere")
    lab.commit("Both")
    assert lab.run("--until-idle").status == 4
    assert lab.show("release:x") == "x" and "x" not in lab.tree()
    assert lab.statuses() == {"one": "done", "two": "ready"}


@pytest.mark.slow
def test_the_merge_says_whose_work_it_is(lab: Lab) -> None:
    """The trailers of a landing name task, attempt, coder, model and nonce."""
    lab.task("one", script="echo x > x", model="small-1")
    lab.run("--until-idle")
    said = git("log", "-1", "--format=%(trailers:only,unfold)", "main", cwd=lab.path).splitlines()
    given = dict(line.split(": ") for line in said)
    nonce = lab.attempts("one", "validate")[0].nonce
    assert given == {
        "Gitfleet-Task": "one",
        "Gitfleet-Attempt": "1",
        "Gitfleet-Coder": "shell",
        "Gitfleet-Model": "small-1",
        "Gitfleet-Nonce": nonce,
    }
    assert git("rev-parse", "main^2", cwd=lab.path) == lab.attempts("one", "work")[0].head


@pytest.mark.slow
def test_shell_runs_again_on_a_clean_tip_after_a_conflict(lab: Lab) -> None:
    """Whose change comes second is made anew on top of the first."""
    gate = lab.gate("gate")
    for id in ("one", "two"):
        script = f"{gate.pause}\necho {id} >> words"
        lab.write_task(id, script=script)
    lab.commit("Both")
    live = lab.start("--until-idle")
    gate.reached()
    gate.reached()
    gate.open(3)
    assert live.wait().status == 0
    first, second = lab.landings()
    assert lab.outcomes(second) == ["submitted", "conflict", "submitted", "accepted"]
    assert lab.tree()["words"].split() == [first, second]
    assert "words" in lab.attempts(second, "validate")[0].findings


_SOLVER = """\
cp "$1" "{folder}/$GITFLEET_TASK.$GITFLEET_ATTEMPT.md"
if grep -q '<<<<<<<' words 2> /dev/null; then
    grep -v '^[<=>]' words > solved; mv solved words
    exit 0
fi
{pause}
echo $GITFLEET_TASK >> words
"""


@pytest.mark.slow
def test_another_coder_finds_the_markers_of_a_conflict(make_lab: MakeLab) -> None:
    """A coder with a mind goes on at the target's tip with its own work merged in."""
    lab = make_lab()
    gate = lab.gate("gate")
    solver = lab.folder / "solver.sh"
    solver.write_text(_SOLVER.format(folder=lab.folder, pause=gate.pause))
    argv = ["sh", str(solver), "{prompt_file}"]
    lab.set(coders={"solver": {"argv": argv}}, roles={"work": {"coder": "solver"}})
    for id in ("one", "two"):
        lab.write_task(id)
    lab.commit("Both")
    live = lab.start("--until-idle")
    gate.reached()
    gate.reached()
    gate.open(2)
    assert live.wait().status == 0
    first, second = lab.landings()
    assert lab.tree()["words"].split() == [first, second]
    assert lab.outcomes(second) == ["submitted", "conflict", "submitted", "accepted"]
    again = (lab.folder / f"{second}.3.md").read_text()
    assert "with\nconflict markers" in again and ": conflict." in again


def test_markers_left_in_a_file_are_no_solution(make_lab: MakeLab) -> None:
    """A coder that ends well and leaves the conflict unsolved has failed."""
    lab = make_lab(max_attempts=1)
    gate = lab.gate("gate")
    careless = f"{'; '.join(gate.pause.splitlines())}; echo $GITFLEET_TASK >> words"
    lab.set(
        coders={"careless": {"argv": ["sh", "-c", careless]}}, roles={"work": {"coder": "careless"}}
    )
    for id in ("one", "two"):
        lab.write_task(id)
    lab.commit("Both")
    live = lab.start("--until-idle")
    gate.reached()
    gate.reached()
    gate.open(3)
    assert live.wait().status == 4
    (landed,) = lab.landings()
    other = "two" if landed == "one" else "one"
    assert lab.outcomes(other) == ["submitted", "conflict", "failed"]
    assert "words" in lab.attempts(other)[-1].reason


def test_a_runners_line_can_be_read_by_a_program(lab: Lab) -> None:
    """Whatever a task is called, a line stays one line and its fields can be told apart."""
    line = parsed(
        '2026-01-01T00:00:00Z ended task=x reason="a \\"quoted\\" word = b" outcome=failed'
    )
    assert line.fields == {"task": "x", "reason": 'a "quoted" word = b', "outcome": "failed"}
