"""Runners that may be at work and do not know the newest format of a board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from gitfleet.board import heartbeats
from gitfleet.board.clone_state import Clone, read_json
from gitfleet.board.store import Store
from gitfleet.cli.support.write import remote_of
from gitfleet.errors import FleetError
from gitfleet.event_log import harmless
from gitfleet.git import remote
from gitfleet.model.board import Board
from gitfleet.model.config import FORMAT
from gitfleet.model.durations import seconds, spoken


def refuse(store: Store, clone: Clone, board: Board) -> None:
    """Raise FleetError if a runner of an older version may be at work on the board.

    It would remove the events whose names it does not know. Such a runner of another machine counts
    while its last heartbeat is younger than the board's `lease`, by both clocks.
    """
    lease = timedelta(seconds=seconds(board.settings.lease))
    found = sorted({*_in_this_clone(clone), *_on_other_machines(store, lease)})
    if found:
        raise FleetError(
            f"a runner that does not know format {FORMAT} is at work: {', '.join(found)}",
            remedy="Stop or upgrade it; one that has stopped counts for "
            f"{spoken(lease.total_seconds())} more. Then try again.",
        )


def _in_this_clone(clone: Clone) -> Iterator[str]:
    told = read_json(clone.folder / heartbeats.LIVE)
    if clone.running() is not None and not _knows(told):
        yield "the one in this clone (`gitfleet stop --leave` lets its attempts continue)"


def _on_other_machines(store: Store, lease: timedelta) -> Iterator[str]:
    name = remote_of(store.repo, store)
    if name is None:
        return
    remote.fetch(store.repo, name, [f"+{heartbeats.BEATS}*:{heartbeats.SEEN_BEATS}*"])
    now = store.now()
    for runner, heartbeat in heartbeats.seen(store.repo).items():
        if not _knows(heartbeat) and abs(now - _moment(heartbeat, now - 2 * lease)) < lease:
            yield harmless(f"{runner} on {heartbeat.get('host')}")


def _knows(told: Mapping[str, Any]) -> bool:
    newest = told.get("board_format")
    return isinstance(newest, int) and newest >= FORMAT


def _moment(heartbeat: Mapping[str, Any], otherwise: datetime) -> datetime:
    """When the heartbeat was written, by its runner's clock."""
    try:
        found = datetime.fromisoformat(str(heartbeat.get("at")))
        return found if found.tzinfo else otherwise
    except ValueError:
        return otherwise
