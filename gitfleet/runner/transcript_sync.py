"""Push transcripts to the remote (secrets masked, size limited) and prune old ones.

    refs/gitfleet/runs/<id>/<n>    one commit without parents: stdout, stderr, prompt.md, checks …

A service pushes them some time after the attempt's event: nothing waits for it. The run directories
show which transcripts are missing, after any crash. The files are plain blobs: git compresses them
better than one by one. Of a long file the end is kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.attempt.context import Project
from gitfleet.background_service import BackgroundService, failure_of
from gitfleet.board.store import Store
from gitfleet.errors import FleetError, GitError
from gitfleet.event_log import Action
from gitfleet.git import refs, remote
from gitfleet.git.commits import Signature
from gitfleet.git.refs import RefMove
from gitfleet.git.remote import PushFate, RemoteRejected
from gitfleet.model.board import Board, Entry
from gitfleet.model.config import TranscriptSharing as Wish
from gitfleet.model.durations import seconds
from gitfleet.model.event import Attempt
from gitfleet.model.ids import is_id
from gitfleet.model.secrets import Mask
from gitfleet.run_dir import OUTPUT, PROMPT, RunDir

PREFIX: Final = "refs/gitfleet/runs/"
LARGEST: Final = 1 << 20  # bytes of one file; of a longer one the end is kept
ALL: Final = 8 << 20  # bytes of one transcript
_NAMES: Final = re.compile(rf"{re.escape(PROMPT)}|{OUTPUT.pattern}")
_FOLDER: Final = re.compile(r"([0-9]{3,9})-([0-9a-f]{8})")
_REF: Final = re.compile(re.escape(PREFIX) + r"([^/]+)/([0-9]{1,9})")
_AT_ONCE: Final = 16  # transcripts per push
_IDLE: Final = 60.0  # seconds between checks without a wake-up
_PRUNE_EVERY: Final = 6 * 3600.0
_PRUNE_FIRST: Final = 300.0
_MOST_PRUNED: Final = 500  # refs per round
_FAREWELL: Final = 20.0  # seconds that a stopping runner waits for the last ones


class _Due(Struct, frozen=True):
    """A transcript to push."""

    folder: Path
    ref: str
    attempt: Attempt


def ref_of(task: str, number: int) -> str:
    """The ref of an attempt's transcript."""
    return f"{PREFIX}{task}/{number}"


# -- reading


def read(store: Store, name: str | None, task: str, number: int) -> dict[str, bytes]:
    """The files of a transcript; {} if there is none.

    It is fetched from the remote `name` if this clone lacks it. Anyone may have pushed it: only
    known file names are read, and no file that is too large.
    """
    if not is_id(task):
        return {}
    ref = ref_of(task, number)
    oid = refs.read(store.repo, ref)
    if oid is None and name is not None:
        with contextlib.suppress(FleetError):
            remote.fetch(store.repo, name, [f"+{ref}:{ref}"])
        oid = refs.read(store.repo, ref)
    if oid is None:
        return {}
    try:
        entries = store.objects.read_tree(store.objects.tree_of(oid))
        return {
            entry.name: store.objects.blob(entry.oid)
            for entry in entries
            if entry.kind == "blob"
            and _NAMES.fullmatch(entry.name)
            and store.objects.blob_size(entry.oid) <= 2 * LARGEST
        }
    except GitError:
        return {}


# -- writing


def files_of(folder: Path, mask: Mask) -> dict[str, bytes]:
    """The attempt's output files, masked and bounded. The attempt could write into that folder."""
    found: dict[str, bytes] = {}
    left = ALL
    for name in sorted(_listed(folder), key=lambda name: ("-" in name, name)):
        data = _end_of(folder / name, mask, min(LARGEST, left))
        if data is not None:
            found[name] = data
            left = max(0, left - len(data))
    return found


def _listed(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a name is all we want
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if _NAMES.fullmatch(name)]


