"""The commit that a worktree's index and files last matched.

A branch that moves under a checkout leaves its index behind: git then takes the whole difference
for the person's own staged changes, and their next `git commit` undoes what the move brought.
`follow_branch` must know where the index *is*, not where HEAD is. Two witnesses say so: our own
note of the last time the files followed, and the log of HEAD, to which every git command that moves
HEAD in that worktree appends a line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gitfleet.git.command import git
from gitfleet.git.objects import Objects, TreeEntry
from gitfleet.git.refs import MOVED
from gitfleet.git.repo import Repo
from gitfleet.git.worktree import git_dir

_ZERO: Final = "0" * 40
_ABANDONED: Final = 3600.0  # seconds
_EARLIER: Final = 12  # commits: more moves than a slow git command lives through


@dataclass(frozen=True, slots=True)
class SyncedCommit:
    """The index was at `commit` when the last line of HEAD's log (without ours) was `headlog`.

    `earlier` are the commits that it was at before, newest first, and `index` its `index_stamp`.
    """

    commit: str
    headlog: str
    earlier: tuple[str, ...] = ()
    index: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    raw: str
    old: str
    new: str


def folder(repo: Repo) -> Path:
    """The folder of the notes about checkouts."""
    return repo.common / "gitfleet" / "follow"


def key(path: Path) -> str:
    """The stem of a worktree's notes."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]


def in_step(repo: Repo, path: Path) -> str | None:
    """The commit that the index there last matched; None before the first commit."""
    lines = _moves_of_head(git_dir(path))
    step = read_step(repo, path)
    if step is not None and not Objects(repo).exists(step.commit):
        step = None  # git collected it, so no index can match it
    if step is not None and step.headlog == (lines[-1].raw if lines else ""):
        return step.commit
    now = lines[-1].new if lines else _ZERO
    if now == _ZERO or not Objects(repo).exists(now):
        now = _head(path) or ""
    if step is not None and now and _still_behind(repo, path, step, lines, now):
        return step.commit
    return now or None


def read_step(repo: Repo, path: Path) -> SyncedCommit | None:
    """Our note about a worktree; None if there is none, or none that can be read."""
    try:
        found = json.loads((folder(repo) / f"{key(path)}.step.json").read_text())
        earlier, index = tuple(found.get("earlier", ())), found.get("index", "")
        return SyncedCommit(found["commit"], found["headlog"], earlier, index)
    except (FileNotFoundError, ValueError, KeyError):
        return None


def followed_at(repo: Repo, path: Path) -> float:
    """When the note about a worktree was written, in seconds since the epoch; 0 without one."""
    try:
        return (folder(repo) / f"{key(path)}.step.json").stat().st_mtime
    except OSError:
        return 0.0


def write_step(repo: Repo, path: Path, commit: str, left: str | None = None) -> None:
    """Record that index and files are at `commit` now, and were at `left` before."""
    lines = _moves_of_head(git_dir(path))
    before = read_step(repo, path)
    known = (left, before.commit, *before.earlier) if before else (left,)
    earlier = tuple(one for one in dict.fromkeys(known) if one and one != commit)[:_EARLIER]
    step = SyncedCommit(commit, lines[-1].raw if lines else "", earlier, index_stamp(path))
    write_note(folder(repo) / f"{key(path)}.step.json", asdict(step))


def index_stamp(path: Path) -> str:
    """Differs after each write to the worktree's index; empty without an index."""
    try:
        found = (git_dir(path) / "index").stat()
    except FileNotFoundError:
        return ""
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"


def write_note(file: Path, content: dict[str, object]) -> None:
    """Write JSON so that a crash leaves the old note or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".new", delete=False) as made:
        json.dump(content, made)
        made.flush()
        if os.environ.get("GITFLEET_NO_FSYNC") != "1":
            os.fsync(made.fileno())
    Path(made.name).replace(file)


def drop_half_written(repo: Repo) -> None:
    """Remove unfinished notes that are an hour old or more."""
    with contextlib.suppress(OSError):
        for left in folder(repo).glob("*.new"):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink(missing_ok=True)


def index_of(path: Path, index: Path | None = None) -> dict[str, tuple[str, str]]:
    """The staged files: path -> (mode, id); the id is empty where a merge left several."""
    env = {"GIT_INDEX_FILE": str(index)} if index else None
    found: dict[str, tuple[str, str]] = {}
    for line in git("ls-files", "-s", "-z", "--full-name", cwd=path, env=env).fields:
        what, _, name = line.partition("\t")
        mode, oid, stage = what.split(" ")
        found[name] = (mode, oid if stage == "0" else "")
    return found


def staged(entry: TreeEntry | None) -> tuple[str, str] | None:
    """An entry of a tree in the form of `index_of`."""
    return (entry.mode, entry.oid) if entry else None


def _moves_of_head(directory: Path) -> list[_Line]:
    """The lines of HEAD's log that commands in that worktree wrote, without moves of ours."""
    try:
        text = (directory / "logs" / "HEAD").read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return []
    return [
        _Line(raw, raw[:40], raw[41:81])
        for raw in text.split("\n")
        if raw and not raw.partition("\t")[2].startswith(MOVED)
    ]


def _still_behind(repo: Repo, path: Path, step: SyncedCommit, lines: list[_Line], now: str) -> bool:
    """Whether the index lagged behind although a command has moved HEAD since the note.

    The first such command found HEAD elsewhere than the files were: the branch had moved under
    them. A `git commit` of everything brings both together (and undoes the move; only following
    prevents that). `git commit -- PATH` and `git switch -c` do not: the index still has old content
    where the move brought new.
    """
    after = next((i for i, line in enumerate(lines) if line.raw == step.headlog), None)
    if after is None or after + 1 >= len(lines):
        return False
    found_at = lines[after + 1].old
    objects = Objects(repo)
    if found_at in (step.commit, _ZERO) or not (objects.exists(found_at) and objects.exists(now)):
        return False
    index = index_of(path)
    tree = objects.tree_of(now)
    return any(
        index.get(moved.path) == staged(moved.old) != staged(objects.find(tree, moved.path))
        for moved in objects.diff(objects.tree_of(step.commit), objects.tree_of(found_at))
    )


def _head(path: Path) -> str | None:
    return git("rev-parse", "--verify", "-q", "HEAD^{commit}", cwd=path, check=False).out or None
