"""The real coders ask people through the MCP server that each attempt offers them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reals.installed import PINNED, needs
from tests.reals.model import call, cue, say, shell
from tests.reals.stage import TOOLLESS, Stage, stage

ASKING = [pytest.param(name, marks=needs(name)) for name in PINNED if name != TOOLLESS]
_WORK = "echo green > one.txt && git add -A && git commit -q -m 'Green'"


def told(on: Stage, step: int) -> str:
    """All that the model had before it when it came to a step of the play."""
    return next(json.dumps(asked.body) for asked in on.model.asked if asked.step == step)


@pytest.mark.parametrize("coder", ASKING)
def test_a_real_coder_waits_for_a_person(tmp_path: Path, coder: str) -> None:
    """It calls ask_human, a person answers, and it goes on in the same attempt."""
    play = [
        call("ask_human", "I must know.", question="Which colour?", options=["red", "green"]),
        shell(_WORK),
        say("Done."),
    ]
    with stage(tmp_path, {"one": play}, ask={"wait": "5m"}) as on:
        on.task("one", coder)
        on.lab.commit()
        live = on.lab.start("--until-idle")
        live.wait_for("asked", question="one-1")
        assert on.lab.gitfleet("answer", "one-1", "green").returncode == 0
        ran = live.wait()
        assert ran.status == 0, live.told()
        assert on.lab.outcomes("one", "work") == ["submitted"]
        assert "A person answered: green" in told(on, 1)


@pytest.mark.parametrize("coder", ASKING)
def test_a_real_coder_goes_on_in_its_own_session(tmp_path: Path, coder: str) -> None:
    """Nobody answers in time, so it stops; with the answer its session is taken up again."""
    play = [
        call("ask_human", question="Which colour?"),
        say("I wait for the answer."),
        shell(_WORK),
        say("Done."),
    ]
    with stage(tmp_path, {"one": play}, ask={"wait": "0s"}) as on:
        on.task("one", coder)
        on.lab.commit()
        live = on.lab.start()
        live.wait_for("ended", task="one", outcome="asked")
        assert on.lab.gitfleet("answer", "one-1", "a light green").returncode == 0
        live.wait_for("landed", task="one")
        live.stop()
        assert on.lab.outcomes("one", "work") == ["asked", "submitted"]
        before, after = (attempt.session for attempt in on.lab.attempts("one", "work"))
        assert before and before == after
        # What was said in the first attempt is before the model, and the answer with it.
        said = told(on, 2)
        assert "I wait for the answer." in said and "a light green" in said
        assert said.count(cue("one")) >= 1
