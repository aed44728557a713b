"""Read heartbeats: those of all runners on the remote, and the live status file of this clone.

Read-only and with few imports: `gitfleet list` reads them every time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from gitfleet.errors import GitError
from gitfleet.git import refs
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo

BEATS: Final = "refs/gitfleet/runners/"
SEEN_BEATS: Final = "refs/gitfleet/seen/runners/"
FILE: Final = "heartbeat.json"
LIVE: Final = "live-attempts.json"


def seen(repo: Repo) -> dict[str, dict[str, Any]]:
    """Every runner's last heartbeat that was fetched into this clone, by runner name.

    Each has the id of its commit as `oid`. A heartbeat that cannot be parsed is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    objects = Objects(repo)
    for ref, oid in refs.names(repo, SEEN_BEATS).items():
        try:
            entry = objects.find(objects.tree_of(oid), FILE)
            content = json.loads(objects.blob(entry.oid)) if entry else None
        except (GitError, ValueError):
            continue
        if isinstance(content, dict) and isinstance(content.get("attempts"), list):
            found[ref.removeprefix(SEEN_BEATS)] = {**content, "oid": oid}
    return found


def live(told: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a clone's `LIVE` file, its durations advanced to now; {} if there is none."""
    written = told.get("monotonic")
    if not isinstance(told.get("attempts"), list) or not isinstance(written, int | float):
        return {}
    passed = max(0.0, time.monotonic() - written)
    failing = told.get("failing")
    lists = {"attempts": told["attempts"], "failing": failing if isinstance(failing, list) else []}
    older = {
        key: [aged(one, passed) for one in found if isinstance(one, dict)]
        for key, found in lists.items()
    }
    return {**told, **older}


def aged(one: Mapping[str, Any], passed: float) -> dict[str, Any]:
    """An attempt's or service's status with its durations advanced by this many seconds."""
    older = {
        key: round(one[key] + passed)
        for key in ("elapsed", "silence")
        if isinstance(one.get(key), int | float)
    }
    return {**one, **older}
