"""How attempts end, and that nothing of them outlives them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab

_OWN_FILE = "echo $GITFLEET_TASK > $GITFLEET_TASK"


@pytest.mark.slow
def test_every_bad_end_has_its_name_and_leaves_no_process(make_lab: MakeLab) -> None:
    """Too long, too silent, deaf to TERM, empty, out of scope, failed, impossible: each waits for
    a person in the end, and a coder that leaves daemons behind leaves none."""
    lab = make_lab(max_attempts=1, concurrency=8, timeouts={"attempt": "5m", "silence": "4s"})
    talk = "while :; do echo tick; sleep 0.2; done"
    lab.write_task("slow", script=talk, timeout="3s")
    lab.write_task("silent", script="echo once; exec sleep 1000")
    lab.write_task(
        "deaf", script="trap '' TERM HUP INT\necho I will not go\nsleep 1000", timeout="1s"
    )
    lab.write_task("empty", script=":")
    lab.write_task("beyond", script="mkdir docs; echo x > docs/x; echo x > y", paths=["/docs/"])
    lab.write_task("wrong", script="echo so bad >&2; exit 3")
    lab.write_task("shot", script="kill -USR1 $$; sleep 100")
    lab.write_task("nothing", body="There is no script here.")
    lab.write_task("daemons", script="(setsid sh -c 'sleep 1000' &)\nsleep 1000 &\necho x > d.txt")
    lab.commit("All of them")
    ran = lab.run("--until-idle")
    assert ran.status == 4
    outcomes = {task: lab.outcomes(task, "work") for task in lab.statuses()}
    assert outcomes == {
        "slow": ["timed-out"],
        "silent": ["stalled"],
        "deaf": ["timed-out"],
        "empty": ["empty"],
        "beyond": ["out-of-scope"],
        "wrong": ["failed"],
        "shot": ["failed"],
        "nothing": ["misconfigured"],
        "daemons": ["submitted"],
    }
    assert not lab.left_over()
    wanted = dict.fromkeys(outcomes, "failed") | {"daemons": "done"}
    assert lab.statuses() == wanted
    wrong = lab.attempts("wrong")[0]
    assert wrong.exit_code == 3 and "so bad" in wrong.reason
    assert "signal 10" in lab.attempts("shot")[0].reason
    assert lab.attempts("beyond")[0].reason.startswith("it changed y,")
    told = {line.fields["task"] for line in ran.lines.of("needs-attention")}
    assert told == set(outcomes) - {"daemons"}


@pytest.mark.slow
def test_a_failing_task_is_tried_again_after_a_pause_until_its_attempts_are_used_up(
    make_lab: MakeLab,
) -> None:
    """Back-off between attempts, then it waits for a person: exit status 4."""
    lab = make_lab(backoff={"initial": "1s", "factor": 1, "max": "1s"})
    lab.task("never", script="exit 1", max_attempts=3)
    ran = lab.run("--until-idle")
    assert ran.status == 4
    assert lab.outcomes("never") == ["failed"] * 3
    assert lab.status("never") == "failed" and "all 3 attempts" in lab.reason("never")
    attempts = lab.attempts("never")
    pauses = [(b.started - a.ended).total_seconds() for a, b in pairwise(attempts)]
    assert all(pause >= 1 for pause in pauses)


def test_what_depends_on_a_failed_task_waits_and_says_why(lab: Lab) -> None:
    """Nothing starts before its dependencies are done."""
    lab.task("bad", script="exit 1", max_attempts=1)
    lab.task("after", script="echo x > x", depends_on=["bad"])
    assert lab.run("--until-idle").status == 4
    assert lab.status("after") == "waiting" and "bad" in lab.reason("after")


def test_an_invalid_task_stops_nothing_and_waits_for_a_person(lab: Lab) -> None:
    """A file that does not validate is told once, with its place; the others are done."""
    (lab.window / "tasks" / "odd.md").write_text("---\ntitel: x\n---\n")
    lab.task("good", script="echo x > x")
    ran = lab.run("--until-idle")
    assert ran.status == 4
    assert lab.statuses() == {"odd": "invalid", "good": "done"}
    (told,) = ran.lines.of("needs-attention")
    assert "tasks/odd.md:2:1" in told.fields["reason"]


def test_two_tasks_that_share_a_lock_never_run_at_once(lab: Lab) -> None:
    """A slot is free all the while (the third task lands meanwhile), and still only one runs."""
    gate = lab.gate("gate")
    lock = lab.folder / "port"
    script = f"mkdir '{lock}' || exit 9\n{gate.pause}\nrmdir '{lock}'\n{_OWN_FILE}"
    for id in ("one", "two"):
        lab.write_task(id, script=script, locks=["port-1"])
    lab.write_task("free", script="echo free > free")
    lab.commit("Three")
    live = lab.start("--until-idle")
    gate.reached()
    live.wait_for("landed", task="free")
    assert gate.empty()
    gate.open(2)
    assert live.wait().status == 0
    assert {task: len(lab.attempts(task, "work")) for task in ("one", "two")} == {
        "one": 1,
        "two": 1,
    }


def test_a_coder_runs_no_more_often_at_once_than_its_limit(make_lab: MakeLab) -> None:
    """coders.<name>.concurrency holds while other coders use the free slots."""
    lab = make_lab(
        coders={
            "shell": {"concurrency": 1},
            "other": {"argv": ["sh", "-c", "cat > other.txt"]},
        }
    )
    gate = lab.gate("gate")
    lock = lab.folder / "one-at-a-time"
    script = f"mkdir '{lock}' || exit 9\n{gate.pause}\nrmdir '{lock}'\n{_OWN_FILE}"
    for id in ("one", "two"):
        lab.write_task(id, script=script)
    lab.write_task("free", coder="other")
    lab.commit("Three")
    live = lab.start("--until-idle")
    gate.reached()
    live.wait_for("landed", task="free")
    assert gate.empty()
    gate.open(2)
    assert live.wait().status == 0
    assert {task: len(lab.attempts(task, "work")) for task in ("one", "two")} == {
        "one": 1,
        "two": 1,
    }


def test_a_runner_claims_only_what_it_has_labels_for(lab: Lab) -> None:
    """`runs_on` leaves a task to runners that offer it; here that is for a person to see."""
    lab.task("gpu", script="echo x > x", runs_on=["gpu"])
    lab.run("--until-idle")
    assert lab.status("gpu") == "ready"
    config = lab.folder / "config" / "gitfleet"
    config.mkdir(parents=True)
    (config / "config.yaml").write_text("labels: [gpu]\n")
    lab.env["XDG_CONFIG_HOME"] = str(config.parent)
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["gpu"]
