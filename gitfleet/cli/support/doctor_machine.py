"""Checks of the machine for `gitfleet doctor`: commands, settings, plugins, disk, watches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gitfleet.board.clone_state import config_home
from gitfleet.cli.support import session
from gitfleet.cli.support.doctor_finding import DoctorFinding, Examined, ok, problem, warning
from gitfleet.doctor import probe_plugins
from gitfleet.doctor.probe_plugins import PluginState
from gitfleet.errors import FleetError
from gitfleet.runner.watch import watching

_MIB: Final = 1 << 20
_INOTIFY: Final = Path("/proc/sys/fs/inotify")


def commands() -> Iterator[DoctorFinding]:
    """Whether a person's shell, and git, find the command."""
    for name, use in (("gitfleet", "gitfleet"), ("git-fleet", "git fleet")):
        found = shutil.which(name)
        if found:
            yield ok("command", f"`{use}` is {found}")
        else:
            remedy = "Put the folder it was installed to on PATH (pipx and uv do that)."
            yield warning("command", f"`{use}` does not work: {name} is not on PATH", remedy)


def machine(_place: Examined) -> Iterator[DoctorFinding]:
    """The machine's config.yaml."""
    path = config_home() / "gitfleet" / "config.yaml"
    session.machine()  # raises FleetError if it is broken
    yield ok("machine", str(path) if path.exists() else f"no {path}; defaults apply")


def plugins(_place: Examined) -> Iterator[DoctorFinding]:
    """The plugins that this machine lists; others are not checked."""
    for one in probe_plugins.inventory(session.listed_plugins()):
        name = f"{one.name} ({one.kind}, {one.distribution} {one.version})" if one.kind else ""
        if one.state is PluginState.WORKS:
            yield ok("plugin", name)
        elif one.listed:
            yield warning("plugin", f"{name}: {one.reason}" if name else one.reason, one.remedy)


def disk(place: Examined) -> Iterator[DoctorFinding]:
    """The free space for the repository and for workspaces."""
    for about, path in (("repository", place.repo.common), ("workspaces", place.clone.workspaces)):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(there).free // _MIB
        what = f"{free:,} MiB free for the {about}"
        if free < 100:
            yield problem("disk", what, "Free some space.")
        elif free < 1024:
            yield warning("disk", what, "Free some space: every workspace is a checkout.")
        else:
            yield ok("disk", what)


def watcher(place: Examined) -> Iterator[DoctorFinding]:
    """Watch a file for a moment: the limits alone do not show other programs' use of them."""
    limits = []
    for name in ("max_user_watches", "max_user_instances"):
        try:
            limits.append(f"{name} {int((_INOTIFY / name).read_text()):,}")
        except (OSError, ValueError):
            limits.append(f"{name} unknown")
    try:
        with watching(place.repo.common, lambda: None):
            pass
    except FleetError as error:
        what = f"{error.what}; a runner would only poll every 30 s ({', '.join(limits)})"
        yield warning("watcher", what, error.remedy)
    else:
        yield ok("watcher", f"branches can be watched ({', '.join(limits)})")
