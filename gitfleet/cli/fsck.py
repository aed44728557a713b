"""`gitfleet fsck`: check the history of the board against what always holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from gitfleet.cli.session import open_session
from gitfleet.errors import FleetError
from gitfleet.git.command import git
from gitfleet.report import value
from gitfleet.work import history
from gitfleet.work.history import Finding


@click.command("fsck")
@click.option("--range", "range_", metavar="OLD..NEW", help="Only the commits after OLD, to NEW.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(ctx: click.Context, range_: str | None, as_json: bool) -> None:
    """Walk the board's line of history and judge each commit (docs/protocol.md).

    Exit status 1 if an invariant is broken; what was repaired, and warnings, are only shown.
    """
    session = open_session()
    store = session.store
    start, tip = None, store.tip()
    if range_ is not None:
        old, dots, new = range_.partition("..")
        if not dots:
            raise FleetError(f"{range_!r} is not a range", remedy="Write it as OLD..NEW.")
        start = _resolve(store.repo.here, old) if old else None
        tip = _resolve(store.repo.here, new) if new else tip
    assert tip is not None
    total = 0

    def tick(done: int, of: int) -> None:
        nonlocal total
        total = of
        if sys.stderr.isatty() and (done % 50 == 0 or done == of):
            click.echo(f"\r{done} of {of} commits", nl=done == of, err=True)

    found = list(history.check(store, tip, start=start, tick=tick))
    bad = [f for f in found if not (f.repaired or f.warning)]
    if as_json:
        click.echo(json.dumps({"commits": total, "findings": [_plain(f) for f in found]}))
    else:
        for finding in found:
            click.echo(_line(finding))
        others = len(found) - len(bad)
        click.echo(f"{total} commits, {len(bad)} broken, {others} repaired or warned")
    if bad:
        ctx.exit(1)


def _resolve(where: Path, revision: str) -> str:
    done = git(
        "rev-parse",
        "--verify",
        "-q",
        "--end-of-options",
        f"{revision}^{{commit}}",
        cwd=where,
        check=False,
    )
    if done.code != 0:
        raise FleetError(f"{revision!r} is no commit here")
    return done.out


def _kind(finding: Finding) -> str:
    return "repaired" if finding.repaired else "warning" if finding.warning else "broken"


def _line(finding: Finding) -> str:
    breach = finding.breach
    by = value(finding.author)
    return (
        f"{finding.commit[:10]} {_kind(finding)} invariant {breach.rule}"
        f" {value(breach.path)}: {breach.what} (by {by})"
    )


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "commit": finding.commit,
        "author": finding.author,
        "kind": _kind(finding),
        "invariant": finding.breach.rule,
        "path": finding.breach.path,
        "what": finding.breach.what,
    }
