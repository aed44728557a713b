"""Notice changes of an attempt to parts of the repository that are not its own.

A worktree shares hooks, config and refs with the person's own checkout, so an agent in it can make
the person's next git command run its code. This module does not prevent that; it detects it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.git.command import git
from gitfleet.git.repo import Repo

# Settings that run a program, redirect git, or set an identity. Keys as git lists them: lower case
# except between the dots.
_WATCHED: Final = re.compile(
    r"""
    core\.(hookspath|fsmonitor|sshcommand|editor|pager|worktree|bare|attributesfile|excludesfile
          |askpass|gitproxy|alternaterefscommand|repositoryformatversion)
    | (alias|filter|pager|credential|include|includeif|url|gpg|gitfleet
      |protocol|uploadpack|receive|transfer|extensions|difftool|mergetool|guitool|browser|man
      |safe|trailer|sequence|interactive|http|hook)\..*
    | submodule\..*\.update  # url and active are written by every `submodule update --init`
    | diff\.(external|.*\.(command|textconv))
    | merge\..*\.driver
    | remote\..*\.(url|pushurl|fetch|push|mirror|uploadpack|receivepack|vcs|proxy|promisor)
    | commit\.(gpgsign|template) | tag\.gpgsign | push\.gpgsign
    | init\.templatedir | sendemail\..*cmd | web\.browser | instaweb\..*
    """,
    re.VERBOSE | re.DOTALL,
)
# Files of the git directory that change what git reads, beside config, hooks and refs.
_FILES: Final = ("info/attributes", "info/grafts", "objects/info/alternates", "config.worktree")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Names in words -> a hash of the content. No secret can be read from it."""

    hooks: Mapping[str, str]
    config: Mapping[str, str]
    files: Mapping[str, str]


def fingerprint(repo: Repo) -> Fingerprint:
    """The repository's hooks, dangerous settings and files as they are now."""
    return Fingerprint(dict(_hooks(repo)), _config(repo), dict(_files(repo)))


def differences(before: Fingerprint, after: Fingerprint) -> tuple[str, ...]:
    """The differences between two fingerprints, in words."""
    return tuple(
        f"{kind} {name} was {verb}"
        for kind, old, new in (
            ("the hook", before.hooks, after.hooks),
            ("the setting", before.config, after.config),
            ("the file", before.files, after.files),
        )
        for name, verb in _compared(old, new)
    )


def moved_by(
    repo: Repo, email: str, except_refs: Collection[str] = (), *, since: float = 0.0
) -> tuple[str, ...]:
    """The refs that the committer with address `email` has moved, according to their logs.

    `except_refs` are full names, or prefixes that end with a slash. Logs not written to after
    `since` (seconds since the epoch) are not read. git keeps logs of branches, remote branches and
    notes only, and deletes a branch's log with it.
    """
    allowed = tuple(ref for ref in except_refs if ref.endswith("/"))
    mark = os.fsencode(f"<{email}>")
    logs = repo.common / "logs"
    found = []
    for file in sorted((logs / "refs").rglob("*")):
        ref = str(file.relative_to(logs))
        if ref in except_refs or ref.startswith(allowed) or not file.is_file():
            continue
        if file.stat().st_mtime >= since and _signed(file, mark):
            found.append(ref)
    return tuple(found)


def _signed(log: Path, mark: bytes) -> bool:
    with log.open("rb") as lines:
        return any(mark in line.partition(b"\t")[0] for line in lines)


def _compared(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield name, "added"
        elif name not in new:
            yield name, "removed"
        elif old[name] != new[name]:
            yield name, "changed"


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _hooks(repo: Repo) -> Iterator[tuple[str, str]]:
    """Every file below the hooks directory, and below core.hooksPath if that is another one."""
    base = repo.main or repo.common
    out = git("rev-parse", "--git-path", "hooks", cwd=base).stdout
    named = base / os.fsdecode(out.removesuffix(b"\n"))
    places = {repo.common / "hooks": None, named.resolve(): None}
    for place in places:
        if place == Path("/dev/null"):
            continue
        for file in sorted(place.rglob("*")):
            if not file.is_dir() or file.is_symlink():
                name = file.relative_to(repo.common) if file.is_relative_to(repo.common) else file
                yield str(name), _state(file)


def _state(file: Path) -> str:
    try:
        mode = file.lstat().st_mode
        if file.is_symlink():
            target = os.fsencode(file.readlink())
            return _hash(b"link", target, file.read_bytes() if file.is_file() else b"")
        return _hash(b"%o" % mode, file.read_bytes() if file.is_file() else b"")
    except OSError as error:
        return _hash(b"unreadable", str(error.errno).encode())


def _config(repo: Repo) -> dict[str, str]:
    """The watched settings of the repository's own config and of the files it includes."""
    values: dict[str, list[bytes]] = {}
    listed = git("config", "--local", "--includes", "-z", "--list", cwd=repo.common)
    for entry in listed.stdout.split(b"\0"):
        name, _, value = entry.partition(b"\n")
        if _WATCHED.fullmatch(os.fsdecode(name)):
            values.setdefault(os.fsdecode(name), []).append(value)
    return {name: _hash(*found) for name, found in values.items()}


def _files(repo: Repo) -> Iterator[tuple[str, str]]:
    for name in _FILES:
        if os.path.lexists(repo.common / name):
            yield name, _state(repo.common / name)
    for file in sorted(repo.common.glob("worktrees/*/config.worktree")):
        yield str(file.relative_to(repo.common)), _state(file)
