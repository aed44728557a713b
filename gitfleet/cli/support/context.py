"""A clone with everything that work on it needs, for verbs that do such work."""

from __future__ import annotations

import os

from gitfleet.attempt.context import Fleet
from gitfleet.cli.support.session import Session, machine
from gitfleet.cli.support.write import store_of
from gitfleet.event_log import Report
from gitfleet.model.secrets import Mask, secrets_of
from gitfleet.notify.base import urls


def fleet_of(session: Session, report: Report | None = None) -> Fleet:
    """The fleet of an opened clone; its store writes in the name of the clone's runner."""
    own = machine()
    name = session.clone.runner_name(own.name)
    told = report or Report(lambda _line: None)
    mask = Mask([*secrets_of(os.environ), *urls(own)])
    told.mask = mask.text
    store = store_of(session.repo, session.store, runner=name, tell=told.action)
    store.mask = mask
    return Fleet(
        repo=session.repo,
        clone=session.clone,
        store=store,
        report=told,
        runner=name,
        default_target=session.default_target(),
        machine=own,
    )
