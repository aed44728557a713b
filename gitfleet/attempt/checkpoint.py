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
    """What a validator was asked about: what would land, and the checks that it passed."""

    board: str  # the commit the board was at
    tip: str
    head: str
    tree: str
    merge: str
    checks: tuple[Check, ...] = ()


class Checkpoint(Struct, frozen=True, kw_only=True):
    """How the repository was when a coder was started, and what for."""

    print: tamper.Fingerprint
    branches: frozenset[str]
    board: str = ""  # the commit at which it was claimed: by that task and settings it goes on
    proving: Validation | None = None


def snapshot(ctx: AttemptContext, proving: Validation | None = None) -> Checkpoint:
    """Note how the repository is now, to compare with later."""
    repo = ctx.project.repo
    return Checkpoint(
        print=tamper.fingerprint(repo),
        branches=frozenset(refs.names(repo, "refs/heads/")),
        board=ctx.claimed.board.commit,
        proving=proving,
    )


def save(ctx: AttemptContext, record: Checkpoint) -> None:
    """Write it down for the next life of this runner.

    What an earlier coder of the same attempt left goes aside: it is not to be taken for this one's.
    """
    ctx.run_dir.set_aside()
    write_json(ctx.run_dir.checkpoint, msgspec.to_builtins(record, builtin_types=()))


def drop(run_dir: RunDir) -> None:
    """The coder that it was written for is over and does not count: nobody is to go on with it."""
    run_dir.checkpoint.unlink(missing_ok=True)


def load_checkpoint(run_dir: RunDir) -> Checkpoint | None:
    """What was written down; None where no coder was about to be started."""
    try:
        return msgspec.json.decode(run_dir.checkpoint.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError):
        return None
