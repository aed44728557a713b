"""`gitfleet diff`: show a task's changes with git itself."""

from __future__ import annotations

import os
import sys
from typing import Final, NamedTuple

import click

from gitfleet.attempt.context import task_branch
from gitfleet.cli.support import format, lookup
from gitfleet.cli.support.session import CliSession, open_session
from gitfleet.cli.support.verb import ANY_TASK, Verb
from gitfleet.errors import FleetError
from gitfleet.git import merge, refs
from gitfleet.git.command import clean_env
from gitfleet.model.board import Entry
from gitfleet.model.event import Attempt, Closed, Landed
from gitfleet.model.states import Kind, Role

# Variables that set how a person sees diffs. `clean_env` drops them: our code reads no diffs.
_THEIRS: Final = ("GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS")


class Span(NamedTuple):
    """The arguments for `git diff`, and a remark for the person."""

    old: str
    new: str
    remark: str = ""


@click.command(
    "diff",
    cls=Verb,
    examples=(
        "gitfleet diff fix-login",
        "gitfleet diff fix-login --stat",
    ),
)
@click.argument("task", metavar="ID", type=ANY_TASK)
@click.option("--stat", is_flag=True, help="Only the files and the number of changed lines.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON: the commits and the files.")
def command(task: str, stat: bool, as_json: bool) -> None:
    """Show the changes of task ID: those that landed, else those on its branch."""
    session = open_session()
    board = session.store.board()
    entry = lookup.task_of(session.store, board, task)
    span = _of_landing(session, entry) or _of_branch(session, entry)
    if as_json:
        paths = merge.changed_paths(session.repo, span.old, span.new) if span else ()
        format.out_json(
            {
                "id": task,
                "old": span.old if span else None,
                "new": span.new if span else None,
                "files": list(paths),
            }
        )
        return
    if span is None or span.old == span.new:
        click.echo(f"gitfleet: {task} has changed nothing: {_why(entry)}", err=True)
        return
    if span.remark:
        click.echo(f"gitfleet: {span.remark}", err=True)
    if _same(session, span):
        click.echo(f"gitfleet: {task} has changed nothing: its commits differ in no file", err=True)
        return
    _show(session, span, stat=stat)


def _why(entry: Entry) -> str:
    if entry.claim is not None:
        return "its attempt has not committed anything yet"
    return "no attempt has committed anything" if entry.next_attempt > 1 else "it has no attempts"


def _of_landing(session: CliSession, entry: Entry) -> Span | None:
    """The target before and after the landing, if the task landed."""
    last = entry.last(Kind.LANDED)
    if last is None or not isinstance(last.content, Landed):
        return None
    landed = last.content
    _here(session, landed.merge, entry.id)
    parents = session.store.objects.commit(landed.merge).parents
    if len(parents) == 2 and parents[1] == landed.head:
        return Span(parents[0], landed.merge)
    # A person merged it: `merge` is only a commit of the target that contains the work.
    span = _of_branch(session, entry)
    remark = f"{entry.id} was merged by hand; this is what its attempts changed"
    return span._replace(remark=remark) if span else None


def _of_branch(session: CliSession, entry: Entry) -> Span | None:
    """From the work's start point to its tip."""
    claim = entry.claim if entry.claim and entry.claim.role is Role.WORK else None
    last = next(
        (e.content for e in reversed(entry.events) if e.kind is Kind.WORK and _has_head(e.content)),
        None,
    )
    assert last is None or isinstance(last, Attempt)
    base = claim.base if claim else last.base if last else None
    # A branch name is made from the id, never taken from a file.
    tip = refs.read(session.repo, f"refs/heads/{task_branch(entry.id)}") if claim else None
    head = tip or (last.head if last else None)
    if base is None or head is None:
        return None
    for commit in (base, head):
        _here(session, commit, entry.id)
    start = session.store.objects.merge_base(base, head)
    return Span(start or base, head, _remark(entry))


def _remark(entry: Entry) -> str:
    closed = entry.last(Kind.CLOSED)
    if closed is not None and isinstance(closed.content, Closed) and closed.content.by:
        return f"{entry.id} landed together with {closed.content.by}; this is its own part"
    return ""


def _has_head(content: object) -> bool:
    return isinstance(content, Attempt) and content.head is not None


def _here(session: CliSession, commit: str, task: str) -> None:
    if not session.store.objects.exists(commit):
        raise FleetError(
            f"the commit {commit[:10]} of {task} is not in this clone",
            remedy="`git fetch` may bring it.",
        )


def _same(session: CliSession, span: Span) -> bool:
    objects = session.store.objects
    return objects.tree_of(span.old) == objects.tree_of(span.new)


def _show(session: CliSession, span: Span, *, stat: bool) -> None:
    """Replace this process by `git diff`, with the person's colours and external programs."""
    safe = clean_env()
    env = {k: v for k, v in os.environ.items() if k in safe or k in _THEIRS}
    argv = ["git", "--no-pager", "diff", *(["--stat"] if stat else []), span.old, span.new, "--"]
    os.chdir(session.repo.main or session.repo.top or session.repo.here)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe("git", argv, env)  # noqa: S606 - no shell is wanted, and our process is done
