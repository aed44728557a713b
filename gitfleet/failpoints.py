"""Named points at which a test can kill this process, to prove that a restart heals everything.

`GITFLEET_FAULT=landed-refs-moved` kills the process (SIGKILL, as a power cut would) the first
time it passes that point; `GITFLEET_FAULT=claimed:3` the third time. Unset, a point costs one
dictionary lookup. `POINTS`, `ASKING` and `PUBLISHING` are the whole list: tests walk over them, and
a point that is passed without standing there is an error.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Final

POINTS: Final = (
    "nonce-remembered",  # the nonce is in the clone's state, the claim is not yet on the board
    "claimed",  # the claim is on the board, nothing else happened
    "workspace-made",  # the worktree exists, its set-up has not run
    "coder-started",  # the coder runs
    "coder-ended",  # it ended, nothing of it is on the board
    "work-committed",  # what it left uncommitted is committed on its branch
    "work-settled",  # its event is on the board, its claim is gone
    "merge-made",  # the merge commit exists as an object only
    "checks-passed",  # checks and validator are content, nothing has moved
    "sync-announced",  # the checkout of the target is locked and its intent recorded
    "landed-refs-moved",  # the target and the board have moved, no checkout has followed
    "landed-synced",  # the checkouts have followed, the workspace is still there
    "salvaged",  # a workspace was saved, not yet removed
    "rejected",  # a verdict and its fix task are on the board
    "outbox-committed",  # what an agent dropped is on the board, its file is still there
)
# The same for questions, which only some tasks ask.
ASKING: Final = (
    "question-committed",  # it is on the board, its file is still in the outbox
    "question-told",  # its asker is told its name, its file is still in the outbox
    "notes-committed",  # notes are on the board, nobody has noted that they are
    "ask-branch-made",  # the branch to answer on exists
    "answer-delivered",  # an answer is in the inbox of a running attempt
    "ask-branch-dropped",  # it is answered and its branch is gone
)
# And with a forge.
PUBLISHING: Final = (
    "pull-opened",  # the pull request is there, nobody here knows of it
    "comment-answered",  # a comment is the answer on the board, its author does not know
    "pull-thanked",  # thanks are said, the pull request is open
    "pull-closed",  # it is closed, its branch is there
)

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("GITFLEET_FAULT")
    if not wanted:
        return
    assert name in (*POINTS, *ASKING, *PUBLISHING), name
    _passed[name] += 1
    where, _, nth = wanted.partition(":")
    if where == name and _passed[name] == int(nth or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
