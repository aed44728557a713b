"""Create a board, configure a clone for it, and undo both."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from gitfleet.board.clone_state import Clone, read_json, write_json
from gitfleet.errors import FleetError
from gitfleet.files import codec, edit_key, layout
from gitfleet.git import refs, salvage, worktree
from gitfleet.git.command import git
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo, set_config, unset_config
from gitfleet.model.config import FORMAT

WINDOW: Final = ".fleet"
"""The worktree, in the main one, that shows the board."""

_EXCLUDE: Final = f"/{WINDOW}/"
_RENAMES: Final = "merge.directoryRenames"
_REMOTE_SECONDS: Final = 20.0  # seconds to wait for a remote's answer

_SETTINGS: Final = """\
# gitfleet: the settings that all runners of this board share.
# `gitfleet help board` explains every key, `gitfleet help coders` every coder.
format: {format}
target: {target}
concurrency: 3            # attempts at once, per runner
{checks}{setup}
# The coder of each task that names none. `shell` runs a task's sh block, without a model.
{roles}
# Any other program can be a coder, too:
# coders:
#   mine: {{argv: [mycli, --prompt-file, "{{prompt_file}}"]}}
"""


class Proposal(Struct, frozen=True):
    """Suggestions from a project's own files."""

    checks: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()  # needed before the checks can run in a fresh worktree


# -- a new board


def first_files(
    target: str, checks: Sequence[str], setup: Sequence[str] = (), coders: Sequence[str] = ()
) -> dict[str, bytes]:
    """The files of the first commit after the root; FleetError if they would not validate.

    The first of the coders does the work, the others are in comments; without any, all are.
    """
    text = _SETTINGS.format(
        format=FORMAT,
        target=edit_key.scalar(target),
        checks=_checks(checks),
        setup=_list("workspace:\n  setup:", setup, "    ") if setup else "",
        roles=_roles(coders),
    )
    settings, problems = codec.read_settings(text.encode())
    if settings is None:
        raise FleetError(problems[0].what, remedy=problems[0].remedy)
    return {layout.SETTINGS: text.encode(), ".gitattributes": b"* text eol=lf\n"}


def _checks(checks: Sequence[str]) -> str:
    if not checks:
        return '# checks: ["pytest -q"]   # without checks, work is merged untested\n'
    return _list("checks:                   # what must pass on every tree that lands", checks)


def _roles(coders: Sequence[str]) -> str:
    first, *others = coders or ("claude",)
    lines = [
        "roles:",
        f"  work: {{coder: {first}}}",
        *(f"  # work: {{coder: {other}}}" for other in others),
        f"  # validate: {{coder: {first}}}  # reviews each result; without it, checks decide",
    ]
    if not coders:
        lines = [f"# {line.replace('# ', '', 1)}" for line in lines]
    return "".join(f"{line}\n" for line in lines)


def _list(head: str, words: Sequence[str], indent: str = "  ") -> str:
    return f"{head}\n" + "".join(f"{indent}- {json.dumps(word)}\n" for word in words)


def is_board(repo: Repo, commit: str) -> bool:
    """Whether a commit belongs to a board: it has our settings, or the folders of the root.

    Other programs have a fleet.yaml, too: ours contains its format.
    """
    objects = Objects(repo)
    tree = objects.tree_of(commit)
    if objects.find(tree, "tasks/.gitkeep") is not None:
        return True
    found = objects.find(tree, layout.SETTINGS)
    if found is None or found.kind != "blob" or objects.blob_size(found.oid) > layout.LARGEST:
        return False
    text = objects.blob(found.oid).decode("utf-8", "replace")
    return re.search(r"^format:\s*[0-9]", text, re.MULTILINE) is not None


# -- the board of a remote


class Remote(Struct, frozen=True):
    """A remote's branch with the board's name."""

    tip: str | None  # None: no such branch, as far as is known
    trouble: str = ""  # why the remote could not be asked; then `tip` is the last one seen


def fetch_board(repo: Repo, remote: str, branch: str) -> Remote:
    """Fetch a remote's board. An unreachable remote is not an error."""
    seen = f"refs/remotes/{remote}/{branch}"
    if git("config", "--get", f"remote.{remote}.url", cwd=repo.here, check=False).code != 0:
        return Remote(refs.read(repo, seen))
    try:
        asked = git(
            "ls-remote",
            "--exit-code",
            remote,
            f"refs/heads/{branch}",
            cwd=repo.here,
            timeout=_REMOTE_SECONDS,
            check=False,
        )
        if asked.code == 2:  # it answered, and has no such branch
            return Remote(None)
        if asked.code == 0:
            spec = f"+refs/heads/{branch}:{seen}"
            fetch = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", remote, spec)
            git(*fetch, cwd=repo.here, timeout=_REMOTE_SECONDS * 3)
            return Remote(refs.read(repo, seen))
        last = asked.stderr.splitlines()[:1]
        trouble = last[0] if last else f"git ls-remote ended with {asked.code}"
    except FleetError as error:
        trouble = error.what
    return Remote(refs.read(repo, seen), trouble)


