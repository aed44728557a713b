"""Wake the runner when a ref moves: by watchdog, on loose and packed refs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from gitfleet.errors import FleetError

# Reading a file is an event, too; only these events signal a change.
_CHANGES: Final = frozenset({"created", "modified", "moved", "deleted", "closed"})


# It warns of events that arrive while it stops; they do not matter.
logging.getLogger("watchdog").addHandler(logging.NullHandler())
logging.getLogger("watchdog").propagate = False


class _Handler(FileSystemEventHandler):
    def __init__(self, common: Path, wake: Callable[[], None]) -> None:
        self._common = common
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _CHANGES:
            return
        paths = [Path(str(path)) for path in (event.src_path, event.dest_path) if path]
        if any(self._tells(path) for path in paths):
            self._wake()

    def _tells(self, path: Path) -> bool:
        """Whether an event means a moved ref:

        <ref>.lock was renamed to <ref>; the lock does not count.
        """
        if path.suffix == ".lock":
            return False
        return path.name == "packed-refs" or path.is_relative_to(self._common / "refs")


@contextlib.contextmanager
def watching(common: Path, wake: Callable[[], None]) -> Iterator[None]:
    """Call `wake`, from another thread, soon after any branch of the repository moved.

    Raises FleetError if the system allows no watch; then only the slow poll is left.
    """
    # A folder made while watchdog registers its parent is registered twice, and watchdog warns of
    # that on standard error. The second registration equals the first.
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, r"watchdog\.")
    observer = Observer()
    handler = _Handler(common, wake)
    try:
        observer.schedule(handler, str(common), recursive=False)
        observer.schedule(handler, str(common / "refs" / "heads"), recursive=True)
        observer.start()
    except OSError as error:
        raise FleetError(
            f"the repository cannot be watched: {error.strerror}",
            remedy="Raise fs.inotify.max_user_watches and max_user_instances (sysctl).",
        ) from error
    try:
        yield
    finally:
        observer.stop()
        observer.join(timeout=5)
