"""Find a repository, check that gitfleet can work in it, and read and write its settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from gitfleet.errors import FleetError, GitError
from gitfleet.git.command import failure, git

BRANCH: Final = "fleet"  # the board's, unless git config gitfleet.branch says otherwise
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
OLDEST_GIT: Final = (2, 38, 0)  # the first with `git merge-tree --write-tree`
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_IDENT: Final = re.compile(r"(?P<name>.*) <(?P<email>[^<>]*)> \d+ [+-]\d{4}")


@dataclass(frozen=True)
class Repo:
    """A repository, seen from one place in it.

    `common` is the git directory that all its worktrees share; `top` the worktree of the current
    directory (None in a bare repository or inside a git directory); `bare` whether the repository
    has no main worktree; `main` where that is (None if bare or unknown).
    """

    common: Path
    top: Path | None
    bare: bool
    main: Path | None = None
    fleet_branch: str = BRANCH  # git config gitfleet.branch

    def main_top(self) -> Path | None:
        """The main worktree's top; None if there is none."""
        return self.main

    @property
    def here(self) -> Path:
        """A directory for git commands about the repository as a whole.

        The common directory, never a worktree: a worktree may vanish while we work, and in a linked
        one `HEAD` is another.
        """
        return self.common


@cache
def git_version() -> tuple[int, int, int]:
    """The version of the git on PATH."""
    out = git("version", cwd=Path("/")).out
    found = _VERSION.search(out)
    if found is None:
        raise FleetError(f"`git version` printed {out!r}, which is not a version")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def find(start: Path) -> Repo:
    """The repository that contains `start`; FleetError if gitfleet cannot work with it."""
    version = git_version()
    if version < OLDEST_GIT:
        raise FleetError(
            f"git is version {'.'.join(map(str, version))}", remedy="Install git 2.38 or later."
        )
    if not start.is_dir():
        raise FleetError(f"{start} is not a directory")
    bare_here, git_dir, common, top = _asked(start)
    entries = _entries(common)
    _refuse_unusable(common, entries)
    # In a linked worktree of a bare repository git answers "not bare" for the worktree.
    bare = bare_here or entries.get("core.bare", "").lower() in _TRUE
    main = None if bare else _main_top(common, git_dir, top, entries.get("core.worktree"))
    return Repo(common, top, bare, main, entries.get("gitfleet.branch", BRANCH))


def _asked(start: Path) -> tuple[bool, Path, Path, Path | None]:
    """Whether git calls it bare, git dir, common dir, and the worktree's top if there is one.

    One call, since every verb waits for it. Outside a worktree git fails at the last question,
    after it has answered the others.
    """
    questions = ("--is-bare-repository", "--git-dir", "--git-common-dir", "--show-toplevel")
    said = git("rev-parse", "--path-format=absolute", *questions, cwd=start, check=False)
    lines = os.fsdecode(said.stdout).split("\n")[:-1]
    if len(lines) < 3:
        raise _not_found(start, said.stderr)
    if len(lines) > 4:
        raise FleetError(f"the path of the repository at {start} has a line break in it")
    top = Path(lines[3]) if len(lines) == 4 else None
    return lines[0] == "true", Path(lines[1]), Path(lines[2]).resolve(), top


def _entries(common: Path) -> dict[str, str]:
    """Every setting that git has for the repository, from any file; the last value of a repeated
    key."""
    listed = git("config", "-z", "--list", cwd=common)
    return {key.lower(): value for key, _, value in (e.partition("\n") for e in listed.fields)}


def _not_found(start: Path, stderr: str) -> FleetError:
    if "dubious ownership" in stderr:
        command = re.search(r"git config --global --add safe\.directory \S+", stderr)
        return FleetError(
            f"the git repository at {start} belongs to another user, and git refuses it",
            remedy=f"If you trust it, run: {command[0] if command else stderr}",
        )
    if "not a git repository" in stderr:
        return FleetError(
            f"{start} is not in a git repository",
            remedy="Change into one, or create one with `git init`.",
        )
    last = stderr.splitlines()[-1] if stderr else "without saying why"
    return FleetError(f"git refuses the repository at {start}: {last}")


def _refuse_unusable(common: Path, entries: Mapping[str, str]) -> None:
    """Refuse repositories that libgit2 cannot read; half of our work would be worse than none."""
    if entries.get("extensions.objectformat", "sha1").lower() != "sha1":
        raise FleetError(f"{common} uses sha256 object ids, which gitfleet cannot read")
    if entries.get("extensions.refstorage", "files").lower() != "files":
        raise FleetError(
            f"{common} keeps its refs as a reftable, which gitfleet cannot read",
            remedy="Convert it with `git refs migrate --ref-format=files`.",
        )
    promisor = (k for k in entries if re.fullmatch(r"remote\..*\.promisor", k))
    if "extensions.partialclone" in entries or any(entries[k] != "false" for k in promisor):
        raise FleetError(
            f"{common} is a partial clone: some of its objects are not here",
            remedy="Clone it again without --filter.",
        )


def _main_top(common: Path, git_dir: Path, top: Path | None, named: str | None) -> Path | None:
    if top is not None and git_dir.resolve() == common:
        return top
    # A submodule's git directory names its worktree; elsewhere the worktree is around `.git`.
    if named is not None:
        return (common / named).resolve()
    return common.parent if common.name == ".git" else None


def config(repo: Repo, key: str) -> str | None:
    """The value that git uses for `key` (the last one, from any file); None if unset."""
    found = git("config", "-z", "--get", key, cwd=repo.here, check=False)
    if found.code == 1:
        return None
    if found.code != 0:
        raise failure(("config", "-z", "--get", key), found.code, found.stderr)
    return os.fsdecode(found.stdout.removesuffix(b"\0"))


def set_config(repo: Repo, key: str, value: str) -> None:
    """Write `key` into the repository's own config, in place of all its values there."""
    git("config", "--local", "--replace-all", key, value, cwd=repo.here)


def unset_config(repo: Repo, key: str) -> None:
    """Remove `key` from the repository's own config; fine if it is not there."""
    args = ("config", "--local", "--unset-all", key)
    done = git(*args, cwd=repo.here, check=False)
    if done.code not in (0, 5):  # 5: there was none
        raise failure(args, done.code, done.stderr)


def identity(repo: Repo) -> tuple[str, str] | None:
    """The name and address that git would commit as; None where git refuses to guess."""
    said = git("var", "GIT_AUTHOR_IDENT", cwd=repo.top or repo.here, check=False)
    found = _IDENT.fullmatch(said.out) if said.code == 0 else None
    return (found["name"], found["email"]) if found else None


def head_branch(repo: Repo) -> str | None:
    """The current branch without refs/heads/; None if HEAD is detached. It may be unborn."""
    said = git("symbolic-ref", "-q", "HEAD", cwd=repo.top or repo.here, check=False)
    return said.out.removeprefix("refs/heads/") if said.code == 0 else None


def default_target(repo: Repo) -> str | None:
    """The branch that work should land on: origin/HEAD's, else the current one.

    None if HEAD is detached or unborn.
    """
    said = git("symbolic-ref", "-q", "refs/remotes/origin/HEAD", cwd=repo.here, check=False)
    if said.code == 0 and said.out.startswith("refs/remotes/origin/"):
        return said.out.removeprefix("refs/remotes/origin/")
    branch = head_branch(repo)
    return branch if branch and _exists(repo, f"refs/heads/{branch}") else None


def _exists(repo: Repo, ref: str) -> bool:
    try:
        return git("show-ref", "--verify", "--quiet", ref, cwd=repo.here, check=False).code == 0
    except GitError:
        return False
