"""`gitfleet revert`: create a task that reverts a landed one."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import NamedTuple

import click

from gitfleet.cli.support.session import CliSession, for_people, open_session, plain
from gitfleet.cli.support.verb import ANY_TASK, Verb
from gitfleet.errors import FleetError
from gitfleet.files import codec
from gitfleet.git import refs
from gitfleet.git.command import git
from gitfleet.git.commits import trailers
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change
from gitfleet.model.event import Closed, Landed
from gitfleet.model.states import Kind
from gitfleet.model.task import Task
from gitfleet.plan.transitions import by_person
from gitfleet.plan.transitions.add_tasks import Addition


class _Landing(NamedTuple):
    """The landing to revert: its task, and how it landed."""

    entry: Entry
    event: Landed


@click.command(
    "revert",
    cls=Verb,
    examples=("gitfleet revert fix-login",),
)
@click.argument("task", metavar="ID", type=ANY_TASK)
def command(task: str) -> None:
    """Create a task that reverts ID, which has landed. Prints its id, ID-revert."""
    session = open_session()
    for_people("revert", session.repo)
    person = session.person
    board = session.store.board()
    landing = _landing(session, board, task)
    script = _script(session, landing)
    click.echo(f"It reverts {landing.event.merge[:10]} on {plain(landing.event.target)}.", err=True)

    def decide(now_board: Board, _now: datetime) -> Change:
        text = codec.write_task(_task(now_board, task, landing, script))
        addition = Addition(text=text, id=_free_id(now_board, task))
        return by_person.add(now_board, addition=addition, suffixes=(), person=person)

    click.echo(session.change(decide).tasks[0])


def _landing(session: CliSession, board: Board, task: str) -> _Landing:
    """The landing of the task's work, if necessary through the task that repaired it."""
    seen: set[str] = set()
    wanted = task
    while wanted not in seen:
        seen.add(wanted)
        entry = board.get(wanted) or session.store.archived(board, wanted)
        if entry is None:
            raise FleetError(
                f"there is no task {wanted!r}", remedy="`gitfleet list --all` shows all ids"
            )
        for event in reversed(entry.events):
            if isinstance(event.content, Landed):
                return _Landing(entry, event.content)
        closed = entry.last(Kind.CLOSED)
        by = closed.content.by if closed and isinstance(closed.content, Closed) else None
        if by is None:
            break
        wanted = by
    raise FleetError(
        f"{task} has not landed, so there is nothing to undo",
        remedy=f"`gitfleet show {task}` shows its status.",
    )


def _script(session: CliSession, landing: _Landing) -> str:
    """The commands that revert it. Only object ids, which are hex digits, come from the board."""
    event = landing.event
    objects = session.store.objects
    if not objects.exists(event.merge):
        raise FleetError(f"the commit {event.merge} is not in this repository")
    tip = refs.read(session.repo, f"refs/heads/{event.target}")
    if tip is None or not objects.is_ancestor(event.merge, tip):
        raise FleetError(
            f"{event.merge[:10]}, with which it landed, is no longer in {event.target}",
            remedy="The branch was rewritten; there is nothing to undo on it.",
        )
    commit = objects.commit(event.merge)
    if len(commit.parents) == 2 and trailers(commit.message).get("Gitfleet-Nonce") == event.nonce:
        return f"git revert --no-edit -m 1 {event.merge}\n"
    return _by_hand(session, landing)


def _by_hand(session: CliSession, landing: _Landing) -> str:
    """A person merged the work by hand: revert its own commits, newest first."""
    head, objects = landing.event.head, session.store.objects
    base = _base(landing.entry, head)
    if head is None or base is None or not (objects.exists(head) and objects.exists(base)):
        raise FleetError(
            f"{landing.entry.id} was merged by hand, and its commits are not in this repository",
            remedy="Undo it with git revert.",
        )
    here = session.repo.here
    own = f"{base}..{head}"
    if merges := git("rev-list", "--merges", own, cwd=here).out.split():
        raise FleetError(
            f"{landing.entry.id} was merged by hand, and its work contains merges"
            f" ({merges[0][:10]}) that cannot be undone one by one",
            remedy="Undo it with git revert.",
        )
    commits = git("rev-list", "--topo-order", own, cwd=here).out.split()
    if not commits:
        raise FleetError(
            f"{landing.entry.id} has no commits of its own, so there is nothing to undo"
        )
    # One by one, not as a range: squashed or picked commits are in no branch that git could count
    # on, and of each only its change is needed.
    return "".join(f"git revert --no-edit {commit}\n" for commit in commits)


def _base(entry: Entry, head: str | None) -> str | None:
    """The start point of the work that landed."""
    for event in reversed(entry.events):
        attempt = event.attempt
        if attempt is not None and event.kind is Kind.WORK and attempt.head == head:
            return attempt.base
    return None


def _task(board: Board, task: str, landing: _Landing, script: str) -> Task:
    own, event = landing.entry.task, landing.event
    title = f"Revert: {landing.entry.title}"
    settled = board.settings.target
    return Task(
        title=title if len(title) <= 200 else f"{title[:199]}…",
        priority=own.priority if own else 2,
        labels=own.labels if own else (),
        coder="shell",
        base=event.target if event.target != settled else None,
        # It would conflict again today: a person must look at it now.
        max_attempts=1,
        body=(
            f"Reverts `{task}`, which landed on {event.target} as"
            f" {event.merge[:10]}.\n\n```sh\n{script}```\n"
        ),
    )


def _free_id(board: Board, task: str) -> str:
    """<id>-revert; with a number if that is taken."""
    stem = f"{task[:54]}-revert"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not board.taken(name))
