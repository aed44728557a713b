"""What a model's server refuses ends as what it is, whatever a coder makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reals.installed import PINNED, needs
from tests.reals.model import refuse
from tests.reals.stage import TOOLLESS, stage, work

THERE = [name for name, cli in PINNED.items() if cli.installed]
pytestmark = pytest.mark.skipif(not THERE, reason="no coder is installed (.ci/clis does it)")


def test_a_refused_key_burns_no_attempt(tmp_path: Path) -> None:
    """Each coder is tried once and then left alone, and nothing counts against its task."""
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
        assert "failed" not in on.lab.statuses().values()
        outcomes = {coder: on.lab.outcomes(coder, "work") for coder in THERE}
        assert outcomes == {coder: ["auth-failed"] for coder in THERE}, told


@needs("claude")
def test_a_limit_that_lasts_is_waited_for(tmp_path: Path) -> None:
    """One that is told to come back in an hour has not failed, and is not asked before."""
    with stage(tmp_path, {"one": [refuse(429, times=1000, after=3600)]}) as on:
        on.task("one", "claude")
        on.lab.commit()
        live = on.lab.start()
        live.wait_for("ended", task="one", outcome="limited")
        live.stop()
        assert on.lab.outcomes("one", "work") == ["limited"]
        assert on.lab.status("one") != "failed"
