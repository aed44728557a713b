"""Rules of the protocol, broken on purpose: an edit of the product's own code for each of them."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import NamedTuple

from gitfleet.attempt import claim_tasks, coder_run, start_point
from gitfleet.board.remote_backend import RemoteBackend
from gitfleet.plan import claim_state
from gitfleet.plan.lease import LeaseWatch, OwnLease
from gitfleet.plan.transitions import event_files, on_end
from gitfleet.presence.heartbeat_thread import HeartbeatThread
from gitfleet.runner import attempt_thread
from gitfleet.runner.claim_settlement import ClaimSettlement
from gitfleet.runner.loop import Runner


class Edit(NamedTuple):
    """Other text in a function."""

    function: Callable[..., object]
    old: str
    new: str


class BrokenRule(NamedTuple):
    """What is wrong then, and the edits that bring it about."""

    what: str
    edits: tuple[Edit, ...]


def _rule(what: str, *edits: tuple[Callable[..., object], str, str]) -> BrokenRule:
    return BrokenRule(what, tuple(Edit(*edit) for edit in edits))


DELIBERATE: dict[str, BrokenRule] = {
    "no-nonce": _rule(
        "a claim is told by its runner's name and task alone",
        (
            claim_tasks._prepared,
            "secrets.token_hex(16)",
            "__import__('hashlib').md5(f'{project.runner} {pick.task}'.encode()).hexdigest()",
        ),
    ),
    "no-fence": _rule(
        "an attempt's result is written whether or not its claim is there",
        (
            event_files.claimed_by,
            "entry is None or entry.claim is None or entry.claim.nonce != nonce",
            "entry is None",
        ),
    ),
    "wall-clock-lease": _rule(
        "a claim is lost when its heartbeat looks old by the watcher's wall clock",
        (
            HeartbeatThread._find_lost,
            "self.lost = self.watch.look(time.monotonic(), others, seen, began=began)",
            "self.lost = frozenset(nonce for name, content in told.items()"
            " if (self.fleet.store.now() - __import__('datetime').datetime.fromisoformat("
            "content['at'])).total_seconds() >= self.watch.lease"
            " for nonce in seen[name].nonces & others.keys())",
        ),
    ),
    "unknown-is-lost": _rule(
        "a push of unknown fate counts as lost, and its nonce is forgotten",
        (
            RemoteBackend.commit,
            "return self._unknown(moves, new, change, pushed)",
            "return TxnResult(TxnStatus.LOST)",
        ),
    ),
    "cut-off-counts": _rule(
        "who watches counts time in which it saw nothing",
        (LeaseWatch.look, "near = 0 <= passed <= 2 * self.heartbeat", "near = True"),
    ),
    "own-lease-from-end": _rule(
        "the owner counts from when it heard that its heartbeat arrived",
        (HeartbeatThread._send, "self.own.arrived(started,", "self.own.arrived(boot_seconds(),"),
    ),
}
# These were in the code when the simulation was written, or are: it found them.
FOUND: dict[str, BrokenRule] = {
    "tip-read-again": _rule(
        "what was decided on one tip is pushed over the tip of a later look",
        (RemoteBackend.commit, "or not self._objects.is_ancestor(theirs, old)", ""),
    ),
    "branch-not-fetched": _rule(
        "after a stale push only the board is looked at, not the task's branch",
        (RemoteBackend.commit, "False, tuple(_branches(change))", "False, ()"),
    ),
    "fixer-head-not-fetched": _rule(
        "the rejected work is not fetched for the task that repairs it",
        (
            start_point._rejected_head,
            """if attempt.head is None or not project.store.backend.fetch_commit(
                attempt.head, task_branch(fixed.id)
            ):""",
            "if attempt.head is None:",
        ),
    ),
    "unmerged-continued": _rule(
        "work that lacks its base, as its runner died before the merge, is continued as it is",
        (
            start_point._of_work,
            "not (project.objects.exists(base) and project.objects.is_ancestor(base, tip))",
            "False",
        ),
    ),
    "lost-is-settled": _rule(
        "a `lost` that another runner wrote counts as the attempt's own event",
        (on_end.has_ended, "and event.attempt.outcome is attempt.outcome", ""),
    ),
    "dead-forgotten": _rule(
        "a restarted runner forgets nonces that are not on the board yet",
        (attempt_thread.end_dead_attempts, "continue  # its push may still arrive", "pass  #"),
    ),
    "dead-unpublished": _rule(
        "a restarted runner names a head in its event and does not send it",
        (attempt_thread._settle_one, "if work else ()", "if False else ()"),
    ),
    "claims-beside-ending": _rule(
        "a task is claimed while a former attempt on it is still ending here",
        (Runner._claim_and_start, "busy = self.attempts.tasks", "busy = frozenset()"),
        (claim_state.claim_state, "known.draining or task in known.busy", "known.draining"),
    ),
    "limbo-kept": _rule(
        "a nonce whose claim can never arrive any more is remembered for ever",
        (ClaimSettlement.settle_lost, "self._heartbeat.too_late()", "()"),
    ),
    "letters-dropped": _rule(
        "what an agent filed is deleted although nobody knows whether it arrived",
        (coder_run.collect, "if result.status is TxnStatus.UNKNOWN:\n        return", ""),
    ),
    "letters-interrupt": _rule(
        "a remote that is away when an agent files a task ends its attempt",
        (coder_run.collect, "return  # an unreachable remote", "raise  # an unreachable remote"),
    ),
}
# Races so narrow that thousands of seeds may miss them. tests/plan/test_lease.py and
# tests/board/test_backend.py hold what mends them.
NARROW: dict[str, BrokenRule] = {
    "late-look-believed": _rule(
        "a fetch that was answered late moves what we know back again",
        (RemoteBackend.fetch, "with self._pushing:", "with contextlib.nullcontext():"),
    ),
    "own-lease-of-all": _rule(
        "a heartbeat keeps also the claims that it does not list",
        (OwnLease.left, "self._heard if nonce is None else self._of.get(nonce, self._heard)",
         "self._heard"),
    ),
    "look-timed-at-end": _rule(
        "a look counts for when its answer came, not for when it was begun",
        (HeartbeatThread._find_lost, "began=began", "began=time.monotonic()"),
    ),
}  # fmt: skip
RULES = DELIBERATE | FOUND | NARROW


@contextlib.contextmanager
def broken(names: frozenset[str]) -> Iterator[None]:
    """The product with these rules broken."""
    edits: dict[FunctionType, list[Edit]] = {}
    for edit in (edit for name in sorted(names) for edit in RULES[name].edits):
        assert isinstance(edit.function, FunctionType)
        edits.setdefault(edit.function, []).append(edit)
    codes = {function: _edited(function, those) for function, those in edits.items()}
    before = {function: function.__code__ for function in codes}
    try:
        for function, code in codes.items():
            function.__code__ = code
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def _edited(function: FunctionType, edits: list[Edit]) -> CodeType:
    """The code of a function whose text is edited. The text must still be there, once."""
    text = inspect.getsource(function)
    for edit in edits:
        assert text.count(edit.old) == 1, f"{function.__qualname__} has changed: {edit.old}"
        text = text.replace(edit.old, edit.new)
    found: dict[str, FunctionType] = {}
    source = f"from __future__ import annotations\n{textwrap.dedent(text)}"
    exec(source, function.__globals__, found)
    return found[function.__name__].__code__
