"""`gitfleet doctor` asks the real coders for one word, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import git
from tests.reals.installed import PINNED
from tests.reals.stage import MODELS, Stage, stage

THERE = [name for name, cli in PINNED.items() if cli.installed]
pytestmark = pytest.mark.skipif(not THERE, reason="no coder is installed (.ci/clis does it)")


def told(on: Stage, *args: str) -> list[dict[str, str]]:
    """What doctor finds about coders."""
    for coder in THERE:
        on.task(f"some-{coder}", coder)
    described = {coder: on.lab.settings["coders"][coder] for coder in THERE}
    role = {"coder": THERE[0], "model": MODELS[THERE[0]]}
    on.lab.set(coders=described, roles={"work": role})
    done = on.lab.gitfleet("doctor", "--json", *args, timeout=300)
    return [found for found in json.loads(done.stdout) if found["about"] == "coder"]


def test_real_coders_answer_the_doctor(tmp_path: Path) -> None:
    """Their versions are known ones, they are reached, and the repository is as before."""
    with stage(tmp_path, {}) as on:
        refs, trees = git("for-each-ref", "refs/heads/main", cwd=on.lab.path), on.lab.worktrees()
        found = told(on, "--seconds", "90")
        assert {one["level"] for one in found} == {"ok"}, found
        said = "\n".join(one["what"] for one in found)
        for coder in THERE:
            assert f"/{coder}, version {PINNED[coder].version}\n" in said
        assert said.count(" answered in ") == len(THERE)
        assert git("for-each-ref", "refs/heads/main", cwd=on.lab.path) == refs
        assert on.lab.worktrees() == trees


def test_a_refused_key_is_told(tmp_path: Path) -> None:
    """Even of those that end with 0, and of those that try again and again."""
    with stage(tmp_path, {}) as on:
        on.use("another-key")
        found = told(on, "--seconds", "45")
        refused = [one for one in found if " did not answer (auth)" in one["what"]]
        assert len(refused) == len(THERE), found
        assert {one["level"] for one in refused} == {"problem", "warning"}
        assert all("Log in" in one["remedy"] for one in refused)
