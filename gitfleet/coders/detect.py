"""Whether a coder is installed on this machine and logged in, without starting it.

A program on PATH is installed. A login file or a key variable is the sign of a login: only its
existence is checked, so this costs nothing and reads no secret.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from gitfleet.coders.base import Account, Coder, LoginFile
from gitfleet.model.config import CoderSettings


class Detected(Struct, frozen=True):
    """A coder as found on this machine."""

    coder: Coder
    path: str  # of its program; empty: not on PATH
    login: str  # `~/.codex/auth.json` or `$CODEX_API_KEY`; empty: no sign of a login


def look(coder: Coder, settings: CoderSettings | None = None) -> Detected:
    """Look for a coder; `settings` are those of fleet.yaml, which may say where it is."""
    told = settings or CoderSettings()
    env = {**os.environ, **told.env}
    path = shutil.which(told.program or coder.program, path=env.get("PATH"))
    login = next(_signs(coder.account, env), "") if coder.account else ""
    return Detected(coder, path or "", login)


def _signs(account: Account, env: Mapping[str, str]) -> Iterator[str]:
    for file in account.files:
        path, shown = _place(file, env)
        with contextlib.suppress(OSError):  # a folder that this user may not enter
            if path.is_file():
                yield shown
    yield from (f"${key}" for key in account.keys if env.get(key))


def _place(file: LoginFile, env: Mapping[str, str]) -> tuple[Path, str]:
    """The path of the file, and the way a person would write it."""
    told = env.get(file.variable) if file.variable else None
    if told:
        path = Path(told, file.name)
        return path, str(path)
    shown = f"{file.folder}/{file.name}"
    return Path(shown).expanduser(), shown
