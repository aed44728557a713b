"""What a model's server refuses ends as what it is, whatever a coder makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reals.installed import PINNED
from tests.reals.stage import TOOLLESS, stage, work

THERE = [name for name, cli in PINNED.items() if cli.installed]
pytestmark = pytest.mark.skipif(not THERE, reason="no coder is installed (.ci/clis does it)")


def test_a_refused_key_burns_no_attempt(tmp_path: Path) -> None:
    """Each coder is tried once and left alone; with the right key the work is done."""
    plays = {coder: work(coder, coder) for coder in THERE}
    toolless = [TOOLLESS] if TOOLLESS in THERE else []
    with stage(tmp_path, plays, toolless=toolless, concurrency=len(THERE)) as on:
        for coder in THERE:
            on.task(coder, coder)
        on.lab.commit()
        on.use("another-key")
        live = on.lab.start("--until-idle")
        ran = live.wait(300)
        told = live.told()
        assert ran.status == 4, told
        outcomes = {coder: on.lab.outcomes(coder, "work") for coder in THERE}
        assert outcomes == {coder: ["auth-failed"] for coder in THERE}, told
