"""`gitfleet add`: create a task; inside an attempt, through its outbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitfleet.agent import outbox_writer
from gitfleet.cli.support.verb import CODER, TASK, Verb
from gitfleet.errors import FleetError
from gitfleet.files import codec

if TYPE_CHECKING:
    from gitfleet.model.board import Board


@click.command(
    "add",
    cls=Verb,
    examples=(
        'gitfleet add "Fix the login" --body "A + in the address breaks it."',
        'gitfleet add "Fix the login" --id fix-login --priority 0 < body.md',
        'gitfleet add "Use the new table" --depends-on user-table --coder codex',
    ),
)
@click.argument("title")
@click.option("--id", "wanted", help="Task id (default: derived from the title).")
@click.option(
    "--depends-on",
    multiple=True,
    metavar="ID",
    type=TASK,
    help="Task this one depends on; repeatable.",
)
@click.option("--priority", type=click.IntRange(0, 4), help="0 is most urgent (default: 2).")
@click.option("--label", "labels", multiple=True, help="Label; repeatable.")
@click.option("--coder", type=CODER, metavar="NAME", help="Coder for this task.")
@click.option("--model", metavar="NAME", help="Model for this task.")
@click.option("--check", "checks", multiple=True, help="Command that must pass; repeatable.")
@click.option(
    "--paths", multiple=True, help="gitignore pattern that limits its changes; repeatable."
)
@click.option(
    "--role",
    type=click.Choice(["work", "plan"]),
    help="plan: its result is more tasks (default: work).",
)
@click.option("--hold", is_flag=True, help="Put the task on hold.")
@click.option("--body", help="What to do, in Markdown (default: stdin unless it is a terminal).")
def command(
    title: str,
    wanted: str | None,
    depends_on: tuple[str, ...],
    priority: int | None,
    labels: tuple[str, ...],
    coder: str | None,
    model: str | None,
    checks: tuple[str, ...],
    paths: tuple[str, ...],
    role: str | None,
    hold: bool,
    body: str | None,
) -> None:
    """Create a task called TITLE. What to do comes with --body or on standard input."""
    keys = {
        "title": title,
        "depends_on": list(depends_on),
        "priority": priority,
        "labels": list(labels),
        "role": role,
        "coder": coder,
        "model": model,
        "checks": list(checks),
        "paths": list(paths),
        "hold": hold or None,
    }
    text = outbox_writer.task_text(keys, _body(body))
    outbox_writer.id_wanted(wanted)
    box = os.environ.get("GITFLEET_OUTBOX")
    click.echo(outbox_writer.file_task(Path(box), text, wanted) if box else _commit(text, wanted))


def _body(body: str | None) -> str:
    if body is not None:
        return body
    told = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    text, problems = codec.decode(told, "standard input")
    if problems:
        raise FleetError(problems[0].what, where="standard input", remedy=problems[0].remedy)
    return text


def _commit(text: bytes, wanted: str | None) -> str:
    # Imported here: inside an attempt none of it is needed, and it takes 100 ms to import.
    from gitfleet.cli.support.session import open_session, suffix  # noqa: PLC0415 - see above
    from gitfleet.plan.transitions import add_tasks, by_person  # noqa: PLC0415 - see above

    outbox_writer.checked(text, wanted or "new")
    session = open_session()
    person = session.person
    suffixes = [suffix() for _ in range(20)]
    addition = add_tasks.Addition(text=text, id=wanted or "")
    change = session.change(
        lambda board, _: by_person.add(board, addition=addition, suffixes=suffixes, person=person)
    )
    _warn(session.store.board(), change.tasks[0])
    return change.tasks[0]


def _warn(board: Board, task: str) -> None:
    """Warn about a filed task that cannot run: a misspelt coder would leave it `ready` for ever."""
    from gitfleet.cli.support import coder_checks, format  # noqa: PLC0415 - see above
    from gitfleet.plan import lint  # noqa: PLC0415 - see above

    for what, remedy in lint.doubts(board, task, coder_checks.absence, coder_checks.objection):
        click.echo(format.line(f"warning: {what} ({remedy})"), err=True)
