"""Which worktrees have a branch checked out: read from files, without starting git."""

from __future__ import annotations

from pathlib import Path

from gitfleet.git.repo import Repo


def checkouts_of(repo: Repo, ref: str) -> list[Path]:
    """The tops of the worktrees whose HEAD is on `ref`; worktrees whose folder is missing are left
    out."""
    found: list[Path] = []
    if repo.main is not None and _on(repo.common / "HEAD", ref):
        found.append(repo.main)
    for head in sorted((repo.common / "worktrees").glob("*/HEAD")):
        if _on(head, ref):
            top = _top(head.parent)
            # A folder without its `.git` lies inside another worktree: git would work in that one.
            if top is not None and (top / ".git").is_file():
                found.append(top)
    return found


def _on(head: Path, ref: str) -> bool:
    try:
        return head.read_text().strip() == f"ref: {ref}"
    except OSError:
        return False


def _top(folder: Path) -> Path | None:
    try:
        return Path((folder / "gitdir").read_text().strip()).parent
    except OSError:
        return None