def _end_of(path: Path, mask: Mask, most: int) -> bytes | None:
    """The end of a plain file, at most `most` bytes; follows no link, waits for no pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - most - mask.reach)
        file.seek(start)
        text = file.read(size - start).decode("utf-8", "surrogateescape")
    # Masked before it is cut: even half a secret must not appear.
    masked = mask.text(text)[mask.reach // 2 if start else 0 :]
    data = masked.encode("utf-8", "surrogateescape")
    if not start and len(data) <= most:
        return data
    kept = data[-most:] if most else b""
    return b"[gitfleet: only the end is kept, of %d bytes]\n" % size + kept


class TranscriptSync:
    """A runner's thread that pushes transcripts and prunes old ones."""

    def __init__(self, project: Project) -> None:
        self.fleet = project
        self._remote = project.store.backend.remote
        self._settled: set[Path] = set()
        self._prune_at = time.monotonic() + _PRUNE_FIRST
        self.service = BackgroundService(
            "transcripts",
            self.round,
            project.report,
            failure=lambda error: failure_of(error, Action.TRANSCRIPTS_DELAYED),
            goodbye=self.round,  # the next start of a runner does the rest
            farewell=_FAREWELL,
            giving_up=project.giving_up,
            traces=project.clone.folder,
        )

    def round(self) -> float:
        """Push due transcripts and prune old ones. Returns seconds until the next round.

        Raises FleetError if something must be retried.
        """
        board = self.fleet.store.board()
        if board.settings.transcripts is not Wish.PUSH:
            return _IDLE
        due = list(self._due(board))
        try:
            for number in range(0, len(due), _AT_ONCE):
                self._bring(due[number : number + _AT_ONCE])
        finally:
            if time.monotonic() >= self._prune_at:
                self._prune_at = time.monotonic() + _PRUNE_EVERY
                self.prune()
        return _IDLE

    def _due(self, board: Board) -> Iterator[_Due]:
        """Run directories of attempts whose event is on the board and whose transcript is not
        pushed."""
        old = datetime.now(UTC) - timedelta(seconds=seconds(board.settings.transcripts_keep))
        for folder in sorted(self.fleet.clone.runs.glob("*/*")):
            task, name = folder.parent.name, _FOLDER.fullmatch(folder.name)
            if folder in self._settled or name is None or not is_id(task):
                continue
            if RunDir(folder).shared.exists():
                self._settled.add(folder)
                continue
            attempt = self._ended(board, task, int(name[1]), name[2])
            if attempt is None:
                continue
            if attempt.ended < old:
                self._settle(folder)
            else:
                yield _Due(folder, ref_of(task, attempt.attempt), attempt)

    def _ended(self, board: Board, task: str, number: int, nonce: str) -> Attempt | None:
        for attempt in _attempts(board.get(task) or self.fleet.store.archived(board, task)):
            if attempt.attempt == number and attempt.nonce.startswith(nonce):
                return attempt
        return None

    def _settle(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            RunDir(folder).shared.touch()
        self._settled.add(folder)

    def _bring(self, due: list[_Due]) -> None:
        repo = self.fleet.repo
        moves: list[RefMove] = []
        for one in due:
            here = refs.read(repo, one.ref)
            if here is None:
                here = self._commit(one)
                refs.swap(repo, one.ref, None, here, message="transcript")
            moves.append(RefMove(one.ref, None, here))
        if self._remote is not None:
            pushed = self._remote.push_refs(moves)
            if pushed.fate is PushFate.STALE and len(due) > 1:
                for one in due:
                    self._bring([one])
                return
            # An existing ref came from a push whose answer was lost: no other attempt has that
            # number.
            if pushed.fate not in (PushFate.DONE, PushFate.STALE):
                raise RemoteRejected(pushed.reason)
        for one in due:
            self._settle(one.folder)

    def _commit(self, one: _Due) -> str:
        store, attempt = self.fleet.store, one.attempt
        files = files_of(one.folder, store.mask)
        tree = store.objects.write_tree(None, files)
        who = store.signature()
        when = Signature(who.name, who.email, int(attempt.ended.timestamp()))
        subject = f"{one.ref.removeprefix(PREFIX)}: {attempt.outcome}\n"
        return store.objects.write_commit(tree, [], subject, when, when)

    # -- pruning

    def prune(self) -> None:
        """Remove transcripts older than the settings' limit, here and on the remote."""
        here = refs.names(self.fleet.repo, PREFIX)
        there = self._remote.list_refs(f"{PREFIX}*") if self._remote is not None else {}
        board = self.fleet.store.board()  # read after the refs, so that the board knows all of them
        keep = timedelta(seconds=seconds(board.settings.transcripts_keep))
        ended = self._times(board, {*here, *there})
        limit = datetime.now(UTC) - keep
        gone = [ref for ref, at in ended.items() if at < limit][:_MOST_PRUNED]
        for ref in gone:
            if ref in here:
                refs.swap(self.fleet.repo, ref, here[ref], None, message="prune")
        moves = [RefMove(ref, there[ref], None) for ref in gone if ref in there]
        if moves and self._remote is not None:
            self._remote.push_refs(moves)
        if gone:
            self.fleet.report.action(Action.TRANSCRIPTS_PRUNED, transcripts=len(gone))

    def _times(self, board: Board, names: set[str]) -> Mapping[str, datetime]:
        """The ends of these refs' attempts.

        An attempt that the board does not know has no end; its transcript stays until the task is
        known again or a person removes it.
        """
        found: dict[str, datetime] = {}
        entries: dict[str, dict[int, Attempt]] = {}
        for ref in names:
            parts = _REF.fullmatch(ref)
            if parts is None:
                continue
            task = parts[1]
            if task not in entries:
                entry = board.get(task) or self.fleet.store.archived(board, task)
                entries[task] = {one.attempt: one for one in _attempts(entry)}
            attempt = entries[task].get(int(parts[2]))
            if attempt is not None:
                found[ref] = attempt.ended
        return found


def _attempts(entry: Entry | None) -> Iterator[Attempt]:
    for event in entry.events if entry else ():
        if isinstance(event.content, Attempt):
            yield event.content
