"""A validator's word: asked once for one text, believed only if it ended well."""

from __future__ import annotations

import pytest

from gitfleet.attempt import checkpoint
from gitfleet.attempt.checkpoint import Checkpoint
from gitfleet.attempt.context import AttemptContext, CancelToken
from gitfleet.landing import validator
from gitfleet.landing.candidate import restore
from gitfleet.landing.proof import NoLanding
from gitfleet.landing.validate import validate
from gitfleet.landing.validator import Acceptance
from gitfleet.model.event import Attempt, Check
from gitfleet.model.secrets import Mask
from gitfleet.model.states import Kind, Outcome, Status
from gitfleet.plan.outcome import ProcessExit
from tests.landing.kit import ACCEPT, AT_ONCE, Bench

YES = f'echo "{ACCEPT}" > "$V"'
CHECKS = (Check(command="true", exit_code=0),)


def judging(bench: Bench, script: str) -> Bench:
    """The bench with a validator that runs `script`, and submitted work."""
    bench.change_settings(**bench.judge(script))
    bench.submit()
    return bench


def judged(bench: Bench, script: str) -> Acceptance | NoLanding:
    """What the validator says of the work on the tip."""
    ctx = judging(bench, script).claim()
    return validator.review(ctx, bench.candidate(ctx), CHECKS)


def test_the_validator_sees_what_would_land(bench: Bench) -> None:
    """It stands in the merged tree, knows what that is compared with, and is told the checks."""
    seen = bench.folder / "seen"
    script = f"cat > '{seen}'\ngit diff --name-only $GITFLEET_BASE HEAD >> '{seen}'\n"
    script += f"printf '{ACCEPT}\\nreason: fine\\n' > \"$V\""
    said = judged(bench, script)
    assert isinstance(said, Acceptance) and said.reason == "fine"
    assert said.review is not None and said.review.run.exit == ProcessExit(code=0)
    text = seen.read_text()
    assert "exit status 0 after 0s: true" in text and text.endswith("\none.txt\n")


def test_where_none_is_configured_none_is_asked(bench: Bench) -> None:
    """Checks alone decide."""
    bench.submit()
    ctx = bench.claim()
    assert validator.review(ctx, bench.candidate(ctx), CHECKS) == Acceptance()


@pytest.mark.parametrize(
    ("script", "outcome", "reason"),
    [
        ("true", Outcome.FAILED, "the validator ended, but it gave no verdict"),
        (f"{YES}; exit 3", Outcome.FAILED, "exit status 3"),
        ('echo "verdict: fine" > "$V"', Outcome.FAILED, "the validator ended, but "),
        ('echo "verdict: accepted" > x; ln -s "$PWD/x" "$V"', Outcome.FAILED, "not a plain file"),
        (f"{YES}; git update-ref refs/heads/main HEAD", Outcome.TAMPERED, "refs/heads/main"),
        (f'{YES}; echo "Which?" > "$GITFLEET_OUTBOX/question-a.md"', Outcome.ASKED, "Which?"),
    ],
)
def test_nothing_but_a_verdict_accepts(
    bench: Bench, script: str, outcome: Outcome, reason: str
) -> None:
    """Not silence, not an end that is none, not prose, not a link; and a verdict beside harm or
    beside an open question is none. What the run used is told."""
    said = judged(bench, script)
    assert isinstance(said, NoLanding)
    assert said.outcome is outcome and reason in said.reason
    assert said.checks == CHECKS and said.review is not None


def test_a_rejection_tells_what_was_found_and_proposes_its_repair(bench: Bench) -> None:
    """Without the secrets that the validator saw."""
    bench.fleet.store.mask = Mask(["hunter2-hunter2"])
    said = judged(
        bench,
        "printf '%s\\n' 'verdict: rejected' 'findings:' '- it prints hunter2-hunter2' '- no test' "
        "'fix:' '  title: Repair it' > \"$V\"",
    )
    assert isinstance(said, NoLanding)
    assert said.outcome is Outcome.REJECTED
    assert said.findings == ("it prints <masked>", "no test")
    assert said.reason == "it prints <masked>"
    assert said.fix is not None and said.fix.title == "Repair it"


def test_a_rejection_becomes_a_fix_task_with_its_text(bench: Bench) -> None:
    """And a secret that the validator puts into it does not reach the board."""
    bench.fleet.store.mask = Mask(["hunter2-hunter2"])
    judging(
        bench,
        "printf '%s\\n' 'verdict: rejected' 'reason: no' 'fix:' '  title: No hunter2-hunter2' "
        '> "$V"',
    )
    attempt = bench.validate()
    assert (attempt.outcome, attempt.reason) == (Outcome.REJECTED, "no")
    assert attempt.fixed_by == "one-fix-1"
    fixer = bench.entry("one-fix-1").task
    assert fixer is not None and fixer.title == "No <masked>"
    assert bench.status().status is Status.FIXING


