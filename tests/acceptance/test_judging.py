"""Validators: what they say decides, and saying nothing is never an acceptance."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab

_VERDICT = 'mv .verdict "$GITFLEET_OUTBOX/verdict.yaml"'


def judged_by(lab: Lab, script: str, **settings: object) -> None:
    """Let a command judge: `script` with the prompt on its standard input."""
    judge = lab.folder / "judge.sh"
    judge.write_text(script)
    lab.set(
        coders={"judge": {"argv": ["sh", str(judge)]}},
        roles={"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        **settings,
    )


def test_an_accepted_change_lands_with_the_reason_of_its_judge(lab: Lab) -> None:
    """The judge sees the merged tree and the base, and its word is on the board."""
    judged_by(
        lab,
        f"git diff --name-only $GITFLEET_BASE HEAD | tr '\\n' ' ' > names\n"
        f"printf 'verdict: accepted\\nreason: saw %s\\n' \"$(cat names)\" > .verdict\n{_VERDICT}",
    )
    lab.task("one", script="echo x > x.txt; echo y > y.txt")
    assert lab.run("--until-idle").status == 0
    (attempt,) = lab.attempts("one", "validate")
    assert (attempt.outcome, attempt.reason, attempt.coder) == (
        "accepted",
        "saw x.txt y.txt",
        "judge",
    )


def test_the_judge_is_told_the_task_and_the_checks_that_ran(lab: Lab) -> None:
    """What is to be judged, by what it was checked, and that saying nothing accepts nothing."""
    seen = lab.folder / "seen"
    judged_by(
        lab,
        f"cat > '{seen}'\necho 'verdict: accepted' > .verdict\n{_VERDICT}",
        checks=["test -f x"],
    )
    lab.task("one", body="Make an x.", script="echo x > x")
    assert lab.run("--until-idle").status == 0
    prompt = seen.read_text()
    assert "Make an x." in prompt and re.search(r"exit status 0 after \d+s: test -f x", prompt)
    assert "Without a verdict the work is not accepted." in prompt


@pytest.mark.slow
def test_a_judge_without_a_verdict_or_that_crashes_accepts_nothing(make_lab: MakeLab) -> None:
    """The validation has failed, is tried again as often as attempts allow, then a person looks."""
    for number, script in enumerate(("exit 0", "echo 'verdict: accepted' > .verdict\nexit 3")):
        lab = make_lab(f"lab{number}")
        judged_by(lab, script, max_attempts=2)
        lab.task("one", script="echo x > x")
        assert lab.run("--until-idle").status == 4
        assert lab.outcomes("one") == ["submitted", "failed", "failed"]
        assert lab.status("one") == "failed" and "validations" in lab.reason("one")
        assert lab.landings() == []
        if number == 0:
            assert "no verdict" in lab.attempts("one", "validate")[0].reason


@pytest.mark.slow
def test_a_judges_cost_counts_however_its_run_ends(make_lab: MakeLab) -> None:
    """A budget sums what attempts tell, so one without a verdict tells it, and one that tampers."""
    used = '{"said": "usage", "tokens": {"input": 1200, "output": 30}, "usd": 0.5}'
    for outcome, deed in (("failed", ":"), ("tampered", "git config alias.up pull")):
        lab = make_lab(outcome)
        judged_by(lab, f"echo '{used}'\n{deed}", max_attempts=1)
        judge = {"argv": ["sh", str(lab.folder / "judge.sh")], "events": "json"}
        lab.set(coders={"judge": judge})
        lab.task("one", script="echo x > x")
        assert lab.run("--until-idle").status == 4
        (attempt,) = lab.attempts("one", "validate")
        assert (attempt.outcome, attempt.usd, attempt.tokens.total) == (outcome, 0.5, 1230)
        assert attempt.exit_code == 0


def test_a_judge_that_crashed_after_its_verdict_is_not_believed(lab: Lab) -> None:
    """A verdict counts only from a judge that ended well."""
    judged_by(lab, f"echo 'verdict: accepted' > .verdict\n{_VERDICT}\nexit 3", max_attempts=1)
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 4
    assert lab.landings() == []


@pytest.mark.slow
def test_a_verdict_that_cannot_be_read_accepts_nothing(lab: Lab) -> None:
    """A link, or an unknown word, is no verdict."""
    judged_by(lab, f"echo 'verdict: fine' > .verdict\n{_VERDICT}", max_attempts=1)
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one", "validate") == ["failed"]


def test_a_rejection_with_its_repair_is_repaired_and_the_chain_closes(lab: Lab) -> None:
    """One fix task, begun at the rejected work; rejected in turn, the next repairs that; the one
    that lands closes them all, in one merge."""
    judged_by(
        lab,
        "case $(cat x) in\n"
        "3) echo 'verdict: accepted' > .verdict;;\n"
        "*) printf '%s\\n' 'verdict: rejected' 'reason: too small' 'findings:' '- count on' 'fix:' "
        "'  title: Count on' '  body: |' '    ```sh' '    echo $(($(cat x) + 1)) > x' '    ```' "
        "> .verdict;;\nesac\n" + _VERDICT,
    )
    lab.task("one", script="echo 1 > x", priority=1, labels=["counting"])
    assert lab.run("--until-idle").status == 0
    assert lab.statuses() == {"one": "done", "one-fix-1": "done", "one-fix-2": "done"}
    assert lab.landings() == ["one-fix-2"]
    assert lab.tree()["x"] == "3"
    entries = lab.board().entries
    fixes = {id: entry.task.fixes for id, entry in entries.items() if entry.task}
    assert fixes == {"one": None, "one-fix-1": "one", "one-fix-2": "one-fix-1"}
    fixer = entries["one-fix-1"].task
    assert fixer is not None and (fixer.priority, fixer.labels) == (1, ("counting",))
    assert lab.attempts("one-fix-1", "work")[0].base == lab.attempts("one", "work")[0].head
    rejected = lab.attempts("one", "validate")[0]
    assert (rejected.outcome, rejected.fixed_by) == ("rejected", "one-fix-1")
    assert [str(e.content.by) for e in lab.events("one", "closed")] == ["one-fix-2"]  # type: ignore[union-attr]
    assert lab.worktrees() == [lab.path, lab.window]
    assert lab.fsck().status == 0


@pytest.mark.slow
def test_repairs_end_when_their_rounds_are_used_up(lab: Lab) -> None:
    """max_fix_rounds: then it waits for a person, and no task is added."""
    judged_by(
        lab,
        "printf '%s\\n' 'verdict: rejected' 'reason: never good' 'fix:' '  title: Again' "
        "'  body: |' '    ```sh' '    echo y >> x' '    ```' > .verdict\n" + _VERDICT,
        max_fix_rounds=1,
    )
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 4
    assert lab.statuses() == {"one": "fixing", "one-fix-1": "failed"}
    assert "no more fix tasks" in lab.reason("one-fix-1")
    assert lab.landings() == []


@pytest.mark.slow
def test_a_failed_check_becomes_one_task_that_lists_every_finding(make_lab: MakeLab) -> None:
    """A coder with a mind is told what failed and how, as data, and repairs it."""
    lab = make_lab(checks=["test -f README"])
    seen = lab.folder / "seen"
    worker = f"cat > '{seen}'; if grep -q 'was not accepted' '{seen}'; then touch b c; fi; touch a"
    lab.set(coders={"worker": {"argv": ["sh", "-c", worker]}}, roles={"work": {"coder": "worker"}})
    lab.task("one", body="Make it.", checks=["test -f b", "test -f c", "test -f README"])
    assert lab.run("--until-idle").status == 0
    assert lab.landings() == ["one-fix-1"]
    assert {"a", "b", "c"} <= set(lab.tree())
    fix = lab.board().entries["one-fix-1"].task
    assert fix is not None
    assert "`test -f b`" in fix.body and "`test -f c`" in fix.body and "README" not in fix.body
    assert "> Make it." in fix.body
