"""Talk to a remote with the git CLI, so that credentials, ssh settings and proxies work as usual.

A push is a compare-and-swap: each ref is sent with the value it must have, and all move or none. A
failed push has one of three meanings, which are told apart: another writer was faster, the server
refused, or the answer is unknown.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.errors import FleetError, GitError
from gitfleet.git.command import CommandResult, git, mask
from gitfleet.git.refs import RefMove
from gitfleet.git.repo import Repo

TIMEOUT: Final = 60.0  # seconds for one conversation with the server
PATIENCE: Final = "GITFLEET_REMOTE_TIMEOUT"
"""The environment variable that says otherwise, in seconds: for servers whose hooks take longer."""

_BUSY_TRIES: Final = 5


class Unreachable(FleetError):
    """The remote does not answer, or rejects our credentials."""


class RemoteRejected(FleetError):
    """The server rejected the push."""


class PushFate(StrEnum):
    """The result of a push."""

    DONE = "done"
    STALE = "stale"  # a ref had another value than we thought: fetch again
    REFUSED = "refused"  # the server rejects it: a hook, a protected branch
    UNKNOWN = "unknown"  # the answer was lost; the push may still arrive


class PushResult(Struct, frozen=True):
    """The result of a push; for a refusal, which ref and why."""

    fate: PushFate
    ref: str = ""
    reason: str = ""


# A ref in the output of `push --porcelain`: flag, from:to, summary.
_STATUS: Final = re.compile(r"^(?P<flag>[ +\-*=!t])\t[^\t]*?:(?P<ref>[^\t]+)\t(?P<what>.*)$")
# git's general advice after the cause, over several lines.
_ADVICE: Final = re.compile(
    r"fatal: Could not read from remote repository\.|fatal: the remote end hung up|"
    r"Please make sure you have the correct access rights|and the repository exists\."
)
_RACE: Final = re.compile(
    r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref|"
    r"incorrect old value|reference already exists|failed to lock|is at [0-9a-f]{40} but expected|"
    r"remote ref updated since checkout|failed to read ref|missing necessary objects"
)
_TOGETHER: Final = re.compile(r"atomic (?:transaction|push) failed")
# The connection broke after the push was sent: its result never arrived.
_UNHEARD: Final = re.compile(r"remote failed to report status|\[remote failure\]")
# Another process, perhaps a person's, fetches into this clone at the same moment. Missing objects
# were seen where several fetched and pushed at once; the next fetch had them all.
_BUSY_HERE: Final = re.compile(
    r"cannot lock ref|Unable to create '[^'\n]*\.lock'|did not send all necessary objects"
)


def patience() -> float:
    """The longest time in seconds for one conversation with the server."""
    with contextlib.suppress(ValueError):
        said = float(os.environ.get(PATIENCE, ""))
        return said if said > 0 else TIMEOUT
    return TIMEOUT


def fetch(
    repo: Repo, remote: str, refspecs: Sequence[str], *, timeout: float | None = None
) -> list[str]:
    """Fetch these refs, and drop local copies that match a pattern and are gone on the remote.

    Returns the refs that were named and do not exist. Raises Unreachable.
    """
    wanted, missing, busy = list(refspecs), list[str](), 0
    args = ("fetch", "-q", "--prune", "--no-tags", "--no-write-fetch-head", "--refmap=")
    while wanted:
        try:
            done = git(
                *(*_QUIET, *args, "--", remote, *wanted),
                cwd=_place(repo),
                timeout=patience() if timeout is None else timeout,
                check=False,
            )
        except GitError as error:
            raise Unreachable(f"{remote} does not answer: {error.what}") from error
        if done.code == 0:
            return missing
        if _BUSY_HERE.search(done.stderr) and busy < _BUSY_TRIES:
            busy += 1
            time.sleep(0.05 * 2**busy)
            continue
        found = re.search(r"couldn't find remote ref (\S+)", done.stderr)
        left = [s for s in wanted if not found or s.lstrip("+").split(":")[0] != found[1]]
        if not found or len(left) == len(wanted):
            raise _unreachable(remote, done)
        wanted = left
        missing.append(found[1])
    return missing


_QUIET: Final = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "fetch.parallel=1")


def _unreachable(remote: str, done: CommandResult) -> Unreachable:
    return Unreachable(
        f"{remote} cannot be reached: {_last_words(done) or f'exit status {done.code}'}",
        remedy="Check that `git fetch` works there.",
    )


def _last_words(done: CommandResult) -> str:
    """The cause of a failed exchange, from git's errors.

    Of an ssh or HTTP error that is the program's own line, which git follows by general advice.
    """
    said = [line for line in done.stderr.splitlines() if line.strip()]
    causes = [line for line in said if not _ADVICE.match(line)]
    return mask((causes or said or [""])[-1])


def push(
    repo: Repo, remote: str, moves: Sequence[RefMove], *, timeout: float | None = None
) -> PushResult:
    """Move these refs of the remote, all or none, each only if it has the value we expect."""
    leases = [f"--force-with-lease={move.ref}:{move.old or ''}" for move in moves]
    specs = [f"{move.new or ''}:{move.ref}" for move in moves]
    args = ("push", "--porcelain", "--no-verify", "--atomic", *leases, "--", remote, *specs)
    limit = patience() if timeout is None else timeout
    try:
        done = git(*_QUIET, *args, cwd=_place(repo), timeout=limit, check=False)
    except GitError as error:
        return PushResult(PushFate.UNKNOWN, reason=error.what)
    return _judged(done, {move.ref for move in moves})


def _judged(done: CommandResult, wanted: set[str]) -> PushResult:
    out = done.stdout.decode("utf-8", "replace")
    told = [m for line in out.splitlines() if (m := _STATUS.match(line))]
    found = [m for m in told if m["flag"] == "!"]
    if done.code == 0 and not found and wanted <= {m["ref"] for m in told}:
        return PushResult(PushFate.DONE)
    if not found or any(_UNHEARD.search(m["what"]) for m in found):
        return PushResult(PushFate.UNKNOWN, reason=_last_words(done) or "no answer")
    if any(_RACE.search(m["what"]) for m in found):
        return PushResult(PushFate.STALE)
    for status in found:
        if not _TOGETHER.search(status["what"]):
            why = re.search(r"\((.*)\)\s*$", status["what"])
            said = _remote_words(done.stderr)
            reason = why[1] if why else status["what"]
            return PushResult(
                PushFate.REFUSED, status["ref"], f"{reason}: {said}" if said else reason
            )
    return PushResult(PushFate.STALE)


def _remote_words(stderr: str) -> str:
    said = [
        line.removeprefix("remote:").strip()
        for line in stderr.splitlines()
        if line.startswith("remote:")
    ]
    return mask(" ".join(word for word in said if word)[:300])


def listing(
    repo: Repo, remote: str, pattern: str, *, timeout: float | None = None
) -> dict[str, str]:
    """The remote's refs that match a pattern such as `refs/x/*`, and their ids. Or Unreachable."""
    args = ("ls-remote", "--refs", "--", remote, pattern)
    limit = patience() if timeout is None else timeout
    try:
        done = git(*args, cwd=_place(repo), timeout=limit, check=False)
    except GitError as error:
        raise Unreachable(f"{remote} does not answer: {error.what}") from error
    if done.code != 0:
        raise _unreachable(remote, done)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in done.out.splitlines())}


def address(repo: Repo, remote: str) -> str | None:
    """The address of a remote with its credentials masked; None if there is no such remote."""
    found = git("remote", "get-url", "--", remote, cwd=_place(repo), check=False)
    return mask(found.out) if found.code == 0 else None


def _place(repo: Repo) -> Path:
    """Where git starts: a remote's relative path is relative to the worktree's top."""
    return repo.main or repo.common
