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
    "coder-started",  # the coder is running
    "coder-ended",  # the coder ended, and the board does not show it
    "work-committed",  # the coder's uncommitted files are committed on its branch
    "work-settled",  # its event is on the board, its claim is gone
    "merge-made",  # the merge commit exists as an object only
    "checks-passed",  # checks and validator accept, nothing has moved
    "sync-announced",  # the checkout of the target is locked and its intent recorded
    "landed-refs-moved",  # the target and the board have moved, no checkout has followed
    "landed-synced",  # the checkouts have followed, the workspace is still there
    "salvaged",  # a workspace was saved, not yet removed
    "rejected",  # a verdict and its fix task are on the board
    "outbox-committed",  # an agent's file is on the board, and still in the outbox
)
# The same for questions, which only some tasks ask.
ASKING: Final = (
    "question-committed",  # the question is on the board, its file is still in the outbox
    "question-told",  # the asker knows its question's name, its file is still in the outbox
    "notes-committed",  # notes are on the board, and this is not recorded
    "ask-branch-made",  # the branch to answer on exists
    "answer-delivered",  # an answer is in the inbox of a running attempt
    "ask-branch-dropped",  # the question is answered and its branch is gone
)
# The same with a forge.
PUBLISHING: Final = (
    "pull-opened",  # the pull request exists, and this runner does not know it
    "comment-answered",  # a comment is the answer on the board, its author does not know
    "pull-thanked",  # the thank-you comment exists, the pull request is open
    "pull-closed",  # the pull request is closed, its branch exists
)

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Kill this process if the environment says so."""
    wanted = os.environ.get("GITFLEET_FAULT")
    if not wanted:
        return
    assert name in (*POINTS, *ASKING, *PUBLISHING), name
    _passed[name] += 1
    where, _, nth = wanted.partition(":")
    if where == name and _passed[name] == int(nth or "1"):
        os.kill(os.getpid(), signal.SIGKILL)
