"""A clone with everything that work on it needs, for verbs that do such work."""

from __future__ import annotations

from gitfleet.cli.session import Session, machine
from gitfleet.report import Report
from gitfleet.store import Store
from gitfleet.work.fleet import Fleet


def fleet_of(session: Session, report: Report | None = None) -> Fleet:
    """The fleet of an opened clone; its store writes in the name of the clone's runner."""
    own = machine()
    name = session.clone.runner_name(own.name)
    return Fleet(
        repo=session.repo,
        clone=session.clone,
        store=Store(session.repo, branch=session.store.branch, runner=name),
        report=report or Report(lambda _line: None),
        runner=name,
        default_target=session.default_target(),
        machine=own,
    )
