"""Target and board move together, or neither: and only for what was proved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gitfleet.event_log import Action
from gitfleet.git import refs
from gitfleet.git.remote import Unreachable
from gitfleet.landing.blocked import BlockedBy
from gitfleet.landing.candidate import Candidate
from gitfleet.landing.land import Undecided, land
from gitfleet.landing.proof import Proved
from gitfleet.landing.validator import Acceptance
from gitfleet.model.change import Move
from gitfleet.model.event import Check, Landed
from gitfleet.model.states import Kind, Status
from gitfleet.plan.landing_terms import ClaimGone, TargetMoved, TermsChanged
from gitfleet.plan.transitions.on_landing import OnHold, Withdrawn
from tests.landing.conftest import MakeBench
from tests.landing.kit import Bench
from tests.people.kit import git

PROOF = Proved((Check(command="true", exit_code=0),))


class Ready:
    """A candidate that is proved and accepted, and about to land."""

    def __init__(self, bench: Bench, **keys: object) -> None:
        self.bench = bench
        bench.submit(**keys)  # type: ignore[arg-type]
        self.ctx = bench.claim()
        self.candidate: Candidate = bench.candidate(self.ctx)
        self.before = bench.tip()

    def land(self, accepted: Acceptance | None = None) -> object:
        return land(self.ctx, self.candidate, PROOF, accepted or Acceptance())

    def untouched(self) -> bool:
        """Whether the target is where it was, and the claim is there still."""
        return self.bench.tip() == self.before and self.bench.entry().claim is not None


@pytest.fixture
def ready(bench: Bench) -> Ready:
    return Ready(bench)


def test_target_and_board_move_together(ready: Ready) -> None:
    """The verdict, the landing and the end of the claim are one commit; the checkout follows."""
    bench, before = ready.bench, ready.bench.tip("fleet")
    landed = ready.land()
    assert isinstance(landed, Landed)
    assert (landed.target, landed.merge, landed.head) == (
        "main",
        ready.candidate.commit,
        ready.candidate.head,
    )
    assert bench.tip() == ready.candidate.commit
    assert bench.tip("fleet^") == before
    assert bench.landed() == landed and bench.entry().claim is None
    assert (bench.project.path / "one.txt").read_text() == "done\n"
    assert bench.fleet.clone.pending_claims() == {}


@pytest.mark.parametrize(
    ("checks", "said", "reason"),
    [
        (PROOF.checks, "", "1 check passed"),
        (PROOF.checks * 2, "", "2 checks passed"),
        ((), "", "there are no checks: merged untested"),
        (PROOF.checks, "well done", "well done"),
    ],
)
def test_the_verdict_says_what_it_rests_on(
    ready: Ready, checks: tuple[Check, ...], said: str, reason: str
) -> None:
    """The validator's word, where one was asked; else the checks."""
    land(ready.ctx, ready.candidate, Proved(checks), Acceptance(said))
    attempt = ready.bench.last()
    assert (attempt.reason, attempt.checks) == (reason, checks)


def test_a_target_that_moved_takes_nothing_that_was_proved_before(ready: Ready) -> None:
    """Forward, or back: another tree would land."""
    bench = ready.bench
    back = bench.fleet.objects.write_commit(
        bench.fleet.objects.tree_of(ready.before), [], "Anew", *[bench.fleet.store.signature()] * 2
    )
    for moved in (bench.commit({"since.txt": b"x\n"}), back):
        git("reset", "-q", "--hard", moved, cwd=bench.project.path)
        assert ready.land() == TargetMoved()
        assert bench.tip() == moved and bench.entry().claim is not None


def _add_a_check(bench: Bench) -> str:
    bench.change_settings(checks=["true", "false"])
    return "the settings"


def _drop_the_checks(bench: Bench) -> str:
    bench.change_settings(checks=None)
    return "the settings"


def _limit_the_checks(bench: Bench) -> str:
    bench.change_settings(checks_timeout="1s")
    return "the settings"


def _name_a_validator(bench: Bench) -> str:
    bench.change_settings(**bench.judge("exit 1"))
    return "the settings"


def _change_the_set_up(bench: Bench) -> str:
    bench.change_settings(workspace={"setup": ["false"]})
    return "the settings"


def _land_elsewhere(bench: Bench) -> str:
    git("branch", "release", cwd=bench.project.path)
    bench.change_settings(target="release")
    return "the settings"


def _add_a_check_of_its_own(bench: Bench) -> str:
    bench.write_task(checks=["false"])
    return "the task"


def _narrow_its_scope(bench: Bench) -> str:
    bench.write_task(paths=["docs/"])
    return "the task"


