"""Who made a commit of the board: trailers and addresses tell runners from people."""

from __future__ import annotations

from typing import Final

from gitfleet.git.commits import Commit, Signature, trailers

RUNNER: Final = "Gitfleet-Runner"
RUNNER_DOMAIN: Final = "@gitfleet.invalid"  # .invalid is reserved for names that do not exist
TXN: Final = "Gitfleet-Txn"
REPAIR: Final = "Gitfleet-Repair"


def runner_signature(runner: str, when: int) -> Signature:
    """The signature of a runner's commits."""
    return Signature(f"gitfleet ({runner})", f"{runner}{RUNNER_DOMAIN}", when)


def by_runner(commit: Commit) -> bool:
    """Whether a commit's trailer or address shows that a runner made it."""
    return RUNNER in trailers(commit.message)
