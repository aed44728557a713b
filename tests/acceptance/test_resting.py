"""Coders that are limited or refused: a runner lets them rest, whatever it forgot of them."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from gitfleet.board.store import Store, utc_now
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt
from gitfleet.model.states import Outcome, Role
from gitfleet.plan.cooldown import cooldowns
from gitfleet.plan.transitions import on_claim, on_end
from tests.acceptance.fleetlab import Lab

TWO = {
    "coders": {
        "one": {"argv": ["sh", "-c", "echo one > made-$GITFLEET_TASK"]},
        "two": {"argv": ["sh", "-c", "echo two > made-$GITFLEET_TASK"]},
    },
    "roles": {"work": {"coder": "one"}},
}


def ended(lab: Lab, task: str, outcome: Outcome, coder: str = "one", **facts: Any) -> None:
    """An attempt of this clone's runner that ended so, just now; the runner is not there."""
    name = lab.clone.runner_name()
    store = Store(lab.repo, runner=name)
    entry = store.board().entries[task]
    claim = Claim(
        runner=name,
        nonce=secrets.token_hex(16),
        role=Role.WORK,
        attempt=entry.next_attempt,
        coder=coder,
        task_blob=entry.blob,
        base=lab.tip(),
        branch=f"gitfleet/task/{task}",
        at=utc_now(),
    )
    assert store.transact(lambda b, now: on_claim.claim(b, now, task=task, claim=claim)).won
    attempt = Attempt.of(claim, outcome, f"it was {outcome}", utc_now())
    attempt = replace(attempt, **facts)
    done = store.transact(
        lambda b, _: on_end.end_attempt(b, task=task, attempt=attempt, role=Role.WORK)
    )
    assert done.won


def test_the_next_coder_of_the_list_does_it(lab: Lab) -> None:
    """What is limited for hours holds up no task that another may do, this one included."""
    lab.set(**TWO)
    lab.task("app", coders=["one", "two"])
    ended(lab, "app", Outcome.LIMITED, until=utc_now() + timedelta(hours=5))
    ran = lab.run("--until-idle")
    assert ran.status == 0 and lab.tree()["made-app"] == "two"
    assert [a.coder for a in lab.attempts("app", "work")] == ["one", "two"]
    (told,) = ran.lines.of("cooldown", coder="one")
    assert told.fields["reason"] == "it was limited"
    assert lab.fsck().status == 0


@pytest.mark.slow
def test_a_reset_is_waited_for(lab: Lab) -> None:
    """--until-idle goes on when the limit has reset, and not before."""
    lab.set(**TWO)
    lab.task("app")
    lab.task("other")
    until = utc_now() + timedelta(seconds=3)
    ended(lab, "other", Outcome.LIMITED, until=until)
    assert lab.status("app") == "delayed" and "one is limited on" in lab.reason("app")
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["app", "other"] or lab.landings() == ["other", "app"]
    assert all(lab.attempts(task, "work")[-1].started >= until for task in ("app", "other"))


@pytest.mark.slow
def test_a_refused_key_waits_for_a_person_who_is_told_once(lab: Lab) -> None:
    """No attempt is burnt, the runner ends as it does when a person is needed; `retry` goes on."""
    lab.set(**TWO)
    for name in ("app", "other", "third"):
        lab.task(name)
    ended(lab, "app", Outcome.AUTH_FAILED)
    ran = lab.run("--until-idle")
    assert ran.status == 4
    assert len(ran.lines.of("key-refused", coder="one")) == 1 and not ran.lines.of("skipped")
    assert lab.outcomes("app") == ["auth-failed"] and lab.outcomes("other") == []
    assert lab.gitfleet("retry", "other").returncode == 0
    assert cooldowns(lab.board(), lab.clone.runner_name(), utc_now()) == {}
    assert lab.run("--until-idle").status == 0
    assert set(lab.landings()) == {"app", "other", "third"}


@pytest.mark.slow
def test_a_budget_that_is_used_up_begins_nothing(lab: Lab) -> None:
    """The task waits for a person; with a higher budget in its file it goes on."""
    lab.set(**TWO)
    lab.task("app", budget={"usd": 1.0})
    ended(lab, "app", Outcome.FAILED, usd=1.25)
    assert lab.run("--until-idle").status == 4
    assert lab.status("app") == "failed" and "budget of 1.00 USD" in lab.reason("app")
    lab.task("app", budget={"usd": 2.0})
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["app"]


def test_whoever_looks_sees_which_coder_rests_where(lab: Lab) -> None:
    """The task says so, and so does the runner; both for programs, too."""
    lab.set(**TWO)
    lab.task("app")
    ended(lab, "app", Outcome.LIMITED, until=utc_now() + timedelta(hours=5))
    live = lab.start()
    live.wait_for("cooldown", coder="one")
    name = lab.clone.runner_name()
    (runner,) = json.loads(lab.gitfleet("runners", "--json").stdout)
    assert runner["cooldowns"]["one"].startswith(f"one is limited on {name} until ")
    assert f"  one is limited on {name} until " in lab.gitfleet("runners").stdout
    (row,) = json.loads(lab.gitfleet("list", "--json").stdout)
    assert row["status"] == "delayed" and row["until"] is not None
    assert f"one is limited on {name}" in lab.gitfleet("show", "app").stdout
    assert not live.lines.of("claimed")
