"""`gitfleet add`: file a task; from inside an attempt, through its outbox."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import click

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.ids import ID_HINT, is_id, new_id
from gitfleet.model.task import Task


@click.command("add")
@click.argument("title")
@click.option("--id", "wanted", help="Its id; else made from the title.")
@click.option("--depends-on", multiple=True, metavar="ID", help="Must be done first; repeatable.")
@click.option("--priority", type=click.IntRange(0, 4), help="0 is most urgent; 2 if not given.")
@click.option("--label", "labels", multiple=True, help="A word to find it by; repeatable.")
@click.option("--coder", help="The program that is to do it.")
@click.option("--model", help="The model that is to do it.")
@click.option("--check", "checks", multiple=True, help="A command that must pass; repeatable.")
@click.option("--touches", multiple=True, help="A gitignore pattern it is limited to; repeatable.")
@click.option("--role", type=click.Choice(["work", "plan"]), help="plan: its result is more tasks.")
@click.option("--hold", is_flag=True, help="Put it on hold at once.")
@click.option("--body", help="What to do, in Markdown; else standard input, if it is no terminal.")
def command(
    title: str,
    wanted: str | None,
    depends_on: tuple[str, ...],
    priority: int | None,
    labels: tuple[str, ...],
    coder: str | None,
    model: str | None,
    checks: tuple[str, ...],
    touches: tuple[str, ...],
    role: str | None,
    hold: bool,
    body: str | None,
) -> None:
    """File a task called TITLE. What to do comes with --body or on standard input."""
    keys = {
        "title": title,
        "depends_on": list(depends_on),
        "priority": priority,
        "labels": list(labels),
        "role": role,
        "coder": coder,
        "model": model,
        "checks": list(checks),
        "touches": list(touches),
        "hold": hold or None,
    }
    text = _text({key: value for key, value in keys.items() if value not in (None, [])}, body)
    if wanted is not None and not is_id(wanted):
        raise FleetError(f"{wanted!r} cannot be an id", remedy=ID_HINT)
    box = os.environ.get("GITFLEET_OUTBOX")
    click.echo(_drop(Path(box), text, wanted) if box else _commit(text, wanted))


def _text(keys: dict[str, object], body: str | None) -> bytes:
    if body is None:
        told = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
        body, problems = codec.decode(told, "standard input")
        if problems:
            raise FleetError(problems[0].what, where="standard input", remedy=problems[0].remedy)
    if body and not body.endswith("\n"):
        body += "\n"
    try:
        return codec.front_matter(keys) + body.encode()
    except UnicodeEncodeError:
        raise FleetError("an argument is not UTF-8 text") from None


def _checked(text: bytes, task: str) -> Task:
    value, problems = codec.read_task(text, layout.task_path(task))
    if value is None:
        raise FleetError(problems[0].what, remedy=problems[0].remedy)
    return value


def _drop(box: Path, text: bytes, wanted: str | None) -> str:
    """Into the outbox, written aside and linked, so that it appears whole or not at all."""
    task = _checked(text, wanted or "new")
    # Of the text: an attempt that is made again files the same again, known by its name.
    name = wanted or new_id(task.title, hashlib.sha256(text).hexdigest()[:4])
    aside = box / f".{name}.{os.getpid()}"
    try:
        aside.write_bytes(text)
        os.link(aside, box / f"task-{name}.md")
    except FileExistsError:
        raise FleetError(f"the id {name} is taken", remedy="choose another with --id") from None
    except OSError as error:
        raise FleetError(
            f"the outbox {box} cannot be written to: {error.strerror}",
            remedy="Is the attempt over?",
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return name


def _commit(text: bytes, wanted: str | None) -> str:
    # Here, since inside an attempt nothing of this is needed, and it takes 100 ms to import.
    from gitfleet.cli.session import open_session, suffix  # noqa: PLC0415 - see above
    from gitfleet.plan import settle  # noqa: PLC0415 - see above

    _checked(text, wanted or "new")
    session = open_session()
    person = session.person
    suffixes = [suffix() for _ in range(20)]
    addition = settle.Addition(text=text, id=wanted or "")
    change = session.change(
        lambda board, _now: settle.add(board, addition=addition, suffixes=suffixes, person=person)
    )
    return change.tasks[0]
