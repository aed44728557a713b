"""Install a clone's hooks beside the user's own, which stay and are still called; remove them
again.

The worktree of the board has a hooks path of its own, so that the project's hooks (a framework
without a configuration on this branch) do not fail there; hooks that the user has for all
repositories are chained. A conditional include sets the path; it applies to that worktree alone and
does not affect other programs that read the repository (`extensions.worktreeConfig` would).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gitfleet import assets
from gitfleet.board.clone_state import Clone, read_json, write_json
from gitfleet.board.store import Store
from gitfleet.errors import FleetError
from gitfleet.git import yield_to_commits
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.command import git
from gitfleet.git.repo import Repo, config, set_config, unset_config
from gitfleet.git.worktree import git_dir

PUSH: Final = "push-to-checkout"
RECEIVE: Final = "pre-receive"
_OURS: Final = b"# gitfleet: "
_DENY: Final = "receive.denyCurrentBranch"
_CONFIG: Final = "gitfleet/window.gitconfig"  # below the common git directory
# The hooks of a person's own commands; server hooks make no sense in a window.
_CLIENT: Final = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-merge-commit",
    "prepare-commit-msg",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "post-rewrite",
)
# Looked up when the hook runs: the user may move or remove their hooks.
_CHAIN: Final = """\
own=$(git config --global --type=path --get core.hooksPath 2>/dev/null ||
    git config --system --type=path --get core.hooksPath 2>/dev/null)
if [ -n "$own" ] && [ -x "$own/${0##*/}" ]; then
    exec "$own/${0##*/}" "$@"
fi
exit 0"""
_REFUSE: Final = """\
    echo "gitfleet: refusing to update the checked out branch ${branch#refs/heads/}" >&2
    echo "  Push to another branch, or have it checked out nowhere in that repository." >&2
    exit 1"""
# The behaviour of git's receive.denyCurrentBranch=updateInstead.
_UPDATE: Final = """\
    git update-index -q --ignore-submodules --refresh &&
        git diff-files --quiet --ignore-submodules -- &&
        git diff-index --quiet --cached --ignore-submodules HEAD -- || {
        echo "The working tree has changes; nothing was updated." >&2
        exit 1
    }
    exec git read-tree -u -m "$1\""""


def install(clone: Clone, store: Store) -> list[str]:
    """Install every hook; return the changes, in sentences. Safe to repeat."""
    repo = clone.repo
    windows = checkouts_of(repo, store.ref)
    linked = [window for window in windows if window != repo.main]
    if not windows:
        return [f"No worktree has {store.branch} checked out: nothing to check there."]
    told = [f"Installed a pre-commit hook in {path} that rejects invalid tasks." for path in linked]
    if linked:
        _write_client_hooks(clone)
        hooks = ("core.hooksPath", str(clone.folder / "hooks"))
        git("config", "--file", str(repo.common / _CONFIG), *hooks, cwd=repo.here)
    for window in linked:
        set_config(repo, _include(window), _CONFIG)
    if repo.main in windows:
        told.append(
            f"{repo.main} has {store.branch} checked out: there the project's hooks stay in force."
        )
    told.append(_for_pushes(clone, store))
    return told


def changed_settings(clone: Clone) -> list[str]:
    """The repository-wide git settings that `install` changed here, as `key=value`."""
    before = read_json(clone.folder / "pushes.json").get("before", "updateinstead")
    return [f"{_DENY}=updateInstead"] if before != "updateinstead" else []


def remove(clone: Clone) -> Iterator[str]:
    """Remove all our hooks and restore the earlier ones; return the changes."""
    yield from _remove_from_windows(clone)
    yield from _remove_for_pushes(clone)


# -- in a window


def _write_client_hooks(clone: Clone) -> None:
    folder = clone.folder / "hooks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("pre-commit", "commit-msg", "post-commit"):
        _write(clone.repo, folder / name, name)
    for name in _CLIENT:
        _write(clone.repo, folder / name, "chain")


def _include(window: Path) -> str:
    """The setting that makes git read our configuration in that worktree only."""
    # A leading ./ means the including file's folder, whatever characters its path contains.
    name = re.sub(r"([\\*?\[\]])", r"\\\1", git_dir(window).name)
    return f"includeIf.gitdir:./worktrees/{name}.path"


def _remove_from_windows(clone: Clone) -> Iterator[str]:
    repo = clone.repo
    pattern = r"^includeif\.gitdir:\./worktrees/.*\.path$"
    args = ("config", "--local", "-z", "--get-regexp", pattern)
    for line in git(*args, cwd=repo.here, check=False).fields:
        key, _, value = line.partition("\n")
        if value == _CONFIG:
            unset_config(repo, key)
    (repo.common / _CONFIG).unlink(missing_ok=True)
    folder = clone.folder / "hooks"
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if _is_ours(path):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    yield f"Removed the hooks of the window on {config(repo, 'gitfleet.branch') or 'fleet'}."


