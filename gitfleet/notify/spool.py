"""Unsent messages on disk: they outlive the runner, and wait while a service is down.

    seen               the keys of all messages that were sent, or were old at the start
    <service>/<n>.json one message for this service; the number counts up

A message is first queued for each service, then its key is recorded, and only then it is sent. A
crash in between sends it later, and once. (A crash after a service took it and before its file is
removed sends it twice: no service tells what it has.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from gitfleet.notify.base import Text

_SEEN: Final = "seen"
_MOST: Final = 500  # messages waiting for one service; beyond that the oldest are dropped
_COMPACT: Final = 20_000  # keys; above this number, those no longer on the board are dropped


class Spool:
    """The folder of messages. One process writes it at a time (a clone has one runner)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: set[str] | None = None

    # -- sent messages

    @property
    def fresh(self) -> bool:
        """Whether notifications were never used here."""
        return not (self.folder / _SEEN).exists()

    def seen(self) -> set[str]:
        """The keys of all sent messages."""
        if self._seen is None:
            self._seen = set(_lines(self.folder / _SEEN))
            if not self.fresh:
                # Queued for a service, but its key is not recorded: the writer died in between.
                waiting = {text.key for box in self._boxes() for _, text in box_texts(box)}
                self.mark(waiting - self._seen)
        return self._seen

    def mark(self, keys: Iterable[str]) -> None:
        """Record these messages as sent."""
        fresh = [key for key in keys if key not in self.seen()]
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / _SEEN).open("a", encoding="utf-8") as file:
            file.write("".join(f"{key}\n" for key in fresh))
            file.flush()
            os.fsync(file.fileno())
        self.seen().update(fresh)

    def compact(self, alive: Iterable[str]) -> None:
        """Drop the keys that are no longer on the board, once there are many."""
        kept = self.seen() & set(alive)
        if len(self.seen()) > max(_COMPACT, 2 * len(kept)):
            _write(self.folder / _SEEN, "".join(f"{key}\n" for key in sorted(kept)).encode())
            self._seen = kept

    def forget(self) -> None:
        """Notifications were switched off:

        drop the history, so that a later switch-on sends no old news.
        """
        (self.folder / _SEEN).unlink(missing_ok=True)
        self._seen = None

    # -- waiting messages

    def put(self, digests: Iterable[str], text: Text) -> None:
        """Queue a message for each of these services."""
        for digest in digests:
            box = self.folder / digest
            box.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = box_texts(box)
            if any(other.key == text.key for _, other in there):
                continue
            number = 1 + max((int(path.stem) for path, _ in there), default=0)
            _write(box / f"{number:09d}.json", msgspec.json.encode(text))
            for path, _ in there[: len(there) + 1 - _MOST]:
                path.unlink(missing_ok=True)

    def keep_only(self, digests: Iterable[str]) -> None:
        """Drop messages that wait for services that no longer exist."""
        wanted = set(digests)
        for box in self._boxes():
            if box.name not in wanted:
                shutil.rmtree(box, ignore_errors=True)

    def _boxes(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [path for path in sorted(self.folder.iterdir()) if path.is_dir()]
        return []


def box_texts(box: Path) -> list[tuple[Path, Text]]:
    """The messages waiting for a service, oldest first, without unreadable files."""
    found: list[tuple[Path, Text]] = []
    for path in sorted(box.glob("[0-9]*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append((path, msgspec.json.decode(path.read_bytes(), type=Text)))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _write(path: Path, data: bytes) -> None:
    fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(aside).replace(path)
