"""Handle the conflicts of people's edits: keep the person's version, then report each conflict.

Both callers of `board.merge_human_edits` go through `ConflictKeeper`. It saves the commit on a
salvage ref before the merge can reach the board. If that fails, the merge must not happen: the
commit stays where it is and is merged later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gitfleet.board.merge_human_edits import EditConflict
from gitfleet.errors import FleetError
from gitfleet.event_log import Action, EventLog
from gitfleet.git import salvage
from gitfleet.git.repo import Repo

MOST_SHOWN: Final = 20  # conflicts listed for one commit, one per line


@dataclass(frozen=True, slots=True)
class LostEdits:
    """Edits of one commit that are not on the board as the person made them."""

    commit: str
    conflicts: tuple[EditConflict, ...]  # without those reported before
    kept: str  # the salvage ref that holds the commit


@dataclass(frozen=True, slots=True)
class WaitingEdits:
    """A commit that cannot be merged now; it stays where it is."""

    commit: str
    why: str


ReportEdits = Callable[[LostEdits | WaitingEdits], None]
"""Tells a person. Called before the merge is on the board, so that no crash hides a conflict."""


class ConflictKeeper:
    """Saves what a merge leaves out, and reports each conflict once, not once per retry."""

    def __init__(self, repo: Repo, report: ReportEdits, place: str) -> None:
        """`place`: the folder of its refs below refs/gitfleet/salvage/."""
        self._repo, self._report, self._place = repo, report, place
        self._reported: set[tuple[str, EditConflict | str]] = set()
        self._lock = threading.Lock()

    def keep(self, commit: str, conflicts: Sequence[EditConflict]) -> bool:
        """Save a commit that has conflicts, and report them. False: do not merge it now."""
        if not conflicts:
            return True
        ref = f"{salvage.PREFIX}{self._place}/{commit[:10]}"
        try:
            kept = salvage.keep(self._repo, commit, ref)
        except FleetError as error:
            self.wait(commit, f"{ref} cannot be written: {error.what}")
            return False
        new = tuple(one for one in conflicts if self._is_new(commit, one))
        if new:
            self._report(LostEdits(commit, new, kept))
        return True

    def wait(self, commit: str, why: str) -> None:
        """Report that a commit cannot be merged now."""
        if self._is_new(commit, why):
            self._report(WaitingEdits(commit, why))

    def _is_new(self, commit: str, what: EditConflict | str) -> bool:
        with self._lock:
            known = (commit, what) in self._reported
            self._reported.add((commit, what))
        return not known


def log_edits(report: EventLog) -> ReportEdits:
    """Write reports to a runner's log."""

    def log(edits: LostEdits | WaitingEdits) -> None:
        commit = edits.commit[:10]
        match edits:
            case WaitingEdits(why=why):
                report.once(
                    f"edits {edits.commit}", Action.EDITS_WAITING, commit=commit, reason=why
                )
            case LostEdits(conflicts=conflicts, kept=kept):
                for one in conflicts[:MOST_SHOWN]:
                    key = f"edits {edits.commit} {one.path}"
                    report.once(key, Action.EDIT_CONFLICT, **_fields(one), commit=commit, kept=kept)
                more = len(conflicts) - MOST_SHOWN
                if more > 0:
                    key = f"edits {edits.commit} more"
                    report.once(key, Action.EDIT_CONFLICT, more=more, commit=commit, kept=kept)

    return log


def _fields(conflict: EditConflict) -> dict[str, str]:
    return {
        "path": conflict.path,
        "went": conflict.went,
        "held": "yes" if conflict.held else "",
        "reason": conflict.why if conflict.copy else "",
    }
