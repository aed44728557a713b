"""`gitfleet verdict`: inside a validation, accept or reject the work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gitfleet.agent import outbox_writer
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.files import codec
from gitfleet.model.verdict import Fix, Ruling, Verdict


@click.command(
    "verdict",
    cls=Verb,
    examples=(
        'gitfleet verdict accepted --reason "It does what the task asks."',
        'gitfleet verdict rejected --finding "The form accepts an empty name."',
    ),
)
@click.argument("ruling", type=click.Choice([ruling.value for ruling in Ruling]))
@click.option("--reason", default="", help="Reason, in one sentence for a person.")
@click.option("--finding", "findings", multiple=True, help="One defect; repeatable.")
@click.option("--fix-title", help="Title of the task that would fix it.")
@click.option("--fix-body", metavar="FILE|-", help="Text of that task, in Markdown.")
def command(
    ruling: str,
    reason: str,
    findings: tuple[str, ...],
    fix_title: str | None,
    fix_body: str | None,
) -> None:
    """Accept or reject the work. If called twice, the last verdict counts."""
    box = _box()
    if fix_title is None and fix_body is not None:
        raise click.UsageError("--fix-body needs --fix-title")
    if ruling == Ruling.ACCEPTED and fix_title is not None:
        raise click.UsageError("accepted work has nothing to fix: no --fix-title")
    fix = Fix(title=fix_title, body=_body(fix_body)) if fix_title is not None else None
    verdict = Verdict(verdict=Ruling(ruling), reason=reason, findings=findings, fix=fix)
    outbox_writer.say_verdict(box, outbox_writer.ruling(verdict))
    click.echo(ruling)


def _box() -> Path:
    box = os.environ.get("GITFLEET_OUTBOX")
    if not box:
        raise FleetError(
            "a verdict can only be given inside an attempt that validates",
            remedy="A person decides with `gitfleet close`, `cancel` or `retry`.",
        )
    role = os.environ.get("GITFLEET_ROLE", "")
    if role != "validate":
        raise FleetError(
            f"this attempt is for {role or 'nothing'}; only one that validates gives a verdict"
        )
    return Path(box)


def _body(source: str | None) -> str:
    """The text of a file, or of standard input."""
    if source is None:
        return ""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise FleetError(f"cannot be read: {error.strerror}", where=source) from error
    text, problems = codec.decode(data, source)
    if problems:
        raise FleetError(problems[0].what, where=source, remedy=problems[0].remedy)
    return text
