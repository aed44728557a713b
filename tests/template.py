"""Repositories that many tests begin with are made once for each worker, and copied."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.conftest import git

_PLAIN: Final = re.compile(r"[\w./+-]+")  # a path that stands in a file as it is
# Where git and gitfleet write where the repository lies, below it.
_PLACES: Final = (
    "config",
    ".fleet/.git",
    ".git/config",
    ".git/worktrees/*/gitdir",
    ".git/gitfleet/window.gitconfig",
    ".git/gitfleet/hooks/*",
    ".git/hooks/*",
)
_made: dict[str, Path] = {}


def copied(path: Path, name: str, make: Callable[[Path], object]) -> Path:
    """A copy, at `path`, of what `make` makes: a repository, or a folder of some that know each
    other. `name` is the name of that one. `path` may be an empty folder.

    Such a repository has a window `.fleet/`, and no runner has been in it: a copy of one would be
    taken for a copied clone. A copy differs from it in no file but those that say where it lies.
    """
    if not _PLAIN.fullmatch(str(path)):
        make(path)
        return path
    if name not in _made:
        _made[name] = _folder() / name
        make(_made[name])
    template = _made[name]
    shutil.copytree(template, path, symlinks=True, dirs_exist_ok=True)
    for repository in (path, *(one for one in path.iterdir() if one.is_dir())):
        for file in (file for pattern in _PLACES for file in repository.glob(pattern)):
            data = file.read_bytes()
            there = data.replace(f"{template}/".encode(), f"{path}/".encode())
            if there != data:
                file.write_bytes(there)
        for worktree in (repository, repository / ".fleet"):
            if worktree.name != ".git" and (worktree / ".git").exists():
                git("update-index", "-q", "--refresh", cwd=worktree)
    return path


def _folder() -> Path:
    if not _folders:
        _folders.append(Path(tempfile.mkdtemp(prefix="gitfleet-templates-")))
        atexit.register(shutil.rmtree, _folders[0], ignore_errors=True)
    return _folders[0]


_folders: list[Path] = []
