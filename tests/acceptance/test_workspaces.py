"""What a workspace holds before anybody works in it, and that checks find the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab
from tests.conftest import git


def test_a_workspace_is_set_up_copied_to_and_linked(make_lab: MakeLab) -> None:
    """workspace.setup, copy and link: for the work and for the checks alike, not once more on a
    retry."""
    lab = make_lab(
        files={".gitignore": ".env\nnode_modules\nbuilt\n"},
        workspace={"setup": ["echo x >> built"], "copy": [".env"], "link": ["node_modules"]},
        checks=["test -f built && test -f .env && test -L node_modules"],
    )
    (lab.path / ".env").write_text("KEY=1\n")
    (lab.path / "node_modules").mkdir()
    (lab.path / "node_modules" / "lib").write_text("lib\n")
    lab.task("one", script="cat .env node_modules/lib built > got; echo changed > .env")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["got"] == "KEY=1\nlib\nx"
    assert (lab.path / ".env").read_text() == "KEY=1\n"
    assert (lab.path / "node_modules" / "lib").exists()


def test_a_set_up_that_fails_is_told_and_no_coder_runs(make_lab: MakeLab) -> None:
    """The attempt has failed, with the command and its last words."""
    lab = make_lab(workspace={"setup": ["echo no network >&2; exit 1"]}, max_attempts=1)
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 4
    (attempt,) = lab.attempts("one")
    assert attempt.outcome == "failed" and "no network" in attempt.reason


@pytest.mark.slow
def test_a_path_that_leads_out_of_the_project_is_refused(make_lab: MakeLab) -> None:
    """workspace.copy takes nothing from outside: who writes the board is not to read the disk."""
    lab = make_lab(workspace={"copy": ["../secret"]}, max_attempts=1)
    (lab.folder / "secret").write_text("secret\n")
    lab.task("one", script="cat ../secret > x || echo none > x")
    lab.run("--until-idle")
    assert "secret" not in lab.tree().get("x", "")
    assert "paths inside the project" in lab.attempts("one")[0].reason


def _with_submodule(lab: Lab, folder: Path) -> None:
    library = folder / "library"
    git("init", "-q", "-b", "main", str(library), cwd=folder)
    (library / "lib.txt").write_text("from the library\n")
    git("add", "-A", cwd=library)
    git("commit", "-q", "-m", "Library", cwd=library)
    git("config", "--global", "protocol.file.allow", "always", cwd=folder)
    git("submodule", "-q", "add", str(library), "lib", cwd=lab.path)
    git("commit", "-q", "-m", "With a library", cwd=lab.path)


@pytest.mark.slow
def test_submodules_are_there(lab: Lab) -> None:
    """Work and checks see submodules filled, and the landing leaves the person's alone."""
    _with_submodule(lab, lab.folder)
    lab.set(checks=["test -f lib/lib.txt"])
    lab.task("one", script="cat lib/lib.txt > got")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["got"] == "from the library"
    assert git("status", "--porcelain", cwd=lab.path) == ""
    assert lab.worktrees() == [lab.path, lab.window]


def test_filters_work_as_git_does_them(lab: Lab) -> None:
    """What is committed went through `clean`, what lies in the checkout through `smudge`."""
    git("config", "filter.up.clean", "tr a-z A-Z", cwd=lab.path)
    git("config", "filter.up.smudge", "tr A-Z a-z", cwd=lab.path)
    (lab.path / ".gitattributes").write_text("*.up filter=up\n")
    git("add", "-A", cwd=lab.path)
    git("commit", "-q", "-m", "A filter", cwd=lab.path)
    lab.set(checks=["grep -q hello x.up"])
    lab.task("one", script="echo hello > x.up")
    assert lab.run("--until-idle").status == 0
    assert lab.show("main:x.up") == "HELLO"
    assert (lab.path / "x.up").read_text() == "hello\n"
    assert git("status", "--porcelain", cwd=lab.path) == ""


def test_a_strange_thing_in_the_place_of_a_workspace_is_kept(lab: Lab) -> None:
    """What is not ours is set aside, not removed."""
    place = lab.clone.workspace("one")
    place.mkdir(parents=True)
    (place / "precious").write_text("x\n")
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 0
    kept = list(place.parent.glob("one.*.kept/precious"))
    assert [path.read_text() for path in kept] == ["x\n"]
