"""What a new board begins with, and what a clone needs to live with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from gitfleet.files import layout
from gitfleet.git import refs
from gitfleet.git.objects import Objects
from gitfleet.git.repo import Repo, set_config
from gitfleet.model.config import FORMAT

_SETTINGS: Final = """\
# gitfleet: what all runners of this board share. docs/board.md tells every key.
format: {format}
target: {target}
concurrency: 3            # attempts at once, per runner
{checks}
# Who does the work; `shell` runs the fenced sh block of a task, without any model.
# roles:
#   work: {{coder: claude, model: opus}}
#   validate: {{coder: codex}}    # without it, checks alone decide
# coders:
#   mine: {{argv: [mycli, --prompt-file, "{{prompt_file}}"]}}
"""


def first_files(target: str, checks: Sequence[str]) -> dict[str, bytes]:
    """The files of the first commit after the root."""
    if checks:
        lines = "checks:                   # what must pass on every tree that lands\n"
        lines += "".join(f"  - {json.dumps(check)}\n" for check in checks)
    else:
        lines = '# checks: ["pytest -q"]   # without checks, work lands unproved\n'
    text = _SETTINGS.format(format=FORMAT, target=target, checks=lines.rstrip("\n"))
    return {layout.SETTINGS: text.encode(), ".gitattributes": b"* text eol=lf\n"}


def is_board(repo: Repo, commit: str) -> bool:
    """Whether a commit is one of a board: it has the settings, or the folders of the root."""
    objects = Objects(repo)
    tree = objects.tree_of(commit)
    return any(objects.find(tree, path) for path in (layout.SETTINGS, "tasks/.gitkeep"))


def prepare_clone(repo: Repo) -> None:
    """What keeps people's merges and `git status` right beside a board."""
    # A person's new task must not follow a directory whose tasks went to done/.
    set_config(repo, "merge.directoryRenames", "false")
    exclude = repo.common / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    text = exclude.read_text() if exclude.exists() else ""
    if "/.fleet/" not in text.splitlines():
        newline = "" if not text or text.endswith("\n") else "\n"
        exclude.write_text(f"{text}{newline}/.fleet/\n")


def proposed_checks(repo: Repo, target: str) -> list[str]:
    """Checks that the project's own files suggest; [] if there is nothing to go by."""
    objects = Objects(repo)
    tip = refs.read(repo, f"refs/heads/{target}")
    assert tip is not None
    tree = objects.tree_of(tip)
    names = {entry.name for entry in objects.read_tree(tree)}
    found: list[str] = []
    if {"pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "pytest.ini"} & names:
        folders = {"tests", "test"} & names
        found += ["python -m pytest -q"] if folders or "pytest.ini" in names else []
    if "package.json" in names and (entry := objects.find(tree, "package.json")):
        found += _of_npm(objects.blob(entry.oid))
    if "Cargo.toml" in names:
        found.append("cargo test --quiet")
    if "go.mod" in names:
        found.append("go test ./...")
    if not found and "Makefile" in names and (entry := objects.find(tree, "Makefile")):
        rules = objects.blob(entry.oid).decode("utf-8", "replace").splitlines()
        goals = [n for n in ("check", "test") if any(rule.startswith(f"{n}:") for rule in rules)]
        found += [f"make {goal}" for goal in goals[:1]]
    return found


def _of_npm(data: bytes) -> list[str]:
    try:
        scripts = json.loads(data).get("scripts", {})
    except (ValueError, AttributeError):
        return []
    test = scripts.get("test", "") if isinstance(scripts, dict) else ""
    # What `npm init` writes is no test: it fails on purpose.
    return ["npm test"] if test and "no test specified" not in str(test) else []
