"""`gitfleet doctor` asks the real coders for one word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.fleetlab import git
from tests.reals.installed import PINNED, needs
from tests.reals.stage import MODELS, Stage, stage

EACH = [pytest.param(name, marks=needs(name)) for name in PINNED]


def told(on: Stage, *args: str) -> list[dict[str, str]]:
    """What doctor finds about coders."""
    done = on.lab.gitfleet("doctor", "--json", *args, timeout=120)
    return [found for found in json.loads(done.stdout) if found["about"] == "coder"]


def only(on: Stage, coder: str) -> None:
    """A board on which this one does the work, and no other is named."""
    described = {coder: on.lab.settings["coders"][coder]}
    on.lab.set(coders=described, roles={"work": {"coder": coder, "model": MODELS[coder]}})


@pytest.mark.parametrize("coder", EACH)
def test_a_real_coder_answers_the_doctor(tmp_path: Path, coder: str) -> None:
    """Its version is a known one, it is reached, and the repository is as before."""
    with stage(tmp_path, {}) as on:
        only(on, coder)
        before = git("for-each-ref", cwd=on.lab.path), on.lab.worktrees()
        program, answer = told(on)
        assert program["level"] == answer["level"] == "ok", (program, answer)
        assert program["what"].endswith(f", version {PINNED[coder].version}")
        assert f"{coder} (role work) answered in" in answer["what"]
        assert (git("for-each-ref", cwd=on.lab.path), on.lab.worktrees()) == before


@pytest.mark.parametrize("coder", EACH)
def test_a_refused_key_is_told(tmp_path: Path, coder: str) -> None:
    """Even by those that end with 0, and by those that try again and again."""
    with stage(tmp_path, {}) as on:
        only(on, coder)
        on.use("another-key")
        *_, answer = told(on, "--seconds", "30")
        assert answer["level"] == "problem"
        assert f"{coder} (role work) did not answer (auth)" in answer["what"]
        assert "Log in" in answer["remedy"]
