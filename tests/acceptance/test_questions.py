"""An agent asks, its slot is freed, a person answers, the agent goes on."""

from __future__ import annotations

from tests.acceptance.fleetlab import Lab

_ASK = 'gitfleet ask "Which of the two?" --option JWT --option cookie --wait 0s > answer.txt\n'


def test_who_asks_parks_and_goes_on_with_the_answer(lab: Lab) -> None:
    """The attempt ends `asked`, another task gets the slot, and the answer brings it home."""
    lab.task("one", script=_ASK)
    lab.task("two", script="echo x > x", priority=4)
    live = lab.start("--until-idle", "--max", "1")
    ran = live.wait()
    assert ran.status == 4
    assert lab.outcomes("one") == ["asked"]
    assert lab.status("two") == "done"
    lab.gitfleet("answer", "one", "--option", "2")
    ran = lab.run("--until-idle")
    assert ran.status == 0, (ran, lab.attempts("one"))
    assert lab.tree()["answer.txt"] == "cookie"
