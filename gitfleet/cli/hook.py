"""`gitfleet hook`: what the installed hooks call. Not for people."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import click
from msgspec.structs import replace

from gitfleet.board.store import Store, branch_of
from gitfleet.cli.support.session import plain
from gitfleet.files import boards, codec, layout
from gitfleet.files.boards import File
from gitfleet.files.layout import FileKind
from gitfleet.git import follow_branch, refs, synced_commit
from gitfleet.git.command import enter_quarantine, git
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo, find
from gitfleet.git.worktree import git_dir
from gitfleet.model.board import Problem

_MOST: Final = 20  # problems shown
_PEOPLES: Final = (FileKind.TASK, FileKind.QUESTION, FileKind.SETTINGS, FileKind.PROMPT)
_ZERO: Final = "0" * 40


@click.group("hook", hidden=True)
def command() -> None:
    """What the installed git hooks call."""


def _window() -> tuple[Repo, Path]:
    """The repository and the worktree for which git runs the hook."""
    top = Path(os.environ.get("GIT_WORK_TREE") or ".").resolve()
    return find(top), top


# -- pre-commit


@command.command("pre-commit")
def pre_commit() -> None:
    """Refuse a commit on the board that is invalid, or made while its window lags behind."""
    repo, top = _window()
    ref = f"refs/heads/{branch_of(repo)}"
    if git("symbolic-ref", "-q", "HEAD", cwd=top, check=False).out != ref:
        return
    _refuse_lag(repo, top, ref)
    changes = _staged(top)
    foreign = _foreign(changes)
    if foreign:
        _refuse_lag(repo, top, ref)  # the board may have moved between the two checks
    problems = [*_problems_of_text(repo, ref, changes), *_taken_ids(top, changes), *foreign]
    for problem in problems[:_MOST]:
        click.echo(plain(_with_path(problem, top)), err=True)
    if problems:
        number = f"{len(problems)} problems" if len(problems) > 1 else "one problem"
        click.echo(
            f"gitfleet: {number}; nothing was committed. Fix the files, `git add`"
            " them, and commit again.",
            err=True,
        )
        sys.exit(1)


def _with_path(problem: Problem, top: Path) -> Problem:
    """Without a path `lint --fix` changes only committed files."""
    if problem.remedy != codec.RENAME:
        return problem
    fix = f"gitfleet lint --fix {shlex.quote(problem.path)}"
    return replace(problem, remedy=f"rename it, or run `{fix}` in {top.name}/")


def _refuse_lag(repo: Repo, top: Path, ref: str) -> None:
    tip, base = refs.read(repo, ref), synced_commit.in_step(repo, top)
    if tip is None or base is None:
        return
    index = _coming_index() or git_dir(top) / "index"
    if base == tip and not follow_branch.undoes_a_move(repo, top, ref, base, index):
        return
    # `git commit -a` and `git commit PATH` hold it during this hook, a plain `git commit` does not.
    locked = (git_dir(top) / "index.lock").exists()
    refusal = follow_branch.catch_up(repo, top, ref)
    told = "gitfleet: the board moved while you worked"
    nothing = "Nothing was committed and nothing is lost"
    if refusal is None:
        told += f"; its new files are here now. {nothing}: commit again."
    elif locked:
        told += (
            f", and its new files are not here yet. {nothing}: stage your edits with `git add`,"
            " then commit without -a and without naming files."
        )
    else:
        told += f". {nothing}, but {refusal.reason}. Then commit again and restore your text."
    click.echo(plain(told), err=True)
    sys.exit(1)


class _Change(NamedTuple):
    """A file in the coming commit; an empty mode: the commit deletes it."""

    mode: str
    oid: str
    old: str  # its current object id; empty: the file is new


def _staged(top: Path) -> dict[str, _Change]:
    """The changes of the coming commit, by path. For a merge, only those that neither side has."""
    index = _coming_index()
    env = {"GIT_INDEX_FILE": str(index)} if index else None
    args = ("diff-index", "--cached", "-z", "--no-renames", "--diff-filter=AMTD")
    found = _changes(git(*args, "HEAD", cwd=top, env=env).fields)
    if git("rev-parse", "-q", "--verify", "MERGE_HEAD", cwd=top, check=False).code == 0:
        theirs = _changes(git(*args, "MERGE_HEAD", cwd=top, env=env).fields)
        found = {path: change for path, change in found.items() if path in theirs}
    return found


def _coming_index() -> Path | None:
    """The index of the coming commit, where git names it to the hook."""
    named = os.environ.get("GIT_INDEX_FILE")
    return (Path.cwd() / named).resolve() if named else None


def _changes(fields: list[str]) -> dict[str, _Change]:
    found: dict[str, _Change] = {}
    for about, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, old, oid, _ = about.split(" ")
        gone = oid == _ZERO
        found[path] = _Change("" if gone else mode, oid, "" if old == _ZERO else old)
    return found


def _problems_of_text(repo: Repo, ref: str, changes: Mapping[str, _Change]) -> list[Problem]:
    objects = Objects(repo)
    files = {
        path: _file(objects, change)
        for path, change in changes.items()
        if change.mode and layout.place(path).what in _PEOPLES
    }
    board = boards.read({**_settings_of(objects, refs.read(repo, ref)), **files})
    found: list[Problem] = [p for e in board.entries.values() for p in e.problems]
    found += [p for problems in board.damage.values() for p in problems]
    return found + [p for p in board.settings_problems if layout.SETTINGS in files]


def _settings_of(objects: Objects, tip: str | None) -> dict[str, File]:
    """The fleet.yaml of the last commit: its format determines the keys that a task may have."""
    found = objects.find(objects.tree_of(tip), layout.SETTINGS) if tip is not None else None
    if found is None or found.kind != "blob":
        return {}
    return {layout.SETTINGS: _blob(objects, found.oid)}


def _file(objects: Objects, change: _Change) -> File:
    if not change.mode.startswith("100"):
        return File(change.oid, trouble="not a plain file")
    return _blob(objects, change.oid)


def _blob(objects: Objects, oid: str) -> File:
    size = objects.blob_size(oid)
    if size > layout.LARGEST:
        trouble = f"larger than {layout.LARGEST // 1024} KiB ({size // 1024} KiB)"
        return File(oid, trouble=trouble)
    return File(oid, objects.blob(oid))


def _taken_ids(top: Path, changes: Mapping[str, _Change]) -> list[Problem]:
    """New tasks with the id of a finished one."""
    new = [
        place.task
        for path, change in changes.items()
        if not change.old and (place := layout.place(path)).what is FileKind.TASK
    ]
    if not new:
        return []
    months = git("ls-tree", "-z", "--name-only", "HEAD", "done/", cwd=top).fields
    wanted = [f"{month}/{task}" for month in months for task in new]
    if not wanted:
        return []
    args = ("--literal-pathspecs", "ls-tree", "-z", "--name-only", "HEAD", "--", *wanted)
    return [
        Problem(
            layout.task_path(folder.rpartition("/")[2]),
            1,
            1,
            f"the id is taken by {folder}",
            "give the new task another name",
        )
        for folder in git(*args, cwd=top).fields
    ]


def _foreign(changes: Mapping[str, _Change]) -> list[Problem]:
    """Changes to files that only runners write. The status page may go: it is regenerated."""
    return [
        Problem(
            path,
            1,
            1,
            "only gitfleet writes this file",
            f"git restore --staged --worktree {path}",
        )
        for path, change in changes.items()
        if (layout.of_runner(path) or (layout.place(path).what is FileKind.EVENT and change.old))
        and layout.place(path).what is not FileKind.PAGE
    ]


# -- push-to-checkout


@command.command("push-to-checkout")
@click.argument("commit")
def push_to_checkout(commit: str) -> None:
    """Update the window's files to the pushed commit; git moves the ref afterwards."""
    repo, top = _window()
    ref = f"refs/heads/{branch_of(repo)}"
    refused = _bring(repo, top, ref, commit)
    if refused:
        click.echo(f"gitfleet: {plain(refused)}", err=True)
        click.echo("  Nothing was changed; push again when that is resolved.", err=True)
        click.echo("  A push to gitfleet/in/<name> is always accepted.", err=True)
        sys.exit(1)


