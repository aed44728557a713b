"""What a heartbeat contains: the runner, its attempts and the health of its services.

One form for two places: the heartbeat on the remote, which other machines read, and a file of the
clone, which needs no remote, says more, and is newer. Times in it are seconds ago, since clocks of
two machines are never compared.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from gitfleet.assets import own_version
from gitfleet.attempt.context import LiveStatus, Project
from gitfleet.background_service import BackgroundService, ServiceHealth
from gitfleet.board.clone_state import write_json
from gitfleet.board.heartbeats import LIVE
from gitfleet.model import config
from gitfleet.model.config import TranscriptSharing

FORMAT: Final = 1
_EVERY: Final = 1.0  # seconds between checks for changes to write
_LAST_PAUSE: Final = 30.0  # seconds between tries on a full disk
_LAST: Final = 200  # characters of the last line, or of an error

Lives = Callable[[], Mapping[str, LiveStatus]]
Health = Callable[[], Iterable[ServiceHealth]]


def about(project: Project, slots: int | None) -> dict[str, Any]:
    """The constant part of a heartbeat."""
    settings = project.store.board().settings
    return {
        "host": socket.gethostname(),
        "version": own_version(),
        "board_format": config.FORMAT,  # the newest that this runner knows
        "capacity": slots or project.machine.concurrency or settings.concurrency,
        "labels": list(project.machine.labels),
    }


def content(
    project: Project,
    known: Mapping[str, Any],
    lives: Mapping[str, LiveStatus],
    health: Iterable[ServiceHealth] = (),
    *,
    words: bool,
) -> dict[str, Any]:
    """The heartbeat payload. `words` includes each attempt's last output line.

    The line is omitted on the remote unless the settings let outputs leave this machine.
    """
    now = time.monotonic()
    return {
        "format": FORMAT,
        "runner": project.runner,
        "at": project.store.now().isoformat(),  # for display; clocks are never compared
        **known,
        "attempts": [
            _told(project, nonce, live, now, words=words) for nonce, live in lives.items()
        ],
        "failing": [_failing(project, one, now) for one in health if one.failing_since is not None],
    }


def _failing(project: Project, health: ServiceHealth, now: float) -> dict[str, Any]:
    mask = project.mask.text
    since = now if health.failing_since is None else health.failing_since
    return {
        "name": health.name,
        "elapsed": round(now - since),
        "error": mask(health.error)[:_LAST],
        "remedy": mask(health.remedy)[:_LAST],
    }


def may_share_output(project: Project) -> bool:
    """Whether other machines may see attempts' output."""
    return project.store.board().settings.transcripts is TranscriptSharing.PUSH


def _told(
    project: Project, nonce: str, live: LiveStatus, now: float, *, words: bool
) -> dict[str, Any]:
    mask = project.mask.text
    return {
        "nonce": nonce,
        "task": live.task,
        "role": live.role.value,
        "coder": live.coder,
        "attempt": live.attempt,
        "doing": mask(live.doing),
        "state": mask(live.state),
        "elapsed": round(now - live.began),
        "silence": round(now - live.heard),
        "tokens": live.tokens.total,
        "context": live.context,
        "window": live.window,
        # Masked before it is cut: even half a secret must not appear.
        "last": mask(live.last)[:_LAST] if words else "",
    }


class LiveStatusFile:
    """Writes the clone's status file while the runner lives, only when something changed."""

    def __init__(
        self, project: Project, lives: Lives, slots: int | None, health: Health = tuple
    ) -> None:
        self._fleet, self._lives, self._health = project, lives, health
        self._about = about(project, slots)
        self._path = project.clone.folder / LIVE
        self._written: object = None
        self.service = BackgroundService(
            "live-status",
            self._turn,
            project.report,
            goodbye=lambda: self._path.unlink(missing_ok=True),
            first_pause=_EVERY,
            last_pause=_LAST_PAUSE,
        )

    def _turn(self) -> float:
        self._write()
        return _EVERY

    def _write(self) -> None:
        lives, health = dict(self._lives()), list(self._health())
        mark = (
            [(nonce, *_mark(live)) for nonce, live in lives.items()],
            [(one.name, one.failing_since, one.error) for one in health],
        )
        if mark != self._written:
            told = content(self._fleet, self._about, lives, health, words=True)
            # By the clock that all processes of a machine share, so a reader can add the elapsed
            # time.
            write_json(self._path, {**told, "monotonic": time.monotonic()}, durable=False)
            self._written = mark


def _mark(live: LiveStatus) -> tuple[object, ...]:
    """The parts whose change is worth a write; elapsed time alone is not."""
    return (live.state, live.doing, live.heard, live.tokens, live.context, live.last)
