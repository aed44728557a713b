"""`gitfleet demo`: run the real pipeline on a small project in a temporary directory."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from gitfleet.cli.support.verb import Verb
from gitfleet.demo import captions, tasks
from gitfleet.demo.sandbox import Sandbox
from gitfleet.errors import FleetError

_AT_HOME = """\
At home:
  cd YOUR-PROJECT
  gitfleet init                      makes the branch `fleet` and shows it in .fleet/
  $EDITOR .fleet/fleet.yaml          the coder, and the checks that every change must pass
  $EDITOR .fleet/tasks/NAME.md       a task: front matter with a title, then what to do
  git -C .fleet add -A && git -C .fleet commit -m "A task"
  gitfleet run                       runs until Ctrl-C; with --until-idle, until all is done
"""


@click.command(
    "demo",
    cls=Verb,
    examples=(
        "gitfleet demo",
        "gitfleet demo --keep --dir /tmp/demo",
    ),
)
@click.option("--keep", is_flag=True, help="Do not remove the directory at the end.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Use this directory; it must be empty or not exist.",
)
def command(keep: bool, directory: Path | None) -> int:
    """Six tasks on a small project: in parallel, failed, conflicting, rejected, repaired.

    It needs only git and Python, and leaves nothing behind unless --keep is given.
    """
    began = time.monotonic()
    with _hang_up(), _place(directory, keep) as root:
        stage = Sandbox(root)
        found = _play(stage, began)
        took = time.monotonic() - began
        if found:
            click.echo("\nThe demo did not end as expected:", err=True)
            for line in found:
                click.echo(f"  {line}", err=True)
            return 1
        click.echo(
            f"All {len(tasks.PROMISES)} tasks are done, as promised. It took {took:.1f} s.\n"
        )
        click.echo(_AT_HOME)
    return 0


# -- the directory


@contextlib.contextmanager
def _place(wanted: Path | None, keep: bool) -> Iterator[Path]:
    """The demo's directory; its content is removed at the end, unless it is kept."""
    root, made = _made(wanted)
    try:
        yield root
    finally:
        if keep:
            click.echo(f"Everything is kept in {root / 'words'}")
        elif made:
            shutil.rmtree(root, ignore_errors=True)
        else:
            _empty(root)


def _empty(root: Path) -> None:
    """Empty a directory that existed before."""
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _made(wanted: Path | None) -> tuple[Path, bool]:
    """The directory, and whether we created it and may remove it."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="gitfleet-demo-")).resolve(), True
    root = wanted.absolute()
    if root.exists() and any(root.iterdir()):
        raise FleetError(f"{root} is not empty", remedy="Name a directory that does not exist.")
    made = not root.exists()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root.resolve(), made


@contextlib.contextmanager
def _hang_up() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: the runner first, then the directory."""

    def handle(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


# -- the steps


def _play(stage: Sandbox, began: float) -> list[str]:
    """Run and show all steps; return the results that differ from the expected ones."""
    stage.build()
    click.echo(f"A small Python package with a failing test, in {stage.project}\n")
    _show(stage, "python", "-m", "unittest", "-q", last=1)
    _show(stage, "gitfleet", "init", "--target", "main", "--coder", "shell", last=99)
    stage.write_board()
    click.echo("Six tasks, each a file in .fleet/tasks/, are committed on the branch fleet:\n")
    for task, text in tasks.TASKS.items():
        click.echo(f"  {task:<14} {text.split('title: ')[1].splitlines()[0]}")
    click.echo()
    status = _run(stage, began)
    click.echo()
    listed = _show(stage, "gitfleet", "list", "--all", last=99)
    _show(stage, "git", "log", "--graph", "--oneline", "--no-decorate", "main", last=99)
    unlisted = [] if listed == 0 else [f"`gitfleet list --all` ended with exit status {listed}"]
    return [*status, *unlisted, *_broken(stage)]


def _show(stage: Sandbox, *argv: str, last: int) -> int:
    """Run a command, and show it with the last lines of its output; return its exit status."""
    done = stage.attempt(*argv)
    click.echo(f"$ {' '.join(argv)}")
    for line in done.stdout.rstrip().splitlines()[-last:]:
        click.echo(f"  {line}".rstrip())
    click.echo()
    return done.returncode


def _run(stage: Sandbox, began: float) -> list[str]:
    """Run the runner and show its lines; return its errors."""
    click.echo("$ gitfleet run --until-idle")
    try:
        with contextlib.closing(stage.follow("gitfleet", "run", "--until-idle")) as lines:
            for line in lines:
                told = captions.caption(line, sys.executable)
                if told is not None:
                    click.echo(f"{time.monotonic() - began:6.1f} s  {told[0]:<18}  {told[1]}")
    except FleetError as error:
        return [str(error)]
    return []


def _broken(stage: Sandbox) -> list[str]:
    """The differences from the expected result: on the board, in the target, in the checkout."""
    board = stage.attempt("python", "-P", "-m", "gitfleet.demo.verify", str(stage.project))
    found = board.stdout.splitlines()
    if board.returncode != 0 and not found:
        found.append(f"the verification ended with exit status {board.returncode}")
    tests = stage.attempt("python", "-m", "unittest", "-q")
    if tests.returncode != 0:
        found.append("the tests of the project do not pass")
    if changed := stage.run("git", "status", "--porcelain"):
        found.append(f"the checkout did not follow the target: {changed.strip()}")
    return found