# -- the clone


def prepare_clone(repo: Repo) -> None:
    """Configure the clone so that merges and `git status` behave with a board checked out.

    Changes are recorded so that they can be undone.
    """
    note = _note(repo)
    known = read_json(note)
    # git must not move a person's new task along with a folder whose tasks went to done/.
    found = git("config", "--local", "--get", _RENAMES, cwd=repo.here, check=False).out
    if found != "false":
        known.setdefault("renames", found)
        write_json(note, known)
        set_config(repo, _RENAMES, "false")
    exclude = repo.common / "info" / "exclude"
    text = exclude.read_bytes() if exclude.exists() else b""
    if _EXCLUDE.encode() not in text.splitlines():
        write_json(note, {**known, "exclude": True})
        exclude.parent.mkdir(exist_ok=True)
        newline = b"" if not text or text.endswith(b"\n") else b"\n"
        exclude.write_bytes(text + newline + _EXCLUDE.encode() + b"\n")


def changed_settings(repo: Repo) -> list[str]:
    """The git settings that `prepare_clone` changed here, as `key=value`."""
    return [f"{_RENAMES}=false"] if "renames" in read_json(_note(repo)) else []


def _note(repo: Repo) -> Path:
    return repo.common / "gitfleet" / "installed.json"


def restore_clone(repo: Repo) -> list[str]:
    """Undo the changes of `prepare_clone` and remove our settings; return the changes in words."""
    return [*_restore_renames(repo), *_restore_exclude(repo), *_remove_settings(repo)]


def _restore_renames(repo: Repo) -> Iterator[str]:
    known = read_json(_note(repo))
    if "renames" not in known:
        return  # it had that value before us
    now = git("config", "--local", "--get", _RENAMES, cwd=repo.here, check=False).out
    if now != "false":
        return  # another program or person changed it since, and it stays
    before = known["renames"]
    if isinstance(before, str) and before:
        set_config(repo, _RENAMES, before)
        yield f"Set {_RENAMES} back to {before}."
    else:
        unset_config(repo, _RENAMES)
        yield f"Removed the setting {_RENAMES}."


def _restore_exclude(repo: Repo) -> Iterator[str]:
    known = read_json(_note(repo))
    exclude = repo.common / "info" / "exclude"
    if not known.get("exclude") or not exclude.exists():
        return
    lines = exclude.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != _EXCLUDE.encode()]
    if kept != lines:
        exclude.write_bytes(b"".join(kept))
        yield f"Removed {_EXCLUDE} from .git/info/exclude."


def _remove_settings(repo: Repo) -> Iterator[str]:
    listed = git("config", "--local", "--name-only", "-z", "--list", cwd=repo.here).fields
    for key in dict.fromkeys(key for key in listed if key.startswith("gitfleet.")):
        unset_config(repo, key)
        yield f"Removed the setting {key}."


def window_of(repo: Repo) -> Path | None:
    """The worktree path of the board's window; None in a bare repository."""
    return repo.main / WINDOW if repo.main is not None else None


# -- removing worktrees


def uncommitted(path: Path) -> list[str]:
    """The files of a worktree with uncommitted edits."""
    listed = git("status", "--porcelain", "-z", "--no-renames", "-uall", cwd=path).fields
    return [line[3:] for line in listed]


def take_out(repo: Repo, path: Path, name: str) -> list[str]:
    """Remove a worktree after saving everything that no branch holds; return the salvage refs.

    `name` is their part below refs/gitfleet/salvage/.
    """
    saved: list[str] = []
    if path.exists():
        ref = f"{salvage.PREFIX}{name}"
        edits = salvage.save(repo, path, ref=f"{ref}/uncommitted", message=f"Edits in {path.name}")
        if edits is not None:
            saved.append(edits.ref)
        branch, tip = worktree.head(path)
        if branch is None and salvage.unreachable(repo, tip, list(refs.names(repo, "refs/"))):
            saved.append(salvage.keep(repo, tip, f"{ref}/work"))
    worktree.remove(repo, path)
    return saved


