"""`gitfleet hook NAME`: what the installed hooks call. Not for people."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from gitfleet.files import boards, layout
from gitfleet.files.boards import File
from gitfleet.git import checkout, refs, step
from gitfleet.git.command import git
from gitfleet.git.repo import Repo, find
from gitfleet.model.board import Problem
from gitfleet.store import branch_of

_MOST: Final = 20  # problems shown
_PEOPLES: Final = (layout.What.TASK, layout.What.QUESTION, layout.What.SETTINGS)


@click.group("hook", hidden=True)
def command() -> None:
    """What the installed git hooks call."""


def _window() -> tuple[Repo, Path]:
    """The repository and the worktree that git runs the hook for."""
    top = Path(os.environ.get("GIT_WORK_TREE") or ".").resolve()
    return find(top), top


@command.command("pre-commit")
def pre_commit() -> None:
    """Refuse a commit on the board that is invalid, or made while its window lags behind."""
    repo, top = _window()
    ref = f"refs/heads/{branch_of(repo)}"
    if git("symbolic-ref", "-q", "HEAD", cwd=top, check=False).out != ref:
        return
    _refuse_lag(repo, top, ref)
    problems = _staged_problems(top)
    for problem in problems[:_MOST]:
        click.echo(str(problem), err=True)
    if problems:
        click.echo(
            f"gitfleet: {len(problems)} problems; nothing was committed. Mend them, `git add`,"
            " and commit again.",
            err=True,
        )
        sys.exit(1)


def _refuse_lag(repo: Repo, top: Path, ref: str) -> None:
    tip = refs.read(repo, ref)
    if tip is None or step.in_step(repo, top) in (None, tip):
        return
    refusal = checkout.catch_up(repo, top, ref)
    if refusal is None:
        click.echo(
            "gitfleet: the board moved while you worked; its new files are here now."
            " Nothing was committed and nothing is lost: commit again.",
            err=True,
        )
    else:
        click.echo(
            f"gitfleet: the board moved while you worked, and {refusal.reason}."
            " Nothing was committed. Move your edits aside (git stash), then commit them again.",
            err=True,
        )
    sys.exit(1)


def _staged_problems(top: Path) -> list[Problem]:
    """What is wrong with the files about to be committed, read from the index of this commit."""
    index = os.environ.get("GIT_INDEX_FILE")
    env = {"GIT_INDEX_FILE": str((Path.cwd() / index).resolve())} if index else None
    args = ("diff-index", "--cached", "-z", "--no-renames", "--diff-filter=AM", "HEAD")
    fields = git(*args, cwd=top, env=env).fields
    files: dict[str, File] = {}
    for about, path in zip(fields[::2], fields[1::2], strict=True):
        mode, oid = about.split(" ")[1], about.split(" ")[3]
        if layout.place(path).what in _PEOPLES:
            files[path] = _file(top, mode, oid)
    board = boards.read(files)
    found: list[Problem] = [p for e in board.entries.values() for p in e.problems]
    found += [p for problems in board.damage.values() for p in problems]
    return found + [p for p in board.settings_problems if layout.SETTINGS in files]


def _file(top: Path, mode: str, oid: str) -> File:
    if not mode.startswith("100"):
        return File(oid, trouble="not a plain file")
    size = int(git("cat-file", "-s", oid, cwd=top).out)
    if size > layout.LARGEST:
        return File(oid, trouble=f"larger than {layout.LARGEST // 1024} KiB")
    return File(oid, git("cat-file", "blob", oid, cwd=top).stdout)


@command.command("push-to-checkout")
@click.argument("commit")
def push_to_checkout(commit: str) -> None:
    """Bring the window's files to what is being pushed; git moves the ref after that."""
    repo, top = _window()
    ref = f"refs/heads/{branch_of(repo)}"
    tip = refs.read(repo, ref)
    assert tip is not None
    held = checkout.prepare(repo, top, ref, tip, commit)
    if isinstance(held, checkout.Refusal):
        click.echo(f"gitfleet: {held.reason}", err=True)
        click.echo("  Nothing was changed; push again when that is settled.", err=True)
        sys.exit(1)
    refusal = held.follow()
    if refusal is not None:
        click.echo(f"gitfleet: {refusal.reason}", err=True)
        sys.exit(1)
