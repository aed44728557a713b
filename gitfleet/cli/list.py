"""`gitfleet list`: list tasks with their status."""

from __future__ import annotations

from typing import Final

import click

from gitfleet.cli.support import format, lookup
from gitfleet.cli.support.runners_view import progress
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.model.board import Board
from gitfleet.model.states import FINISHED, Status
from gitfleet.plan import plain_data, view
from gitfleet.plan.view import Row

_TITLES: Final = 50  # columns beside the ids; with fewer, titles are left out
_STATUSES = [status.value for status in Status]


@click.command(
    "list",
    cls=Verb,
    examples=(
        "gitfleet list",
        "gitfleet list --all --label ui",
        "gitfleet list --status failed --status asking --json",
        "gitfleet list --at fleet~20    # the board as it was",
    ),
)
@click.option("--all", "everything", is_flag=True, help="Include finished tasks.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only tasks of this status; repeatable.",
)
@click.option("--label", "labels", multiple=True, help="Only tasks with this label; repeatable.")
@click.option(
    "--at", "revision", metavar="REV", help="The board at that revision, such as fleet~3."
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(
    everything: bool,
    statuses: tuple[str, ...],
    labels: tuple[str, ...],
    revision: str | None,
    as_json: bool,
) -> None:
    """List open tasks: those that need you, those that run, those that come next."""
    session = open_session()
    if revision is None:
        board, now = session.store.board(), session.store.now()
    else:
        board, now = lookup.board_at(session, revision)
    known = view.rows(board, now)
    if everything or FINISHED.intersection(statuses):
        there = (e for e in lookup.archive(session.store, board) if e.id not in board.entries)
        known += view.finished(board, there, now)
        shown = known
    else:
        shown = [row for row in known if row.status not in FINISHED]
    shown = [row for row in shown if not statuses or row.status in statuses]
    shown = [row for row in shown if not labels or set(labels).intersection(row.labels)]
    shown = [lookup.doubted(board, row) for row in view.in_order(board, shown)]
    if as_json:
        format.out_json([plain_data.facts(row) for row in shown])
        return
    alive = progress(session.repo) if revision is None else {}
    _draw(shown, alive)
    click.echo(_below(board, known, shown, filtered=bool(statuses or labels), all_=everything))
    _warn(board)


def _draw(shown: list[Row], alive: dict[str, str]) -> None:
    limit = format.room()
    longest = max((format.width(row.id) for row in shown), default=0)
    doers = any(row.doer for row in shown)
    # Most ids are made from the title: beside long ids it adds nothing, and has no room.
    titles = limit is None or limit - longest >= _TITLES
    cells = [
        [
            row.status.value,
            format.line(row.id),
            "p?" if row.priority is None else f"p{row.priority}",
            *([format.line(row.title)] if titles else ()),
            *([format.line(str(row.doer or ""))] if doers else ()),
            format.line(_with_progress(row, alive)),
        ]
        for row in shown
    ]
    late = 3 + titles if doers else None
    for row, cell in zip(shown, format.columns(cells, limit, keep=1, late=late), strict=True):
        status, *middle, reason = cell
        click.echo(
            format.of_status(status, row.status) + "".join(middle) + format.style(reason, dim=True)
        )


def _with_progress(row: Row, alive: dict[str, str]) -> str:
    """The reason, and the attempt's progress from the runner's last heartbeat."""
    told = alive.get(row.claim.nonce, "") if row.claim else ""
    return f"{row.reason}: {told}" if told else row.reason


def _below(board: Board, known: list[Row], shown: list[Row], *, filtered: bool, all_: bool) -> str:
    """The line of counts."""
    total = ", ".join(f"{number} {status}" for status, number in view.counts(shown).items())
    tasks = f"{len(shown)} task{'' if len(shown) == 1 else 's'}"
    text = f"{tasks}: {total}" if shown else "No task matches" if filtered else "No open tasks"
    over = sum(1 for row in known if row.status in FINISHED and not row.archived)
    over += sum(1 for task in board.archived if task not in board.entries)
    if filtered or all_ or not over:
        return text if shown or filtered else f"{text}; `gitfleet add` creates one"
    return f"{text}; {over} finished (--all)"


def _warn(board: Board) -> None:
    """Warn about files that do not validate: no row shows them, unless they are tasks."""
    broken = len(board.damage) + bool(board.settings_problems)
    if broken:
        files = "a file" if broken == 1 else f"{broken} files"
        click.echo(f"gitfleet: {files} of the board cannot be read; see `gitfleet lint`", err=True)
