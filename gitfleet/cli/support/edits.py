"""Tell a person at a terminal which of their edits conflict with the board."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import click

from gitfleet.board.edit_conflicts import MOST_SHOWN, LostEdits, ReportEdits, WaitingEdits
from gitfleet.board.merge_human_edits import EditConflict
from gitfleet.errors import FleetError
from gitfleet.event_log import harmless
from gitfleet.files import layout


@contextmanager
def shown() -> Iterator[ReportEdits]:
    """Show the conflicts of a verb's change afterwards, unless it fails: then nothing is merged.

    FleetError if a commit cannot be merged: a verb does not decide on a board without it.
    """
    lost: list[LostEdits] = []

    def report(edits: LostEdits | WaitingEdits) -> None:
        if isinstance(edits, LostEdits):
            lost.append(edits)
            return
        raise FleetError(
            f"your commit {edits.commit[:10]} cannot be merged into the board: {edits.why}",
            remedy="Nothing was changed, and the commit is still on your branch. Remove the cause"
            " and try again.",
        )

    try:
        yield report
    except FleetError:
        lost.clear()
        raise
    finally:
        for one in lost:
            show(one)


def show(edits: LostEdits | WaitingEdits) -> None:
    """Print each conflict on standard error: the file, and the fate of the person's version."""
    match edits:
        case WaitingEdits(commit=commit, why=why):
            _say(f"your commit {commit[:10]} is not merged into the board yet: {why}")
        case LostEdits(commit=commit, conflicts=conflicts, kept=kept):
            for one in conflicts[:MOST_SHOWN]:
                _say(f"{one.path}: {_fate(one, commit[:10])}. {_see(one, kept)}")
            if len(conflicts) > MOST_SHOWN:
                more = len(conflicts) - MOST_SHOWN
                _say(f"{more} more files of commit {commit[:10]} conflict. It is kept on {kept}")


def _say(text: str) -> None:
    click.echo(f"gitfleet: {harmless(' '.join(text.split()))}", err=True)


def _fate(one: EditConflict, commit: str) -> str:
    """The fate of the person's version, in sentences, without the last full stop."""
    task = layout.place(one.copy).task
    verbs = (
        f"`gitfleet unhold {task}` allows it to start, `gitfleet cancel {task}` cancels it"
        if one.held
        else ""
    )
    match (one.removal, one.copy, one.held):
        case (True, _, _):
            return f"{one.why}. Your removal (commit {commit}) is not on the board"
        case (_, "", _):
            return f"{one.why}. Your version (commit {commit}) is not on the board"
        case (_, one.path, True):
            return f"{one.why}. Your task (commit {commit}) is on hold: {verbs}"
        case (_, one.path, False):
            return f"{one.why} (commit {commit})"
        case (_, _, True):
            return f"{one.why}. Your version (commit {commit}) is {one.copy}, on hold: {verbs}"
    return f"{one.why}. Your version (commit {commit}) is {one.copy}"


def _see(one: EditConflict, kept: str) -> str:
    command = ["git", "show", f"{kept}:{one.path}"]
    if one.removal:
        command = ["git", "log", "-p", "-1", kept, "--", f":/{one.path}"]
    return f"It is kept on {kept}; see it with: {shlex.join(command)}"
