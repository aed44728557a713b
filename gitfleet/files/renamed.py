"""Names that format 1 of the board had for keys and events, and what they are called now.

Finished tasks, events and old commits keep the old names, so those are read for ever. Open tasks
and settings use the new names as soon as fleet.yaml says format 2; `gitfleet lint --fix` renames
them. Nothing writes an old name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gitfleet.model.config import Backoff, Settings
from gitfleet.model.states import Kind
from gitfleet.model.task import Task

# The keys of a file, or of a mapping inside it: old name -> name.
KEYS: Final[Mapping[type, Mapping[str, str]]] = {
    Task: {
        "touches": "paths",
        "needs": "runs_on",
        "exclusive": "locks",
        "attempts": "max_attempts",
    },
    Settings: {"attempts": "max_attempts", "retry": "backoff"},
    Backoff: {"first": "initial"},
}
# The kind in an event's file name: log/<id>/<nnn>-release-<hex>.yaml.
KINDS: Final[Mapping[str, Kind]] = {"release": Kind.UNHOLD}
