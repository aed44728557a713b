"""A checkpoint of a running attempt, from which a restarted runner continues it.

Written before the coder starts. Together with the files of the supervisor (`process.supervisor`) it
is everything that is needed to continue.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gitfleet.attempt.context import AttemptContext
from gitfleet.board.clone_state import write_json
from gitfleet.git import refs, tamper
from gitfleet.model.event import Check
from gitfleet.run_dir import RunDir


class Validation(Struct, frozen=True, kw_only=True):
    """The subject of a validator's review: the candidate, and the checks that it passed."""

    board: str  # the board's commit
    tip: str
    head: str
    tree: str
    merge: str
    checks: tuple[Check, ...] = ()


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The state of the repository when a coder started, and the purpose of the run."""

    print: tamper.Fingerprint
    branches: frozenset[str]
    board: str = ""  # the commit of the claim: its task and settings apply
    proving: Validation | None = None


def snapshot(ctx: AttemptContext, proving: Validation | None = None) -> Checkpoint:
    """Record the repository's state, to compare it later."""
    repo = ctx.project.repo
    return Checkpoint(
        print=tamper.fingerprint(repo),
        branches=frozenset(refs.names(repo, "refs/heads/")),
        board=ctx.claimed.board.commit,
        proving=proving,
    )


def save(ctx: AttemptContext, record: Checkpoint) -> None:
    """Save it for the runner's next run.

    The files of an earlier coder of the same attempt are set aside, so that nothing mistakes them
    for this coder's.
    """
    ctx.run_dir.set_aside()
    write_json(ctx.run_dir.checkpoint, msgspec.to_builtins(record, builtin_types=()))


def drop(run_dir: RunDir) -> None:
    """Remove the checkpoint of an ended coder that does not count, so that it is not continued."""
    run_dir.checkpoint.unlink(missing_ok=True)


def load_checkpoint(run_dir: RunDir) -> Checkpoint | None:
    """The saved checkpoint; None if no coder was about to start."""
    try:
        return msgspec.json.decode(run_dir.checkpoint.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError):
        return None
