"""The hooks of a clone: installed beside the user's own, never over them, and taken out again.

The window `.fleet/` has a hooks path of its own, so that the project's hooks (a framework without
a configuration on this branch) do not fail there; hooks that the user has for everything
(core.hooksPath of their user) are chained.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gitfleet import assets
from gitfleet.clone import Clone, read_json, write_json
from gitfleet.errors import FleetError
from gitfleet.git.command import git
from gitfleet.git.holders import holders
from gitfleet.git.repo import Repo, config, set_config, unset_config
from gitfleet.store import Store

PUSH: Final = "push-to-checkout"
_OURS: Final = b"# gitfleet: "
_DENY: Final = "receive.denyCurrentBranch"
# Hooks of a person's own commands; those of a server have nothing to do in a window.
_CLIENT: Final = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "post-rewrite",
)


def install(clone: Clone, store: Store) -> list[str]:
    """Put every hook in its place; what was done, in sentences. Twice is harmless."""
    told: list[str] = []
    for window in holders(clone.repo, store.ref):
        _into_window(clone, window)
        told.append(f"{window} refuses invalid tasks before they are committed.")
    if clone.repo.main is not None:
        told.append(_for_pushes(clone, store))
    return told


def _into_window(clone: Clone, window: Path) -> None:
    folder = clone.folder / "hooks"
    folder.mkdir(parents=True, exist_ok=True)
    personal = _personal(clone.repo)
    _write(folder / "pre-commit", "pre-commit", _chain(personal, "pre-commit"))
    for name in _CLIENT:
        if personal is not None and (personal / name).exists():
            _write(folder / name, "chain", _chain(personal, name))
        else:
            (folder / name).unlink(missing_ok=True)
    if config(clone.repo, "extensions.worktreeConfig") != "true":
        set_config(clone.repo, "extensions.worktreeConfig", "true")
    git("config", "--worktree", "core.hooksPath", str(folder), cwd=window)


def _personal(repo: Repo) -> Path | None:
    """The folder of hooks that the user has for all repositories."""
    found = git("config", "--global", "--type=path", "core.hooksPath", cwd=repo.here, check=False)
    path = Path(found.out) if found.code == 0 and found.out else None
    return path if path is not None and path.is_absolute() else None


def _chain(folder: Path | None, name: str) -> str:
    """The lines that run the user's hook of that name."""
    if folder is None:
        return ""
    hook = _quoted(str(folder / name))
    return f'if [ -x {hook} ]; then {hook} "$@" || exit $?; fi'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _write(path: Path, template: str, chain: str, branch: str = "") -> None:
    text = (assets.folder("hooks") / template).read_text()
    python = sys.executable.replace("'", "'\\''")
    for place, value in (
        ("@PYTHON@", python),
        ("@NAME@", path.name),
        ("@BRANCH@", branch.replace("'", "'\\''")),
        ("@CHAIN@", chain),
    ):
        text = text.replace(place, value)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.chmod(0o755)
    aside.replace(path)


# -- pushes into this clone


def _hook_folder(repo: Repo) -> Path:
    out = git("rev-parse", "--path-format=absolute", "--git-path", "hooks", cwd=repo.here).out
    return Path(out)


def _for_pushes(clone: Clone, store: Store) -> str:
    repo = clone.repo
    note = clone.folder / "pushes.json"
    was = config(repo, _DENY)
    if was not in (None, "updateInstead", "refuse", "true"):
        return f"{_DENY} is {was} already: pushes into this clone are left as they are."
    folder = _hook_folder(repo)
    if repo.main is not None and folder.is_relative_to(repo.main) and not _inside_git(repo, folder):
        raise FleetError(
            f"the hooks of this project lie in {folder}, among its own files",
            remedy=f"Add a {PUSH} hook there yourself, or unset core.hooksPath.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / PUSH
    before = folder / f"{PUSH}.before-gitfleet"
    if own.exists() and not _is_ours(own):
        own.replace(before)
    chain = ""
    if before.exists():
        chain = f'if [ -x {_quoted(str(before))} ]; then exec {_quoted(str(before))} "$@"; fi'
    _write(own, PUSH, chain, store.branch)
    if was != "updateInstead":
        write_json(note, {"before": was})
        set_config(repo, _DENY, "updateInstead")
    return f"A push from another clone may move {store.branch}; its files here move along."


def _inside_git(repo: Repo, folder: Path) -> bool:
    return folder.is_relative_to(repo.common)


def _is_ours(path: Path) -> bool:
    return _OURS in path.read_bytes()[:200]


def remove(clone: Clone) -> Iterator[str]:
    """Take every hook of ours out again, and put back what was there; what was done."""
    repo = clone.repo
    own = _hook_folder(repo) / PUSH
    if own.exists() and _is_ours(own):
        own.unlink()
        before = own.with_name(f"{PUSH}.before-gitfleet")
        if before.exists():
            before.replace(own)
        yield f"removed the hook {PUSH}"
    note = clone.folder / "pushes.json"
    if note.exists():
        was = read_json(note).get("before")
        if isinstance(was, str):
            set_config(repo, _DENY, was)
        else:
            unset_config(repo, _DENY)
        note.unlink()
        yield f"put {_DENY} back"