def _bring(repo: Repo, top: Path, ref: str, commit: str) -> str:
    """Update the files to a commit that the ref will get; the reason if that is impossible."""
    tip = refs.read(repo, ref)
    held = follow_branch.prepare(repo, top, ref, tip or commit, commit)
    if isinstance(held, follow_branch.CannotFollow):
        return held.reason
    with held:
        # git compares the ref only after us. Files set back to the push's old commit would
        # meanwhile be committed by a person who is just committing here.
        tip = refs.read(repo, ref)
        if tip is not None and not Objects(repo).is_ancestor(tip, commit):
            return (
                "the board has moved, and this push lacks its newest commits: git pull --rebase,"
                " then push again (to rewind the board, run in this repository: git -C"
                f" {top} reset --hard COMMIT)"
            )
        refusal = held.follow()
        return refusal.reason if refusal else ""


# -- pre-receive


@command.command("pre-receive")
def pre_receive() -> None:
    """Judge what is being pushed to a server's fleet branch; standard input tells what it is."""
    # Imported here on purpose: the other hooks run at every commit, and do not need it.
    from gitfleet.audit import pre_receive  # noqa: PLC0415

    enter_quarantine()
    repo = find(Path.cwd())
    refusals = pre_receive.check_push(Store(repo), sys.stdin.readlines())
    for told in refusals[:_MOST]:
        click.echo(f"gitfleet: {plain(told.what)}", err=True)
        if told.remedy:
            click.echo(f"  {plain(told.remedy)}", err=True)
    if len(refusals) > _MOST:
        click.echo(f"gitfleet: and {len(refusals) - _MOST} more", err=True)
    if refusals:
        sys.exit(1)
