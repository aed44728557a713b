"""Open a clone as a `Project`, for verbs that work like a runner."""

from __future__ import annotations

import os

from gitfleet.attempt.context import Project
from gitfleet.attempt.workspace_pool import WorkspacePool
from gitfleet.board.edit_conflicts import log_edits
from gitfleet.cli.support import edits
from gitfleet.cli.support.session import CliSession, machine
from gitfleet.cli.support.write import store_of
from gitfleet.event_log import EventLog
from gitfleet.execution import registry
from gitfleet.model.secrets import Mask, secrets_of
from gitfleet.notify.base import secrets_in


def fleet_of(session: CliSession, report: EventLog | None = None) -> Project:
    """The project of an opened clone; its store writes as the clone's runner.

    FleetError if the machine's executor does not work: attempts may be running there.
    """
    own = machine()
    name = session.clone.runner_name(own.name)
    told = report or EventLog(lambda _line: None)
    mask = Mask([*secrets_of(os.environ), *secrets_in(own)])
    told.mask = mask.text
    report_edits = log_edits(told) if report is not None else edits.show
    store = store_of(
        session.repo, session.store, runner=name, report_edits=report_edits, tell=told.action
    )
    store.mask = mask
    return Project(
        repo=session.repo,
        clone=session.clone,
        store=store,
        report=told,
        runner=name,
        default_target=session.default_target(),
        workspaces=WorkspacePool(session.repo),
        machine=own,
        executor=registry.find(own.executor, own.plugins),
    )
