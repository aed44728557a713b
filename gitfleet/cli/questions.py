"""`gitfleet questions`: list open questions, the oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from gitfleet.cli.support import format
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.model.board import Board
from gitfleet.model.durations import spoken
from gitfleet.plan import questions
from gitfleet.plan.questions import Waiting
from gitfleet.questions.question_branch import ask_branch


@click.command(
    "questions",
    cls=Verb,
    examples=(
        "gitfleet questions",
        "gitfleet questions --json",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(as_json: bool) -> None:
    """Show the open questions, how long they have waited, and which tasks they block."""
    store = open_session().store
    board = store.board()
    rows = questions.waiting(board, store.now())
    if as_json:
        format.out_json([_facts(row) for row in rows])
        return
    for row in rows:
        for line in _lines(row):
            click.echo(line)
    click.echo(
        "Answer with: gitfleet answer ID TEXT (or --option N)" if rows else "No open questions."
    )
    _warn(board)


def _lines(row: Waiting) -> Iterator[str]:
    behind = f", {len(row.behind)} behind it: {', '.join(row.behind[:5])}" if row.behind else ""
    more = ", …" if len(row.behind) > 5 else ""
    runs = ", its agent still runs" if row.running else ""
    head = f"{format.line(row.name)}  {format.line(row.title)}"
    yield format.style(head, bold=True)
    yield format.style(f"  waits {spoken(row.since)}{runs}{behind}{more}", dim=True)
    yield from (f"  {format.line(line)}" for line in row.question.text.splitlines())
    for number, option in enumerate(row.question.options, 1):
        yield f"  {number}) {format.line(option)}"
    yield ""


def _facts(row: Waiting) -> dict[str, Any]:
    question = row.question
    return {
        "name": row.name,
        "task": question.task,
        "title": row.title,
        "text": question.text,
        "options": list(question.options),
        "asked": question.asked,
        "seconds": int(row.since),
        "by": {
            "runner": question.by.runner,
            "coder": question.by.coder,
            "attempt": question.by.attempt,
        },
        "running": row.running,
        "behind": list(row.behind),
        "branch": ask_branch(row.name),
    }


def _warn(board: Board) -> None:
    broken = sorted(path for path in board.damage if path.startswith("questions/"))
    if broken:
        click.echo(f"gitfleet: {broken[0]} cannot be read; see `gitfleet lint`", err=True)
