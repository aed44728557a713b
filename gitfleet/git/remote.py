"""Talk to a remote by the git CLI, so that credentials, ssh settings and proxies work as ever.

A push is a compare-and-swap: each ref is sent with the value it must have, and all move or none.
What a failed push means is told apart: somebody was faster, the server refuses, or nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.errors import FleetError, GitError
from gitfleet.git.command import Result, git, mask
from gitfleet.git.refs import Move
from gitfleet.git.repo import Repo

TIMEOUT: Final = 60.0  # seconds for one conversation with the server


class Unreachable(FleetError):
    """The remote does not answer, or does not let us in."""


class Fate(StrEnum):
    """What became of a push."""

    DONE = "done"
    STALE = "stale"  # a ref was not where we thought: look again
    REFUSED = "refused"  # the server does not want it: a hook, a protected branch
    UNKNOWN = "unknown"  # the answer was lost; it may arrive yet


class Pushed(Struct, frozen=True):
    """The fate of a push, and for a refusal which ref and why."""

    fate: Fate
    ref: str = ""
    reason: str = ""


# A ref of a push as `--porcelain` tells: flag, from:to, summary.
_STATUS: Final = re.compile(r"^(?P<flag>[ +\-*=!t])\t[^\t]*?:(?P<ref>[^\t]+)\t(?P<what>.*)$")
_RACE: Final = re.compile(
    r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref|"
    r"incorrect old value|reference already exists|failed to lock|is at [0-9a-f]{40} but expected|"
    r"remote ref updated since checkout|failed to read ref|missing necessary objects"
)
_TOGETHER: Final = re.compile(r"atomic (?:transaction|push) failed")


def fetch(repo: Repo, remote: str, refspecs: Sequence[str], *, timeout: float = TIMEOUT) -> None:
    """Fetch these refs; one that the remote does not have is no error. Raises Unreachable."""
    wanted = list(refspecs)
    while wanted:
        args = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", remote)
        try:
            done = git(*_QUIET, *args, *wanted, cwd=_place(repo), timeout=timeout, check=False)
        except GitError as error:
            raise Unreachable(f"{remote} does not answer: {error.what}") from error
        if done.code == 0:
            return
        missing = re.search(r"couldn't find remote ref (\S+)", done.stderr)
        left = [s for s in wanted if not missing or s.lstrip("+").split(":")[0] != missing[1]]
        if not missing or len(left) == len(wanted):
            raise _unreachable(remote, done)
        wanted = left


_QUIET: Final = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.parallel=1")


def _unreachable(remote: str, done: Result) -> Unreachable:
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return Unreachable(
        f"{remote} cannot be reached: {mask(said[-1] if said else f'exit status {done.code}')}",
        remedy="Look whether `git fetch` works there.",
    )


def push(repo: Repo, remote: str, moves: Sequence[Move], *, timeout: float = TIMEOUT) -> Pushed:
    """Move these refs of the remote, all or none, each only if it is what we think it is."""
    leases = [f"--force-with-lease={move.ref}:{move.old or ''}" for move in moves]
    specs = [f"{move.new or ''}:{move.ref}" for move in moves]
    args = ("push", "--porcelain", "--no-verify", "--atomic", *leases, "--", remote, *specs)
    try:
        done = git(*_QUIET, *args, cwd=_place(repo), timeout=timeout, check=False)
    except GitError as error:
        return Pushed(Fate.UNKNOWN, reason=error.what)
    if done.code == 0:
        return Pushed(Fate.DONE)
    return _judged(done)


def _judged(done: Result) -> Pushed:
    out = done.stdout.decode("utf-8", "replace")
    found = [m for line in out.splitlines() if (m := _STATUS.match(line)) and m["flag"] == "!"]
    if not found:
        last = [line for line in done.stderr.splitlines() if line.strip()]
        return Pushed(Fate.UNKNOWN, reason=mask(last[-1]) if last else "no answer")
    if any(_RACE.search(m["what"]) for m in found):
        return Pushed(Fate.STALE)
    for status in found:
        if not _TOGETHER.search(status["what"]):
            why = re.search(r"\((.*)\)\s*$", status["what"])
            said = _remote_words(done.stderr)
            reason = why[1] if why else status["what"]
            return Pushed(Fate.REFUSED, status["ref"], f"{reason}: {said}" if said else reason)
    return Pushed(Fate.STALE)


def _remote_words(stderr: str) -> str:
    said = [
        line.removeprefix("remote:").strip()
        for line in stderr.splitlines()
        if line.startswith("remote:")
    ]
    return mask(" ".join(word for word in said if word)[:300])


def listing(repo: Repo, remote: str, pattern: str, *, timeout: float = TIMEOUT) -> dict[str, str]:
    """The refs that the remote has and their ids, by a pattern such as `refs/x/*`. Raises
    Unreachable."""
    args = ("ls-remote", "--refs", "--", remote, pattern)
    try:
        done = git(*args, cwd=_place(repo), timeout=timeout, check=False)
    except GitError as error:
        raise Unreachable(f"{remote} does not answer: {error.what}") from error
    if done.code != 0:
        raise _unreachable(remote, done)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in done.out.splitlines())}


def address(repo: Repo, remote: str) -> str | None:
    """Where a remote is, with its credentials masked; None if there is no such remote."""
    found = git("remote", "get-url", "--", remote, cwd=_place(repo), check=False)
    return mask(found.out) if found.code == 0 else None


def _place(repo: Repo) -> Path:
    """Where git is started: a remote's relative path is relative to the worktree's top."""
    return repo.main or repo.common