def _write(repo: Repo, path: Path, template: str, values: Mapping[str, str] | None = None) -> None:
    text = (assets.folder("hooks") / template).read_text()
    given = {
        "@PYTHON@": _inside_quotes(sys.executable),
        "@MARK@": _inside_quotes(str(yield_to_commits.mark(repo))),
        "@CHAIN@": _CHAIN,
        **(values or {}),
    }
    for place, value in given.items():
        text = text.replace(place, value)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.chmod(0o755)
    aside.replace(path)


def _inside_quotes(text: str) -> str:
    return text.replace("'", "'\\''")


def _is_ours(path: Path) -> bool:
    return _OURS in path.read_bytes()[:200]


# -- pushes into this clone


def _for_pushes(clone: Clone, store: Store) -> str:
    """Allow a push into a clone that has the board checked out, if our hook can be installed."""
    repo = clone.repo
    note = clone.folder / "pushes.json"
    known = read_json(note)
    now = (config(repo, _DENY) or "refuse").lower()
    before = known.get("before", "refuse") if known else now
    if now not in ("refuse", "true", "updateinstead") or (known and now != "updateinstead"):
        return f"{_DENY} is {now}: pushes into this clone behave as that setting says."
    folder = _hook_folder(repo)
    if not folder.is_relative_to(repo.common):
        return (
            f"git refuses a push of {store.branch} into this clone because its hooks are in"
            f" {folder}, where gitfleet writes none. Push to gitfleet/in/<name> instead; a runner"
            " merges it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    own, theirs = folder / PUSH, folder / f"{PUSH}.before-gitfleet"
    if own.exists() and not _is_ours(own):
        own.replace(theirs)
    values = {
        "@BRANCH@": _inside_quotes(store.branch),
        "@OTHERS@": _for_others(theirs, updates=before == "updateinstead"),
    }
    _write(repo, own, PUSH, values)
    if not known:
        local = git("config", "--local", "--get", _DENY, cwd=repo.here, check=False).out
        write_json(note, {"before": before, "local": local})
    set_config(repo, _DENY, "updateInstead")
    return f"A push from another clone to {store.branch} also updates its files here."


def _for_others(theirs: Path, *, updates: bool) -> str:
    """The result of a push to another checked-out branch: the same as without our hook.

    git calls such a hook only if updateInstead is set; if it was not set before, git refused.
    """
    if not updates:
        return _REFUSE
    hook = f"'{_inside_quotes(str(theirs))}'"
    return f'    if [ -x {hook} ]; then exec {hook} "$@"; fi\n{_UPDATE}'


def _hook_folder(repo: Repo) -> Path:
    """The folder in which git looks for the repository's hooks."""
    out = git("rev-parse", "--path-format=absolute", "--git-path", "hooks", cwd=repo.here).out
    return Path(out)


def _remove_for_pushes(clone: Clone) -> Iterator[str]:
    repo = clone.repo
    own = _hook_folder(repo) / PUSH
    if own.exists() and _is_ours(own):
        own.unlink()
        before = own.with_name(f"{PUSH}.before-gitfleet")
        if before.exists():
            before.replace(own)
        yield f"Removed the hook {PUSH}."
    note = clone.folder / "pushes.json"
    if note.exists():
        was = read_json(note).get("local")
        if isinstance(was, str) and was:
            set_config(repo, _DENY, was)
        else:
            unset_config(repo, _DENY)
        note.unlink()
        yield f"Set {_DENY} back to what it was."


# -- on a server


def install_server(repo: Repo) -> str:
    """Let every push to the fleet branch of a server's repository be checked; return the changes.

    An existing hook of the same name runs after ours. Safe to repeat. FleetError if the repository
    shares its hooks with others.
    """
    folder = _server_folder(repo)
    folder.mkdir(parents=True, exist_ok=True)
    own, theirs = folder / RECEIVE, folder / f"{RECEIVE}.before-gitfleet"
    if own.exists() and not _is_ours(own):
        own.replace(theirs)
    _write(repo, own, RECEIVE, {"@THEIRS@": _inside_quotes(str(theirs))})
    after = f"; {theirs.name} runs after it" if theirs.exists() else ""
    return f"{own} checks every push to the fleet branch{after}."


def remove_server(repo: Repo) -> str:
    """Remove the server's hook and restore the earlier one; return the changes."""
    own = _server_folder(repo) / RECEIVE
    if not own.exists() or not _is_ours(own):
        return f"No gitfleet hook is installed in {repo.common}."
    own.unlink()
    before = own.with_name(f"{RECEIVE}.before-gitfleet")
    if before.exists():
        before.replace(own)
    return f"Removed {own}."


def _server_folder(repo: Repo) -> Path:
    folder = _hook_folder(repo)
    if not folder.resolve().is_relative_to(repo.common):
        raise FleetError(
            f"the hooks of {repo.common} are in {folder} (core.hooksPath), outside it",
            remedy=f"Call `{sys.executable} -P -m gitfleet hook pre-receive` in the {RECEIVE} hook"
            " there yourself, with its standard input.",
        )
    return folder
