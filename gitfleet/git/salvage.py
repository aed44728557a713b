"""Save what would be lost: uncommitted work, and commits that no ref points at."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.errors import GitError
from gitfleet.git import refs
from gitfleet.git.command import CommandResult, git
from gitfleet.git.repo import Repo, identity
from gitfleet.git.worktree import git_dir

PREFIX: Final = "refs/gitfleet/salvage/"
_LONG: Final = 1800.0  # seconds: `add -A` in a large tree
# Saving must work even if git does not know the user's name.
_NOBODY: Final = {
    "GIT_AUTHOR_NAME": "gitfleet",
    "GIT_AUTHOR_EMAIL": "gitfleet@localhost",
    "GIT_COMMITTER_NAME": "gitfleet",
    "GIT_COMMITTER_EMAIL": "gitfleet@localhost",
}


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved commit, and the ref that holds it."""

    commit: str
    ref: str


def save(
    repo: Repo, path: Path, *, ref: str, message: str, env: Mapping[str, str] | None = None
) -> Saved | None:
    """Save everything uncommitted in a worktree as a commit on top of its HEAD; None if clean.

    Includes staged, unstaged and untracked files, not ignored ones. Leaves the worktree and its
    index alone. If the staged content differs from the files, it becomes a commit of its own below.
    `ref` is under refs/gitfleet/salvage/; if it is taken, `-2`, `-3` … is appended.
    """
    who = env if env is not None else ({} if identity(repo) else _NOBODY)
    found = git("rev-parse", "--verify", "-q", "HEAD^{commit}", cwd=path, check=False)
    head = found.out or None
    with _copy_of_index(git_dir(path)) as index:
        work = _Work(path, {**who, "GIT_INDEX_FILE": str(index)})
        staged = (
            work.git("write-tree", check=False).out or None
        )  # fails while the index has conflicts
        work.add_everything()
        everything = work.git("write-tree").out
        tip = head
        if staged is not None and staged not in (work.tree_of(head), everything):
            tip = work.commit(staged, tip, f"{message} (staged)")
        if everything != work.tree_of(tip):
            tip = work.commit(everything, tip, message)
    if tip is None or tip == head:
        return None
    return Saved(tip, keep(repo, tip, ref))


def keep(repo: Repo, commit: str, ref: str) -> str:
    """Point a ref under refs/gitfleet/salvage/ at a commit and return the ref.

    A ref that holds another commit stays as it is: the next free of `ref-2`, `ref-3` … is used.
    """
    assert ref.startswith(PREFIX), ref
    number = 1
    while True:
        name = ref if number == 1 else f"{ref}-{number}"
        if refs.read(repo, name) == commit:
            return name
        if refs.swap(repo, name, None, commit, message="salvage"):
            return name
        number += 1


def unreachable(repo: Repo, commit: str, from_refs: Sequence[str]) -> bool:
    """Whether the commit is in the history of none of these refs. A missing ref has no history."""
    known = [oid for oid in (refs.read(repo, ref) for ref in from_refs) if oid is not None]
    revisions = "".join(f"{line}\n" for line in (commit, *(f"^{oid}" for oid in known)))
    args = ("rev-list", "--max-count=1", "--stdin")
    return bool(git(*args, cwd=repo.here, input=revisions.encode()).out)


@contextmanager
def _copy_of_index(folder: Path) -> Iterator[Path]:
    """A copy in the same git directory, where a split index finds its other half."""
    with tempfile.TemporaryDirectory(prefix="gitfleet-salvage-", dir=folder) as scratch:
        copy = Path(scratch, "index")
        if (folder / "index").exists():
            shutil.copy2(folder / "index", copy)
        yield copy


@dataclass(frozen=True)
class _Work:
    """Git in one worktree, on a copy of its index."""

    path: Path
    env: Mapping[str, str]

    def git(self, *args: str, input: bytes = b"", check: bool = True) -> CommandResult:
        return git(*args, cwd=self.path, env=self.env, input=input, check=check, timeout=_LONG)

    def add_everything(self) -> None:
        # --sparse: files outside a sparse checkout are work, too. --ignore-errors: an unreadable
        # file must not keep the others from being saved.
        done = self.git("add", "-A", "--sparse", "--ignore-errors", check=False)
        if done.code not in (0, 1):
            self._add_one_by_one()

    def _add_one_by_one(self) -> None:
        """Add files one by one:

        git gives up entirely at a folder that is a repository without a commit.
        """
        listed = self.git("ls-files", "-z", "-o", "--exclude-standard").fields
        self.git("add", "-u", "--ignore-errors", check=False)
        paths = "".join(f"{name}\0" for name in listed if not name.endswith("/"))
        add = (
            "add",
            "--sparse",
            "--ignore-errors",
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
        )
        done = self.git("--literal-pathspecs", *add, input=paths.encode(), check=False)
        if done.code not in (0, 1):
            raise GitError(f"cannot save what is in {self.path}", stderr=done.stderr)

    def tree_of(self, commit: str | None) -> str | None:
        return self.git("rev-parse", f"{commit}^{{tree}}").out if commit else None

    def commit(self, tree: str, parent: str | None, message: str) -> str:
        parents = ("-p", parent) if parent else ()
        return self.git("commit-tree", tree, *parents, input=message.encode()).out
