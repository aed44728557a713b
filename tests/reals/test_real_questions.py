"""The real coders ask a person through our MCP server; only what they think comes from a script."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.reals.installed import PINNED, needs
from tests.reals.model import Step, call, say, shell
from tests.reals.stage import TOOLLESS, stage

EACH = [pytest.param(name, marks=needs(name)) for name in PINNED if name != TOOLLESS]
_ASK = call("ask_human", question="Which of the two?", options=["JWT", "cookie"])


def _finish(task: str) -> list[Step]:
    return [
        shell(f'cat "$GITFLEET_INBOX"/one-1.md | tail -1 > {task}.txt; git add {task}.txt'),
        shell(f"git commit -q -m 'Add {task}.txt'"),
        say("All done."),
    ]


@pytest.mark.parametrize("coder", EACH)
def test_a_quick_answer_comes_back_into_the_call(tmp_path: Path, coder: str) -> None:
    """One attempt: the tool waits, the person answers, the model goes on with it."""
    with stage(tmp_path, {"one": [_ASK, *_finish("one")]}, ask={"wait": "5m"}) as on:
        on.task("one", coder)
        on.lab.commit()
        live = on.lab.start("--until-idle")
        live.wait_for("asked", question="one-1")
        on.lab.gitfleet("answer", "one-1", "--option", "2")
        assert live.wait().status == 0, live.told()
        assert on.lab.outcomes("one") == ["submitted", "accepted"]
        assert on.lab.tree()["one.txt"] == "cookie"
        heard = [str(asked.body) for asked in on.model.asked]
        assert any("A person answered: cookie" in body for body in heard)
        assert on.model.finished("one")


@pytest.mark.parametrize("coder", EACH)
def test_parked_it_goes_on_in_its_own_session_with_the_answer(tmp_path: Path, coder: str) -> None:
    """Nobody answers in time, so it stops; the answer comes when no process of it lives any more,
    and the same session goes on: the model sees its own question above the answer."""
    plays = {"one": [_ASK, say("I stop."), *_finish("one")]}
    with stage(tmp_path, plays, ask={"wait": "1s"}) as on:
        on.task("one", coder)
        on.lab.commit()
        ran = on.lab.run("--until-idle")
        assert ran.status == 4, ran
        assert on.lab.outcomes("one") == ["asked"]
        (question,) = on.lab.board().entries["one"].questions
        assert (question.text, question.options) == ("Which of the two?", ("JWT", "cookie"))
        assert not on.lab.left_over()
        on.lab.gitfleet("answer", "one", "cookie")
        ran = on.lab.run("--until-idle")
        assert ran.status == 0, ran
        first, second = on.lab.attempts("one", "work")
        assert first.session and first.session == second.session
        assert on.lab.tree()["one.txt"] == "cookie"
        last = str(on.model.asked[-1].body)
        assert "Which of the two?" in last and "Continue the task one" in last
        assert on.model.finished("one")


_SHORT: Final = {
    "claude": {"env": {"MCP_TOOL_TIMEOUT": "4000"}},
    "codex": {"args": ["-c", "mcp_servers.gitfleet.tool_timeout_sec=4"]},
    "opencode": {"env": {"OPENCODE_CONFIG_CONTENT": '{"experimental": {"mcp_timeout": 4000}}'}},
}


@pytest.mark.parametrize("coder", [pytest.param(name, marks=needs(name)) for name in _SHORT])
def test_a_tools_own_limit_that_strikes_loses_no_question(tmp_path: Path, coder: str) -> None:
    """It is shorter than a person thinks: the question is on the board all the same, the attempt
    waits for the answer, and lands with it."""
    plays = {"one": [_ASK, say("I stop."), *_finish("one")]}
    with stage(tmp_path, plays, ask={"wait": "10m"}) as on:
        on.lab.settings["coders"][coder].update(_SHORT[coder])
        on.lab.set()
        on.task("one", coder)
        on.lab.commit()
        assert on.lab.run("--until-idle").status == 4
        assert on.lab.outcomes("one") == ["asked"]
        on.lab.gitfleet("answer", "one", "cookie")
        assert on.lab.run("--until-idle").status == 0
        first, second = on.lab.attempts("one", "work")
        assert first.session and first.session == second.session
        assert on.lab.tree()["one.txt"] == "cookie"
