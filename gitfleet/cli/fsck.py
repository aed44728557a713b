"""`gitfleet fsck`: check the board's history against its invariants."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from gitfleet.audit import repair
from gitfleet.audit.repair import HistoryFinding
from gitfleet.board.store import Store
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.event_log import value
from gitfleet.git.command import git

_OFTEN: Final = 20  # commits between two updates of the bar


@click.command(
    "fsck",
    cls=Verb,
    examples=(
        "gitfleet fsck",
        "gitfleet fsck --range fleet~50..fleet --json",
    ),
)
@click.option(
    "--range", "range_", metavar="OLD..NEW", help="Only the commits after OLD, up to NEW."
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
@click.pass_context
def command(ctx: click.Context, range_: str | None, as_json: bool) -> None:
    """Verify every commit of the board's history (`gitfleet help protocol`).

    Exit status 1 if an invariant is broken; what was repaired, and warnings, are only shown.
    """
    session = open_session()
    store = session.store
    start, tip = _range(store, range_)
    bar = _Bar()
    with contextlib.closing(bar):
        found = repair.check(store, tip, start=start, tick=bar.tick)
    bad = [finding for finding in found if finding.broken]
    if as_json:
        click.echo(json.dumps({"commits": bar.of, "findings": [_plain(f) for f in found]}))
    else:
        for finding in found:
            click.echo(_line(finding))
        others = len(found) - len(bad)
        click.echo(f"{bar.of} commits, {len(bad)} broken, {others} repaired or warned")
    if bad:
        ctx.exit(1)


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self) -> None:
        self.of = 0
        self._bar: Any = None

    def tick(self, done: int, of: int) -> None:
        """Show that `done` of `of` commits are checked."""
        self.of = of
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=of, label="commits", file=sys.stderr)
            self._bar.render_progress()
        elif done % _OFTEN == 0 or done == of:
            self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        """Erase the bar."""
        if self._bar is not None:
            self._bar.render_finish()


def _range(store: Store, text: str | None) -> tuple[str | None, str]:
    """The commit to start after (None: all commits), and the newest one."""
    tip = store.tip()
    assert tip is not None
    if text is None:
        return None, tip
    old, dots, new = text.partition("..")
    if not dots or new.startswith("."):
        raise FleetError(f"{text!r} is not a range", remedy="Write it as OLD..NEW.")
    here = store.repo.here
    # The value that CI systems use when there is no earlier commit.
    start = _resolve(here, old) if old.strip("0") else None
    end = _resolve(here, new) if new else tip
    if start is not None and not store.objects.is_ancestor(start, end):
        raise FleetError(
            f"{old} does not come before {new or store.branch}: the branch was rewound",
            remedy="Check the whole history with `gitfleet fsck`, or find out who rewound it.",
        )
    return start, end


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
        raise FleetError(f"{revision!r} is not a commit here")
    return done.out


def _kind(finding: HistoryFinding) -> str:
    return "repaired" if finding.repaired else "warning" if finding.warning else "broken"


def _line(finding: HistoryFinding) -> str:
    violation = finding.violation
    by = value(finding.author)
    return (
        f"{finding.commit[:10]} {_kind(finding)} invariant {violation.rule}"
        f" {value(violation.path)}: {violation.what} (by {by})"
    )


def _plain(finding: HistoryFinding) -> dict[str, object]:
    return {
        "commit": finding.commit,
        "author": finding.author,
        "kind": _kind(finding),
        "invariant": finding.violation.rule,
        "path": finding.violation.path,
        "what": finding.violation.what,
    }
