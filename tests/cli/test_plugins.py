"""`gitfleet plugins`: each plugin, where it comes from, and whether it may be used and works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitfleet.plugins import PluginKind
from tests.cli.acting import gitfleet
from tests.plugins.kit import distribution, machine, spy

_CODERS = PluginKind.CODER.group


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions, for the processes that a test starts."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return tmp_path / "site"


def test_each_plugin_is_told_with_its_origin_and_whether_it_works(
    site: Path, tmp_path: Path
) -> None:
    """One that is not listed is not imported to find that out. It needs no repository."""
    good, quiet = tmp_path / "good-imported", tmp_path / "quiet-imported"
    points = {"good": "goodmod:PLUG", "claude": "goodmod:PLUG", "bad": "badmod:PLUG"}
    distribution(
        site,
        "gitfleet-extra",
        {_CODERS: points},
        {"goodmod.py": spy(good, "good"), "badmod.py": "import nothing_of_that_name"},
        version="2.1",
    )
    distribution(site, "quiet", {_CODERS: {"quiet": "quiet:PLUG"}}, {"quiet.py": spy(quiet)})
    machine(plugins=["gitfleet-extra", "gone"])
    found = json.loads(gitfleet("plugins", "--json", cwd=tmp_path).stdout)
    assert {one["name"]: (one["state"], one["listed"]) for one in found} == {
        "good": ("works", True),
        "claude": ("shadowed", True),
        "bad": ("broken", True),
        "quiet": ("not-listed", False),
        "gone": ("missing", True),
    }
    first = found[0]
    assert (first["name"], first["kind"]) == ("bad", "coder")
    assert (first["distribution"], first["version"]) == ("gitfleet-extra", "2.1")
    assert "nothing_of_that_name" in first["reason"] and first["remedy"]
    assert good.exists() and not quiet.exists()
    told = gitfleet("plugins", cwd=tmp_path).stdout
    assert "good    coder  gitfleet-extra 2.1  listed      works" in told
    assert "quiet   coder  quiet 1.0           not listed  not imported" in told
    assert "No module named" in told and "no installed distribution provides it" in told


def test_the_doctor_tells_of_the_plugins_that_are_listed(site: Path, repo_path: Path) -> None:
    """One that is broken, or not installed, is a warning; others are none of its business."""
    points = {"good": "goodmod:PLUG", "bad": "badmod:PLUG", "quiet": "badmod:PLUG"}
    modules = {"goodmod.py": spy(site / "mark", "good"), "badmod.py": "1 / 0"}
    distribution(site, "gitfleet-extra", {_CODERS: points}, modules)
    machine(plugins=["good", "bad", "gone"])
    found = json.loads(gitfleet("doctor", "--no-calls", "--json", cwd=repo_path, code=1).stdout)
    told = [f"{one['level']} {one['what']}" for one in found if one["about"] == "plugin"]
    assert len(told) == 3
    assert "ok good (coder, gitfleet-extra 1.0)" in told
    assert any("warning bad" in line and "ZeroDivisionError" in line for line in told)
    assert any("warning config.yaml lists gone" in line for line in told)


def test_without_a_plugin_it_says_so(tmp_path: Path) -> None:
    """In a sentence, and for programs as an empty list."""
    assert "No plugins are installed." in gitfleet("plugins", cwd=tmp_path).stdout
    assert json.loads(gitfleet("plugins", "--json", cwd=tmp_path).stdout) == []
