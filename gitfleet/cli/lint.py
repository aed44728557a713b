"""`gitfleet lint`: check the files of a board, at its tip or in a folder."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from msgspec.structs import asdict, replace

from gitfleet.board.board_files import read_file
from gitfleet.board.store import Store
from gitfleet.cli.support import coder_checks, format, older_runners
from gitfleet.cli.support.session import (
    CliSession,
    for_people,
    listed_plugins,
    open_session,
    plain,
)
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError
from gitfleet.files import codec, layout, rename_keys
from gitfleet.files.boards import File
from gitfleet.files.layout import FileKind
from gitfleet.files.rename_keys import Renamed
from gitfleet.forges import registry
from gitfleet.git import follow_branch, worktree
from gitfleet.git.objects import blob_id
from gitfleet.install import setup_clone
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.config import ForgeSettings
from gitfleet.plan import lint, upgrade
from gitfleet.plan.lint import LintFinding

_SHOWN: Final = 10  # names in a list before it is cut
_DEEPEST: Final = 6  # folders; done/<month>/<id>/log is the deepest that exists
_OTHER: Final = (FileKind.OTHER, FileKind.PAGE)


@click.command(
    "lint",
    cls=Verb,
    examples=(
        "gitfleet lint",
        "gitfleet lint .fleet/tasks/fix-login.md",
        "gitfleet lint --fix",
    ),
)
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Rename keys that have a new name.")
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(paths: tuple[Path, ...], fix: bool, as_json: bool) -> int:
    """Check a board's files: at the tip, or in PATH, a folder such as .fleet or some files of it.

    --fix brings a board of an older format to the newest: it renames the keys of open tasks and of
    fleet.yaml, and leaves every other byte as it is. With PATH it does so in those files, and
    commits nothing.

    Exit status 1 if a file does not validate; warnings alone do not count.
    """
    found: list[LintFinding] = []
    number = 0
    if fix and paths:
        _rename_in(paths, as_json)
    for files, scope in [(_fixed(as_json), Scope())] if fix and not paths else _boards(paths):
        number += sum(map(scope.holds, files))
        told = lint.findings(files, coder_checks.absence, coder_checks.objection, _no_forge)
        found += _placed(told, scope)
    if as_json:
        severity = {True: "warning", False: "error"}
        out = [{**asdict(one.problem), "severity": severity[one.warning]} for one in found]
        format.out_json(out)
    else:
        _tell(found, number)
    return 1 if any(not one.warning for one in found) else 0


def _no_forge(settings: ForgeSettings) -> FleetError | None:
    return registry.absence(settings, listed_plugins())


def _tell(found: Sequence[LintFinding], number: int) -> None:
    for one in found:
        problem = one.problem
        kind = format.style("warning: ", fg="yellow") if one.warning else ""
        remedy = (
            format.style(f" ({format.line(problem.remedy)})", dim=True) if problem.remedy else ""
        )
        click.echo(f"{format.line(problem.where)}: {kind}{format.line(problem.what)}{remedy}")
    wrong = sum(not one.warning for one in found)
    click.echo(
        f"{_number(number, 'file')}: {_number(wrong, 'problem')},"
        f" {_number(len(found) - wrong, 'warning')}"
    )


def _number(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


# -- renaming keys


def _fixed(as_json: bool) -> Mapping[str, File]:
    """Rename the keys that have a new name; return the board's files afterwards."""
    session = open_session()
    for_people("lint --fix", session.repo)
    _refuse_edits(session)
    if session.store.board().settings.old_format:
        older_runners.refuse(session.store, session.clone, session.store.board())
    person, done = session.person, [upgrade.Upgrade({})]

    def decide(board: Board, now: datetime) -> Change | None:
        done[0] = upgrade.upgrade(board, lambda path: session.store.file(board, path))
        return done[0].change(person) if done[0].files else None

    result = session.transact(decide)
    if done[0].files and not result.won:
        raise FleetError(result.why or "the keys could not be renamed", remedy="Try again.")
    for line in list(done[0].lines()) or ["All keys have their newest names."]:
        click.echo(format.line(line), err=as_json)
    return _at(session.store, result.board.commit)


def _rename_in(paths: Sequence[Path], as_json: bool) -> None:
    """Rename the keys in files on disk."""
    for root, given in _by_board(paths).items():
        only = [below for below, _ in given]
        scope = Scope(_called(root, given[0][1]), () if "" in only else only)
        for path, file in _folder(root).items():
            if file.data is None or not scope.holds(path):
                continue
            renamed = _renamed(path, file.data)
            if renamed.keys:
                _overwrite(root / path, renamed.data)
                keys = ", ".join(f"{old} → {new}" for old, new in renamed.keys)
                click.echo(format.line(f"{scope.named(path)}: {keys}"), err=as_json)


def _renamed(path: str, data: bytes) -> Renamed:
    place = layout.place(path).what
    if place is FileKind.TASK:
        return rename_keys.in_task(data)
    if place is not FileKind.SETTINGS:
        return Renamed(data)
    settings, _ = codec.read_settings(data)
    if settings is not None and settings.old_format:
        raise FleetError(
            "its format is older, and the whole board changes with it",
            where=path,
            remedy="Run `gitfleet lint --fix` without PATH.",
        )
    return rename_keys.in_settings(data)


