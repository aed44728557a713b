"""Real coders that are ended in the middle of their work leave nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.fleetlab import until
from tests.reals.installed import PINNED, needs
from tests.reals.model import say, shell
from tests.reals.stage import TOOLLESS, processes_in, stage

EACH = [pytest.param(name, marks=needs(name)) for name in PINNED]
_LONG = "echo x > begun && python3 -c 'import time; time.sleep(1000)'"


@pytest.mark.parametrize("coder", EACH)
def test_a_cancelled_coder_leaves_no_process(tmp_path: Path, coder: str) -> None:
    """Neither its leader nor its worker, nor the command it runs, nor its MCP server."""
    tools = coder != TOOLLESS
    play = [shell(_LONG) if tools else replace(say("I think."), hang=True), say("Done.")]
    with stage(tmp_path, {"one": play}, toolless=[] if tools else ["one"]) as on:
        on.task("one", coder)
        on.lab.commit()
        live = on.lab.start("--until-idle")
        on.model.wait_for("one", 0, timeout=120)
        begun = on.lab.clone.workspace("one") / "begun"
        until(lambda: begun.exists() or not tools, what="the command")
        assert processes_in(on.lab.folder)
        assert on.lab.gitfleet("cancel", "one").returncode == 0
        live.wait_for("ended", task="one", outcome="cancelled")
        live.wait()
        assert on.lab.status("one") == "cancelled"
        assert not on.lab.left_over()
        assert not processes_in(on.lab.folder)
