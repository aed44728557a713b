"""Words that format 1 of the board wrote differently, in one place.

Finished tasks, events and old commits keep them, so they are read for ever. Nothing writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gitfleet.model.states import Kind

# The kind in an event's file name: log/<id>/<nnn>-release-<hex>.yaml.
KINDS: Final[Mapping[str, Kind]] = {"release": Kind.UNHOLD}