def _ask_for_more(bench: Bench) -> str:
    bench.write_task(script="something else")
    return "the task"


Change = Callable[[Bench], str]
CHANGES: list[Change] = [
    _add_a_check,
    _drop_the_checks,
    _limit_the_checks,
    _name_a_validator,
    _change_the_set_up,
    _land_elsewhere,
    _add_a_check_of_its_own,
    _narrow_its_scope,
    _ask_for_more,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_proved_for_other_terms_does_not_land(
    make_bench: MakeBench, change: Change
) -> None:
    """Whatever of the settings or of the task is edited after the proof, and before the landing."""
    ready = Ready(make_bench(checks=["true"]))
    what = change(ready.bench)
    assert ready.land() == TermsChanged(what)
    assert ready.untouched() and ready.bench.landed() is None


def test_what_does_not_bear_on_the_proof_lands(ready: Ready) -> None:
    """Other tasks and notes come and go on the board while work is proved."""
    ready.bench.write_task("other")
    ready.bench.decide("one", Kind.NOTE)
    assert isinstance(ready.land(), Landed)


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (Kind.HOLD, OnHold()),
        (Kind.CANCEL, Withdrawn("the task was cancelled meanwhile")),
        (Kind.CLOSE, Withdrawn("the task was closed meanwhile")),
    ],
)
def test_what_a_person_stopped_does_not_land(ready: Ready, kind: Kind, refusal: object) -> None:
    """However far it has come."""
    ready.bench.decide("one", kind)
    assert ready.land() == refusal
    assert ready.untouched()


def test_a_task_that_cannot_be_read_any_more_does_not_land(ready: Ready) -> None:
    """Nobody knows what it asks for."""
    ready.bench.write({"tasks/one.md": b"---\ntitel: a slip\n---\n"})
    assert ready.land() == Withdrawn("its file is no longer valid")
    assert ready.untouched()


def test_without_its_claim_nothing_lands(ready: Ready) -> None:
    """It was taken over: what lands is the other's affair. The runner forgets the nonce."""
    ready.bench.project.change({"claims/one.yaml": None})
    assert ready.land() == ClaimGone()
    assert ready.bench.tip() == ready.before
    assert len(ready.bench.project.told(Action.FENCED)) == 1
    assert ready.bench.fleet.clone.pending_claims() == {}


def test_a_checkout_that_cannot_follow_blocks_the_landing(ready: Ready) -> None:
    """A person's edits are in the way: the reason names them, and neither ref has moved."""
    (ready.bench.project.path / "one.txt").write_text("mine\n")
    blocked = ready.land()
    assert isinstance(blocked, BlockedBy)
    assert "one.txt" in blocked.reason
    assert blocked.move == Move("refs/heads/main", ready.before, ready.candidate.commit)
    assert ready.untouched()
    assert (ready.bench.project.path / "one.txt").read_text() == "mine\n"


def test_a_landing_of_which_nobody_knows_whether_it_arrived_writes_nothing(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remote is away and the runner is to end: its next start sees what became of it, since
    the nonce is remembered."""

    def away(*_args: object) -> None:
        raise Unreachable("the remote is away")

    monkeypatch.setattr(ready.bench.fleet.store, "transact", away)
    ready.bench.fleet.giving_up.set()
    assert ready.land() == Undecided()
    assert ready.untouched()
    assert ready.ctx.nonce in ready.bench.fleet.clone.pending_claims()


def test_a_landing_that_lost_to_somebody_faster_decides_anew(
    ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board moves between the decision and the swap: decided again, on the newer one."""
    swap_all, moved = refs.swap_all, list[bool]()

    def late(*args: object, **keys: object) -> bool:
        if not moved:
            moved.append(True)
            bench = ready.bench
            commit = bench.fleet.objects.commit(bench.tip("fleet"))
            entry = bench.fleet.objects.write_tree(commit.tree, {"tasks/other.md": b"# Other\n"})
            made = bench.fleet.objects.write_commit(
                entry, [commit.oid], "Somebody faster", commit.author, commit.committer
            )
            git("update-ref", "refs/heads/fleet", made, cwd=bench.project.path)
        return swap_all(*args, **keys)  # type: ignore[arg-type]

    monkeypatch.setattr(refs, "swap_all", late)
    assert isinstance(ready.land(), Landed)
    assert moved and "tasks/other.md" in ready.bench.project.files()


def test_a_landing_closes_what_it_repairs(bench: Bench) -> None:
    """And removes no workspace without having saved what is in it."""
    bench.write_task("first")
    ready = Ready(bench, fixes="first")
    assert isinstance(ready.land(), Landed)
    assert bench.status("first").status is Status.DONE