class Blocked:
    """Work that was accepted, and waits since a person's file is in the way."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.mine = bench, bench.project.path / "one.txt"
        self.mine.write_text("mine\n")
        bench.submit()
        assert bench.validate().outcome is Outcome.ACCEPTED
        assert bench.status().status is Status.ACCEPTED

    def again(self) -> list[str]:
        """Validate it again, with nothing in the way; the outcomes of all validations."""
        self.mine.unlink()
        self.bench.blocked.reasons()
        self.bench.validate()
        return self.bench.outcomes()


def asked(bench: Bench) -> int:
    """How often a validator was asked."""
    path = bench.folder / "asked"
    return len(path.read_text().splitlines()) if path.exists() else 0


def counting(bench: Bench) -> dict[str, object]:
    return bench.judge(f"echo asked >> '{bench.folder}/asked'; {YES}")


def test_what_a_validator_accepted_lands_later_without_asking_again(bench: Bench) -> None:
    """Its verdict stands for this work and this text; the checks run again on the new tree."""
    bench.change_settings(**counting(bench), checks=[f"echo ran >> '{bench.folder}/ran'"])
    waits = Blocked(bench)
    bench.commit({"since.txt": b"x\n"})
    assert waits.again() == ["accepted", "accepted"]
    assert bench.landed() is not None and asked(bench) == 1
    assert (bench.folder / "ran").read_text() == "ran\n" * 2


def test_a_text_that_was_edited_since_is_judged_again(bench: Bench) -> None:
    """The verdict was on another text, and its checks may be others."""
    bench.change_settings(**counting(bench))
    waits = Blocked(bench)
    bench.write_task(script="echo more")
    waits.again()
    assert bench.landed() is not None and asked(bench) == 2


def test_what_checks_alone_accepted_is_judged_where_a_validator_is_named_since(
    bench: Bench,
) -> None:
    """No validator has said anything of it yet."""
    waits = Blocked(bench)
    bench.change_settings(**bench.judge("printf 'verdict: rejected\\nreason: no\\n' > \"$V\""))
    assert waits.again() == ["accepted", "rejected"]
    assert bench.landed() is None


def test_newer_work_is_judged_though_older_work_was_accepted(bench: Bench) -> None:
    """An acceptance is of the work before it; a `retry` and what comes of it begin anew."""
    bench.change_settings(**counting(bench), **AT_ONCE)
    waits = Blocked(bench)
    bench.decide("one", Kind.RETRY)
    bench.submit_work("one", {"one.txt": b"better\n"})
    waits.again()
    assert bench.landed() is not None and asked(bench) == 2


# -- the next life of the runner


def asked_and_dead(bench: Bench, script: str) -> tuple[AttemptContext, Checkpoint]:
    """An attempt whose runner died when its validator had ended, and what the next life finds."""
    ctx = judging(bench, script).claim()
    validator.review(ctx, bench.candidate(ctx), CHECKS)  # and nobody heard what it said
    known = checkpoint.load_checkpoint(ctx.run_dir)
    assert known is not None
    again = AttemptContext(bench.project.fleet(), ctx.claimed, CancelToken(), ctx.live, ctx.run_dir)
    return again, known


def test_a_candidate_is_restored_as_it_was(bench: Bench) -> None:
    """Under the terms it was made for, whatever the board says by now."""
    ctx, known = asked_and_dead(bench, YES)
    made = bench.candidate(ctx)
    bench.change_settings(checks=["false"])
    assert known.proving is not None
    found = restore(ctx, known.proving)
    assert (found.before, found.head, found.tree) == (made.before, made.head, made.tree)
    assert found.terms.board.settings == ctx.claimed.board.settings
    assert found.record(CHECKS) == known.proving


def test_the_next_life_takes_the_verdict_and_lands(bench: Bench) -> None:
    """No second validator is asked, no check is run again."""
    ctx, known = asked_and_dead(bench, f"echo asked >> '{bench.folder}/asked'; {YES}")
    validate(ctx, bench.blocked, known)
    assert bench.outcomes() == ["accepted"] and bench.last().checks == CHECKS
    assert bench.landed() is not None and asked(bench) == 1


@pytest.mark.parametrize("edit", ["settings", "task"])
def test_the_next_life_lands_nothing_under_other_terms(bench: Bench, edit: str) -> None:
    """Settings or text were changed while no runner was there."""
    ctx, known = asked_and_dead(bench, YES)
    if edit == "settings":
        bench.change_settings(checks=["false"])
    else:
        bench.write_task(checks=["false"])
    validate(ctx, bench.blocked, known)
    attempt = bench.last()
    assert attempt.outcome is Outcome.INTERRUPTED and f"the {edit} changed" in attempt.reason
    assert bench.landed() is None


def test_the_next_life_asks_again_where_the_target_moved(bench: Bench) -> None:
    """The verdict was on another tree."""
    ctx, known = asked_and_dead(bench, f"echo asked >> '{bench.folder}/asked'; {YES}")
    bench.commit({"since.txt": b"x\n"})
    validate(ctx, bench.blocked, known)
    landed = bench.landed()
    assert landed is not None and {"one.txt", "since.txt"} <= bench.tree(landed.merge)
    assert asked(bench) == 2


# -- what it cost

USED = """echo '{"said": "usage", "tokens": {"input": 1200, "output": 30}, "usd": 0.5}'"""


def telling(bench: Bench, script: str) -> None:
    """A validator that tells what it uses."""
    settings = bench.judge(f"{USED}\n{script}")
    settings["coders"]["judge"]["events"] = "json"
    bench.change_settings(**settings)
    bench.submit()


def spent(attempt: Attempt) -> tuple[int, float, str]:
    return attempt.tokens.total, attempt.usd, attempt.session


def test_what_a_validator_used_counts_though_nothing_lands(bench: Bench) -> None:
    """It accepted, and the settings changed meanwhile: a budget counts it all the same."""
    gate = bench.gate("gate")
    telling(bench, f"{gate.pause}\n{YES}")
    underway = bench.underway(bench.claim())
    gate.reached()
    bench.change_settings(checks=["true"])
    gate.open()
    underway.join()
    attempt = bench.last()
    assert attempt.outcome is Outcome.INTERRUPTED
    assert spent(attempt) == (1230, 0.5, "")


def test_what_a_validator_used_counts_though_it_said_nothing(bench: Bench) -> None:
    """Without a verdict the attempt has failed, and has cost as much."""
    telling(bench, "true")
    attempt = bench.validate()
    assert attempt.outcome is Outcome.FAILED and spent(attempt) == (1230, 0.5, "")