def workspaces(repo: Repo, clone: Clone) -> list[Path]:
    """The worktrees of attempts in this clone, even if their folders are missing."""
    home = clone.workspaces.resolve()
    trees = worktree.listing(repo)
    return [tree.path for tree in trees if tree.path.resolve().parent == home]


# -- the project's own tools

_Files = Callable[[str], str | None]  # the text of a file at the top; None if there is none


def propose(repo: Repo, target: str) -> Proposal:
    """Suggest checks from the project's own files; none if no file suggests one."""
    objects = Objects(repo)
    tip = refs.read(repo, f"refs/heads/{target}")
    if tip is None:
        return Proposal()
    tree = objects.tree_of(tip)
    kinds = {entry.name: entry.kind for entry in objects.read_tree(tree)}

    def text(name: str) -> str | None:
        found = objects.find(tree, name) if kinds.get(name) == "blob" else None
        if found is None or objects.blob_size(found.oid) > 4 * layout.LARGEST:
            return None
        return objects.blob(found.oid).decode("utf-8", "replace")

    def tests_in(folder: str) -> bool:
        found = objects.find(tree, folder) if kinds.get(folder) == "tree" else None
        return found is not None and any(
            re.fullmatch(r"test_.*\.py|.*_test\.py", path.rpartition("/")[2])
            for path, _ in objects.walk(found.oid)
        )

    checks = [*_of_python(kinds, text, tests_in), *_of_tools(kinds)]
    npm = _of_node(kinds, text)
    checks += npm.checks
    if not checks:
        checks = _of_make(text)
    return Proposal(tuple(checks), npm.setup)


def _of_python(
    names: Mapping[str, str], text: _Files, tests_in: Callable[[str], bool]
) -> Iterator[str]:
    python = "python" if shutil.which("python") else "python3"
    told = any(
        re.search(mark, text(name) or "", re.MULTILINE)
        for name, mark in (
            ("pytest.ini", r"^\[pytest\]"),
            ("pyproject.toml", r"^\[tool\.pytest"),
            ("setup.cfg", r"^\[tool:pytest\]"),
            ("tox.ini", r"^\[pytest\]|pytest"),
        )
    )
    loose = any(re.fullmatch(r"test_.*\.py|.*_test\.py", name) for name in names)
    if told or loose or tests_in("tests") or tests_in("test"):
        yield f"{python} -m pytest -q"


# A file at the top, and the test command for such a project; the first match of a group counts.
_TOOLS: Final = (
    (("Cargo.toml", "cargo test --quiet"),),
    (("go.mod", "go test ./..."),),
    (("gradlew", "./gradlew test"),),
    (("mvnw", "./mvnw -q test"), ("pom.xml", "mvn -q test")),
    (("mix.exs", "mix test"),),
    (("Package.swift", "swift test"),),
    (("deno.json", "deno test"), ("deno.jsonc", "deno test")),
    ((".rspec", "bundle exec rspec"),),
)


def _of_tools(names: Mapping[str, str]) -> Iterator[str]:
    for group in _TOOLS:
        yield from [command for name, command in group if names.get(name) == "blob"][:1]


# A lock file, its tool, and the command that installs the tests' needs in a fresh worktree.
_NODE: Final = (
    ("pnpm-lock.yaml", "pnpm", "pnpm install --frozen-lockfile"),
    ("yarn.lock", "yarn", "yarn install --frozen-lockfile"),
    ("package-lock.json", "npm", "npm ci"),
)


def _of_node(names: Mapping[str, str], text: _Files) -> Proposal:
    try:
        package = json.loads(text("package.json") or "")
        test = package.get("scripts", {}).get("test", "")
    except (ValueError, AttributeError):
        return Proposal()
    # The placeholder that `npm init` writes is not a test: it fails on purpose.
    if not isinstance(test, str) or not test or "no test specified" in test:
        return Proposal()
    for lock, tool, install in _NODE:
        if lock in names:
            needs = package.get("dependencies") or package.get("devDependencies")
            return Proposal((f"{tool} test",), (install,) if needs else ())
    return Proposal(("npm test",))


def _of_make(text: _Files) -> list[str]:
    """If no other file suggests a check: the makefile's check target."""
    for name, tool in (("Makefile", "make"), ("makefile", "make"), ("justfile", "just")):
        goals: set[str] = set()
        for line in (text(name) or "").splitlines():
            head, colon, rest = line.partition(":")
            if colon and not line[0].isspace() and not rest.startswith("="):
                goals.update(head.split())
        for goal in ("check", "test"):
            if goal in goals:
                return [f"{tool} {goal}"]
    return []