def _overwrite(path: Path, data: bytes) -> None:
    """Replace a file in one step; its permissions stay."""
    fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        shutil.copymode(path, aside)
        Path(aside).replace(path)
    except OSError as error:
        Path(aside).unlink(missing_ok=True)
        raise FleetError(f"cannot write it: {error.strerror}", where=str(path)) from error


def _refuse_edits(session: CliSession) -> None:
    """Refuse over uncommitted edits: they would keep .fleet/ behind, with the old keys."""
    window = setup_clone.window_of(session.repo)
    if window is None or not window.exists() or worktree.registered(session.repo, window) is None:
        return
    # Files that only lag behind the board are not edits.
    follow_branch.catch_up(session.repo, window, session.store.ref)
    edits = [path for path in setup_clone.uncommitted(window) if _on_board(path)]
    if edits:
        shown = ", ".join(edits[:_SHOWN]) + (" …" if len(edits) > _SHOWN else "")
        raise FleetError(
            f"there are uncommitted edits in {window}: {plain(shown)}",
            remedy="Commit or revert them, and run `gitfleet lint --fix` again. With PATH it"
            " renames the keys in uncommitted files.",
        )


# -- which files


class Scope:
    """The board's paths to check, and their names in messages."""

    def __init__(self, prefix: str = "", only: Sequence[str] = ()) -> None:
        self.prefix, self.only = prefix, tuple(only)

    def holds(self, path: str) -> bool:
        """Whether problems at `path` are reported."""
        return not self.only or any(path == o or path.startswith(f"{o}/") for o in self.only)

    def named(self, path: str) -> str:
        """The path as the person would type it."""
        return os.path.join(self.prefix, path)  # noqa: PTH118 - a text, as given


def _placed(told: Iterable[LintFinding], scope: Scope) -> Iterable[LintFinding]:
    for one in told:
        if scope.holds(one.problem.path):
            yield replace(one, problem=replace(one.problem, path=scope.named(one.problem.path)))


def _boards(paths: Sequence[Path]) -> Iterator[tuple[Mapping[str, File], Scope]]:
    if not paths:
        yield _tip(), Scope()
        return
    for root, given in _by_board(paths).items():
        only = [below for below, _ in given]
        yield _folder(root), Scope(_called(root, given[0][1]), () if "" in only else only)


def _by_board(paths: Sequence[Path]) -> dict[Path, list[tuple[str, Path]]]:
    """The boards' folders of these paths, each with the paths below it, and as they were given."""
    asked: dict[Path, list[tuple[str, Path]]] = {}
    for path in paths:
        root, below = _root(path)
        asked.setdefault(root, []).append((below, path))
    return asked


def _tip() -> dict[str, File]:
    """All files at the tip, including finished tasks."""
    store = open_session().store
    return _at(store, store.board().commit)


def _at(store: Store, commit: str) -> dict[str, File]:
    tree = store.objects.tree_of(commit)
    return {
        path: read_file(store.objects, entry)
        for path, entry in store.objects.walk(tree)
        if _on_board(path)
    }


def _root(path: Path) -> tuple[Path, str]:
    """The board's folder that contains a path, and the path from there; empty: that folder."""
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise FleetError(f"cannot read {str(path)!r}: {why}") from error
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - a link on the way stays what it is called
    if folder and _is_board(whole):
        return whole, ""
    for root in whole.parents:
        below = whole.relative_to(root).as_posix()
        ours = below.partition("/")[0] in layout.FOLDERS if folder else _on_board(below)
        if ours and _is_board(root):
            return root, below
    what = "is not a folder of a board" if folder else "is not a file of a board"
    raise FleetError(
        f"{str(path)!r} {what}",
        remedy="Name a folder that has fleet.yaml in it, such as .fleet, or a file below one.",
    )


def _is_board(folder: Path) -> bool:
    """Whether a folder is a board: by its settings, or without them by its subfolders."""
    return (folder / layout.SETTINGS).exists() or all(
        (folder / name).is_dir() for name in ("tasks", "log", "done")
    )


def _on_board(path: str) -> bool:
    return layout.place(path).what not in _OTHER


def _called(root: Path, given: Path) -> str:
    """A board's folder as the person would type it, as a prefix of paths."""
    if given.is_absolute():
        return str(root)
    near = os.path.relpath(root)
    return "" if near == os.curdir else near


def _folder(root: Path) -> dict[str, File]:
    """The board's files below a folder, as they are on disk, committed or not."""
    found: dict[str, File] = {}
    for top, folders, names in os.walk(root):
        here = Path(top).relative_to(root)
        if len(here.parts) >= _DEEPEST or here.parts[:1] == (".git",):
            folders.clear()
        links = [name for name in folders if (Path(top) / name).is_symlink()]
        for name in [*names, *links]:
            path = (here / name).as_posix()
            if _on_board(path):
                found[path] = _file(Path(top) / name)
    return found


def _file(path: Path) -> File:
    """Read a file as the board would: no link is followed, no large file is loaded."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return File("0" * 40, trouble="not a plain file; only plain files are read")
        if about.st_size > layout.LARGEST:
            return File("0" * 40, trouble=f"larger than {layout.LARGEST // 1024} KiB")
        data = path.read_bytes()
    except OSError as error:
        return File("0" * 40, trouble=f"cannot be read: {error.strerror}")
    return File(blob_id(data), data)
