"""libgit2, opened once per thread; its errors become GitError."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pygit2
from pygit2.enums import Option, RepositoryOpenFlag

from gitfleet.errors import GitError
from gitfleet.git.command import quarantine
from gitfleet.git.repo import Repo

_OPEN_AT_ONCE: Final = 8  # a runner needs one or two; tests see hundreds of repositories


class _Opened(threading.local):
    def __init__(self) -> None:
        self.handles: dict[Path, pygit2.Repository] = {}


_opened: Final = _Opened()


def handle(repo: Repo) -> pygit2.Repository:
    """This thread's own handle: pygit2's objects must not be shared between threads."""
    found = _opened.handles.get(repo.common)
    if found is None:
        _settle()
        if len(_opened.handles) >= _OPEN_AT_ONCE:
            _opened.handles.clear()
        with asked(f"cannot open {repo.common}"):
            found = pygit2.Repository(str(repo.common), RepositoryOpenFlag.NO_SEARCH)
            aside = quarantine()
            if aside is not None:
                found.odb.add_disk_alternate(str(aside))
        _opened.handles[repo.common] = found
    return found


def _settle() -> None:
    """Settings of the whole process. `fsync` syncs what must be on the disk."""
    # Set by `option`: `pygit2.settings` knows these two only from 1.18.2 on.
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, False)
    # git itself has checked the owner (`repo.find`), by files that libgit2 does not read.
    pygit2.option(Option.SET_OWNER_VALIDATION, False)


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Turn whatever pygit2 raises into a GitError that starts with `what`."""
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError, OSError, TypeError) as error:
        said = error.args[0] if error.args else type(error).__name__
        raise GitError(f"{what}: {said}", stderr=str(said)) from error
